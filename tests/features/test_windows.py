"""Windows where markets are rough: stale prints, flat bars, no trades, late and default funding."""

import dataclasses

import numpy as np
import pytest

from counterpoise.features.engine import compute
from counterpoise.market.timeline import Bars, Timeline
from counterpoise.signals.baselines import settled_means
from tests.features.market import market
from tests.features.window_oracles import FUNDING, PREMIUM, RANGES, VOLUME_RATIOS

ORACLES = VOLUME_RATIOS | RANGES | PREMIUM | FUNDING


def rough_market(hours: int) -> Timeline:
    """Gaps, an outage of the spot market, every other settlement the default, one 30 h late."""
    base = market(hours, seed=21, gap_share=0.05)
    rng = np.random.default_rng(22)
    bars = {name: getattr(base.spot, name).copy() for name in ("open", "high", "low", "close")}
    bars["high"][300], bars["low"][310] = np.nan, np.nan
    for stale in (slice(200, 203), slice(411, 420)):
        for values in bars.values():
            values[stale] = bars["close"][stale.start - 1]
    close = bars["close"]
    close[rng.random(hours) < 0.03] *= 1.02
    bars["high"], bars["low"] = np.fmax(bars["high"], close), np.fmin(bars["low"], close)
    volume = np.where(rng.random(hours) < 0.05, 0.0, base.spot.volume)

    interval = np.where(np.arange(hours) < hours // 16 * 8, 8.0, 4.0)
    due = np.arange(hours) % interval == 0
    settled = np.where(due, 3e-4 * rng.normal(size=hours), np.nan)
    settled[due & (rng.random(hours) < 0.5)] = 1e-4
    settled *= interval / 8
    settled[240:271] = np.nan
    last = settled.copy()
    for t in range(1, hours):
        last[t] = last[t - 1] if np.isnan(last[t]) else last[t]
    return dataclasses.replace(
        base,
        spot=Bars(**bars, volume=volume),
        funding_settled=settled[:, None],
        funding_last=last[:, None],
        funding_interval_h=interval[:, None],
    )


ROUGH = rough_market(1_000)
MATRIX = compute(ROUGH, list(ORACLES))


@pytest.mark.parametrize("name", ORACLES)
def test_a_rough_market_changes_no_formula(name: str) -> None:
    expected = np.array([ORACLES[name](ROUGH, t) for t in range(len(ROUGH.ts_ms))])
    assert np.isfinite(expected).sum() > 200
    ruled = ROUGH.funding_interval_h[:, 0] == 8  # the dated rule is one of 8 h
    at = ruled if name == "predicted_funding_robust" else slice(None)
    np.testing.assert_allclose(MATRIX[name][at], expected[at], rtol=1e-9, atol=1e-12)


def test_stale_prints_move_the_elapsed_premium_and_not_the_robust_one() -> None:
    calm = market(48, seed=1)
    close = calm.spot.close.copy()
    close[[19, 20]] *= 1.03
    stale = dataclasses.replace(calm, spot=dataclasses.replace(calm.spot, close=close))
    names = ("premium_elapsed", "premium_robust")
    before, after = compute(calm, names), compute(stale, names)
    np.testing.assert_allclose(before["premium_robust"], before["premium_elapsed"], rtol=1e-12)
    assert abs(after["premium_elapsed"][23] - before["premium_elapsed"][23]) > 5e-3
    assert abs(after["premium_robust"][23] - before["premium_robust"][23]) < 5e-4


def test_an_interval_that_begins_with_a_stale_print_knows_no_premium_yet() -> None:
    calm = market(48, seed=1)
    close = calm.spot.close.copy()
    close[16] *= 1.03
    stale = dataclasses.replace(calm, spot=dataclasses.replace(calm.spot, close=close))
    found = compute(stale, ["premium_robust", "predicted_funding_robust"])
    assert np.isnan(found.values[16]).all()
    assert np.isfinite(found.values[17:]).all()


def test_means_of_settlements_are_those_the_baselines_stand_on() -> None:
    counts = (2, 3, 9, 21, 63)
    for timeline in (ROUGH, market(600, seed=4)):
        eight = timeline.funding_interval_h[:, 0] == 8
        found = compute(timeline, [f"funding_mean_{k}" for k in counts]).values
        expected = settled_means(timeline, counts)
        np.testing.assert_allclose(found[eight], expected[eight], rtol=1e-9, atol=1e-15)


def test_equal_settlements_have_no_deviation_and_are_all_the_default() -> None:
    calm = market(200, seed=2)
    rate = np.where(np.isfinite(calm.funding_settled), 1e-4, np.nan)
    same = dataclasses.replace(
        calm, funding_settled=rate, funding_last=np.full_like(calm.funding_last, 1e-4)
    )
    found = compute(same, ["funding_deviation_21", "funding_default_share_21", "funding_median_21"])
    assert np.array_equal(found.values[160:], np.tile([0.0, 1.0, 1e-4], (40, 1)))


def test_a_price_that_never_moved_stands_in_the_middle() -> None:
    flat = Bars(*(np.full(30, 2_000.0) for _ in range(4)), np.ones(30))
    short = market(30)
    found = compute(dataclasses.replace(short, spot=flat), ["range_position_24h"])
    assert np.array_equal(found.values[19:, 0], np.zeros(11))


def test_the_weekend_is_seen_coming() -> None:
    found = compute(market(96), ["weekend_ahead_24h", "weekend_ahead_4h"])  # begins on a Friday
    assert found["weekend_ahead_24h"][:25] == pytest.approx(np.arange(25) / 24)
    assert found["weekend_ahead_24h"][49:73] == pytest.approx(np.arange(23, -1, -1) / 24)
    assert found["weekend_ahead_4h"][[20, 21, 24, 70, 72]] == pytest.approx([0, 0.25, 1, 0.5, 0])
