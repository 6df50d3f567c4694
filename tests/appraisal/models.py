"""Models for the audit to judge: honest ones, and one for each way to cheat."""

from dataclasses import dataclass
from itertools import count

import numpy as np

from counterpoise.appraisal.exam import Exam
from counterpoise.signals.model import Kind
from tests.random_timeline import START_MS

HOUR_MS = 3_600_000
HOURS = 24 * 320


def exam(
    strength: float = 0.5, *, kind: Kind = "probability", horizon_h: int = 4, hours: int = HOURS
) -> Exam:
    """Two persistent features, of which the first says something of what comes."""
    rng = np.random.default_rng(8)
    shocks = rng.normal(size=(hours, 2))
    X = np.zeros((hours, 2))
    for t in range(1, hours):
        X[t] = 0.9 * X[t - 1] + np.sqrt(1 - 0.81) * shocks[t]
    steps = rng.normal(size=hours + horizon_h)
    # The outcome sums the noise of its horizon, so that neighbours share it.
    noise = np.convolve(steps, np.ones(horizon_h), "valid")[1 : hours + 1] / np.sqrt(horizon_h)
    y = strength * X[:, 0] + noise
    y = (y > 0).astype(float) if kind == "probability" else y
    y[-horizon_h:] = np.nan
    X[rng.random((hours, 2)) < 0.01] = np.nan
    ts_ms = START_MS + HOUR_MS * np.arange(hours, dtype=np.int64)
    return Exam("made up", ("signal", "noise"), X, y, ts_ms, horizon_h, kind, 0.8)


@dataclass
class Answer:
    """A function of X and rows as a fitted model."""

    make: object

    def predict(self, X: np.ndarray, rows: slice) -> np.ndarray:
        return self.make(X, rows)


class Honest:
    """Least squares on the first feature, held between 0 and 1."""

    name = "honest"

    def fit(self, X: np.ndarray, y: np.ndarray, seed: int) -> Answer:
        slope, mean = self.learn(X, y)
        return Answer(lambda X, rows: np.clip(mean + slope * self.see(X, rows), 0.0, 1.0))

    def learn(self, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        rows = np.isfinite(y) & np.isfinite(X[:, 0])
        slope, mean = np.polyfit(X[rows, 0], y[rows], 1)
        return float(slope), float(mean)

    def see(self, X: np.ndarray, rows: slice) -> np.ndarray:
        return X[rows, 0]


class NextRow(Honest):
    """Sees the row after the one it forecasts."""

    name = "next_row"

    def see(self, X: np.ndarray, rows: slice) -> np.ndarray:
        later = np.append(X[1 : rows.stop, 0], X[rows.stop - 1, 0])
        return later[rows]


class Standardised(Honest):
    """Takes the mean of everything it is given, later rows included."""

    name = "standardised"

    def see(self, X: np.ndarray, rows: slice) -> np.ndarray:
        return X[rows, 0] - np.nanmean(X[:, 0])


class FilledFromBehind(Honest):
    """Honest but where a feature is missing: it takes the next known value."""

    name = "filled_from_behind"

    def see(self, X: np.ndarray, rows: slice) -> np.ndarray:
        column = X[:, 0]
        known = np.flatnonzero(np.isfinite(column))
        next_known = np.minimum(np.searchsorted(known, np.arange(len(column))), len(known) - 1)
        return column[known[next_known]][rows]


class Remembers(Honest):
    """Keeps every outcome it ever learned from, and answers from memory."""

    name = "remembers"

    def __init__(self) -> None:
        self.seen: dict[bytes, float] = {}

    def fit(self, X: np.ndarray, y: np.ndarray, seed: int) -> Answer:
        slope, mean = self.learn(X, y)
        self.seen |= {row.tobytes(): out for row, out in zip(X, y, strict=True) if out == out}

        def predict(X: np.ndarray, rows: slice) -> np.ndarray:
            plain = np.clip(mean + slope * X[rows, 0], 0.0, 1.0)
            return np.array(
                [self.seen.get(row.tobytes(), out) for row, out in zip(X[rows], plain, strict=True)]
            )

        return Answer(predict)


class Unseeded(Honest):
    """Starts elsewhere every time."""

    name = "unseeded"
    runs = count()

    def learn(self, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        slope, mean = super().learn(X, y)
        return slope, mean + 1e-3 * next(self.runs)


class FromTheBeginning(Honest):
    """Forecasts from the distance to the mean of all history so far."""

    name = "from_the_beginning"

    def see(self, X: np.ndarray, rows: slice) -> np.ndarray:
        seen = np.nan_to_num(X[: rows.stop, 0])
        return (seen - np.cumsum(seen + 1.0) / np.arange(1, rows.stop + 1))[rows]


class LooksBack(Honest):
    """The mean of the last day."""

    name = "looks_back"

    def see(self, X: np.ndarray, rows: slice) -> np.ndarray:
        padded = np.concatenate([np.zeros(23), np.nan_to_num(X[: rows.stop, 0])])
        return np.lib.stride_tricks.sliding_window_view(padded, 24).mean(axis=1)[rows]


class Constant:
    """The share of rises so far."""

    name = "constant"

    def fit(self, X: np.ndarray, y: np.ndarray, seed: int) -> Answer:
        mean = float(np.nanmean(y))
        return Answer(lambda X, rows: np.full(rows.stop - rows.start, mean))
