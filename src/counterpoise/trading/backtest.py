"""The event-driven backtest: the controller that trades live, in NautilusTrader's engine.

Quotes run through the bars of the timeline, the rows of the bar clock are the simulator's own, and
funding, liquidation and transfers are ours. What it adds to the simulator is how orders are worked:
slices, queues, prices that move meanwhile.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import polars as pl
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.core.data import Data
from nautilus_trader.model.data import CustomData, DataType, QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import ClientId, InstrumentId, TraderId, Venue
from nautilus_trader.model.objects import Price, Quantity
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.execution.account import Account
from counterpoise.execution.commands import Alarm, Command
from counterpoise.execution.controller import Controller
from counterpoise.execution.events import (
    Event,
    Exposure,
    Fill,
    Funding,
    Mark,
    Operator,
    Signals,
    Snapshot,
)
from counterpoise.execution.records import Decision, FillBooked, OrderSent, Record, Shortfall
from counterpoise.execution.remembered import Remembered
from counterpoise.hedging.intent import Intent
from counterpoise.market.quote_path import Quotes, quote_path
from counterpoise.market.timeline import Timeline
from counterpoise.simulation.arena import Arena, contracts_of
from counterpoise.simulation.prices import prices_of
from counterpoise.trading.backtest_link import BacktestLink
from counterpoise.trading.divergence import Driven
from counterpoise.trading.instrument import instrument_id_of, instrument_of, usdt
from counterpoise.trading.modules import FundingModule, LiquidationModule, Settled
from counterpoise.trading.shell import Shell, Told
from counterpoise.trading.signal_rows import exposures_of, rows_of
from counterpoise.units import HOUR_MS, NS_PER_HOUR, NS_PER_MS

Floats = NDArray[np.float64]

#: Hours of quotes in memory at once.
CHUNK_H = 24
#: The position of a backtest cannot change unseen: it is checked every five minutes, and holds
#: for two checks.
CHECK_S, MAX_AGE_MS = 300.0, 600_000


#: How the orders are named with which the venue takes over a position.
TAKEN_OVER = "autoclose-"
#: Columns of :class:`Driven` that are noted at each tick.
_BY_TICK = tuple(column.name for column in fields(Driven) if column.name != "ts_ms")
#: Records that are kept to the end.
_KEPT = (Decision, OrderSent, FillBooked, Shortfall)


@dataclass(frozen=True)
class Backtested:
    """What a backtest did.

    Attributes
    ----------
    driven : Driven
        By tick.
    quotes : int
        Quotes that ran through.
    decisions, orders, fills, shortfalls, alarms
        In order of time.
    liquidations : tuple of int
        When positions were taken over by the venue, nanoseconds UTC.
    """

    driven: Driven
    quotes: int
    decisions: tuple[Decision, ...] = field(repr=False)
    orders: tuple[OrderSent, ...] = field(repr=False)
    fills: tuple[FillBooked, ...] = field(repr=False)
    shortfalls: tuple[Shortfall, ...] = field(repr=False)
    alarms: tuple[Alarm, ...] = field(repr=False)
    liquidations: tuple[int, ...]

    @property
    def maker_share(self) -> float:
        """Part of the traded ETH that rested; NaN without a fill."""
        traded = math.fsum(fill.size for fill in self.fills)
        rested = math.fsum(fill.size for fill in self.fills if fill.maker)
        return rested / traded if traded > 0.0 else math.nan


class _Diary:
    """Keeps what happened, by tick."""

    def __init__(self, rows: Sequence[Signals]) -> None:
        self._place = {row.ts_ns: t for t, row in enumerate(rows)}
        self._table = np.full((len(rows), len(_BY_TICK)), np.nan)
        self._traded_eth = 0.0
        self._close = math.nan
        self.records: list[Record] = []
        self.controller: Controller
        self.shell: Shell

    def watch(self, event: Event, records: Sequence[Record], _commands: Sequence[Command]) -> None:
        """Note how things stand at a decision of a bar; resume where the venue took over."""
        if isinstance(event, Fill) and event.client_id.startswith(TAKEN_OVER):
            self.shell.deliver(Operator(event.ts_ns, "resume", "the liquidation was seen"))
        for record in records:
            if isinstance(record, FillBooked):
                self._traded_eth += record.size
            elif isinstance(record, Decision) and isinstance(event, Signals):
                account = self.controller.judge.account
                if math.isfinite(event.perp):
                    self._close = event.perp
                self._table[self._place[event.ts_ns]] = (
                    record.target_eth,
                    record.short_eth,
                    account.pnl_usd(self._close),
                    account.fees_usd,
                    account.earned_usd,
                    account.charged_usd,
                    self._traded_eth,
                )

    def commit(self, records: Sequence[Record]) -> None:
        """Keep what is reported; a backtest's journal is its memory."""
        self.records += [record for record in records if isinstance(record, _KEPT)]

    def driven(self, ts_ms: NDArray[np.int64]) -> Driven:
        """All of it, by column."""
        return Driven(ts_ms, *np.ascontiguousarray(self._table.T))


