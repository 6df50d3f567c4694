"""Bounds kept in a bundle are those of the programme, whatever the number of calls."""

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.config import SignalSettings
from counterpoise.errors import FixConfig
from counterpoise.signals import conformal, programme
from counterpoise.signals.bounds import PHASE, RANGES, Bounds
from counterpoise.signals.bundle import Output
from counterpoise.signals.programme import LEVEL, SCALE_HALF_LIFE, Programme
from counterpoise.signals.targets import find
from tests.random_timeline import random_timeline

HISTORY = Programme.of(random_timeline(3000, seed=5, gap_share=0.01), SignalSettings())
KINDS: dict[str, Output] = {
    "direction.4h": "probability",
    "volatility.24h": "value",
    "funding.next": "value",
    "funding.1d": "value",
    "adverse_move.24h": "quantile",
}


def drawn(key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A forecast by chance with gaps, the outcome, and what is bounded."""
    target = find(key)
    outcome = target.outcome(HISTORY.timeline).values
    rng = np.random.default_rng(1)
    level, spread = np.nanmedian(outcome), np.nanstd(outcome)
    best = level + 0.3 * spread * np.abs(rng.normal(size=len(outcome)))
    best[rng.random(len(best)) < 0.05] = np.nan
    best[:400] = np.nan
    return best, outcome, programme._bounds(HISTORY, target, outcome, best)[1]


def fresh(key: str) -> Bounds:
    target = find(key)
    phases = None
    if key == "funding.next":
        elapsed = np.round(HISTORY.features[PHASE], 6)
        phases = np.unique(elapsed[np.isfinite(elapsed)])
        assert len(phases) == 8
    level = target.quantile if KINDS[key] == "quantile" else LEVEL
    return Bounds.fresh(
        KINDS[key],
        target.horizon_h,
        rate=target.rate,
        level=level,
        half_life=SCALE_HALF_LIFE,
        phases=phases,
    )


@pytest.mark.parametrize("key", KINDS)
def test_bounds_are_those_of_the_programme_through_a_bundle_in_the_middle(key: str) -> None:
    best, outcome, bounded = drawn(key)
    target = find(key)
    interval, _ = programme._bounds(HISTORY, target, outcome, best)
    known = conformal.delayed(bounded, target.horizon_h)
    ranges = np.column_stack([HISTORY.features[name] for name in RANGES])
    phase = HISTORY.features[PHASE]
    first, low, high = fresh(key), np.empty(len(best)), np.empty(len(best))
    low[:2000], high[:2000] = first.scan(best[:2000], known[:2000], ranges[:2000], phase[:2000])
    saved = first.to_tensors()
    assert all(np.isfinite(values).all() for values in saved.values())
    second = Bounds.of(KINDS[key], target.horizon_h, saved)
    for t in range(2000, len(best)):
        row = slice(t, t + 1)
        low[row], high[row] = second.scan(best[row], known[row], ranges[row], phase[row])
    assert np.isfinite(high[2000:]).any()
    np.testing.assert_allclose(low, interval.lower, rtol=1e-12)
    np.testing.assert_allclose(high, interval.upper, rtol=1e-12)


def test_hours_nobody_saw_move_no_bound() -> None:
    best, _, bounded = drawn("direction.4h")
    known = conformal.delayed(bounded, 4)
    ranges = np.full((len(best), 2), np.log(0.5))
    one, two = fresh("direction.4h"), fresh("direction.4h")
    for bounds in (one, two):
        bounds.scan(best[:1000], known[:1000], ranges[:1000], best[:1000])
    silent = np.full(30, np.nan)
    one.scan(silent, silent, np.full((30, 2), np.nan), silent)
    two.skip(30)
    rows = slice(1030, 1100)
    found = [
        bounds.scan(best[rows], known[rows], ranges[rows], best[rows]) for bounds in (one, two)
    ]
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("name", ["upper", "phases", "keep", "lower_unknown"])
def test_arrays_of_other_bounds_are_refused(name: str) -> None:
    saved = fresh("funding.1d").to_tensors()
    with pytest.raises(FixConfig, match="bounds"):
        Bounds.of("value", 24, {key: a for key, a in saved.items() if key != name})
    with pytest.raises(FixConfig, match="bounds"):
        Bounds.of("quantile", 24, saved)
    with pytest.raises(FixConfig, match="bounds"):
        Bounds.of("value", replace(find("funding.1d"), horizon_h=25).horizon_h, saved)
