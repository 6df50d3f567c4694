"""A local Binance USD-M venue on 127.0.0.1: REST, streams and the WebSocket API on one port.

An exchange without I/O is fed from a market by a clock; this room lets clients nobody here wrote
talk to it. Requests are answered one after the other, so what a client sees is always one state.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from counterpoise.errors import FixConfig
from counterpoise.rehearsal import (
    binance_account,
    binance_events,
    binance_market,
    binance_trade,
    day,
)
from counterpoise.rehearsal.binance_limits import Limits
from counterpoise.rehearsal.binance_shapes import Texts
from counterpoise.rehearsal.binance_signing import ApiKey, refuse_stranger
from counterpoise.rehearsal.binance_streams import Streams
from counterpoise.rehearsal.boards import Board
from counterpoise.rehearsal.candles import Candles
from counterpoise.rehearsal.clock import MarketClock, StagedClock
from counterpoise.rehearsal.denied import Denied
from counterpoise.rehearsal.endpoints import Endpoint, Endpoints
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.faults import Faults
from counterpoise.rehearsal.feed import BookTicker, Depth, Market, MarketEvent, MarkPrice, Trade
from counterpoise.rehearsal.history import History
from counterpoise.rehearsal.listen_keys import ListenKeys
from counterpoise.rehearsal.params import Params
from counterpoise.rehearsal.reports import OrderUpdate, VenueEvent
from counterpoise.venues.contract import Contract

if TYPE_CHECKING:
    from aiohttp import web

ENDPOINTS: Endpoints = (
    binance_market.ENDPOINTS | binance_trade.ENDPOINTS | binance_account.ENDPOINTS
)
#: Longest the pump feeds the market without letting clients have their turn, s.
SLICE_S = 0.002
#: Distance of the checks of listen keys, and of time that passes without events, s.
TICK_S = 0.25


class Venue:
    """The venue and everything its rooms ask it for.

    Parameters
    ----------
    exchange : Exchange
        With the rules of every symbol.
    market : Market
        What is replayed into it.
    clock : MarketClock or StagedClock
        Its wall is ``time.time()``.
    contract : Contract
        For the funding rule that is told.
    keys : sequence of ApiKey
    history : History
        Bars and settlements that are told, up to the market's present.
    limits : Limits or None
        The venue's own budgets by default.
    admin : bool
        Serve ``/admin``, by which anybody on this machine may make things go wrong.
    keep : callable, optional
        Told what happened to the account before anybody else is; raises where it cannot keep it.

    Attributes
    ----------
    faults : Faults
        What goes wrong on purpose.
    streams : Streams
    calls : dict of str to int
        How often each call was made, such as ``POST /fapi/v1/order``.
    """

    def __init__(
        self,
        exchange: Exchange,
        market: Market,
        clock: MarketClock | StagedClock,
        contract: Contract,
        keys: Sequence[ApiKey],
        history: History,
        *,
        limits: Limits | None = None,
        admin: bool = False,
        keep: Callable[[Sequence[VenueEvent]], None] = lambda _told: None,
    ) -> None:
        self.exchange, self.clock, self.contract = exchange, clock, contract
        self.history = history
        # The deposit that opened the account: clients leave out assets that were never touched.
        exchange.account.update_ms = exchange.account.update_ms or clock.origin_market_ms
        self.keys = {key.key: key for key in keys}
        self.texts = {name: Texts(rules) for name, rules in exchange.account.rules.items()}
        self.boards = {symbol: Board() for symbol in self.texts}
        self.candles = {name: Candles(texts) for name, texts in self.texts.items()}
        self.limits = limits or Limits(time.time)
        self.faults = Faults()
        self.streams = Streams()
        self.listen_keys = ListenKeys(time.time)
        self.calls: dict[str, int] = {}
        self._market = market
        self._next_ms = math.inf
        self._tasks: list[asyncio.Task[None]] = []
        self._admin, self._keep = admin, keep
        self._runner: web.AppRunner | None = None
        self.port = 0

    # --- life ----------------------------------------------------------------------------------

    async def start(self, port: int = 0) -> None:
        """Serve on 127.0.0.1 and let the market begin; port 0 takes a free one.

        Raises
        ------
        FixConfig
            aiohttp is not installed, or the port is taken.
        """
        try:
            from aiohttp import web
        except ImportError:
            raise FixConfig(
                "rehearsal",
                "a local venue",
                "aiohttp, which is not installed",
                "pip install 'counterpoise[trading]'",
            ) from None
        from counterpoise.rehearsal.binance_http import application

        app = application(self, ENDPOINTS, admin=self._admin)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as taken:
            await self._runner.cleanup()
            said = taken.strerror or "an error without words"
            raise FixConfig(
                "port", port, f"a free port, not {said}", "name another, or 0"
            ) from None
        self.port = int(self._runner.addresses[0][1])
        self._tasks = [asyncio.create_task(self._pump()), asyncio.create_task(self._tick())]

    @property
    def ended(self) -> bool:
        """Whether the market has no more events; raises what broke it."""
        pump = self._tasks[0]
        if pump.done():
            pump.result()
        return pump.done()

    async def finished(self) -> None:
        """Wait until the market has no more events; raises what broke it."""
        await asyncio.shield(self._tasks[0])

    async def stop(self) -> None:
        """End; connections are closed. Raises what broke the market, where something did."""
        for task in self._tasks:
            task.cancel()
        self.abort_connections()
        if self._runner is not None:
            await self._runner.cleanup()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def __aenter__(self) -> "Venue":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url_http(self) -> str:
        """Base of the REST calls."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url_ws(self) -> str:
        """Base of the streams; the WebSocket API is at ``/ws-fapi/v1`` of it."""
        return f"ws://127.0.0.1:{self.port}"

    def now_ms(self) -> int:
        """Time of the market, which no event that is still to come is before."""
        return int(min(self.clock.market_ms(time.time()), self._next_ms))

    def clocks_ms(self) -> tuple[int, int]:
        """Clocks a request's time stamp may be of: the wall's and the market's.

        They are one at the venue; a replay has a market of another day.
        """
        return round(time.time() * 1000), self.now_ms()

    # --- the market ----------------------------------------------------------------------------

    async def _pump(self) -> None:
        turn = time.perf_counter()
        for event in self._market:
            self._next_ms = event.ts_ms
            waited = False
            while (wait := self.clock.wall_s(event.ts_ms) - time.time()) > 0:
                await asyncio.sleep(min(wait, TICK_S))
                waited, turn = True, time.perf_counter()
            if not waited and time.perf_counter() - turn > SLICE_S:
                await asyncio.sleep(0)
                turn = time.perf_counter()
            self.take(event)
        self._next_ms = math.inf

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.exchange.advance(self.now_ms())
            self.flush()
            if ended := self.listen_keys.expired():
                self._end_user_stream(ended)

    def take(self, event: MarketEvent) -> None:
        """Feed one event to the exchange and tell those who listen."""
        self.exchange.on(event)
        symbol = event.symbol
        board, texts, streams = self.boards[symbol], self.texts[symbol], self.streams
        name = symbol.lower()
        if isinstance(event, BookTicker):
            board.quote = event
            for stream in (f"{name}@bookTicker", "!bookTicker"):
                streams.publish(stream, binance_events.book_ticker, event, board.last_id, texts)
        elif isinstance(event, Depth):
            self._take_depth(event, board, texts, name)
        elif isinstance(event, Trade):
            board.trades.append(event)
            streams.publish(f"{name}@trade", binance_events.trade, event, texts)
            streams.publish(f"{name}@aggTrade", binance_events.agg_trade, event, texts)
            for stream in streams.wanted(f"{name}@kline_"):
                for message in self.candles[symbol].add(stream.partition("_")[2], event):
                    streams.publish(stream, dict, message)
        elif isinstance(event, MarkPrice):
            board.mark = event
            for stream in streams.wanted(f"{name}@markPrice"):
                streams.publish(stream, binance_events.mark_price, event)
            for stream in streams.wanted("!markPrice@arr"):
                streams.publish(stream, binance_events.mark_prices, event)
            if board.quote is not None:
                streams.publish(f"{name}@ticker", day.ticker, self, symbol)
                streams.publish(f"{name}@miniTicker", day.mini_ticker, self, symbol)
                streams.publish("!ticker@arr", day.tickers, self, symbol)
                streams.publish("!miniTicker@arr", day.mini_tickers, self, symbol)
        self.flush()

    def _take_depth(self, event: Depth, board: Board, texts: Texts, name: str) -> None:
        ids = board.change(event)
        for stream in self.streams.wanted(f"{name}@depth"):
            most = binance_events.partial_levels(stream)
            if most is None:
                self.streams.publish(stream, binance_events.depth_update, event, ids, texts)
            else:
                _, bids, asks = self.exchange.depth(event.symbol, most)
                top = event._replace(bids=tuple(bids), asks=tuple(asks))
                self.streams.publish(stream, binance_events.depth_update, top, ids, texts)

    def flush(self) -> None:
        """Tell the owner of the account what happened to it."""
        key, told = self.listen_keys.key, self.exchange.drain()
        self._keep(told)
        for event in told:
            if isinstance(event, OrderUpdate) and event.execution == "TRADE":
                self.streams.publish(key, binance_events.trade_lite, event, self.texts)
            self.streams.publish(key, binance_events.user_event, event, self.texts)

    # --- requests ------------------------------------------------------------------------------

    def identify(self, endpoint: Endpoint, params: Params, key: str, payload: str) -> ApiKey | None:
        """Who asks; None where that does not matter.

        Parameters
        ----------
        endpoint : Endpoint
        params : Params
        key : str
            As the request names it, may be empty.
        payload : str
            What was signed.

        Raises
        ------
        Denied
            The call is not for this one, or its signature or time stamp is wrong.
        """
        if endpoint.security == "signed":
            return refuse_stranger(self.keys, key, payload, params, self.clocks_ms())
        if endpoint.security == "key" and key not in self.keys:
            raise Denied(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
        return self.keys.get(key)

    def answer(self, endpoint: Endpoint, params: Params, key: ApiKey | None) -> Any:
        """Reply to a request; what happened to the account is told before.

        Raises
        ------
        Denied, Refused
        """
        try:
            return endpoint.answer(self, params, key)
        finally:
            self.flush()

    def symbol(self, params: Mapping[str, str], name: str = "symbol") -> str:
        """The symbol of a request.

        Raises
        ------
        Denied
            -1121: there is no such symbol.
        """
        asked = Params(params).text(name).upper()
        if asked not in self.texts:
            raise Denied(-1121, "Invalid symbol.")
        return asked

    # --- faults of connections -----------------------------------------------------------------

    def skip_ids(self, count: int = 100) -> None:
        """Leave a gap in the sequence of every book's changes."""
        for board in self.boards.values():
            board.last_id += count

    def abort_connections(self, route: str | None = None) -> None:
        """Cut WebSocket connections without a farewell: all, or those of a route."""
        for listener in list(self.streams.listeners):
            if route in (None, listener.route):
                listener.abort()

    def expire_listen_key(self) -> None:
        """End the user data stream as if an hour had passed."""
        ended = self.listen_keys.key
        self.listen_keys.close()
        self._end_user_stream(ended)

    def _end_user_stream(self, ended: str) -> None:
        message = {"e": "listenKeyExpired", "E": self.now_ms(), "listenKey": ended}
        self.streams.publish(ended, dict, message)
        self.streams.forget(ended)
