"""Live is history, one hour at a time; where models must not be trusted it says so, and no more."""

import dataclasses
from datetime import timedelta
from functools import cache

import numpy as np
import pytest

from counterpoise.errors import FixConfig, RejectData
from counterpoise.features.engine import column, compute
from counterpoise.signals import boosting, store
from counterpoise.signals.boosting import Recipe
from counterpoise.signals.bounds import Bounds
from counterpoise.signals.bundle import Bundle, Member, Part, Target
from counterpoise.signals.confidence import Platt
from counterpoise.signals.drift import DriftLimits, reference
from counterpoise.signals.linear import FittedLinear, Line
from counterpoise.signals.live import LiveSignals, Signals
from counterpoise.signals.lstm_forward import forecast
from counterpoise.signals.outputs import Outputs, calibrator_tensors, linear_tensors
from counterpoise.units import HOUR_MS, from_ms
from tests.features.market import market
from tests.signals.bundles import alone, network

HOURS, TRAINED = 2400, 1800
FEATURES = (
    *("return_1h", "return_4h", "return_24h", "momentum_24h_168h", "log_rv_6h", "log_rv_24h"),
    *("basis", "basis_zscore", "funding_last", "volume_surprise", "hour_sin", "hour_cos"),
)
LIMITS = DriftLimits(window_h=240, outcomes=100)
HISTORY = market(HOURS, seed=11)
TS_MS = HISTORY.ts_ms
X = compute(HISTORY, FEATURES).values
UP = (np.roll(HISTORY.spot.close, -4) > HISTORY.spot.close) * 1.0


@cache
def trained(**changed: object) -> Bundle:
    recipe = Recipe("binary", 12, 0.1, 6, 40, 0.7, 1.0, 1)
    rows = slice(200, TRAINED - 4)
    up = boosting.train(X[rows], UP[rows], recipe, seed=1)
    pays = boosting.train(X[rows], 1 - UP[rows], recipe, seed=2)
    log_variance = 2 * X[rows, 5] + np.abs(X[rows, 0])
    vol = boosting.train(
        X[rows], log_variance, Recipe("regression", 12, 0.1, 8, 30, 0.7, 1, 1), seed=3
    )
    funding = FittedLinear(
        None,
        {
            float("nan"): Line(
                np.array([5, 8]), np.zeros(2), np.ones(2), np.array([1e-5, 1e-6, 0.8])
            )
        },
        False,
    )
    whole: dict[str, object] = {
        "run": "live",
        "created_at": from_ms(int(TS_MS[TRAINED])),
        "targets": (
            alone("direction.4h", 4, Part(("trees.up",)), "probability", "calibrator"),
            alone("hedge_pays.4h", 4, Part(("trees.pays",)), "probability"),
            alone("volatility.24h", 24, Part(("trees.vol",))),
            alone("funding.next", 8, Part(("linear.funding",))),
        ),
        "features": FEATURES,
        "trained_from": from_ms(int(TS_MS[0])),
        "trained_to": from_ms(int(TS_MS[TRAINED])),
        "expires": from_ms(int(TS_MS[-1])) + timedelta(days=30),
        "data_sha256": "0" * 64,
        "texts": {"up": up, "pays": pays, "vol": vol},
        "tensors": {
            "funding": linear_tensors(funding, np.arange(len(FEATURES))),
            "calibrator": calibrator_tensors(Platt(0.9, 0.01)),
            "reference": reference(X[:TRAINED], LIMITS),
        },
    }
    return Bundle(**(whole | changed))  # type: ignore[arg-type]


def rows_of(live: LiveSignals, timeline=HISTORY) -> np.ndarray:
    return np.column_stack([column(timeline, name) for name in live.inputs])


