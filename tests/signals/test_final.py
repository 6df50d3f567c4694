"""What goes live is what the walk would have said: features, forecasts and bounds, hour by hour."""

from datetime import timedelta

import numpy as np
import pytest

from counterpoise.config import Settings, SignalSettings
from counterpoise.errors import NotEnoughData
from counterpoise.features.engine import Live, column, compute
from counterpoise.signals import inputs, programme, stack, store
from counterpoise.signals.bundle import Bundle
from counterpoise.signals.confidence import Isotonic, Platt
from counterpoise.signals.drift import DriftLimits
from counterpoise.signals.final import blend_weights, fit_parts, hedge_pays, train_bundle
from counterpoise.signals.live import LiveSignals, Signals
from counterpoise.signals.lstm_forward import forecast
from counterpoise.signals.outputs import Outputs
from counterpoise.signals.programme import Programme, Walked, combine, run
from counterpoise.signals.replay import replay, start_row
from counterpoise.signals.targets import targets
from counterpoise.units import from_ms
from tests.features.market import market
from tests.random_timeline import cut
from tests.signals.bundles import network

HOURS, CUT = 24 * 150, 24 * 143
SMALL = Settings(signals=SignalSettings(min_train_days=60))
LIMITS = DriftLimits(window_h=720, outcomes=100, missing_share=1.0)
KEYS = (
    *("direction.4h", "direction.1h", "volatility.24h"),
    *("funding.next", "funding.1d", "adverse_move.24h"),
)
WHOLE = market(HOURS, seed=4, gap_share=0.01)
EVERY = {key: one for key, one in targets().items() if key in KEYS}
EVERY["hedge_pays.4h"] = hedge_pays(SMALL)
HEADS = ("volatility.24h", "funding.1d")
EARLY = Programme.of(cut(WHOLE, CUT), SMALL.signals)
LATE = Programme.of(WHOLE, SMALL.signals)
NETWORKS = [network(seed, inputs=len(inputs.NETWORK)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def walked() -> dict[str, Walked]:
    # The networks' place in the walk: any past forecast serves to weigh and to bound them.
    funding = np.where(np.arange(CUT) > 2000, EARLY.features["funding_mean_3"], np.nan)
    given = {"funding.1d": {"lstm": funding}}
    return run(EARLY, EVERY, given=given, workers=2)


@pytest.fixture(scope="module")
def bundle(walked: dict[str, Walked], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    trained = train_bundle(
        EARLY,
        EVERY,
        walked=walked,
        networks=NETWORKS,
        heads=HEADS,
        created_at=from_ms(int(WHOLE.ts_ms[CUT - 1])),
        limits=LIMITS,
    )
    path = store.save(tmp_path_factory.mktemp("models"), trained)
    return store.load(path, features=trained.features, now=trained.trained_to)


@pytest.fixture(scope="module")
def said(bundle: Bundle) -> list[Signals]:
    live = LiveSignals(bundle, limits=LIMITS)
    found = list(replay(live, EVERY, WHOLE, start=0))
    return found[CUT - 1 :]


def calibrated(bundle: Bundle, key: str, score: np.ndarray) -> np.ndarray:
    group = bundle.tensors[f"{key.replace('.', '_')}-calibrator"]
    if "slope" in group:
        return Platt(float(group["slope"][0]), float(group["intercept"][0]))(score)
    return Isotonic(group["scores"], group["probabilities"])(score)


def batch(bundle: Bundle, walked: Walked) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best forecast and bounds of the hours from the cut on, by the programme's own functions."""
    target, rows = walked.target, slice(CUT - 1, HOURS)
    weights = blend_weights(target, walked)
    members = {}
    for candidate in target.candidates:
        if candidate.name in weights:
            parts = [one.predict(LATE.X, rows) for one in fit_parts(EARLY, candidate)]
            members[candidate.name] = combine(target, parts)
    if "lstm" in weights:
        X = np.ascontiguousarray(LATE.X[:, inputs.places(inputs.NETWORK)])
        members["lstm"] = forecast(NETWORKS, X, rows)[:, HEADS.index(target.key)]
    ordered = {name: members[name] for name in weights}
    after = stack.blend(ordered, np.array(list(weights.values())), slice(None))
    if target.loss == "probability":
        after = calibrated(bundle, target.key, after)
    before = walked.score if target.loss == "quantile" else walked.best
    best = np.concatenate([before[:-1], after])
    outcome = target.outcome(WHOLE).values
    interval, _ = programme._bounds(LATE, target, outcome, best)
    value = interval.upper if target.loss == "quantile" else best
    return value[rows], interval.lower[rows], interval.upper[rows]


@pytest.mark.parametrize("key", [*KEYS, "hedge_pays.4h"])
def test_live_is_the_batch_of_the_same_models(
    key: str, bundle: Bundle, walked: dict[str, Walked], said: list[Signals]
) -> None:
    value, lower, upper = batch(bundle, walked[key])
    assert np.isfinite(value).mean() > 0.9
    spoken = [i for i, one in enumerate(said) if one.fallback is None]
    assert len(spoken) > 100
    for mine, theirs in (("values", value), ("lower", lower), ("upper", upper)):
        live = np.array([getattr(said[i], mine)[key] for i in spoken])
        np.testing.assert_allclose(live, theirs[spoken], rtol=0, atol=1e-9, err_msg=mine)
    if EVERY[key].loss != "quantile":
        assert np.isfinite(lower[spoken]).any()


def test_features_are_those_of_history_to_the_last_bit(bundle: Bundle) -> None:
    live = Live(bundle.features)
    rows = np.column_stack([column(WHOLE, name) for name in live.inputs])
    one_by_one = np.array([live.update(row) for row in rows])
    assert one_by_one.tobytes() == np.ascontiguousarray(compute(WHOLE, live.names).values).tobytes()
    assert list(bundle.features) == [name for name in inputs.NAMES if name in bundle.features]


def test_hours_with_unknown_inputs_are_among_those_compared(
    bundle: Bundle, said: list[Signals]
) -> None:
    rows = LATE.X[CUT - 1 :, inputs.places(bundle.features)]
    usual = np.isfinite(LATE.X[CUT - 500 : CUT, inputs.places(bundle.features)]).mean(axis=0) > 0.9
    gap = np.isnan(rows[:, usual]).any(axis=1)
    assert 3 < sum(one.fallback is None and bool(gap[i]) for i, one in enumerate(said)) < 150


def test_a_silent_member_is_heard_by_nobody(bundle: Bundle, walked: dict[str, Walked]) -> None:
    """The linear models say nothing without the volume of ranges; the trees go on."""
    rows = LATE.X[CUT:, inputs.places(bundle.features)].copy()
    rows[:, bundle.features.index("log_parkinson_6h")] = np.nan
    made = Outputs(bundle).made(rows, np.zeros((len(rows), len(HEADS))))
    k = [target.name for target in bundle.targets].index("volatility.24h")
    first = sum(len(target.members) for target in bundle.targets[:k])
    names = [member.name for member in bundle.targets[k].members]
    silent = np.isnan(made.members[:, first : first + len(names)]).all(axis=0)
    assert dict(zip(names, silent, strict=True)) == {
        "range_har": True,
        "trees": False,
        "trees_on_har": True,
    }
    alone = made.members[:, first + names.index("trees")]
    np.testing.assert_allclose(made.scores[:, k], alone, rtol=1e-14)


def test_c_is_live_in_all_three_readings(said: list[Signals]) -> None:
    spoken = [one for one in said if one.fallback is None]
    for one in spoken:
        assert one.literal == one.values["direction.4h"]
        assert one.bearish == 1.0 - one.literal
        assert one.hedge_value == one.values["hedge_pays.4h"]
    assert np.isfinite([one.hedge_value for one in spoken]).mean() > 0.9


def test_the_first_hour_that_may_be_forecast_is_the_last_of_the_training(
    bundle: Bundle, said: list[Signals]
) -> None:
    assert bundle.trained_to == from_ms(said[0].ts_ms)
    assert said[0].fallback is None
    assert bundle.expires == bundle.trained_to + timedelta(days=45)


def test_a_process_that_starts_later_says_the_same(bundle: Bundle, said: list[Signals]) -> None:
    live = LiveSignals(bundle, limits=LIMITS)
    start = start_row(live, bundle, WHOLE)
    assert start == max(CUT - 1 - 3 * live.warm_up_h, 0)
    late = list(replay(live, EVERY, WHOLE, start=start))[-1]
    for mine in ("values", "lower", "upper"):
        now, before = getattr(late, mine), getattr(said[-1], mine)
        np.testing.assert_allclose(list(now.values()), list(before.values()), atol=1e-9)


def test_the_same_history_gives_the_same_bundle(walked: dict[str, Walked], bundle: Bundle) -> None:
    one = {"volatility.24h": EVERY["volatility.24h"]}
    twice = [
        train_bundle(EARLY, one, walked=walked, created_at=bundle.created_at, limits=LIMITS)
        for _ in range(2)
    ]
    assert twice[0].texts == twice[1].texts
    assert twice[0].run == twice[1].run
    assert twice[0].metrics.keys() == {f"volatility.24h.{m}" for m in ("rows", "r2", "error_ratio")}
    assert len(twice[0].features) < len(bundle.features)
    assert not twice[0].networks


def test_what_cannot_be_calibrated_is_left_out(walked: dict[str, Walked]) -> None:
    early = Programme.of(cut(WHOLE, 24 * 70), SMALL.signals)
    few = {key: targets()[key] for key in ("direction.24h", "adverse_move.24h")}
    created = from_ms(int(WHOLE.ts_ms[-1]))
    short = run(early, few, workers=2)
    found = train_bundle(
        early, few, walked=short, created_at=created, limits=DriftLimits(window_h=240)
    )
    assert [target.name for target in found.targets] == ["adverse_move.24h"]
    assert not any(name.startswith("direction") for name in (*found.texts, *found.tensors))
    alone = {"direction.24h": few["direction.24h"]}
    with pytest.raises(NotEnoughData, match=r"direction\.24h: no model has enough rows"):
        train_bundle(early, alone, walked=short, created_at=created)
