"""The paper account on the disk: every change is committed before anybody is told of it.

One SQLite file in the state folder, written by one process. It holds the wallet and positions as
one row, and each order, conditional order, fill and income as a row of its own.
"""

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from counterpoise.errors import CounterpoiseError, RejectData, RetryLater, printable
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.orders import Algo, Order
from counterpoise.rehearsal.positions import Position
from counterpoise.rehearsal.reports import AlgoUpdate, Income, OrderUpdate, UserTrade, VenueEvent

#: In the state folder of the run.
PAPER_FILE = "paper-account.sqlite"
LAYOUT = 1
#: Seconds that the end of an earlier process is waited for.
WAIT_S = 10.0
_INSERT = "INSERT OR REPLACE INTO kept VALUES (?, ?, ?)"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What is no order, fill or income: money, positions, modes, and whose it is.

    Attributes
    ----------
    key, secret : str
        Of the account, made with it; good on this machine only.
    settled_ms : int
        Up to when funding is settled.
    wallet, outside : Decimal
        USDT in the futures wallet and beside it.
    countdowns : dict of str to int
        When the open orders of a symbol are cancelled, ms.
    """

    key: str = field(repr=False)
    secret: str = field(repr=False)
    settled_ms: int
    wallet: Decimal
    outside: Decimal
    hedge_mode: bool = False
    leverage: dict[str, int] = field(default_factory=dict)
    isolated: dict[str, bool] = field(default_factory=dict)
    positions: tuple[Position, ...] = ()
    countdowns: dict[str, int] = field(default_factory=dict)
    update_ms: int = 0


_SHAPES: dict[str, TypeAdapter[Any]] = {
    "holding": TypeAdapter(Holding),
    "order": TypeAdapter(Order),
    "algo": TypeAdapter(Algo),
    "trade": TypeAdapter(UserTrade),
    "income": TypeAdapter(Income),
}


class PaperAccount:
    """An exchange whose account outlives its process; a context manager.

    Parameters
    ----------
    file : Path
        Made where there is none.
    rules : SymbolRules
    outside_usd : Decimal
        USDT of a new account, beside the futures wallet.
    now_ms : int

    Attributes
    ----------
    exchange : Exchange
    holding : Holding
        As it is on the disk.
    settled_ms : int
        To be set before what is settled is kept.

    Raises
    ------
    RetryLater
        Another process has it, or it cannot be written.
    RejectData
        It is damaged, or of another version.
    """

    def __init__(self, file: Path, rules: SymbolRules, outside_usd: Decimal, now_ms: int) -> None:
        self._file = file
        self.exchange = Exchange([rules], Decimal(0), outside_usd)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.touch(0o600)
            self._db = sqlite3.connect(file, timeout=WAIT_S)
        except (OSError, sqlite3.Error) as refused:
            raise self._refusal(refused) from None
        try:
            self._begin(outside_usd, now_ms)
        except sqlite3.Error as refused:
            self._db.close()
            raise self._refusal(refused) from None
        except CounterpoiseError:
            self._db.close()
            raise

    def _begin(self, outside_usd: Decimal, now_ms: int) -> None:
        """Read what is kept, or keep a new account."""
        # Held until the end: two processes would each count their own fills.
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._db.execute(f"PRAGMA {pragma}")
        layout = self._db.execute("PRAGMA user_version").fetchone()[0]
        if layout not in (0, LAYOUT):
            raise self._reject("its layout", layout, f"layout {LAYOUT}")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS kept "
            "(kind TEXT, id INTEGER, body TEXT NOT NULL, PRIMARY KEY (kind, id)) STRICT"
        )
        self._db.execute(f"PRAGMA user_version = {LAYOUT}")
        kept = list(self._read("holding"))
        if kept:
            self.holding: Holding = kept[0]
            self._resume()
        else:
            self.holding = Holding(
                key=secrets.token_hex(16),
                secret=secrets.token_hex(16),
                settled_ms=now_ms,
                wallet=Decimal(0),
                outside=outside_usd,
            )
        self.settled_ms = self.holding.settled_ms
        self._trades = len(self.exchange.account.trades)
        self._incomes = len(self.exchange.account.incomes)
        self.save(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def save(self, told: Sequence[VenueEvent]) -> None:
        """Commit what changed; when this returns it is on the disk.

        Parameters
        ----------
        told : sequence of VenueEvent
            What happened to the account since the last call.

        Raises
        ------
        RetryLater
            It cannot be written; the process must end, it knows more than the disk.
        """
        account = self.exchange.account
        rows: list[tuple[str, int, str]] = []
        for event in told:
            if isinstance(event, OrderUpdate):
                rows.append(_row("order", event.order.order_id, event.order))
            elif isinstance(event, AlgoUpdate):
                rows.append(_row("algo", event.algo.algo_id, event.algo))
        trades, incomes = account.trades[self._trades :], account.incomes[self._incomes :]
        rows += [_row("trade", one.trade_id, one) for one in trades]
        rows += [_row("income", one.income_id, one) for one in incomes]
        holding = self._holding()
        if holding != self.holding:
            rows.append(_row("holding", 1, holding))
        if not rows:
            return
        try:
            with self._db:
                self._db.executemany(_INSERT, rows)
        except sqlite3.Error as refused:
            raise self._refusal(refused) from None
        self.holding = holding
        self._trades, self._incomes = len(account.trades), len(account.incomes)

    def _holding(self) -> Holding:
        account, was = self.exchange.account, self.holding
        return Holding(
            key=was.key,
            secret=was.secret,
            settled_ms=self.settled_ms,
            wallet=account.wallet,
            outside=account.outside,
            hedge_mode=account.hedge_mode,
            leverage=dict(account.leverage),
            isolated=dict(account.isolated),
            positions=tuple(replace(one) for one in account.held()),
            countdowns=dict(self.exchange.countdowns),
            update_ms=account.update_ms,
        )

    def _resume(self) -> None:
        was, account = self.holding, self.exchange.account
        account.wallet, account.outside = was.wallet, was.outside
        account.hedge_mode, account.update_ms = was.hedge_mode, was.update_ms
        account.leverage.update(was.leverage)
        account.isolated.update(was.isolated)
        account.resume(replace(one) for one in was.positions)
        account.trades.extend(self._read("trade"))
        account.incomes.extend(self._read("income"))
        orders, algos = list(self._read("order")), list(self._read("algo"))
        self.exchange.resume(orders, algos, dict(was.countdowns))

    def _read(self, kind: str) -> Iterator[Any]:
        rows = self._db.execute("SELECT id, body FROM kept WHERE kind = ? ORDER BY id", (kind,))
        for number, body in rows:
            try:
                yield _SHAPES[kind].validate_json(body)
            except ValidationError as wrong:
                first = wrong.errors()[0]["msg"]
                raise self._reject(f"{kind} {number}", body[:60], f"one ({first})") from None

    def _reject(self, place: str, value: object, expected: str) -> RejectData:
        step = "restore it from a backup, or begin a new account with another --state"
        return RejectData(str(self._file), place, value, expected, step)

    def _refusal(self, error: sqlite3.Error | OSError) -> CounterpoiseError:
        told = printable(str(error))
        if getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            return self._reject("file", told, "a paper account")
        return RetryLater(
            f"{self._file}: {told}. Next: end the run that has it, or check disk space and "
            "permissions; then run the same command again."
        )


def _row(kind: str, number: int, body: object) -> tuple[str, int, str]:
    return kind, number, _SHAPES[kind].dump_json(body).decode()