def started(bundle: Bundle | None = None, until: int = 2000, **how: object) -> LiveSignals:
    """Live signals that have seen history up to a tick, and are out of the warm-up."""
    live = LiveSignals(bundle or trained(), limits=LIMITS, **how)  # type: ignore[arg-type]
    for row, ts_ms in zip(rows_of(live)[:until], TS_MS.tolist(), strict=False):
        live.update(row, ts_ms=ts_ms)
    return live


def feed(live: LiveSignals, ticks: range, spoil=lambda row: row, **how: object) -> list[Signals]:
    rows = rows_of(live)
    return [live.update(spoil(rows[t].copy()), ts_ms=int(TS_MS[t]), **how) for t in ticks]  # type: ignore[arg-type]


def nothing(row: np.ndarray) -> np.ndarray:
    return np.full_like(row, np.nan)


def silent(signals: Signals) -> bool:
    readings = (signals.literal, signals.bearish, signals.hedge_value)
    return bool(np.isnan([*signals.values.values(), *readings]).all())


def test_every_live_forecast_is_the_one_of_history(tmp_path) -> None:
    # Through the store, as it is used: what was saved is what forecasts.
    path = store.save(tmp_path, trained())
    bundle = store.load(path, features=FEATURES, now=from_ms(int(TS_MS[TRAINED])))
    history = Outputs(trained()).rows(X)
    live = LiveSignals(bundle, limits=LIMITS)
    said = [
        live.update(row, ts_ms=int(ts_ms)) for row, ts_ms in zip(rows_of(live), TS_MS, strict=True)
    ]
    assert all(signals.fallback for signals in said[:TRAINED])
    spoken = [t for t, signals in enumerate(said) if signals.fallback is None]
    assert len(spoken) > 0.95 * (HOURS - TRAINED)
    for t in spoken:
        assert list(said[t].values.values()) == history[t].tolist()
    # The booster's own forecast is the oracle of both.
    p = Platt(0.9, 0.01)(boosting.predict(trained().texts["up"], X))
    for t in spoken:
        assert said[t].literal == pytest.approx(p[t], abs=1e-12)


def test_c_comes_in_its_three_readings() -> None:
    (signals,) = feed(started(), range(2000, 2001))
    assert signals.fallback is None
    assert signals.literal == signals.values["direction.4h"]
    assert signals.bearish == 1.0 - signals.values["direction.4h"]
    assert signals.hedge_value == signals.values["hedge_pays.4h"]
    assert signals.unknown == ()
    assert 0.0 < signals.literal < 1.0


def test_a_bundle_without_a_reading_leaves_it_unknown() -> None:
    only = tuple(target for target in trained().targets if target.name == "volatility.24h")
    (signals,) = feed(started(dataclasses.replace(trained(), targets=only)), range(2000, 2001))
    assert signals.fallback is None
    assert np.isfinite(signals.values["volatility.24h"])
    assert np.isnan([signals.literal, signals.bearish, signals.hedge_value]).all()


def test_hours_the_models_have_seen_and_a_cold_start_are_not_forecast() -> None:
    live = LiveSignals(trained(), limits=LIMITS)
    assert live.warm_up_h == 240
    said = feed(live, range(1700, 2000))
    assert said[99].fallback == "warm-up: the models have seen what happened until 2024-05-15 00:00"
    assert said[100].fallback == "warm-up: 101 of 240 h seen"
    assert said[238].fallback is not None
    assert all(silent(signals) for signals in said[:239])
    assert {signals.since_ms for signals in said[:239]} == {int(TS_MS[1700])}
    assert any(signals.fallback is None for signals in said[250:])


