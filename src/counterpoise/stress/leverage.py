"""What dynamic leverage buys: margin tied up at equal liquidation probability, on the history.

A full hedge is opened on every day of the history and held for a month, once under margin that
follows the forecast worst rise and once under each of several fixed leverages with the same
top-ups. Windows overlap and liquidations come in few rallies, so episodes are counted beside them.
"""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from counterpoise.decision.limits import leverage_path
from counterpoise.errors import NotEnoughData
from counterpoise.hedging import Intent, Situation
from counterpoise.profiling import stage
from counterpoise.risk.guard_rules import NO_GUARD
from counterpoise.simulation.arena import Arena, contracts_of
from counterpoise.simulation.arrays import GuardArrays
from counterpoise.simulation.prices import MarketArrays, prices_of
from counterpoise.simulation.simulate import simulate_one
from counterpoise.stress.paths import whole_history
from counterpoise.units import DAY_MS, HOURS_PER_DAY, to_ms

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: Hours a hedge is held, and hours between two openings.
WINDOW_H, EVERY_H = 30 * HOURS_PER_DAY, HOURS_PER_DAY
#: Fixed leverages that ask for a top-up, and quantiles of the dynamic one.
FIXED = (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0)
QUANTILES = (0.95, 0.99, 0.999)
#: Range of the dynamic leverage, and rises that a top-up pays for; the fixed one goes to the same.
LOWEST, HIGHEST, HEADROOM = 1.0, 20.0, 1.25
#: Hours of transfer that are tried beside the settings' own.
SLOW_H = 24
#: Liquidations closer than this are one episode.
EPISODE_MS = 7 * DAY_MS


@dataclass(frozen=True)
class Runner:
    """One rule of margin over all windows of a period.

    Attributes
    ----------
    rule : str
        ``fixed`` or ``dynamic``.
    level : float
        The leverage that asks for a top-up, or the quantile.
    transfer_h : int
    period : str
        ``selection`` or ``holdout``.
    windows : int
    liquidated : float
        Share of windows with a liquidation.
    episodes : int
        Liquidations more than a week apart.
    margin : float
        Mean margin, at the venue or on its way, ÷ notional.
    top_ups : float
        Mean number of transfers in a window.
    """

    rule: str
    level: float
    transfer_h: int
    period: str
    windows: int
    liquidated: float
    episodes: int
    margin: float
    top_ups: float


@dataclass(frozen=True)
class _Window:
    """What one window came to under one rule."""

    begin_ms: int
    liquidated_ms: int | None
    margin: float
    top_ups: int


def _sliced(where: Arena, begin: int) -> Arena:
    """The arena of one window."""
    span = slice(begin, begin + WINDOW_H)
    market = {name: values[span] for name, values in where.market._asdict().items()}
    market["bucket"] = np.arange(WINDOW_H, dtype=np.int64)
    watch = {name: values[span] for name, values in where.watch._asdict().items()}
    return replace(
        where,
        first=0,
        last=WINDOW_H,
        ts_ms=where.ts_ms[span],
        market=MarketArrays(**market),
        watch=GuardArrays(**watch),
    )


def _held(where: Arena, intent: Intent, begin: int, arenas: list[Arena]) -> list[_Window]:
    """One window under each of several arenas that differ in margin alone."""
    prices = prices_of(_sliced(where, begin).market, where.account.inverse)
    found = []
    for one in arenas:
        here = _sliced(one, begin)
        path = simulate_one(here, intent, prices)
        coin_value = where.account.coin_value
        worth = coin_value * prices.perp_last if coin_value > 0.0 else 1.0
        notional = path.short_eth * prices.perp_last
        held = notional.sum(axis=1) > 0.0
        there = (path.collateral_usd + path.coming * worth).sum(axis=1)[held]
        taken = np.flatnonzero(path.pnl[:, -1] < 0.0)
        moved = int(np.count_nonzero(np.diff(path.coming.sum(axis=1), prepend=0.0) > 0.0))
        found.append(
            _Window(
                int(here.ts_ms[0]),
                int(here.ts_ms[taken[0]]) if path.liquidations and len(taken) else None,
                float(np.mean(there / notional.sum(axis=1)[held])),
                moved,
            )
        )
    return found


def _runner(
    rule: str, level: float, transfer_h: int, period: str, windows: list[_Window]
) -> Runner:
    stamps = sorted({one.liquidated_ms for one in windows if one.liquidated_ms is not None})
    episodes = int(np.count_nonzero(np.diff(stamps) > EPISODE_MS)) + 1 if stamps else 0
    return Runner(
        rule,
        level,
        transfer_h,
        period,
        len(windows),
        float(np.mean([one.liquidated_ms is not None for one in windows])),
        episodes,
        float(np.mean([one.margin for one in windows])),
        float(np.mean([one.top_ups for one in windows])),
    )


