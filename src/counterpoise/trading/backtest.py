"""The event-driven backtest: the controller that trades live, in NautilusTrader's engine.

Quotes run through the bars of the timeline, the rows of the bar clock are the simulator's own, and
funding, liquidation and transfers are ours. What it adds to the simulator is how orders are worked:
slices, queues, prices that move meanwhile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.core.data import Data
from nautilus_trader.model.data import CustomData, DataType, QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import InstrumentId, TraderId, Venue
from nautilus_trader.model.objects import Price, Quantity
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.execution.account import Account
from counterpoise.execution.commands import Alarm, Command
from counterpoise.execution.controller import Controller
from counterpoise.execution.events import Event, Exposure, Funding, Mark, Signals, Snapshot
from counterpoise.execution.records import Decision, FillBooked, Record, Shortfall
from counterpoise.execution.remembered import Remembered
from counterpoise.hedging.intent import Intent
from counterpoise.market.quote_path import Quotes, quote_path
from counterpoise.market.timeline import Timeline
from counterpoise.simulation.arena import Arena, contracts_of
from counterpoise.trading.backtest_link import BacktestLink
from counterpoise.trading.instrument import instrument_id_of, instrument_of, usdt
from counterpoise.trading.modules import FundingModule, LiquidationModule
from counterpoise.trading.shell import Shell, Told
from counterpoise.trading.signal_rows import exposures_of, rows_of
from counterpoise.units import HOUR_MS, NS_PER_HOUR, NS_PER_MS

Floats = NDArray[np.float64]

#: Hours of quotes in memory at once.
CHUNK_H = 168
#: Wakes of the position check are rare here: a snapshot costs nothing and is asked for on demand.
CHECK_S = 300.0


@dataclass(frozen=True, slots=True)
class Settled:
    """A funding settlement of history."""

    ts_ns: int
    rate: float
    price: float


@dataclass(frozen=True)
class Backtested:
    """What a backtest did; T ticks.

    Attributes
    ----------
    ts_ms : int64 (T,)
        Ticks of the decision clock.
    target_eth : float64 (T,)
        Short decided on at each tick; NaN where nothing was.
    short_eth : float64 (T,)
        Short held at each tick, before its decision: what the schedules of the hour reached.
    pnl_usd : float64 (T,)
        P&L of the hedge after all costs, at the closes of each tick.
    exposure_eth, spot : float64 (T,)
    fees_usd, funding_usd, capital_usd : float
        Paid, received, and the cost of capital, in all.
    traded_eth : float
    decisions, fills, shortfalls, alarms
        In order of time.
    liquidations : int
    """

    ts_ms: NDArray[np.int64]
    target_eth: Floats
    short_eth: Floats
    pnl_usd: Floats
    exposure_eth: Floats
    spot: Floats
    fees_usd: float
    funding_usd: float
    capital_usd: float
    traded_eth: float
    decisions: tuple[Decision, ...] = field(repr=False)
    fills: tuple[FillBooked, ...] = field(repr=False)
    shortfalls: tuple[Shortfall, ...] = field(repr=False)
    alarms: tuple[Alarm, ...] = field(repr=False)
    liquidations: int = 0


class _Diary:
    """Keeps what happened, by tick."""

    def __init__(self, ticks: int, rows: Sequence[Signals]) -> None:
        self.place = {row.ts_ns: t for t, row in enumerate(rows)}
        self.target, self.short, self.pnl = (np.full(ticks, np.nan) for _ in range(3))
        self.records: list[Record] = []
        self.controller: Controller

    def watch(self, event: Event, records: Sequence[Record], _commands: Sequence[Command]) -> None:
        """Note the targets of a bar."""
        if not isinstance(event, Signals):
            return
        t = self.place[event.ts_ns]
        for record in records:
            if isinstance(record, Decision):
                self.target[t] = record.target_eth
                self.short[t] = record.short_eth
                self.pnl[t] = self.controller.judge.account.pnl_usd(event.perp)

    def commit(self, records: Sequence[Record]) -> None:
        """Keep records; a backtest's journal is its memory."""
        self.records.extend(records)


