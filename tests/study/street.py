"""The street in small: generated tables to a timeline, out-of-sample scores, paths and p-values.

Every step is the product's own; this only strings them together without the parts a test of
inference does not need.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.features.engine import compute
from counterpoise.hedging import Intent, Situation
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.timeline import Timeline
from counterpoise.signals import boosting, labels
from counterpoise.signals.confidence import auc
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.walkforward import splits
from counterpoise.simulation.arena import Arena
from counterpoise.simulation.simulate import simulate
from counterpoise.study.inference import Difference, paired_bootstrap, stationary_indices
from counterpoise.study.metrics import daily_returns

Floats = NDArray[np.float64]


#: What rules on price and volatility need.
PRICES = ("spot_bars", "perp_bars", "funding")
#: What the models need: the mark price only matters to liquidations.
INPUTS = (*PRICES, "onchain_daily", "validators_daily", "macro_daily")


def timeline_of(market: Mapping[DatasetKey, pl.DataFrame], tables: Sequence[str]) -> Timeline:
    """Some tables of a generated market, through a lake that is thrown away, onto the clock."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        lake.write({k: rows for k, rows in market.items() if k.table in tables}, synthetic=True)
        return build_timeline(lake)


def direction_scores(
    timeline: Timeline, settings: Settings, *, refit_months: int = 1
) -> tuple[Floats, Floats]:
    """Walk-forward scores of the direction model and what happened; both from the first score on.

    What ``signals.training.forecast`` does for this target before calibration, with a refit every
    ``refit_months``.
    """
    X, up = compute(timeline, boosting.INPUTS).values, labels.direction(timeline)
    score = np.full(len(up.values), np.nan)
    refits = splits(
        timeline.ts_ms,
        horizon_h=up.horizon_h,
        embargo_h=settings.signals.embargo_h,
        min_train_days=settings.signals.min_train_days,
    )
    for split in list(refits)[::refit_months]:
        y = up.values[split.train]
        rows = np.isfinite(y)
        model = boosting.train(
            X[split.train][rows], y[rows], boosting.DIRECTION, seed=settings.signals.seed
        )
        ahead = slice(split.predict.start, None)
        score[ahead] = boosting.predict(model, X[ahead])
    begin = int(np.flatnonzero(np.isfinite(score))[0])
    return score[begin:], up.values[begin:]


def auc_interval(
    score: Floats, outcome: Floats, *, block_days: float, draws: int = 499, seed: int = 11
) -> tuple[float, float, float]:
    """AUC with its symmetric 95 % interval from resampled blocks of whole days.

    Neighbouring outcomes share hours, and scores stay alike for as long as their inputs do: a block
    has to hold both.
    """
    days = len(score) // 24
    by_day, happened = (values[: days * 24].reshape(days, 24) for values in (score, outcome))
    known = np.isfinite(by_day) & np.isfinite(happened)
    rise, fall = known & (happened == 1), known & (happened == 0)
    day_of_rise = np.nonzero(rise)[0]
    # Rises of one day that scored above falls of another: resampling days only weighs these counts.
    above = np.empty((days, days))
    for day in range(days):
        falls = np.sort(by_day[day][fall[day]])
        sides = [np.searchsorted(falls, by_day[rise], side) for side in ("left", "right")]
        above[:, day] = np.bincount(day_of_rise, (sides[0] + sides[1]) / 2.0, days)
    up, down = rise.sum(axis=1), fall.sum(axis=1)
    found = auc(by_day[known], happened[known])
    rows = stationary_indices(days, block_days, draws, seed)
    count = np.stack([np.bincount(row, minlength=days) for row in rows]).astype(float)
    drawn = ((count @ above) * count).sum(axis=1) / ((count @ up) * (count @ down))
    half = float(np.quantile(np.abs(drawn - found), 0.95))
    return found, found - half, found + half


def no_forecasts(timeline: Timeline) -> Forecasts:
    """Forecasts of which nothing is known, for rules that bring their own signal."""
    nothing = np.full(len(timeline.ts_ms), np.nan)
    return Forecasts(timeline.ts_ms, *[nothing] * 11)


def situation_of(
    timeline: Timeline, settings: Settings, forecasts: Forecasts | None = None
) -> Situation:
    """What a policy may read; trading costs nothing in the eyes of a rule that asks."""
    return Situation(timeline, forecasts or no_forecasts(timeline), settings, 0.0)


def daily_of(where: Arena, *intents: Intent) -> list[Floats]:
    """Daily returns of intents."""
    return [daily_returns(path) for path in simulate(where, intents, daily=True)]


def against_matched_static(
    situation: Situation, where: Arena, intent: Intent, draws: int
) -> dict[str, Difference]:
    """The study's test of a policy: against a static hedge at its own mean ratio."""
    (path,) = simulate(where, [intent], daily=True)
    ratio = np.full(situation.ticks, float(path.ratio.mean()))
    (static,) = daily_of(where, situation.around(ratio, 0.0))
    return paired_bootstrap(daily_returns(path), static, draws=draws)