@stage("leverage race")
def race(situation: Situation, progress: Progress | None = None) -> tuple[Runner, ...]:
    """Hold a full hedge for a month from every day on, under every rule of margin.

    Parameters
    ----------
    situation : Situation
        Its settings say how long a transfer takes; :data:`SLOW_H` is tried beside it.
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    tuple of Runner
        By time of transfer, period and rule.

    Raises
    ------
    NotEnoughData
        Too little history for the first forecast and a month after it.
    """
    settings = situation.settings
    history = whole_history(situation)
    limits = history.limits._replace(keep_alive=0.0, max_ratio=1.0)
    where = replace(history, guard=NO_GUARD, limits=limits)
    found: list[Runner] = []
    times = tuple(dict.fromkeys((settings.capital.transfer_h, SLOW_H)))
    for transfer_h in times:
        arenas, first = _arenas(situation, where, transfer_h)
        begins = range(first, len(where.ts_ms) - WINDOW_H, EVERY_H)
        if not begins:
            raise NotEnoughData(
                "too little history to compare leverages: the first forecast of the worst rise "
                "needs about four months, and a month must follow. Next: import more history."
            )
        intent = Intent.around(np.ones(WINDOW_H), 0.0, venues=where.market.perp.shape[1], cap=1.0)
        rows: list[list[_Window]] = []
        with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
            jobs = [
                threads.submit(_held, where, intent, begin, list(arenas.values()))
                for begin in begins
            ]
            for done, job in enumerate(jobs):
                rows.append(job.result())
                if progress is not None and done % 50 == 0:
                    progress(f"leverage, transfers of {transfer_h} h", done, len(jobs))
        found += _told(arenas, rows, transfer_h, to_ms(settings.study.holdout_start))
    return tuple(found)


def _arenas(
    situation: Situation, where: Arena, transfer_h: int
) -> tuple[dict[tuple[str, float], Arena], int]:
    """Arenas by rule and level, and the first tick at which every forecast is known."""
    settings, timeline = situation.settings, situation.timeline
    contracts = contracts_of(settings, int(where.ts_ms[0]))
    account = where.account._replace(transfer_ticks=transfer_h, budget_usd=np.inf)
    whole = slice(where.first, where.last)
    ticks = len(where.ts_ms)
    found: dict[tuple[str, float], Arena] = {}
    for level in FIXED:
        watch = where.watch._replace(
            leverage=np.full(ticks, level / HEADROOM), leverage_max=np.full(ticks, level)
        )
        found["fixed", level] = replace(where, account=account, watch=watch)
    exposure = np.full(len(timeline.ts_ms), float(where.market.exposure_eth.max()))
    first = 0
    for quantile in QUANTILES:
        capital = settings.capital.model_copy(
            update={
                "leverage_mode": "dynamic",
                "leverage_min": LOWEST,
                "leverage_max": HIGHEST,
                "adverse_quantile": quantile,
                "headroom": HEADROOM,
                "transfer_h": transfer_h,
            }
        )
        dynamic = settings.model_copy(update={"capital": capital})
        after, asks = (
            values[whole] for values in leverage_path(timeline, dynamic, contracts, exposure)
        )
        known = asks > LOWEST * HEADROOM * (1.0 + 1e-9)
        first = max(first, int(np.argmax(known)) if known.any() else ticks)
        watch = where.watch._replace(leverage=after, leverage_max=asks)
        found["dynamic", quantile] = replace(where, account=account, watch=watch)
    return found, first


def _told(
    arenas: dict[tuple[str, float], Arena],
    rows: list[list[_Window]],
    transfer_h: int,
    holdout_ms: int,
) -> Iterator[Runner]:
    for period in ("selection", "holdout"):
        for place, (rule, level) in enumerate(arenas):
            windows = [
                row[place]
                for row in rows
                if (row[place].begin_ms >= holdout_ms) == (period == "holdout")
            ]
            if windows:
                yield _runner(rule, level, transfer_h, period, windows)


def margin_at(runners: tuple[Runner, ...], like: Runner) -> float:
    """Margin of the fixed rule at the liquidation probability of another, by interpolation.

    Parameters
    ----------
    runners : tuple of Runner
    like : Runner
        Whose transfers, period and probability count.

    Returns
    -------
    float
        Of the leanest fixed rule that is liquidated no more often; between two of the grid the
        margin is interpolated in the probability. NaN where even the fullest is more often.
    """
    same = [
        one
        for one in runners
        if (one.rule, one.transfer_h, one.period) == ("fixed", like.transfer_h, like.period)
    ]
    same.sort(key=lambda one: one.level)
    safe = [one for one in same if one.liquidated <= like.liquidated]
    if not safe:
        return math.nan
    leanest = safe[-1]
    riskier = [one for one in same if one.level > leanest.level]
    if not riskier or leanest.liquidated == like.liquidated:
        return leanest.margin
    share = (like.liquidated - leanest.liquidated) / (riskier[0].liquidated - leanest.liquidated)
    return leanest.margin + share * (riskier[0].margin - leanest.margin)