def backtest(
    timeline: Timeline, where: Arena, intent: Intent, settings: Settings, *, every_s: int = 10
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

    Raises
    ------
    FixConfig
        More than one venue, or other collateral than USDT.
    """
    rows, exposures = rows_of(where, intent), exposures_of(where)
    contract = contracts_of(settings, int(where.ts_ms[0]))[0]
    instrument_id = instrument_id_of(contract)
    settings = settings.model_copy(
        update={
            "run": settings.run.model_copy(update={"position_check_s": CHECK_S}),
            "protection": settings.protection.model_copy(update={"transfers": "automatic"}),
        }
    )
    controller = Controller(
        settings,
        contract,
        "bt",
        exposure_eth=exposures[0].exposure_eth,
        price=rows[0].perp,
    )
    diary = _Diary(len(rows), rows)
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
        left = max(controller.judge.account.equity_usd(price), 0.0)
        shell.take_over(f"autoclose-{len(liquidations)}", min(fee * taken, left))

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
    shell.watch = diary.watch
    link.shell = shell
    engine.add_strategy(shell)
    path = quote_path(
        _bars(timeline, where), every_s, settings.costs.half_spread_bps, tick=contract.tick_usd
    )
    for data in _chunks(path, timeline, where, exposures, rows, instrument_id):
        engine.add_data(data)
        engine.run(streaming=True)
        engine.clear_data()
    engine.end()
    engine.dispose()
    records = diary.records
    carried = controller.judge.account
    return Backtested(
        ts_ms=where.ts_ms,
        target_eth=diary.target,
        short_eth=diary.short,
        pnl_usd=diary.pnl,
        exposure_eth=where.market.exposure_eth,
        spot=where.market.spot,
        fees_usd=carried.fees_usd,
        funding_usd=carried.earned_usd,
        capital_usd=carried.charged_usd,
        traded_eth=sum(fill.size for fill in records if isinstance(fill, FillBooked)),
        decisions=tuple(row for row in records if isinstance(row, Decision)),
        fills=tuple(row for row in records if isinstance(row, FillBooked)),
        shortfalls=tuple(row for row in records if isinstance(row, Shortfall)),
        alarms=tuple(link.alarms),
        liquidations=len(liquidations),
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
    """Perpetual bars of an arena's span; an hour without one has no quotes."""
    span = slice(where.first, where.last)
    perp = timeline.perp
    bars = pl.DataFrame(
        {
            "ts": where.ts_ms - HOUR_MS,
            "open": perp.open[span, 0],
            "high": perp.high[span, 0],
            "low": perp.low[span, 0],
            "close": perp.close[span, 0],
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
    """Settlements of an arena's span."""
    span = slice(where.first, where.last)
    rates, marks = timeline.funding_settled[span, 0], timeline.funding_mark[span, 0]
    return [
        Settled(int(where.ts_ms[t]) * NS_PER_MS, float(rates[t]), float(marks[t]))
        for t in np.flatnonzero(np.isfinite(rates))
    ]


def _chunks(
    path: Quotes,
    timeline: Timeline,
    where: Arena,
    exposures: Sequence[Exposure],
    rows: Sequence[Signals],
    instrument_id: InstrumentId,
) -> Iterator[list[Data]]:
    """Data of the engine by weeks, in order of time.

    At a tick the quote of the close comes first, then the exposure, then the row of the bar clock;
    marks and index follow every quote, the index by the basis between two closes.
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
            mark = Mark(ts_ns, 0.5 * (bid + ask), float(index[q]), float("nan"), 0)
            chunk.append(CustomData(told, Told(mark)))
        for t in range(first, last + 1):
            chunk.append(CustomData(told, Told(exposures[t])))
            chunk.append(CustomData(told, Told(rows[t])))
        begin = end
        yield sorted(chunk, key=lambda data: data.ts_init)
