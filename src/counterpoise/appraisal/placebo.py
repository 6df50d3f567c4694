"""What the same forecasts are worth against outcomes they cannot know: shifted, and shuffled.

Shifting keeps everything that forecasts and outcomes inherit from their own past and breaks only
what connects the two. Shuffled outcomes leave nothing to learn, so whoever scores on them leaks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal.exam import SCORE_NAMES, Exam
from counterpoise.appraisal.walk import Pipeline

Floats = NDArray[np.float64]

SHIFTS = 200
#: Shortest shift, hours: volatility and funding remember weeks.
SHORTEST_SHIFT_H = 30 * 24
#: Fewest rows that have room for shifts that differ.
FEWEST_ROWS = 4 * SHORTEST_SHIFT_H
#: Pairings of a shuffle's forecasts with other shuffles: what no skill looks like.
OTHER_SHUFFLES = 200


@dataclass(frozen=True)
class Standing:
    """A score among those that mean nothing.

    Attributes
    ----------
    score : float
    draws : float64 (D,)
        Scores of the placebos.
    """

    score: float
    draws: Floats

    @property
    def beaten(self) -> float:
        """Share of the placebos below the score."""
        return float((self.draws < self.score).mean())

    @property
    def deviations(self) -> float:
        """Distance from their mean in their standard deviations; 0 where nothing differs."""
        spread = float(self.draws.std())
        apart = self.score - float(self.draws.mean())
        return apart / spread if spread > 0.0 else 0.0 if apart == 0.0 else float("inf")


def shifted(exam: Exam, forecasts: Floats, *, count: int = SHIFTS, seed: int) -> Standing | str:
    """Score of forecasts among those against circularly shifted outcomes.

    Parameters
    ----------
    exam : Exam
    forecasts : float64 (T,)
        Out of sample; NaN where there are none.
    count : int
        Shifts, each of 30 days or a horizon at least in both directions.
    seed : int

    Returns
    -------
    Standing or str
        Or why it cannot be told.
    """
    rows = np.flatnonzero(np.isfinite(forecasts))
    if len(rows) < FEWEST_ROWS:
        return f"{len(rows)} forecasts leave no room for shifts of 30 days; {FEWEST_ROWS} do"
    span = slice(int(rows[0]), int(rows[-1]) + 1)
    made, outcomes = forecasts[span], exam.y[span]
    score = exam.score(made, outcomes)
    if not np.isfinite(score):
        return f"the {SCORE_NAMES[exam.kind]} of its forecasts is undefined: outcomes are all alike"
    shortest = max(SHORTEST_SHIFT_H, exam.horizon_h)
    rng = np.random.default_rng(seed)
    shifts = rng.integers(shortest, len(made) - shortest + 1, count)
    draws = [exam.score(made, np.roll(outcomes, int(shift))) for shift in shifts]
    return Standing(score, np.array(draws))


def _blocks(ticks: int, block: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows with whole blocks in another order, cut anywhere."""
    rows = np.roll(np.arange(ticks), int(rng.integers(ticks)))
    parts = [rows[first : first + block] for first in range(0, ticks, block)]
    return np.concatenate([parts[i] for i in rng.permutation(len(parts))])


def shuffled(
    exam: Exam,
    pipeline: Pipeline,
    *,
    count: int,
    seed: int,
    told: Callable[[], None] | None = None,
) -> Standing | str:
    """Score of a pipeline that learns from outcomes shuffled in blocks, on those very outcomes.

    Parameters
    ----------
    exam : Exam
    pipeline : callable
        Out-of-sample forecasts (T,) from features and outcomes.
    count : int
        Times it is run.
    seed : int
    told : callable, optional
        Called after each run.

    Returns
    -------
    Standing or str
        The mean score of the runs among what the same forecasts score on other shuffles of the
        outcomes; or why it cannot be told. Blocks are a day or two horizons long.
    """
    rng = np.random.default_rng(seed)
    block = max(24, 2 * exam.horizon_h)
    scores, draws = [], []
    for _ in range(count):
        y = exam.y[_blocks(len(exam.y), block, rng)]
        made = pipeline(exam.X, y)
        rows = np.isfinite(made)
        score = exam.score(made[rows], y[rows])
        if not np.isfinite(score):
            return "it makes no forecasts from shuffled outcomes, or their score is undefined"
        scores.append(score)
        others = (exam.y[_blocks(len(exam.y), block, rng)][rows] for _ in range(OTHER_SHUFFLES))
        draws.append([exam.score(made[rows], other) for other in others])
        if told is not None:
            told()
    return Standing(float(np.mean(scores)), np.mean(draws, axis=0))
