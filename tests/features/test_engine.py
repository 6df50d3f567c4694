"""One recursion, two clocks: history and live agree, nothing looks ahead, gaps stay gaps."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import FixConfig
from counterpoise.features.catalog import FEATURES, SHARED, raw_inputs
from counterpoise.features.engine import Live, column, compute, seen_settlements
from counterpoise.market.timeline import Timeline
from counterpoise.signals.boosting import INPUTS
from tests.features.market import market
from tests.random_timeline import cut

SMALL = market(900, seed=1, gap_share=0.02)
HISTORY = compute(SMALL)


def funding_of(timeline: Timeline, settled: list[float], last: list[float]) -> Timeline:
    n = len(settled)
    return dataclasses.replace(
        cut(timeline, n),
        funding_settled=np.array(settled)[:, None],
        funding_last=np.array(last)[:, None],
    )


def test_history_and_live_agree_to_the_last_bit() -> None:
    live = Live()
    rows = np.column_stack([column(SMALL, name) for name in live.inputs])
    streamed = np.array([live.update(row) for row in rows])
    assert streamed.tobytes() == HISTORY.values.tobytes()


@pytest.mark.parametrize("part", [*FEATURES.items(), *SHARED.items()], ids=lambda part: part[0])
def test_a_recursion_resumes_where_it_stopped(part) -> None:
    rng = np.random.default_rng(4)
    x = tuple(10 * np.exp(0.01 * rng.normal(size=300).cumsum()) for _ in part[1].inputs)
    whole, pieces = np.empty(300), np.empty(300)
    part[1].update(part[1].memory.fresh(), x, whole)
    state = part[1].memory.fresh()
    for begin, end in ((0, 1), (1, 7), (7, 7), (7, 150), (150, 300)):
        part[1].update(state, tuple(values[begin:end] for values in x), pieces[begin:end])
    assert np.array_equal(pieces, whole, equal_nan=True)


def test_a_feature_is_the_same_alone_and_among_others() -> None:
    for name in ("jump_share_24h", "predicted_funding", "basis_zscore"):
        assert np.array_equal(compute(SMALL, [name])[name], HISTORY[name], equal_nan=True)


def test_a_feature_asked_for_twice_comes_once() -> None:
    assert compute(SMALL, ["basis", "hour_sin", "basis"]).names == ("basis", "hour_sin")


def test_models_keep_the_inputs_their_recipes_were_chosen_with() -> None:
    assert len(INPUTS) == len(set(INPUTS)) == 27
    assert set(INPUTS) < set(FEATURES)


@settings(max_examples=25, deadline=None)
@given(ticks=st.integers(1, 900))
def test_cutting_the_timeline_leaves_every_feature_before_the_cut_as_it_was(ticks: int) -> None:
    assert compute(cut(SMALL, ticks)).values.tobytes() == HISTORY.values[:ticks].tobytes()


@settings(max_examples=25, deadline=None)
@given(tick=st.integers(0, 898), factor=st.floats(0.2, 5.0))
def test_what_happens_after_a_tick_cannot_change_it(tick: int, factor: float) -> None:
    close = SMALL.spot.close.copy()
    close[tick + 1 :] *= factor
    changed = dataclasses.replace(SMALL, spot=dataclasses.replace(SMALL.spot, close=close))
    after = compute(changed)
    assert after.values[: tick + 1].tobytes() == HISTORY.values[: tick + 1].tobytes()


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.01, 100.0))
def test_price_features_do_not_depend_on_the_currency_unit(factor: float) -> None:
    bars = [getattr(SMALL.spot, name) * factor for name in ("open", "high", "low", "close")]
    spot = type(SMALL.spot)(*bars, SMALL.spot.volume)
    names = [name for name in FEATURES if raw_inputs(name)[0].startswith("spot")]
    scaled = compute(dataclasses.replace(SMALL, spot=spot), names)
    for name in names:
        np.testing.assert_allclose(scaled[name], HISTORY[name], rtol=1e-6, atol=1e-8)


def test_a_missing_bar_gives_nan_for_what_needs_it_and_nothing_else() -> None:
    close = SMALL.spot.close.copy()
    high = SMALL.spot.high.copy()
    volume = SMALL.spot.volume.copy()
    for values in (close, high, volume):
        values[850] = np.nan
    spot = dataclasses.replace(SMALL.spot, close=close, high=high, volume=volume)
    gap = compute(dataclasses.replace(SMALL, spot=spot))
    for name in FEATURES:
        needs_bar = any(part.startswith("spot") for part in raw_inputs(name))
        assert np.isnan(gap[name][850]) == needs_bar, name


def test_an_hour_without_settlement_keeps_funding_momentum() -> None:
    values = HISTORY["funding_momentum"]
    quiet = np.isnan(SMALL.funding_settled[:, 0]) & np.isfinite(values)
    assert quiet.sum() > 500
    assert np.array_equal(values[quiet], values[np.flatnonzero(quiet) - 1])


def test_rolling_variance_forgets_a_crash_completely() -> None:
    # A crash of 99.99 % enters and leaves the ring; what stays must be exact, not nearly so.
    rng = np.random.default_rng(2)
    calm = 1e-6 * rng.normal(size=400)
    calm[30] = -9.2
    prices = 1000 * np.exp(np.cumsum(calm))
    live = Live(["log_rv_24h"])
    values = [live.update(np.array([price]))[0] for price in prices]
    exact = 0.5 * np.log(8760 * np.mean(np.diff(np.log(prices[-25:])) ** 2))
    assert values[-1] == pytest.approx(exact, abs=1e-9)


def test_mirrored_prices_swap_downside_for_upside() -> None:
    spot = dataclasses.replace(SMALL.spot, close=1 / SMALL.spot.close)
    mirrored = compute(dataclasses.replace(SMALL, spot=spot), ["downside_share_24h"])
    np.testing.assert_allclose(
        mirrored["downside_share_24h"], 1 - HISTORY["downside_share_24h"], atol=1e-9
    )


def test_a_series_the_lake_lacks_is_nan_not_zero() -> None:
    without = dataclasses.replace(SMALL, daily={})
    assert np.isnan(compute(without, ["vix_change"]).values).all()


def test_unknown_feature_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(FixConfig, match="log_rv_24h"):
        compute(SMALL, ["log_rv_24"])


def test_unknown_input_is_refused() -> None:
    with pytest.raises(FixConfig, match=r"spot\.middle"):
        column(SMALL, "spot.middle")


def test_live_refuses_a_row_of_the_wrong_length() -> None:
    with pytest.raises(ValueError, match=r"spot\.close"):
        Live(["return_1h"]).update(np.array([1.0, 2.0]))


def test_a_settlement_counts_as_seen_only_when_its_rate_is_known() -> None:
    # Booked at tick 2, published at tick 3; the next one is booked and published at tick 5.
    nan = np.nan
    timeline = funding_of(SMALL, [nan, nan, 3e-4, nan, nan, 1e-4], [2e-4] * 3 + [3e-4] * 2 + [1e-4])
    assert np.array_equal(
        seen_settlements(timeline), [nan, nan, nan, 3e-4, nan, 1e-4], equal_nan=True
    )


def test_hourly_settlements_published_late_are_all_seen_one_tick_later() -> None:
    timeline = funding_of(SMALL, [1e-5, 2e-5, 3e-5, 4e-5], [np.nan, 1e-5, 2e-5, 3e-5])
    assert np.array_equal(seen_settlements(timeline), [np.nan, 1e-5, 2e-5, 3e-5], equal_nan=True)


def test_every_feature_says_what_it_is() -> None:
    for feature in FEATURES:
        entry = FEATURES[feature]
        assert all((entry.unit, entry.known_at, entry.formula, entry.pitfall)), feature
        for part in ("Formula:", "Unit:", "Pitfall:", "Source:"):
            assert part in str(entry.update.__doc__), (feature, part)
