"""The market of now: a venue's public streams as events of ``feed``, for a local venue to match in.

It only listens. A gap in the book's ids fetches a snapshot anew; a connection that ends or falls
silent is opened again, and until then the book is empty, because nobody knows what stands in it.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from counterpoise.errors import CounterpoiseError, FixConfig, RejectData, RetryLater, printable
from counterpoise.rehearsal.feed import MarketEvent, MarkPrice, Settlement
from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.followed_book import FollowedBook

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

log = logging.getLogger(__name__)
#: Seconds for a reply, and of silence after which a connection counts as lost.
REPLY_S, SILENT_S = 10.0, 15.0
#: Seconds before the first try to connect again, and the longest.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
#: Least seconds between two snapshots: they cost weight.
SNAPSHOT_S = 1.0
#: Levels of a snapshot, per side; settlements of a reply.
LEVELS, MOST_SETTLEMENTS = 1000, 1000
#: The venue stamps a settlement some milliseconds late.
_STAMP_MS = 60_000

Take = Callable[[MarketEvent], None]


class LiveMarket:
    """A listener to one symbol; an async context manager.

    Parameters
    ----------
    rules : SymbolRules
    rest_url, stream_url : str
        As ``sources.binance.futures_url`` and ``stream_url``.

    Attributes
    ----------
    settled_ms : int
        Settlements up to this moment have been told.
    snapshots : int
        How often a book was fetched.
    """

    def __init__(self, rules: SymbolRules, rest_url: str, stream_url: str) -> None:
        self.settled_ms = self.snapshots = 0
        self._rules, self._rest_url, self._stream_url = rules, rest_url, stream_url
        self._book = FollowedBook(rules)
        self._mark: MarkPrice | None = None
        self._asked_s = -SNAPSHOT_S

    async def __aenter__(self) -> Self:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=REPLY_S)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def opening(self) -> MarkPrice:
        """The mark of now, at a venue that has the symbol with the steps we know.

        Raises
        ------
        RetryLater
            It cannot be reached.
        FixConfig
            It has other price or size steps, or not the symbol.
        RejectData
            What answers is no such venue.
        """
        listed = await self._ask("/fapi/v1/exchangeInfo")
        try:
            self._refuse_other_steps(listed)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            raise RejectData(
                self._rest_url,
                "exchangeInfo",
                str(listed)[:60],
                "the symbols of Binance USD-M",
                "look at sources.binance.futures_url: it may be another service",
            ) from None
        told = await self._ask("/fapi/v1/premiumIndex", symbol=self._rules.symbol)
        self._mark = self._book.mark(told)
        return self._mark

    async def run(self, take: Take) -> None:
        """Tell events as they come, until cancelled.

        Parameters
        ----------
        take : callable
            Takes one in, such as ``Venue.take``.

        Raises
        ------
        RejectData
            A message that is none, or a price off the grid.
        """
        name = self._rules.symbol.lower()
        book = f"{name}@depth@100ms/{name}@bookTicker/{name}@trade"

        async def follow_book(socket: "ClientWebSocketResponse") -> None:
            try:
                async for body in _messages(socket):
                    await self._tell_book(body, take)
            finally:
                take(self._book.forgotten(_now_ms()))

        async def follow_marks(socket: "ClientWebSocketResponse") -> None:
            await self.settle_missed(take)
            async for body in _messages(socket):
                self._tell_mark(self._book.mark(body), take)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._connected("public", book, follow_book))
                group.create_task(self._connected("market", f"{name}@markPrice@1s", follow_marks))
        except* CounterpoiseError as refused:
            raise refused.exceptions[0] from None

    async def settle_missed(self, take: Take) -> None:
        """Tell the settlements since the last one that was told, as the venue has them."""
        paid = await self._ask(
            "/fapi/v1/fundingRate",
            symbol=self._rules.symbol,
            startTime=self.settled_ms + 1,
            limit=MOST_SETTLEMENTS,
        )
        for one in paid:
            due_ms = int(one["fundingTime"]) // _STAMP_MS * _STAMP_MS
            mark = Decimal(one.get("markPrice") or 0)
            self._settle(due_ms, Decimal(one["fundingRate"]), mark, take)

    async def _tell_book(self, body: dict[str, Any], take: Take) -> None:
        event: MarketEvent | None = None
        match body.get("e"):
            case "depthUpdate":
                for event in self._book.difference(body):
                    take(event)
                if self._book.needs_snapshot and time.monotonic() - self._asked_s > SNAPSHOT_S:
                    self._asked_s = time.monotonic()
                    # What comes meanwhile waits in the socket, as the rules of a book ask.
                    told = await self._ask(
                        "/fapi/v1/depth", symbol=self._rules.symbol, limit=LEVELS
                    )
                    self.snapshots += 1
                    take(self._book.snapshot(told, _now_ms()))
                    for event in self._book.difference(body):
                        take(event)
                return
            case "bookTicker":
                event = self._book.quote(body)
            case "trade":
                event = self._book.trade(body)
        if event is not None:
            take(event)

    def _tell_mark(self, mark: MarkPrice, take: Take) -> None:
        before, self._mark = self._mark, mark
        if before is not None and before.next_funding_ms <= mark.ts_ms:
            self._settle(before.next_funding_ms, before.rate, mark.mark, take)
        take(mark)

    def _settle(self, due_ms: int, rate: Decimal, mark: Decimal, take: Take) -> None:
        """Settle once: the venue's list and the marks may both tell of it."""
        if due_ms <= self.settled_ms:
            return
        self.settled_ms = due_ms
        if not mark and self._mark is not None:
            mark = self._mark.mark
        take(Settlement(due_ms, self._rules.symbol, rate, mark))

    async def _connected(
        self,
        route: str,
        streams: str,
        follow: "Callable[[ClientWebSocketResponse], Awaitable[None]]",
    ) -> None:
        """Follow one connection after the other."""
        import aiohttp

        url = f"{self._stream_url}/{route}/stream?streams={streams}"
        wait_s = FIRST_WAIT_S
        while True:
            began_s, said = time.monotonic(), "it ended"
            try:
                async with self._session.ws_connect(url, heartbeat=SILENT_S) as socket:
                    await follow(socket)
            except (aiohttp.ClientError, RetryLater, TimeoutError, OSError) as lost:
                said = str(lost) or "silence"
            if time.monotonic() - began_s > LONGEST_WAIT_S:
                wait_s = FIRST_WAIT_S  # the venue ends every connection once a day
            log.warning("/%s was lost (%s); again in %.1f s", route, printable(said), wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2.0 * wait_s, LONGEST_WAIT_S)

    async def _ask(self, path: str, **params: str | int) -> Any:
        import aiohttp

        try:
            async with self._session.get(self._rest_url + path, params=params) as reply:
                if reply.status == 200:
                    return await reply.json()
                said = f"{path} was answered with status {reply.status}"
                if reply.status in (403, 451):
                    said += ", as Binance does where it does not serve a region"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failed:
            said = str(failed) or "no answer in time"
        raise RetryLater(
            f"the live market at {self._rest_url} cannot be reached: {printable(said)}. Next: "
            "check the network, a proxy (HTTPS_PROXY) and sources.binance.futures_url, or trade a "
            "made market with counterpoise run."
        )

    def _refuse_other_steps(self, listed: Any) -> None:
        rules = self._rules
        found = [one for one in listed["symbols"] if one["symbol"] == rules.symbol]
        if not found:
            raise FixConfig(
                "venue.symbol", rules.symbol, f"a symbol of {self._rest_url}", "change venue.symbol"
            )
        filters = {one["filterType"]: one for one in found[0]["filters"]}
        steps = {
            "tick": (rules.tick, Decimal(filters["PRICE_FILTER"]["tickSize"])),
            "step": (rules.step, Decimal(filters["LOT_SIZE"]["stepSize"])),
        }
        for name, (known, told) in steps.items():
            if known != told:
                raise FixConfig(
                    f"{name} of {rules.symbol}",
                    float(known),
                    f"{float(told)}, as {self._rest_url} has it today",
                    "install a newer counterpoise: its dated contract is older than the venue's",
                )


async def _messages(socket: "ClientWebSocketResponse") -> AsyncIterator[dict[str, Any]]:
    """Bodies until the connection ends; raises TimeoutError where it falls silent."""
    from aiohttp import WSMsgType

    while True:
        message = await socket.receive(timeout=SILENT_S)
        if message.type is not WSMsgType.TEXT:
            return
        yield json.loads(message.data)["data"]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
