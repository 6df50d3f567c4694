"""The journal as everybody else reads it: what a restart begins from, and what a page shows.

It reads while a run writes, and cannot change anything.
"""

import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import nan
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Select, func, inspect, select, union_all
from sqlalchemy.exc import DBAPIError

from counterpoise.errors import FixConfig, RejectData
from counterpoise.execution.child_orders import ENDED
from counterpoise.execution.records import (
    AccountSeen,
    AlertRaised,
    Decision,
    FillBooked,
    Mode,
    OrderSent,
    OrderState,
    Plan,
    Shortfall,
)
from counterpoise.journal.place import KEY, place_of, refusal
from counterpoise.journal.store import refuse_schema
from counterpoise.journal.tables import LAYOUTS

#: Sums of sizes differ from the whole by less than this, ETH.
_ROUNDING = 1e-9
Kind = TypeVar("Kind")


class Reader:
    """A journal to read, a context manager; safe for threads.

    Parameters
    ----------
    where : str or Path
        As ``store.Journal.open`` takes it.

    Raises
    ------
    FixConfig
        There is no journal, or one of another schema.
    RetryLater
        The database does not answer.
    """

    def __init__(self, where: str | Path) -> None:
        place = place_of(where)
        self.name = place.name
        if place.file is not None and not place.file.is_file():
            raise FixConfig(KEY, place.name, "an existing journal", "start a run, or name another")
        self._engine = place.engine(writes=False)
        try:
            with self._connect() as connection:
                refuse_schema(connection, self.name, set(inspect(connection).get_table_names()))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise refusal(self.name, error) from None

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Connection that sees the journal as it is now, whatever is written meanwhile."""
        begin = "BEGIN"
        if self._engine.dialect.name != "sqlite":
            begin += " ISOLATION LEVEL REPEATABLE READ"
        with self._connect() as connection:
            connection.exec_driver_sql(begin)
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def _ask(self, kind: type[Kind], ask: Select[Any]) -> list[Kind]:
        layout = LAYOUTS[kind]
        with self._connect() as connection:
            rows = connection.execute(ask).all()
        try:
            return [layout.read(row) for row in rows]
        except (ValueError, struct.error) as broken:
            raise RejectData(
                self.name,
                f"table {layout.table.name}",
                str(broken),
                "rows as they were written",
                "run counterpoise journal verify",
            ) from None

    def _select(self, kind: type) -> tuple[Select[Any], Any]:
        layout = LAYOUTS[kind]
        c = layout.table.c
        return select(*(c[name] for name in layout.columns)), c

    def records(self, kind: type[Kind], since_ns: int = 0, newest: int | None = None) -> list[Kind]:
        """Records of a class, in the order they were committed.

        Parameters
        ----------
        kind : type
            A class of ``execution.records``, or ``tables.Run``.
        since_ns : int
            Those whose ``ts_ns`` is not before it.
        newest : int, optional
            At most so many, the last ones.
        """
        wanted, c = self._select(kind)
        wanted = wanted.where(c.ts_ns >= since_ns).order_by(c.seq.desc()).limit(newest)
        return self._ask(kind, wanted)[::-1]

    def _last(self, kind: type[Kind]) -> Kind | None:
        return next(iter(self.records(kind, newest=1)), None)

    def last_decision(self) -> Decision | None:
        """Last decision, whose ``state`` and ``memory`` the next begins from."""
        return self._last(Decision)

    def after_decision(self, kind: type[Kind]) -> list[Kind]:
        """Records of a class that the last decision did not know of; all without a decision."""
        wanted, c = self._select(kind)
        last = select(func.coalesce(func.max(LAYOUTS[Decision].table.c.seq), 0)).scalar_subquery()
        return self._ask(kind, wanted.where(c.seq > last).order_by(c.seq))

    def mode(self) -> Mode | None:
        """Last change of the mode; None where trading was never halted or resumed."""
        return self._last(Mode)

    def decisions(self, since_ns: int) -> list[Decision]:
        """Decisions from a moment on."""
        return self.records(Decision, since_ns)

    def fills(self, since_ns: int) -> list[FillBooked]:
        """Fills from a moment on."""
        return self.records(FillBooked, since_ns)

    def alerts(self, since_ns: int) -> list[AlertRaised]:
        """Alerts from a moment on."""
        return self.records(AlertRaised, since_ns)

    def shortfalls(self, since_ns: int) -> list[Shortfall]:
        """Implementation shortfalls of the schedules that ended from a moment on."""
        return self.records(Shortfall, since_ns)

    def working_plans(self) -> list[Plan]:
        """Plans in force, one a schedule: its last row, where that is ``working``."""
        wanted, c = self._select(Plan)
        latest = select(func.max(c.seq)).group_by(c.schedule_id)
        return self._ask(
            Plan, wanted.where(c.seq.in_(latest), c.status == "working").order_by(c.seq)
        )

    def unsettled_orders(self) -> list[OrderSent]:
        """Orders that may have left, without an end and not filled whole: each is to be queried."""
        wanted, c = self._select(OrderSent)
        states, fills = LAYOUTS[OrderState].table.c, LAYOUTS[FillBooked].table.c
        settled = select(states.client_id).where(states.status.in_(ENDED))
        filled = (
            select(func.coalesce(func.sum(fills.size), 0.0))
            .where(fills.client_id == c.client_id)
            .scalar_subquery()
        )
        wanted = wanted.where(c.client_id.not_in(settled), filled < c.size - _ROUNDING)
        return self._ask(OrderSent, wanted.order_by(c.seq))

    def orders_of(self, schedule_id: int) -> list[OrderSent]:
        """Orders of a schedule, in the order they were sent."""
        wanted, c = self._select(OrderSent)
        return self._ask(OrderSent, wanted.where(c.schedule_id == schedule_id).order_by(c.seq))

    def about(self, kind: type[Kind], orders: Collection[str]) -> list[Kind]:
        """``OrderState`` or ``FillBooked`` of orders by client id; some hundreds at most."""
        wanted, c = self._select(kind)
        return self._ask(kind, wanted.where(c.client_id.in_(orders)).order_by(c.seq))

    def last_stop(self) -> OrderSent | None:
        """The stop that was sent last."""
        wanted, c = self._select(OrderSent)
        last = self._ask(OrderSent, wanted.where(c.trigger > 0.0).order_by(c.seq.desc()).limit(1))
        return next(iter(last), None)

    def counted_short(self) -> float | None:
        """Short as we counted it last, ETH: after a fill, or beside the account as it was seen."""
        fills, accounts = LAYOUTS[FillBooked].table.c, LAYOUTS[AccountSeen].table.c
        counted = union_all(
            select(fills.seq, fills.short_eth), select(accounts.seq, accounts.counted_eth)
        ).subquery()
        with self._connect() as connection:
            last = connection.execute(select(counted).order_by(counted.c.seq.desc()).limit(1))
            row = last.first()
        if row is None:
            return None
        return nan if row.short_eth is None else float(row.short_eth)