def backtest(
    timeline: Timeline,
    where: Arena,
    intent: Intent,
    settings: Settings,
    *,
    every_s: int = 10,
    progress: Callable[[int], None] | None = None,
) -> Backtested:
    """Run one policy through an arena, event by event.

    Parameters
    ----------
    timeline : Timeline
    where : Arena
        Of one venue and USDT collateral.
    intent : Intent
    settings : Settings
    every_s : int
        Seconds between quotes.
    progress : callable, optional
        Called with the number of ticks done.

    Raises
    ------
    FixConfig
        More than one venue, or a number of seconds that does not divide an hour.
    """
    rows, exposures = rows_of(where, intent), exposures_of(where)
    contract = contracts_of(settings, int(where.ts_ms[0]))[0]
    instrument_id = instrument_id_of(contract)
    settings = settings.model_copy(
        update={
            "run": settings.run.model_copy(
                update={"position_check_s": CHECK_S, "position_max_age_ms": MAX_AGE_MS}
            ),
            "protection": settings.protection.model_copy(update={"transfers": "automatic"}),
            # Between two quotes of a path nothing is stale.
            "risk": settings.risk.model_copy(
                update={"mark_max_age_s": max(settings.risk.mark_max_age_s, 2.0 * every_s)}
            ),
        }
    )
    controller = Controller(
        settings,
        contract,
        "bt",
        exposure_eth=exposures[0].exposure_eth,
        price=rows[0].perp,
    )
    diary = _Diary(rows)
    diary.controller = controller
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("COUNTERPOISE-001"),
            logging=LoggingConfig(bypass_logging=True),
            # Our guard is the guard; NautilusTrader's would count orders by wall time.
            risk_engine=RiskEngineConfig(bypass=True),
        )
    )
    liquidations: list[int] = []

    def paid(ts_ns: int, usd: float, rate: float) -> None:
        shell.deliver(Funding(ts_ns, usd, rate))

    def liquidate(ts_ns: int, fee: float, price: float) -> None:
        liquidations.append(ts_ns)
        taken = controller.short_eth * price
        # What goes beyond the margin is the venue's loss.
        charged = min(fee * taken, controller.judge.account.equity_usd(price))
        funding.exchange.adjust_account(usdt(-charged))
        shell.take_over(f"{TAKEN_OVER}{len(liquidations)}", charged)

    def account() -> Account:
        return controller.judge.account

    funding = FundingModule(_settlements(timeline, where), account, paid)
    engine.add_venue(
        venue=Venue(instrument_id.venue.value),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[usdt(0.0)],
        modules=[funding, LiquidationModule(contract, account, liquidate)],
        liquidity_consumption=True,
    )
    engine.add_instrument(instrument_of(contract))
    link = BacktestLink(
        engine.cache,
        instrument_id,
        settings.capital.transfer_h,
        lambda usd: funding.exchange.adjust_account(usdt(usd)),
    )
    begins = controller.start(Remembered(), _empty(rows[0]))
    shell = Shell(instrument_id, controller, diary.commit, link, begins)
    shell.watch, diary.shell = diary.watch, shell
    link.shell = shell
    engine.add_strategy(shell)
    path = quote_path(
        _bars(timeline, where), every_s, settings.costs.half_spread_bps, tick=contract.tick_usd
    )
    for done, data in _chunks(path, timeline, where, exposures, rows, instrument_id):
        engine.add_data(data, ClientId("COUNTERPOISE"))
        engine.run(streaming=True)
        engine.clear_data()
        # What is over is in the diary; without this a year of orders would stay in memory.
        engine.cache.purge_closed_orders(int(where.ts_ms[done - 1]) * NS_PER_MS, HOUR_MS // 1000)
        if progress is not None:
            progress(done)
    engine.end()
    engine.dispose()

    def kept[Kept: Record](kind: type[Kept]) -> tuple[Kept, ...]:
        return tuple(record for record in diary.records if isinstance(record, kind))

    return Backtested(
        driven=diary.driven(where.ts_ms),
        quotes=len(path.ts_ms),
        decisions=kept(Decision),
        orders=kept(OrderSent),
        fills=kept(FillBooked),
        shortfalls=kept(Shortfall),
        alarms=tuple(link.alarms),
        liquidations=tuple(liquidations),
    )


def _empty(row: Signals) -> Snapshot:
    """An account with nothing in it, just before the first tick."""
    return Snapshot(
        ts_ns=row.ts_ns - NS_PER_HOUR,
        short_eth=0.0,
        entry=0.0,
        mark=row.perp,
        liquidation=0.0,
        wallet_usd=0.0,
        equity_usd=0.0,
        available_usd=0.0,
        leverage=0.0,
        isolated=False,
    )


def _bars(timeline: Timeline, where: Arena) -> pl.DataFrame:
    """Perpetual bars of an arena's span; no quotes where that of either market is missing."""
    span = slice(where.first, where.last)
    perp = timeline.perp
    bars = pl.DataFrame(
        {
            "ts": where.ts_ms - HOUR_MS,
            "open": perp.open[span, 0],
            "high": perp.high[span, 0],
            "low": perp.low[span, 0],
            "close": np.where(np.isnan(timeline.spot.close[span]), np.nan, perp.close[span, 0]),
        }
    )
    # Extremes that are not believed are unknown: the path then stays between open and close.
    ends = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    return (
        bars.with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
        .filter(pl.col("close").is_finite() & pl.col("open").is_finite())
        .with_columns(
            pl.when(pl.col("high").is_finite()).then("high").otherwise(ends[0]).alias("high"),
            pl.when(pl.col("low").is_finite()).then("low").otherwise(ends[1]).alias("low"),
        )
    )


def _settlements(timeline: Timeline, where: Arena) -> list[Settled]:
    """Settlements of an arena's span, due with the last quote before them.

    So they are paid on the position held into them and at the price the simulator takes.
    """
    rates = timeline.funding_settled[where.first : where.last, 0]
    per_eth = prices_of(where.market, where.account.inverse).funding[:, 0]
    return [
        Settled((int(where.ts_ms[t]) - 1) * NS_PER_MS, float(rates[t]), float(per_eth[t]))
        for t in np.flatnonzero(np.isfinite(rates))
    ]


def _chunks(
    path: Quotes,
    timeline: Timeline,
    where: Arena,
    exposures: Sequence[Exposure],
    rows: Sequence[Signals],
    instrument_id: InstrumentId,
) -> Iterator[tuple[int, list[Data]]]:
    """Ticks done and data of the engine, day by day, in order of time.

    Mark and index come with every quote, the index by the basis between two closes; the exposure
    and the row of the bar clock come at the tick, after the quote of the close.
    """
    span = slice(where.first, where.last)
    ticks = where.ts_ms
    basis = timeline.spot.close[span] / timeline.perp.close[span, 0]
    known = np.isfinite(basis)
    index = 0.5 * (path.bid + path.ask)
    index = index * np.interp(path.ts_ms, ticks[known], basis[known])
    told = DataType(Told)
    begin = 0
    for first in range(0, len(ticks), CHUNK_H):
        last = min(first + CHUNK_H, len(ticks)) - 1
        end = int(np.searchsorted(path.ts_ms, ticks[last], side="right"))
        chunk: list[Data] = []
        for q in range(begin, end):
            ts_ns = int(path.ts_ms[q]) * NS_PER_MS
            bid, ask = float(path.bid[q]), float(path.ask[q])
            mark = Mark(ts_ns, 0.5 * (bid + ask), float(index[q]), math.nan, 0)
            chunk.append(CustomData(told, Told(mark)))
            chunk.append(
                QuoteTick(
                    instrument_id,
                    Price(bid, 2),
                    Price(ask, 2),
                    Quantity(float(path.bid_size[q]), 3),
                    Quantity(float(path.ask_size[q]), 3),
                    ts_ns,
                    ts_ns,
                )
            )
        for t in range(first, last + 1):
            chunk.append(CustomData(told, Told(exposures[t])))
            chunk.append(CustomData(told, Told(rows[t])))
        begin = end
        yield last + 1, sorted(chunk, key=lambda data: data.ts_init)
