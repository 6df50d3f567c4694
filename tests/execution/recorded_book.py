"""A schedule worked on a recorded book, and one market order at the same moment beside it.

Run as a program it prints the table of docs/twap.md:
``python -m tests.execution.recorded_book FOLDER [urgency ...]``.
"""

import copy
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from counterpoise.execution.commands import Cancel, Place, QueryOrder, WakeAt
from counterpoise.execution.events import Event, Fill, OrderUpdate, Quote, Side, Trade, Wake
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.plan import Filters, plan_schedule
from counterpoise.execution.records import Shortfall
from counterpoise.execution.twap import Twap
from counterpoise.rehearsal import feed
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.filters import SymbolRules, rules_of
from counterpoise.rehearsal.matching import Book, Match
from counterpoise.rehearsal.orders import OrderRequest, Refused
from counterpoise.rehearsal.recorded import Recording, read_recording
from counterpoise.rehearsal.reports import OrderUpdate as Report
from counterpoise.run_settings import TwapSettings
from counterpoise.venues import venues
from counterpoise.venues.contract import Contract

MS = 1_000_000
#: One way, for orders and for answers; quotes and trades are seen when they happen.
LATENCY_MS = 25
#: The recording ends with the hour, so nothing is kept free before it.
SETTINGS = TwapSettings(bar_margin_s=0)
STATUS = {
    "NEW": "open",
    "PARTIALLY_FILLED": "open",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
}


class TradesOnly(Book):
    """A stricter book: a resting order fills from public trades only.

    The book of the venue also fills it when others come to quote beyond its price; whether they
    would have traded with us rather than waited, no recording can tell.
    """

    def _settle(self) -> list[Match]:
        for resting in (*self.resting["BUY"], *self.resting["SELL"]):
            displayed = self.own(resting.side).size.get(resting.price, 0)
            resting.ahead = min(resting.ahead, displayed)
        return []


@dataclass(frozen=True)
class Market:
    """A recording, the rules of its symbol, and how large an order of 500 ETH is there."""

    recording: Recording
    rules: SymbolRules
    filters: Filters
    size: float
    sigma_day: float
    volume_day: float


def ethereum(folder: Path) -> Market:
    """500 ETH; volatility and volume of the week before, klines/binance_perp_ethusdt_1h."""
    contract = venues["binance"][-1]
    return _market(folder, contract, "ETH", 500.0, 0.0735, 5.32e6)


def bitcoin(folder: Path) -> Market:
    """As many USD of BTC; volatility and volume from klines/binance_perp_btcusdt_1h."""
    contract = replace(venues["binance"][-1], symbol="BTCUSDT", tick_usd=0.1)
    return _market(folder, contract, "BTC", 21.7, 0.0539, 5.14e5)


def _market(folder: Path, contract: Contract, base: str, *numbers: float) -> Market:
    rules = rules_of(contract, base=base)
    file = folder / "l2" / f"binance_usdm_{contract.symbol.lower()}_20240808_raw_ws.jsonl.gz"
    return Market(read_recording(file, rules), rules, Filters.of(contract), *numbers)


@dataclass(frozen=True)
class Run:
    """One start: cost of schedule and of a market order, bps of the notional at arrival."""

    start_ms: int
    side: Side
    cost: Shortfall
    market_bps: float
    seconds: float
    orders: int

    def bps(self, usd: float) -> float:
        return usd / (self.cost.size * self.cost.arrival_mid) * 1e4


def market_bps(exchange: Exchange, market: Market, side: Side, mid: float, now_ms: int) -> float:
    """All-in cost of one market order against a mid, bps."""
    request = OrderRequest(
        symbol=market.rules.symbol,
        side="SELL" if side == "sell" else "BUY",
        type="MARKET",
        quantity=Decimal(str(market.size)),
    )
    order = exchange.place(request, now_ms)
    assert order.executed == request.quantity
    sign = 1 if side == "sell" else -1
    fees = sum(trade.commission for trade in exchange.account.trades)
    paid = sign * (Decimal(mid) * order.executed - order.quote) + fees
    return float(paid) / (mid * market.size) * 1e4


