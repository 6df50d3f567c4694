"""What answers the controller live: the venue's own API, in tasks beside the trading loop.

A question that fails is said to have failed; nothing is answered by guess. Alarms go to people in a
thread of their own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

from counterpoise.errors import CounterpoiseError
from counterpoise.execution.commands import (
    Alarm,
    Cancel,
    CancelStop,
    Countdown,
    QueryAccount,
    QueryOrder,
    SetLeverage,
    Transfer,
)
from counterpoise.execution.events import Fill, Link, OrderUpdate, Snapshot, TransferDone
from counterpoise.execution.records import Moved
from counterpoise.trading.binance_account import BinanceAccount
from counterpoise.trading.binance_rest import UnknownFate
from counterpoise.trading.shell import Asked, Shell
from counterpoise.units import NS_PER_MS
from counterpoise.watch.alerts import Alerts

log = logging.getLogger(__name__)
#: Client ids of stops have this in them.
STOP = "-stop-"
#: Least seconds between two queries of the account.
SPACING_S = 0.5
#: Looks at the list of transfers and seconds between them: longer than a request may travel.
LOOKS, LOOK_S = 3, 5.0


class LiveLink:
    """Answers of a venue.

    Parameters
    ----------
    account : BinanceAccount
    alerts : Alerts

    Attributes
    ----------
    shell : Shell
        To be set before the first command.
    seen : Snapshot or None
        The last answer, for the screen.
    """

    shell: Shell

    def __init__(self, account: BinanceAccount, alerts: Alerts) -> None:
        self.seen: Snapshot | None = None
        self.last_alarm = ""
        self._account = account
        self._alerts = alerts
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking = False
        self._again = False
        self._down = False
        self._funding_ms = 0

    def send(self, command: Asked) -> None:
        """Take a command; its answer comes as an event."""
        match command:
            case Alarm():
                self.last_alarm = command.text
                self._alerts.send(command)
            case QueryAccount():
                self._ask_account()
            case QueryOrder(client_id=name):
                query = self._account.query_stop if STOP in name else self._account.query_order
                self._begin(self._order(name, query(name)))
            case Cancel(client_id=name):
                self._begin(self._order(name, self._account.cancel_order(name)))
            case CancelStop(client_id=name):
                self._begin(self._order(name, self._account.cancel_stop(name)))
            case SetLeverage():
                self._begin(self._leverage(command))
            case Transfer():
                self._begin(self._transfer(command))
            case Countdown():
                self._begin(self._countdown(command))

    async def close(self) -> None:
        """Let what was asked end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ask_account(self) -> None:
        """One query at a time; what was asked meanwhile is asked once more."""
        if self._asking:
            self._again = True
            return
        self._asking = True
        self._begin(self._ask())

    async def _ask(self) -> None:
        try:
            while True:
                self._again = False
                found = await self._told("the account", self._account.snapshot())
                if found is not None:
                    self.seen = found
                    self.shell.deliver(found)
                # An account costs weight: what is asked in a burst is answered once.
                await asyncio.sleep(SPACING_S)
                if not self._again:
                    return
        finally:
            self._asking = False

    async def _told(self, what: str, asked: Awaitable[Snapshot]) -> Snapshot | None:
        """An answer, or the news that there is none."""
        try:
            found = await asked
        except CounterpoiseError as refused:
            if not self._down:
                self._down = True
                self.shell.deliver(Link(self.shell.now_ns(), "account", False, str(refused)))
            log.warning("%s was not told: %s", what, refused)
            return None
        if self._down:
            self._down = False
            self.shell.deliver(Link(self.shell.now_ns(), "account", True))
        return found

    async def _order(
        self, client_id: str, asked: Awaitable[tuple[OrderUpdate, tuple[Fill, ...]]]
    ) -> None:
        try:
            update, fills = await asked
        except CounterpoiseError as refused:
            # Whoever asked asks again when the answer does not come.
            log.warning("order %s was not told: %s", client_id, refused)
            return
        for fill in fills:
            self.shell.deliver(fill)
        self.shell.deliver(
            OrderUpdate(
                self.shell.now_ns(),
                client_id,
                update.status,
                update.filled_eth,
                update.code,
                update.reason,
            )
        )

    async def _leverage(self, asked: SetLeverage) -> None:
        try:
            setting = await self._account.terms.setting()
            if setting.isolated != asked.isolated:
                await self._account.terms.set_margin_type(asked.isolated)
            await self._account.terms.set_leverage(asked.leverage)
        except CounterpoiseError as refused:
            log.warning("leverage was not set: %s", refused)
        # What is in force is seen at the next look at the account.
        self._ask_account()

    async def _transfer(self, asked: Transfer) -> None:
        begun_ns = self.shell.now_ns()
        try:
            done = await self._account.transfer(asked.client_id, asked.usd)
        except UnknownFate as unknown:
            log.error("%s", unknown)
            await self._find(asked.client_id, asked.usd, begun_ns)
            return
        except CounterpoiseError as refused:
            done = TransferDone(
                self.shell.now_ns(), asked.client_id, asked.usd, False, str(refused)
            )
        self.shell.deliver(done)
        self._ask_account()

    def follow(self, moving: Moved) -> None:
        """Find out what became of a transfer of an earlier run; it is never repeated unseen."""
        self._begin(self._find(moving.client_id, moving.usd, moving.ts_ns))

    async def _find(self, client_id: str, usd: float, since_ns: int) -> None:
        """Look it up until a request can no longer be on its way; then it did not happen.

        Where the venue does not tell its list it stays under way until a person has looked.
        """
        listed = await self._account.transferred(usd, since_ns)
        for _ in range(LOOKS):
            if listed:
                break
            await asyncio.sleep(LOOK_S)
            listed = await self._account.transferred(usd, since_ns)
        if listed is None:
            log.error("what became of transfer %s was not told", client_id)
            return
        why = "" if listed else "the venue does not list it, so it never arrived"
        self.shell.deliver(TransferDone(self.shell.now_ns(), client_id, usd, listed, why))
        self._ask_account()

    async def _countdown(self, asked: Countdown) -> None:
        try:
            await self._account.countdown(asked.ms)
        except CounterpoiseError as refused:
            log.warning("the countdown was not renewed: %s", refused)

    async def book_funding(self, since_ms: int) -> None:
        """Deliver settlements since a moment that were not delivered yet."""
        since_ms = max(since_ms, self._funding_ms)
        try:
            found = await self._account.funding(since_ms)
        except CounterpoiseError as refused:
            log.warning("funding was not told: %s", refused)
            return
        for funding in found:
            self._funding_ms = funding.ts_ns // NS_PER_MS + 1
            self.shell.deliver(funding)
