"""The report of the forecasts: its numbers counted again, its edges, its features explained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_pinball_loss, r2_score, roc_auc_score
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.sandwich_covariance import cov_hac

from counterpoise.appraisal import ablation, contributions
from counterpoise.appraisal.ablation import ablate
from counterpoise.appraisal.assess import Asked, assess, first_judged, with_own
from counterpoise.appraisal.contributions import looked_at
from counterpoise.appraisal.report import judge, report
from counterpoise.config import Settings, SignalSettings, StudySettings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.timeline import Timeline
from counterpoise.signals import inputs
from counterpoise.signals.boosted import OnLog, Trees
from counterpoise.signals.conformal import Interval
from counterpoise.signals.linear import Column, PastQuantile
from counterpoise.signals.programme import Programme, Walked, run
from counterpoise.signals.targets import choose, targets
from counterpoise.signals.walkforward import Split
from counterpoise.units import DAY_MS, HOUR_MS, from_ms, json_ready, to_ms
from tests.random_timeline import random_timeline

JULY = 1_593_561_600_000  # 2020-07-01 00:00 UTC
NEW_YEAR = 1_609_459_200_000
HOLDOUT = NEW_YEAR - 20 * DAY_MS
SMALL = SignalSettings(min_train_days=60)
EVERY = targets()
KEYS = ("direction.4h", "volatility.24h", "funding.next", "funding.7d", "adverse_move.24h")


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return random_timeline(24 * 240, seed=9, gap_share=0.001, start_ms=JULY)


@pytest.fixture(scope="module")
def programme(timeline: Timeline) -> Programme:
    return Programme.of(timeline, SMALL)


@pytest.fixture(scope="module")
def walked(programme: Programme) -> dict[str, Walked]:
    return run(programme, {key: EVERY[key] for key in KEYS}, workers=2)


def span(timeline: Timeline) -> tuple[int, int]:
    return int(timeline.ts_ms[0]) + 130 * DAY_MS, int(timeline.ts_ms[-1]) - 3 * DAY_MS


@pytest.fixture(scope="module")
def found(timeline: Timeline, walked: dict[str, Walked]) -> Any:
    start, end = span(timeline)
    return report(timeline, walked, start_ms=start, end_ms=end, holdout_ms=HOLDOUT)


def counted(one: Walked, timeline: Timeline, where: np.ndarray | None = None) -> np.ndarray:
    """Rows of the report, told in another way: one by one."""
    start, end = span(timeline)
    rows = []
    for t, ts in enumerate(timeline.ts_ms):
        spoken = [one.outcome[t], one.score[t], one.best[t]]
        spoken += [forecast[t] for forecast in one.candidates.values()]
        asked = ts // HOUR_MS % 8 == 7 if one.target.key == "funding.next" else True
        told = ts >= start and ts + one.target.horizon_h * HOUR_MS <= end
        if asked and told and np.isfinite(spoken).all() and (where is None or where[t]):
            rows.append(t)
    return np.array(rows)


def compared(ours: np.ndarray, theirs: np.ndarray, overlap: int, gap_h: int) -> tuple:
    """Diebold and Mariano's t and p, by hand."""
    difference, n = theirs - ours, len(ours)
    if np.ptp(difference) == 0:
        return 0.0, 1.0
    lags = min(max(2 * overlap, 168 // gap_h), n // 4)
    fitted = OLS(difference, np.ones(n)).fit()
    error = np.sqrt(cov_hac(fitted, nlags=lags, use_correction=False).item())
    small = np.sqrt((n + 1 - 2 * overlap + overlap * (overlap - 1) / n) / n)
    t = difference.mean() / error * small
    return t, 2 * stats.t(n - 1).sf(abs(t))


def test_the_direction_is_judged_by_ranks_and_calibration(
    timeline: Timeline, walked: dict[str, Walked], found: Any
) -> None:
    one, told = walked["direction.4h"], found["direction"]["4h"]
    rows = counted(one, timeline)
    rises = one.outcome[rows]
    assert told["count"] == len(rows) > 1000
    assert set(told["candidates"]) == {"reversal", "trees", "blend"}
    for name, forecast in {**one.candidates, "blend": one.score, "best": one.best}.items():
        part = told["best"] if name == "best" else told["candidates"][name]
        p = forecast[rows]
        assert part["auc"] == pytest.approx(roc_auc_score(rises, p), rel=1e-12)
        raw = one.score[rows] if name == "best" else p
        assert part["auc_before_calibration"] == pytest.approx(roc_auc_score(rises, raw))
        base = rises.mean()
        skill = 1 - np.mean((p - rises) ** 2) / (base * (1 - base))
        assert part["brier_skill"] == pytest.approx(skill, rel=1e-9)
        assert part["base_rate"] == pytest.approx(base)
        assert sum(bar["count"] for bar in part["bins"]) == len(rows)
        gaps = sum(bar["count"] * abs(bar["forecast"] - bar["observed"]) for bar in part["bins"])
        assert part["ece"] == pytest.approx(gaps / len(rows), rel=1e-9)
    baseline = {k: v for k, v in told["baseline"].items() if k != "name"}
    assert told["baseline"]["name"] == "reversal"
    assert baseline == told["candidates"]["reversal"]
    close = timeline.spot.close
    moved = np.log(close[rows + 4] / close[rows])
    inside = (moved >= one.interval.lower[rows]) & (moved <= one.interval.upper[rows])
    bounded = np.isfinite(one.interval.upper[rows])
    assert told["best"]["coverage"] == pytest.approx(inside[bounded].mean())
    assert told["best"]["coverage_level"] == 0.9


@pytest.mark.parametrize(
    ("key", "loss", "overlap", "gap_h"),
    [
        ("volatility.24h", np.square, 24, 1),
        ("funding.next", np.abs, 1, 8),
        ("funding.7d", np.abs, 21, 8),
    ],
)
def test_values_are_judged_beside_no_change_and_the_baseline(
    timeline: Timeline,
    walked: dict[str, Walked],
    found: Any,
    key: str,
    loss: Any,
    overlap: int,
    gap_h: int,
) -> None:
    one = walked[key]
    told = found[one.target.name][one.target.horizon]
    rows = counted(one, timeline)
    assert told["count"] == len(rows) > 100
    y, plain = one.outcome[rows], one.candidates["no_change"][rows]
    theirs = one.candidates[one.target.baseline][rows]
    for name, forecast in {**one.candidates, "blend": one.score, "best": one.best}.items():
        part = told["best"] if name == "best" else told["candidates"][name]
        p = forecast[rows]
        assert part["r2"] == pytest.approx(r2_score(y, p), rel=1e-9, abs=1e-12)
        versus = 1 - np.sum((y - p) ** 2) / np.sum((y - plain) ** 2)
        assert part["r2_vs_no_change"] == pytest.approx(versus, rel=1e-9, abs=1e-12)
        ratio = np.abs(y - p).sum() / np.abs(y - plain).sum()
        assert part["mae_ratio"] == pytest.approx(ratio, rel=1e-9)
        assert part["bias"] == pytest.approx((y - p).mean(), rel=1e-9, abs=1e-15)
        t, p_value = compared(loss(y - p), loss(y - theirs), overlap, gap_h)
        assert part["dm_t"] == pytest.approx(t, rel=1e-6)
        assert part["dm_p"] == pytest.approx(p_value, rel=1e-6)
        assert part["dm"][one.target.baseline]["t"] == part["dm_t"]
        assert set(part["dm"]) == set(one.candidates)
    assert told["baseline"]["dm_p"] == 1.0
    assert told["candidates"]["no_change"]["mae_ratio"] == 1.0
    inside = (y >= one.interval.lower[rows]) & (y <= one.interval.upper[rows])
    bounded = np.isfinite(one.interval.upper[rows])
    assert told["best"]["coverage"] == pytest.approx(inside[bounded].mean())


def test_a_quantile_is_judged_by_its_pinball_loss_beside_the_static_one(
    timeline: Timeline, walked: dict[str, Walked], found: Any
) -> None:
    one, told = walked["adverse_move.24h"], found["adverse_move"]["24h"]
    rows = counted(one, timeline)
    y, static = one.outcome[rows], one.candidates["static"][rows]
    for name, forecast in {**one.candidates, "blend": one.score, "best": one.best}.items():
        part = told["best"] if name == "best" else told["candidates"][name]
        p = forecast[rows]
        ours, theirs = (mean_pinball_loss(y, q, alpha=0.95) for q in (p, static))
        assert part["pinball_gain"] == pytest.approx(1 - ours / theirs, rel=1e-9, abs=1e-12)
        assert part["coverage"] == pytest.approx((y <= p).mean())
        losses = [np.where(y >= q, 0.95 * (y - q), 0.05 * (q - y)) for q in (p, static)]
        t, p_value = compared(losses[0], losses[1], 24, 1)
        assert part["dm_t"] == pytest.approx(t, rel=1e-6)
        assert part["dm_p"] == pytest.approx(p_value, rel=1e-6)
    assert told["best"]["coverage_level"] == 0.95


def test_years_and_both_sides_of_the_holdout_are_parts_of_the_whole(
    timeline: Timeline, walked: dict[str, Walked], found: Any
) -> None:
    ts_ms = timeline.ts_ms
    years = np.array([from_ms(int(ts)).year for ts in ts_ms])
    for one in walked.values():
        told = found[one.target.name][one.target.horizon]
        assert list(told["by_year"]) == ["2020", "2021"]
        assert sum(part["count"] for part in told["by_year"].values()) == told["count"]
        before = ts_ms + one.target.horizon_h * HOUR_MS <= HOLDOUT
        for name, where in (
            ("2020", years == 2020),
            ("2021", years == 2021),
            ("selection", before),
            ("holdout", ts_ms >= HOLDOUT),
        ):
            part = told["by_year"].get(name) or told[name]
            rows = counted(one, timeline, where)
            assert part["count"] == len(rows)
            assert set(part) == {"count", "baseline", "best"}
            if one.target.loss == "mean":
                expected = r2_score(one.outcome[rows], one.best[rows])
                assert part["best"]["r2"] == pytest.approx(expected, rel=1e-9)
        # Outcomes that reach over the border belong to neither side.
        gap = told["count"] - told["selection"]["count"] - told["holdout"]["count"]
        astride = counted(one, timeline, ~before & (ts_ms < HOLDOUT))
        assert gap == len(astride)
        members = [name for name in one.target.blended if name in one.candidates]
        assert list(told["weights"]) == members
        assert sum(told["weights"].values()) == pytest.approx(1.0)
        last = one.weights[max(one.weights)]
        assert list(told["weights"].values()) == last.tolist()


def hand_made(key: str, outcome: np.ndarray, **candidates: np.ndarray) -> Walked:
    """A walked target whose best forecast is its first candidate's."""
    hours = len(outcome)
    first = next(iter(candidates.values()))
    one = np.ones(hours)
    return Walked(
        EVERY[key],
        outcome,
        candidates,
        first,
        first,
        {0: np.array([0.5, 0.5])},
        Interval(first - one, first + one),
        outcome,
        (Split(slice(0, 0), slice(0, hours)),),
    )


def series(hours: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    y = rng.normal(size=hours)
    return y, y + 0.5 * rng.normal(size=hours), rng.normal(size=hours)


def test_only_rows_where_everyone_spoke_count_and_who_never_spoke_is_left_out() -> None:
    y, good, plain = series()
    mute = np.full(400, np.nan)
    some = np.where(np.arange(400) < 300, good, np.nan)
    y[5] = np.nan
    one = hand_made("volatility.24h", y, trees=some, har=plain, no_change=plain, lstm=mute)
    told: Any = judge(one, np.ones(400, bool))
    assert told["count"] == 299
    assert set(told["candidates"]) == {"trees", "har", "no_change", "blend"}
    assert told["candidates"]["trees"]["r2"] > 0
    # Without its baseline there is nothing to say.
    one = hand_made("volatility.24h", y, trees=good, har=mute, no_change=plain)
    assert judge(one, np.ones(400, bool)) == {"count": 0}
    one = hand_made("volatility.24h", y, trees=good, har=plain, no_change=mute)
    assert judge(one, np.ones(400, bool)) == {"count": 0}
    assert judge(one, np.zeros(400, bool)) == {"count": 0}


def test_a_single_row_and_a_faultless_baseline_have_no_ratio() -> None:
    y, good, plain = series()
    one = hand_made("volatility.24h", y, trees=good, har=plain, no_change=plain)
    told: Any = judge(one, np.arange(400) == 7)
    assert told["count"] == 1
    assert told["best"]["r2"] is None
    assert told["best"]["dm_p"] == 1.0
    one = hand_made("funding.7d", y, trees=good, mean_of_two=plain, no_change=y)
    told = judge(one, np.ones(400, bool))
    assert told["best"]["mae_ratio"] is None
    assert told["best"]["r2_vs_no_change"] is None
    rise = np.abs(y)
    one = hand_made("adverse_move.24h", rise, trees=np.abs(good), static=rise)
    told = judge(one, np.ones(400, bool))
    assert told["best"]["pinball_gain"] is None
    json.dumps(json_ready(told), allow_nan=False)


def test_one_kind_of_outcome_has_no_auc_and_can_still_be_told() -> None:
    _, good, _ = series()
    p = 1 / (1 + np.exp(-good))
    one = hand_made("direction.4h", np.ones(400), trees=p, reversal=p)
    told: Any = judge(one, np.ones(400, bool))
    assert told["count"] == 400
    assert np.isnan(told["best"]["auc_low"])
    json.dumps(json_ready(told), allow_nan=False)


def shares_of(programme: Programme, model: Trees, outcome: np.ndarray, split: Split) -> np.ndarray:
    """Shares by LightGBM's own contributions."""
    import lightgbm

    fitted = model.fit(programme.X[: split.train.stop], outcome[: split.train.stop], 7)
    assert fitted.text is not None
    rows = programme.X[max(split.predict.stop - 90 * 24, 0) : split.predict.stop]
    booster = lightgbm.Booster(model_str=fitted.text)
    told = booster.predict(rows[:, fitted.columns], pred_contrib=True)
    mean = np.abs(np.asarray(told)[:, :-1]).mean(axis=0)
    total = np.zeros(len(inputs.NAMES))
    total[fitted.columns] = mean / mean.sum()
    return total


@pytest.mark.parametrize("key", ["direction.4h", "volatility.24h", "adverse_move.24h"])
def test_features_are_named_by_their_share_of_the_contributions(
    programme: Programme, walked: dict[str, Walked], key: str
) -> None:
    found = looked_at(programme, EVERY[key])
    assert found is not None
    total = np.zeros(len(inputs.NAMES))
    for candidate in EVERY[key].candidates:
        for part in candidate.parts:
            outcome = part.outcome(programme.timeline).values
            model = part.model
            if isinstance(model, OnLog):
                model, outcome = model.inner, np.log(np.maximum(outcome, model.floor))
            if isinstance(model, Trees):
                split = programme.splits(part.outcome(programme.timeline))[-1]
                total += shares_of(programme, model, outcome, split)
    total /= total.sum()
    order = np.argsort(-total)[:12]
    assert found.target == key
    np.testing.assert_allclose(found.share, total[order], rtol=1e-6)
    assert {inputs.NAMES[k] for k in order} == set(found.features)
    assert list(found.share) == sorted(found.share, reverse=True)
    assert sum(found.share) <= 1.0 + 1e-12


def test_a_history_shorter_than_a_quarter_is_looked_at_whole() -> None:
    short = Programme.of(random_timeline(24 * 80, seed=9), SMALL)
    assert len(short.X) < contributions.ROWS
    target = EVERY["direction.4h"]
    found = looked_at(short, target)
    assert found is not None
    total = np.zeros(len(inputs.NAMES))
    for part in next(c for c in target.candidates if c.name == "trees").parts:
        label = part.outcome(short.timeline)
        assert isinstance(part.model, Trees)
        total += shares_of(short, part.model, label.values, short.splits(label)[-1])
    np.testing.assert_allclose(found.share[0], total.max() / total.sum(), rtol=1e-6)


def test_a_target_without_trees_looks_at_nothing(programme: Programme) -> None:
    target = EVERY["funding.7d"]
    plain = tuple(c for c in target.candidates if c.name in ("no_change", "mean_of_two"))
    assert looked_at(programme, replace(target, candidates=plain)) is None


def test_ablation_trains_again_without_or_with_each_group(programme: Programme) -> None:
    rows = programme.timeline.ts_ms >= span(programme.timeline)[0]
    asked = ("funding.7d",)
    found = ablate(programme, rows, asked=asked)
    assert {(one.target, one.group) for one in found} == {
        (key, group) for key in asked for group in ablation.GROUPS
    }
    known = [one for one in found if np.isfinite(one.gain)]
    raw = []
    for one in known:
        target = EVERY[one.target]
        trees = next(c for c in target.candidates if c.name == "trees")
        model = trees.parts[0].model
        assert isinstance(model, Trees)
        group = [
            name
            for k, name in enumerate(inputs.NAMES)
            if name.startswith(ablation.GROUPS[one.group])
            and np.isfinite(programme.X[:, k]).mean() >= 0.2
        ]
        assert one.change == ("without" if set(group) & set(model.columns) else "with")
        if one.change == "without":
            columns = tuple(name for name in model.columns if name not in group)
        else:
            columns = (*model.columns, *group)
        other = replace(model, columns=columns)
        candidates = tuple(
            replace(trees, name=name, parts=(replace(trees.parts[0], model=which),))
            for name, which in (("a", model), ("b", other))
        )
        pair = replace(target, candidates=candidates, baseline="a", blended=("a",))
        walk = run(programme, {one.target: pair}, workers=1)[one.target]
        y, loss = walk.outcome, np.square if target.loss == "mean" else np.abs
        good = rows & np.isfinite(y + walk.candidates["a"] + walk.candidates["b"])
        plain, changed = (loss(y - walk.candidates[name])[good] for name in "ab")
        ours, theirs = (plain, changed) if one.change == "without" else (changed, plain)
        assert one.gain == pytest.approx(1 - ours.sum() / theirs.sum(), rel=1e-9)
        gap_h = 8 if one.target == "funding.7d" else 1
        raw.append(compared(ours, theirs, target.horizon_h // gap_h, gap_h)[1])
    expected = multipletests(raw, method="holm")[1]
    np.testing.assert_allclose([one.p for one in known], expected, rtol=1e-6)
    for one in known:
        told = "helps" if one.gain > 0 else "hurts"
        luck = "nothing that can be told from luck"
        assert one.verdict == (luck if one.p >= 0.05 else told)
    absent = [one for one in found if np.isnan(one.gain)]
    assert {one.group for one in absent} >= {"events"}
    assert all(one.verdict == "not evaluated: never known" for one in absent)
    assert {one.change for one in known} == {"with", "without"}


def test_an_informative_group_helps_and_noise_cannot_be_told_from_luck(
    programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = programme.timeline
    outcome = EVERY["volatility.24h"].outcome(base).values
    rng = np.random.default_rng(1)
    X = programme.X.copy()
    oracle, noise = (inputs.NAMES.index(name) for name in ("gas_price_change", "vix_change"))
    week = X[:, inputs.NAMES.index("log_parkinson_168h")]
    X[:, oracle] = outcome - 2.0 * week + 0.3 * rng.normal(size=len(X))
    X[:, noise] = rng.normal(size=len(X))
    groups = {"oracle": ("gas_price_change",), "noise": ("vix_change",)}
    monkeypatch.setattr(ablation, "GROUPS", groups)
    rows = base.ts_ms >= span(base)[0]
    found = ablate(replace(programme, X=X), rows, asked=("volatility.24h",))
    told = {one.group: one for one in found}
    assert told["oracle"].verdict == "helps"
    assert told["oracle"].gain > 0.2
    assert abs(told["noise"].gain) < 0.1


def test_an_ablation_without_an_hour_to_judge_says_so(programme: Programme) -> None:
    nowhere = np.zeros(len(programme.X), bool)
    found = ablate(programme, nowhere, asked=("funding.7d",))
    assert {one.verdict for one in found} == {
        "not evaluated: no hour to judge it at",
        "not evaluated: never known",
    }


def settings_of(**study: Any) -> Settings:
    return Settings(signals=SMALL, study=StudySettings(**study))


def test_judging_begins_at_a_midnight_at_which_every_target_has_spoken(
    timeline: Timeline, walked: dict[str, Walked]
) -> None:
    begun = max(int(np.flatnonzero(np.isfinite(one.best))[0]) for one in walked.values())
    # One of them begins five hours later, and is silent again at the next midnight.
    late = walked["funding.7d"].best.copy()
    late[: begun + 5] = np.nan
    late[begun + 20 : begun + 30] = np.nan
    walked = {**walked, "funding.7d": replace(walked["funding.7d"], best=late)}
    first = int(timeline.ts_ms[begun + 5])
    midnight = -(-first // DAY_MS) * DAY_MS
    assert midnight > first
    # A burn-in longer than history is no reason to say nothing.
    assert first_judged(timeline, walked, settings_of()) == midnight
    assert first_judged(timeline, walked, settings_of(burn_in_days=0)) == midnight
    burnt = first_judged(timeline, walked, settings_of(burn_in_days=150))
    assert burnt == int(timeline.ts_ms[0]) + 150 * DAY_MS > midnight
    asked = from_ms(NEW_YEAR + HOUR_MS)
    assert first_judged(timeline, walked, settings_of(start=asked)) == to_ms(asked)


def test_a_history_on_which_not_every_target_speaks_says_what_to_do() -> None:
    # Days of direction are calibrated on a hundred outcomes, which this history has not.
    with pytest.raises(NotEnoughData) as told:
        assess(
            random_timeline(24 * 100, seed=9),
            settings_of(),
            Asked(keys=("direction.24h",), network=False),
        )
    assert "too short to train every target" in str(told.value)
    assert "--target" in str(told.value)


class Mean:
    """A user's model: the mean of the past."""

    def __init__(self, name: str = "mine") -> None:
        self.name = name

    def fit(self, X: np.ndarray, y: np.ndarray, seed: int) -> Any:
        return PastQuantile(self.name, 0.5).fit(X, y, seed)


def test_an_assessment_is_the_report_with_its_circumstances(
    timeline: Timeline, tmp_path: Path
) -> None:
    asked = Asked(
        keys=("volatility.24h", "funding.7d"),
        ablation=True,
        network=False,
        models=tmp_path / "models",
        results=tmp_path / "results",
        workers=2,
    )
    told: list[tuple[str, int, int]] = []
    end = from_ms(int(timeline.ts_ms[-1]) - 5 * DAY_MS)
    settings = settings_of(end=end, holdout_start=from_ms(HOLDOUT))
    own = {"volatility.24h": Column("mine", "log_rv_24h")}
    found: Any
    found, walked = assess(
        timeline, settings, asked, own=own, progress=lambda *one: told.append(one)
    )
    assert list(walked) == ["volatility.24h", "funding.7d"]
    start = first_judged(timeline, walked, settings)
    again: Any = report(
        timeline,
        walked,
        start_ms=start,
        end_ms=to_ms(end),
        holdout_ms=HOLDOUT,
        trials=found["trials"],
    )
    assert json.dumps(json_ready({name: found[name] for name in again})) == json.dumps(
        json_ready(again)
    )
    assert "mine" in found["volatility"]["24h"]["candidates"]
    assert "mine" not in found["volatility"]["24h"]["weights"]
    assert "mine" not in found["funding"]["7d"]["candidates"]
    assert found["synthetic"] is True
    assert found["holdout"].startswith("2020-12-12")
    assert found["trials"] > 300
    unknown = [k for k in range(len(inputs.NAMES)) if _never(timeline, k)]
    never = ", ".join(inputs.NAMES[k] for k in unknown)
    assert found["not_evaluated"][0] == f"{never}: the lake never knows them"
    assert [one["target"] for one in found["contributions"]] == list(walked)
    assert {row["target"] for row in found["ablation"]} == set(walked)
    assert {what for what, _, _ in told} == {"refits", "ablation"}
    json.dumps(json_ready(found), allow_nan=False)
    # Both caches were used: a second assessment says the same and writes nothing.
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    second, _ = assess(timeline, settings, asked, own=own)
    assert json.dumps(json_ready(second)) == json.dumps(json_ready(found))
    assert files == {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*") if f.is_file()}


def _never(timeline: Timeline, k: int) -> bool:
    from counterpoise.features.engine import compute

    return not np.isfinite(compute(timeline, [inputs.NAMES[k]]).values).any()


def test_targets_are_chosen_by_key_in_their_own_order() -> None:
    assert list(choose(EVERY, ())) == list(EVERY)
    assert list(choose(EVERY, ("funding.7d", "direction.1h"))) == ["direction.1h", "funding.7d"]
    with pytest.raises(FixConfig, match=r"direction\.5h"):
        choose(EVERY, ("direction.5h",))


@pytest.mark.parametrize("name", ["trees", "no_change", "har", "lstm", "blend", "best"])
def test_a_users_model_may_not_bear_a_name_of_ours(name: str) -> None:
    some = {"volatility.24h": EVERY["volatility.24h"]}
    with pytest.raises(FixConfig, match=name):
        with_own(some, {"volatility.24h": Mean(name)})
    mine = with_own(some, {"volatility.24h": Mean()})["volatility.24h"]
    assert [one.name for one in mine.candidates][-1] == "mine"
    assert mine.blended == EVERY["volatility.24h"].blended
    # A model for a target that is not asked is nobody's.
    assert with_own(some, {"funding.7d": Mean("trees")}) == some


def test_a_target_without_a_row_in_the_span_is_told_with_a_count_of_zero(
    timeline: Timeline, walked: dict[str, Walked]
) -> None:
    end = int(timeline.ts_ms[-1])
    found: Any = report(timeline, walked, start_ms=end - DAY_MS, end_ms=end, holdout_ms=HOLDOUT)
    week = found["funding"]["7d"]
    assert week["count"] == 0
    assert week["by_year"] == {}
    assert week["selection"] == week["holdout"] == {"count": 0}
    assert found["direction"]["4h"]["count"] > 0