class Desk:
    """The shell around one schedule: carries commands and answers with their latency."""

    def __init__(self, exchange: Exchange, market: Market, twap: Twap) -> None:
        self.exchange, self.market, self.twap = exchange, market, twap
        self.commands: deque[tuple[int, object]] = deque()
        self.answers: deque[tuple[int, Event]] = deque()
        self.wake: WakeAt | None = None
        self.cost: Shortfall | None = None
        self.orders = 0

    def give(self, event: Event, now_ms: int) -> None:
        out = Outbox()
        self.twap.handle(event, out)
        for command in out.commands:
            if isinstance(command, WakeAt):
                self.wake = command
            else:
                self.commands.append((now_ms + LATENCY_MS, command))
        for record in out.records:
            if isinstance(record, Shortfall):
                self.cost = record

    def until(self, now_ms: int) -> None:
        """Everything that is due by now, in the order of time."""
        while True:
            due = [queue[0][0] for queue in (self.commands, self.answers) if queue]
            wake_ms = -(-self.wake.ts_ns // MS) if self.wake else now_ms + 1
            soonest = min([*due, wake_ms])
            if soonest > now_ms:
                return
            if self.commands and self.commands[0][0] == soonest:
                self.obey(self.commands.popleft()[1], soonest)
                self.listen(soonest)
            elif self.answers and self.answers[0][0] == soonest:
                self.give(self.answers.popleft()[1], soonest)
            elif self.wake:
                name, self.wake = self.wake.name, None
                self.give(Wake(soonest * MS, name), soonest)

    def obey(self, command: object, now_ms: int) -> None:
        symbol = self.market.rules.symbol
        try:
            if isinstance(command, Place):
                self.orders += 1
                self.exchange.place(
                    OrderRequest(
                        symbol=symbol,
                        side="SELL" if command.side == "sell" else "BUY",
                        type="LIMIT",
                        quantity=Decimal(repr(command.size)),
                        price=Decimal(repr(command.price)),
                        time_in_force="GTX" if command.post_only else "IOC",
                        client_id=command.client_id,
                        reduce_only=command.reduce_only,
                    ),
                    now_ms,
                )
            elif isinstance(command, Cancel):
                self.exchange.cancel(symbol, now_ms, client_id=command.client_id)
            elif isinstance(command, QueryOrder):
                order = self.exchange.query(symbol, client_id=command.client_id)
                self.tell(now_ms, order.client_id, order.status, order.executed)
        except Refused as refused:
            if isinstance(command, Place):
                update = OrderUpdate(
                    (now_ms + LATENCY_MS) * MS,
                    command.client_id,
                    "rejected",
                    0.0,
                    refused.code,
                    refused.message,
                )
                self.answers.append((now_ms + LATENCY_MS, update))

    def tell(self, now_ms: int, client_id: str, status: str, executed: Decimal) -> None:
        seen_ms = now_ms + LATENCY_MS
        update = OrderUpdate(seen_ms * MS, client_id, STATUS[status], float(executed))
        self.answers.append((seen_ms, update))

    def listen(self, now_ms: int) -> None:
        for told in self.exchange.drain():
            if isinstance(told, Report):
                order, trade = told.order, told.trade
                self.tell(now_ms, order.client_id, order.status, order.executed)
                if trade:
                    fill = Fill(
                        (now_ms + LATENCY_MS) * MS,
                        order.client_id,
                        str(trade.trade_id),
                        self.twap.side,
                        float(trade.price),
                        float(trade.quantity),
                        float(trade.commission),
                        trade.maker,
                    )
                    self.answers.append((now_ms + LATENCY_MS, fill))

    def work(self, events: Iterator[feed.MarketEvent]) -> None:
        for event in events:
            self.until(event.ts_ms)
            self.exchange.on(event)
            self.listen(event.ts_ms)
            if isinstance(event, feed.BookTicker):
                self.give(quote_of(event, self.market), event.ts_ms)
            elif isinstance(event, feed.Trade):
                self.give(trade_of(event, self.market), event.ts_ms)
            if self.twap.finished:
                return


def quote_of(event: feed.BookTicker, market: Market) -> Quote:
    grid = market.filters
    return Quote(
        event.ts_ms * MS,
        grid.usd(event.bid),
        grid.eth(event.bid_size),
        grid.usd(event.ask),
        grid.eth(event.ask_size),
    )


def trade_of(event: feed.Trade, market: Market) -> Trade:
    side: Side = "sell" if event.taker == "SELL" else "buy"
    grid = market.filters
    return Trade(event.ts_ms * MS, grid.usd(event.price), grid.eth(event.size), side)


def runs(
    market: Market,
    urgency: float,
    settings: TwapSettings = SETTINGS,
    *,
    count: int = 36,
    strict: bool = True,
) -> list[Run]:
    """Schedules of both sides from evenly spread starts, each alone on the book.

    Parameters
    ----------
    strict : bool
        Resting orders fill from public trades only.
    """
    events = market.recording.events
    first_ms, end_ms = market.recording.first_ms + 2_000, market.recording.last_ms
    results: list[Run] = []
    exchange = Exchange([market.rules])
    if strict:
        exchange.books[market.rules.symbol] = TradesOnly()
    quote: Quote | None = None
    starts = deque[int]()
    for place, event in enumerate(events):
        exchange.on(event)
        if not isinstance(event, feed.BookTicker):
            continue
        quote = quote_of(event, market)
        if not starts and not results:
            plan = planned(market, "sell", quote, urgency, settings, 0)
            horizon_ms = (plan.end_ns - plan.start_ns) // MS
            last_ms = end_ms - horizon_ms * 5 // 4
            starts = deque(np.linspace(first_ms, last_ms, count).astype(int).tolist())
        if starts and event.ts_ms >= starts[0]:
            starts.popleft()
            results += [
                one(market, exchange, place, quote, side, urgency, settings)
                for side in ("sell", "buy")
            ]
            if not starts:
                return results
    raise AssertionError("the recording is too short")


def planned(market, side, quote, urgency, settings, seed):
    return plan_schedule(
        1,
        1,
        side,
        market.size,
        quote,
        quote.ts_ns,
        urgency=urgency,
        sigma_day=market.sigma_day,
        volume_day_eth=market.volume_day,
        filters=market.filters,
        settings=settings,
        seed=seed,
    )


def one(market, exchange, place, quote, side, urgency, settings) -> Run:
    """One schedule, and one market order that arrives as late as its first order."""
    events, now_ms = market.recording.events, quote.ts_ns // MS
    at_market = held(exchange, market, side)
    for event in events[place + 1 :]:
        if event.ts_ms > now_ms + LATENCY_MS:
            break
        at_market.on(event)
    rival = market_bps(at_market, market, side, quote.mid, now_ms + LATENCY_MS)
    twap = Twap(
        planned(market, side, quote, urgency, settings, now_ms), market.filters, settings, "cp"
    )
    desk = Desk(held(exchange, market, side), market, twap)
    desk.give(quote, now_ms)
    desk.work(events[place + 1 :])
    assert desk.cost is not None, f"not over by the end of the recording: {now_ms} {side}"
    seconds = (desk.cost.ts_ns - quote.ts_ns) / 1e9
    return Run(now_ms, side, desk.cost, rival, seconds, desk.orders)


def held(exchange: Exchange, market: Market, side: Side) -> Exchange:
    """A venue with the same book and mark; to buy, its account is short as much."""
    symbol = market.rules.symbol
    fresh = Exchange([market.rules], wallet=Decimal(20_000_000))
    fresh.books[symbol] = copy.deepcopy(exchange.books[symbol])
    mark = exchange.marks[symbol]
    fresh.on(mark)
    if side == "buy":
        fresh.account.position(symbol).fill(-Decimal(str(market.size)), mark.mark)
    return fresh


def report(found: list[Run], draws: int = 4000) -> dict[str, tuple[float, float, float]]:
    """Median over starts and sides with its 95 % interval: schedule, market order, their ratio.

    Schedules overlap, so starts are drawn in blocks as long as the longest schedule (circular block
    bootstrap); where a block is the whole sample there is no interval. ``pair`` is the mean of the
    two sides of a start: in it the market's own move cancels.
    """
    starts = sorted({run.start_ms for run in found})
    costs = np.array(
        [
            [
                (run.bps(run.cost.total_usd), run.market_bps)
                for run in found
                if run.start_ms == start
            ]
            for start in starts
        ]
    )  # (starts, sides, schedule and market order)
    n = len(starts)
    longest_ms = max(run.seconds for run in found) * 1000
    block = min(max(round(longest_ms / np.diff(starts).mean()), 1), n)
    first = np.random.default_rng(5).integers(0, n, (draws, -(-n // block)))
    rows = ((first[:, :, None] + np.arange(block)) % n).reshape(draws, -1)[:, :n]
    answer = {}
    for name, table in (("both", costs), ("pair", costs.mean(axis=1, keepdims=True))):
        found_median = np.median(table, axis=(0, 1))
        drawn = np.median(table[rows].reshape(draws, -1, 2), axis=1)
        for what, value, values in (
            ("twap", found_median[0], drawn[:, 0]),
            ("market", found_median[1], drawn[:, 1]),
            ("ratio", found_median[0] / found_median[1], drawn[:, 0] / drawn[:, 1]),
        ):
            low, high = np.quantile(values, [0.025, 0.975])
            answer[f"{name} {what}"] = float(value), float(low), float(high)
    return answer


def describe(found: list[Run]) -> str:
    mean = lambda name: np.mean([r.bps(getattr(r.cost, name)) for r in found])  # noqa: E731
    share = np.mean([r.cost.maker_share for r in found])
    unfilled = sum(r.cost.filled_eth < r.cost.size for r in found)
    return (
        f"mean total {mean('total_usd'):.2f} = spread {mean('spread_usd'):.2f} + impact "
        f"{mean('impact_usd'):.2f} + delay {mean('delay_usd'):.2f} + fee {mean('fee_usd'):.2f} + "
        f"opp {mean('opportunity_usd'):.2f}; maker {share:.0%}; "
        f"{np.mean([r.seconds for r in found]):.0f} s; {np.mean([r.orders for r in found]):.0f} "
        f"orders; {unfilled} of {len(found)} not filled"
    )


def show(folder: Path, urgencies: list[float]) -> None:
    """Print the rows of the table."""
    head = ("order", "urgency", "fills from", "schedule, bps", "market order, bps")
    head += ("ratio", "ratio of pairs", "s", "maker")
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for name, market in (("500 ETH", ethereum(folder)), ("21.7 BTC", bitcoin(folder))):
        for urgency in urgencies:
            for strict in (False, True):
                found = runs(market, urgency, strict=strict)
                rule = "trades" if strict else "venue's rule"
                print(f"| {name} | {urgency:g} | {rule} | {row(found)} |", flush=True)
                print("   ", describe(found), file=sys.stderr, flush=True)


def row(found: list[Run]) -> str:
    numbers = report(found)
    names = ("both twap", "both market", "both ratio", "pair ratio")
    cells = [
        f"{value:.2f}" if low == high else f"{value:.2f} [{low:.2f}, {high:.2f}]"
        for value, low, high in (numbers[name] for name in names)
    ]
    cells.append(f"{np.mean([run.seconds for run in found]):.0f}")
    cells.append(f"{np.mean([run.cost.maker_share for run in found]):.0%}")
    return " | ".join(cells)


if __name__ == "__main__":
    show(Path(sys.argv[1]), [float(text) for text in sys.argv[2:]] or [0.0, 0.2])