def test_an_outage_is_named_and_left_only_after_calm_hours() -> None:
    live = started()
    down = feed(live, range(2000, 2005), nothing)
    up = feed(live, range(2005, 2060))
    assert all(silent(signals) for signals in down)
    assert down[0].fallback == "missing feature: none is known"
    assert down[-1].fallback == "stale: the newest input is 5.0 h old, limit 2 h"
    assert {signals.since_ms for signals in down} == {int(TS_MS[2000])}
    back = [signals.fallback for signals in up].index(None)
    assert silent(up[back - 1])
    assert str(up[back - 1].fallback).endswith("; clear for 3 of 3 h")
    assert up[back - 1].since_ms == int(TS_MS[2000])
    # A day later the gap comes by again, in what looks back 24 h; that is not this outage.
    after = up[back : back + 10]
    assert all(s.fallback is None and s.since_ms is None and not silent(s) for s in after)
    assert all(s.unknown == ("funding.next",) for s in after)


def test_trouble_every_other_hour_is_one_fallback_not_many() -> None:
    live = started(calm_h=3)
    rows = rows_of(live)
    said = []
    for t in range(2000, 2020):
        row = nothing(rows[t]) if t % 2 == 0 else rows[t]
        said.append(live.update(row, ts_ms=int(TS_MS[t])))
    assert all(signals.fallback for signals in said)
    assert {signals.since_ms for signals in said} == {int(TS_MS[2000])}


def test_prices_in_another_unit_are_out_of_distribution() -> None:
    live = started()

    def cents(row: np.ndarray) -> np.ndarray:
        return np.where([name.startswith("perp.") for name in live.inputs], 100.0 * row, row)

    def jump(row: np.ndarray) -> np.ndarray:
        prices = [name.startswith("spot.") for name in live.inputs]
        return np.where(prices, 3.0 * cents(row), cents(row))

    (signals,) = feed(live, range(2000, 2001), jump)
    assert "out of distribution" in str(signals.fallback)
    assert silent(signals)
    assert signals.measures.outside > LIMITS.outside_share


def test_models_fall_silent_at_the_moment_they_expire() -> None:
    expires = from_ms(int(TS_MS[2003]))
    said = feed(started(dataclasses.replace(trained(), expires=expires)), range(2000, 2006))
    assert [signals.fallback is None for signals in said] == [True] * 3 + [False] * 3
    assert said[3].fallback == "expired: the models were to be used until 2024-05-23 11:00"
    assert said[5].since_ms == int(TS_MS[2003])


def test_old_inputs_are_stale_though_the_row_is_full() -> None:
    live = started()
    newest = int(TS_MS[2000])
    said = feed(live, range(2000, 2005), newest_ms=newest)
    assert [signals.fallback for signals in said] == [
        *(None, None, None),
        "stale: the newest input is 3.0 h old, limit 2 h",
        "stale: the newest input is 4.0 h old, limit 2 h",
    ]


def test_forecasts_that_stop_coming_true_end_in_fallback_and_may_return() -> None:
    live, said = started(until=1900), []
    rows = rows_of(live)

    def tick(t: int, happened: float) -> None:
        said.append(live.update(rows[t], ts_ms=int(TS_MS[t])))
        for target in ("direction.4h", "hedge_pays.4h"):
            live.outcome(target, int(TS_MS[t - 4]), happened)

    for t in range(1900, 2040):
        tick(t, 0.0)
    assert live.calibration_z()["direction.4h"] > LIMITS.z
    assert str(said[-1].fallback).startswith("drift: forecasts were too high by ")
    assert silent(said[-1])
    for t in range(2040, 2200):
        tick(t, float(t // 4 % 2))
    assert abs(live.calibration_z()["direction.4h"]) < 2.0
    assert "drift: forecasts" not in str(said[-1].fallback)


def test_an_outcome_counts_once_and_none_of_the_training() -> None:
    live = started(until=TRAINED + 50)
    for _ in range(300):
        live.outcome("direction.4h", int(TS_MS[TRAINED + 10]), 1.0)
        live.outcome("direction.4h", int(TS_MS[TRAINED - 10]), 1.0)
    assert np.isnan(live.calibration_z()["direction.4h"])


def test_an_outcome_that_cannot_be_is_refused() -> None:
    live = started(until=2000)
    last = int(TS_MS[1999])
    with pytest.raises(
        FixConfig, match=r"target = 'volatility.24h': expected one of direction.4h, hedge"
    ):
        live.outcome("volatility.24h", last - 24 * HOUR_MS, 1.0)
    for ts_ms in (last, last - 3 * HOUR_MS, last + HOUR_MS, last - 5 * HOUR_MS + 1, 0):
        with pytest.raises(RejectData, match="Next: tell outcomes once over"):
            live.outcome("direction.4h", ts_ms, 1.0)
    with pytest.raises(RejectData, match="outcome: got 0"):
        live.outcome("direction.4h", last - 4 * HOUR_MS, 0.5)
    live.outcome("direction.4h", last - 4 * HOUR_MS, np.nan)


@pytest.mark.parametrize("off", [0, -1, 2, 24])
def test_hours_come_once_and_in_order(off: int) -> None:
    live = started()
    rows = rows_of(live)
    with pytest.raises(RejectData, match=r"the hour after the last tick\. Next: give every hour"):
        live.update(rows[2000], ts_ms=int(TS_MS[1999]) + off * HOUR_MS)
    # Nothing was taken: the right hour gives what it would have given.
    twice = [one.update(rows[2000], ts_ms=int(TS_MS[2000])) for one in (live, started())]
    np.testing.assert_equal(*map(dataclasses.asdict, twice))


def test_a_tick_off_the_clock_or_an_input_of_tomorrow_is_refused() -> None:
    live = started()
    row, ts_ms = rows_of(live)[2000], int(TS_MS[2000])
    with pytest.raises(RejectData, match="expected a full hour"):
        live.update(row, ts_ms=ts_ms + 1)
    with pytest.raises(RejectData, match=r"newest_ms: .*Next: give only what was known then"):
        live.update(row, ts_ms=ts_ms, newest_ms=ts_ms + 1)
    with pytest.raises(ValueError, match="a row holds"):
        live.update(row[1:], ts_ms=ts_ms)


def test_the_networks_remember_every_hour_and_count_with_their_weight() -> None:
    members = (
        Member("trees", 0.5, (Part(("trees.up",)),)),
        Member("lstm", 0.5, (Part(("lstm.1",), "logistic"),)),
    )
    networks = [network(0), network(1)]
    tensors = dict(trained().tensors) | {"lstm": {"columns": np.array([0, 8])}}
    tensors |= {f"lstm-{k}": one.to_tensors() for k, one in enumerate(networks)}
    mixed = Target("direction.4h", 4, members, "probability")
    bundle = dataclasses.replace(trained(), targets=(mixed,), tensors=tensors)
    (signals,) = feed(started(bundle), range(2000, 2001))
    odds = forecast(networks, np.ascontiguousarray(X[:, [0, 8]]), slice(2000, 2001))[0, 1]
    tree = boosting.predict(trained().texts["up"], X[2000:2001])[0]
    assert signals.fallback is None
    assert signals.literal == pytest.approx(0.5 * tree + 0.5 / (1 + np.exp(-odds)), abs=1e-12)


def test_bounds_need_the_features_that_scale_them() -> None:
    fresh = Bounds.fresh("probability", 4, rate=0.1, level=0.9, half_life=720.0)
    bounded = dataclasses.replace(trained().targets[0], bounds="bounds")
    tensors = dict(trained().tensors) | {"bounds": fresh.to_tensors()}
    bundle = dataclasses.replace(trained(), targets=(bounded,), tensors=tensors)
    with pytest.raises(FixConfig, match="log_parkinson_168h"):
        LiveSignals(bundle, limits=LIMITS)


def test_a_bundle_without_a_reference_is_refused() -> None:
    tensors = {name: group for name, group in trained().tensors.items() if name != "reference"}
    with pytest.raises(FixConfig, match=r"expected reference\. Next: save drift\.reference"):
        LiveSignals(dataclasses.replace(trained(), tensors=tensors))
