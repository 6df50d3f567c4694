"""An honest model passes; each way to cheat is caught by the check that is about it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import d2_pinball_score, r2_score, roc_auc_score

from counterpoise.appraisal.audit import OF_FITS, audit_model, audit_pipeline
from counterpoise.appraisal.checks import Audit, Check, joined, not_evaluated
from counterpoise.appraisal.exam import Exam, exam_of, score
from counterpoise.appraisal.model_cuts import ROUNDING, first_change
from counterpoise.appraisal.placebo import shifted, shuffled
from counterpoise.appraisal.walk import Walk, learned_from, refits, refuse_short_purge
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.signals.own_model import load_model
from counterpoise.signals.targets import find, trees_of
from counterpoise.signals.walkforward import Split, month_starts
from tests.appraisal import models
from tests.appraisal.models import Honest, exam
from tests.random_timeline import random_timeline

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_model.py"
RULES = {"embargo_h": 24, "min_train_days": 90}
LEAKS = ("look-ahead in forecasting", "look-ahead in training", "memory between fits")


def audited(model, about: Exam | None = None, **rules) -> dict[str, Check]:
    """Checks of a model by their name."""
    found = audit_model(model, about or exam(), **(RULES | rules))
    assert {check.subject for check in found.checks} == {f"{model.name} made up"}
    return {check.name: check for check in found.checks}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.verdict == "FAIL"}


# --- verdicts ------------------------------------------------------------------------------------


def test_one_failure_fails_an_audit_and_nothing_evaluated_is_no_pass() -> None:
    good = Check("m", "a", "PASS", 0.0, "", 0.0, "")
    bad = replace(good, name="b", verdict="FAIL")
    unknown = not_evaluated("m", "c", "why")
    assert joined([Audit((good, unknown)), Audit((bad,))]).verdict == "FAIL"
    assert Audit((good, unknown)).verdict == "PASS"
    assert Audit((unknown,)).verdict == Audit(()).verdict == "NOT EVALUATED"
    assert Audit((good, bad)).failures() == (bad,)
    assert Audit((good, bad)).as_dict()["checks"][1]["verdict"] == "FAIL"
    with pytest.raises(KeyError, match="no check 'z' of 'm'"):
        Audit((good,)).of("m", "z")


# --- honest models -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Honest(), models.LooksBack()], ids=lambda one: one.name)
def test_an_honest_model_passes_every_check(model) -> None:
    checks = audited(model)
    assert {check.verdict for check in checks.values()} == {"PASS"}
    assert checks["labels"].value == 24
    assert checks["placebo"].value == 1.0
    assert 0.55 < checks["credible"].value < 0.72


def test_the_documented_example_passes_the_walk_forward_and_the_audit() -> None:
    about, model = exam(), load_model(EXAMPLE, "probability")
    walk = Walk(model, refits(about, **RULES), 1)
    made = walk(about.X, about.y)
    spoken = np.isfinite(made)
    assert spoken.sum() == sum(one.predict.stop - one.predict.start for one in walk.splits)
    assert score("probability", made, about.y) > 0.6
    assert {check.verdict for check in audited(model, about).values()} == {"PASS"}


def test_the_shipped_trees_leak_nothing_and_find_nothing_where_nothing_is() -> None:
    timeline = random_timeline(24 * 220, seed=12, gap_share=0.002)
    target = find("direction.4h")
    about = replace(exam_of(target, timeline), name="made up")
    checks = audited(trees_of(target).model, about, edge=False)
    assert failed(checks) == set()
    assert all(checks[name].verdict == "PASS" for name in LEAKS)
    assert checks["placebo"].verdict == "NOT EVALUATED"


@pytest.mark.parametrize("kind", ["value", "quantile"])
def test_values_and_quantiles_are_judged_by_their_own_scores(kind) -> None:
    class Level(Honest):
        """Least squares, raised by the level's quantile of what was left."""

        name = "level"

        def fit(self, X, y, seed):
            slope, mean = self.learn(X, y)
            rest = y - mean - slope * X[:, 0]
            up = np.nanquantile(rest, 0.8) if kind == "quantile" else 0.0
            return models.Answer(lambda X, rows: mean + up + slope * X[rows, 0])

    checks = audited(Level(), exam(1.0, kind=kind))
    assert failed(checks) == set()
    assert checks["credible"].unit == {"value": "R²", "quantile": "pinball skill"}[kind]
    assert checks["credible"].value > 0.2


# --- leaks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [models.NextRow(), models.Standardised(), models.FilledFromBehind()],
    ids=lambda one: one.name,
)
def test_a_model_that_sees_a_later_row_is_caught(model) -> None:
    checks = audited(model)
    check = checks["look-ahead in forecasting"]
    assert check.verdict == "FAIL"
    assert check.value > 0
    assert "it looks ahead: the forecast of row" in check.finding
    assert " after row " in check.finding
    assert checks["memory between fits"].verdict == "PASS"


def test_a_model_file_that_peeks_is_caught(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    honest = "self.scaled(X[rows])"
    assert honest in text
    file = tmp_path / "peeking.py"
    peek = "self.scaled(np.vstack([X, X[-1:]])[rows.start + 1 : rows.stop + 1])"
    file.write_text(text.replace(honest, peek), encoding="utf-8")
    checks = audited(load_model(file, "probability"))
    assert {"look-ahead in forecasting", "look-ahead in training"} <= failed(checks)


def test_a_model_that_keeps_outcomes_between_fits_is_caught() -> None:
    checks = audited(models.Remembers())
    check = checks["memory between fits"]
    assert check.verdict == "FAIL"
    assert check.value > 0.1
    assert "after it learned from later hours: it keeps something between fits" in check.finding
    veteran = models.Remembers()
    veteran.fit(exam().X, exam().y, 1)
    assert "memory between fits" in failed(audited(veteran))


def test_a_model_that_does_not_follow_its_seed_is_caught() -> None:
    checks = audited(models.Unseeded())
    assert "memory between fits" in failed(checks)


def test_a_whole_walk_forward_that_learns_from_later_outcomes_is_caught_twice() -> None:
    about = exam(0.0)

    def all_at_once(X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Forecasts each hour by the outcome of the nearest other hour, whenever that was."""
        nearest = np.roll(y, 1)
        return np.where(np.isfinite(nearest), nearest, np.roll(y, 2))

    found = audit_pipeline("all at once", all_at_once, about, [5000, 7000])
    ahead = found.of("all at once", "look-ahead in training")
    assert ahead.verdict == "FAIL"
    assert "learns from outcomes not yet known" in ahead.finding
    leak = found.of("all at once", "shuffled labels")
    assert leak.verdict == "FAIL"
    assert leak.value > 10
    assert "it knows outcomes it should not" in leak.finding

    honest = Walk(Honest(), refits(about, **RULES), 1)
    clean = audit_pipeline("honest", honest, about, [5000, 7000])
    assert {check.name for check in clean.failures()} <= {"placebo"}


def test_an_outcome_among_the_features_is_too_good_to_be_true() -> None:
    about = exam()
    leaked = replace(about, X=np.column_stack([np.nan_to_num(about.y), about.X[:, 1]]))
    checks = audited(Honest(), leaked)
    assert checks["credible"].verdict == "FAIL"
    assert checks["credible"].value == 1.0
    assert "too good to be true (over 0.75): look for a leak" in checks["credible"].finding


@pytest.mark.parametrize(("purge", "short"), [(3, 1), (1, 3), (4, None), (10, None)])
def test_a_horizon_longer_than_the_purge_is_refused(purge: int, short: int | None) -> None:
    about = exam()
    given = [
        Split(slice(0, 3000), slice(3100, 3200)),
        Split(slice(0, 5001 - purge), slice(5000, 6000)),
    ]
    if short is None:
        assert refuse_short_purge(about, given) == purge - 4
        return
    with pytest.raises(FixConfig) as refused:
        refuse_short_purge(about, given)
    told = str(refused.value)
    assert "horizon of made up = '4 h'" in told
    assert f"at most the purge of {purge} h" in told
    assert f"the last {short} h of outcomes were not known then" in told
    assert "purge at least 4 h" in told


# --- what is named -------------------------------------------------------------------------------


def test_features_that_teach_nothing_are_named() -> None:
    about = exam()
    X = np.column_stack([about.X[:, 0], np.full(len(about.y), 3.0)])
    X[:6000, 1] = np.nan
    check = audited(Honest(), replace(about, X=X))["inputs"]
    assert check.verdict == "NOT EVALUATED"
    assert "noise in " in check.finding
    assert "signal" not in check.finding
    nothing = audited(models.Constant(), replace(about, X=np.full_like(X, np.nan)))
    assert nothing["inputs"].verdict == "FAIL"


def test_folds_with_one_kind_of_outcome_are_named() -> None:
    about = exam()
    y = about.y.copy()
    start = refits(about, **RULES)[-1].predict.start
    y[start:] = 0.0
    check = audited(Honest(), replace(about, y=y))["folds"]
    assert (check.verdict, check.value) == ("FAIL", 1.0)
    month = str(about.ts_ms[start].astype("datetime64[ms]").astype("datetime64[D]"))
    assert check.finding == f"forecast of {month} has only 0"
    never = audited(Honest(), replace(about, y=np.where(np.isfinite(y), 0.0, np.nan)))
    assert never["folds"].verdict == "FAIL"
    assert {never[name].verdict for name in OF_FITS} == {"NOT EVALUATED"}


def test_no_model_learns_from_one_kind_of_outcome() -> None:
    class Strict(Honest):
        """Refuses what it cannot learn from."""

        name = "strict"

        def fit(self, X, y, seed):
            assert 0.0 < np.nanmean(y) < 1.0
            return super().fit(X, y, seed)

    about = exam()
    first = refits(about, **RULES)[0]
    y = np.where(np.arange(len(about.y)) < first.train.stop, 1.0, about.y)
    checks = audited(Strict(), replace(about, y=y))
    assert checks["folds"].finding == "training of 2020-04-01 has only 1"
    assert failed(checks) == {"folds"}
    assert tuple(checks)[3:] == OF_FITS


def test_a_model_without_skill_fails_unless_there_was_none_to_find() -> None:
    about = exam(0.0)
    assert failed(audited(Honest(), about)) == {"placebo"}
    assert failed(audited(Honest(), about, edge=False)) == set()


def test_a_model_worse_than_a_constant_has_no_skill_whatever_shifts_score() -> None:
    class Off(Honest):
        """Right about the direction and far off the level."""

        name = "off"

        def fit(self, X, y, seed):
            slope, mean = self.learn(X, y)
            return models.Answer(lambda X, rows: mean + 3.0 + slope * X[rows, 0])

    check = audited(Off(), exam(1.0, kind="value"))["placebo"]
    assert check.value > 0.95
    assert check.verdict == "FAIL"
    assert "no better than 0, no skill at all" in check.finding


def test_a_model_that_leans_on_the_beginning_of_history_is_told_by_how_much() -> None:
    check = audited(models.FromTheBeginning())["warm-up"]
    assert check.verdict == "FAIL"
    assert check.value > 0.01
    assert "with 720 h" in check.finding
    assert "with 2160 h" in check.finding


def test_a_short_history_is_refused_and_few_forecasts_tell_no_skill() -> None:
    with pytest.raises(NotEnoughData, match="hold no month start 90 days"):
        audit_model(Honest(), exam(hours=24 * 60), **RULES)
    check = audited(Honest(), exam(hours=24 * 150))["placebo"]
    assert check.verdict == "NOT EVALUATED"
    assert "no room for shifts of 30 days" in check.finding


# --- the parts -----------------------------------------------------------------------------------


def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    outcomes = rng.normal(size=400)
    made = 0.4 * outcomes + rng.normal(size=400)
    rises = (outcomes > 0).astype(float)
    assert score("probability", made, rises) == pytest.approx(roc_auc_score(rises, made))
    assert score("value", made, outcomes) == pytest.approx(r2_score(outcomes, made))
    expected = d2_pinball_score(outcomes, made + 0.5, alpha=0.8)
    assert score("quantile", made + 0.5, outcomes, 0.8) == pytest.approx(expected)
    gaps = np.where(np.arange(400) % 3 == 0, np.nan, made)
    some = np.isfinite(gaps)
    assert score("value", gaps, outcomes) == pytest.approx(r2_score(outcomes[some], made[some]))
    assert np.isnan(score("value", made, np.ones(400)))


def test_refits_are_months_apart_and_forecast_all_that_months_do() -> None:
    about = exam()
    found = refits(about, **RULES)
    starts = set(month_starts(about.ts_ms).tolist())
    assert all(split.predict.start in starts for split in found)
    assert all(a.predict.stop == b.predict.start for a, b in pairwise(found))
    assert found[-1].predict.stop == len(about.y)
    assert all(split.predict.stop - split.predict.start >= 28 * 24 for split in found)
    assert all(split.predict.start - split.train.stop + 1 == 4 + 24 for split in found)
    # April, July and October of 2020; with five days of October they join the refit of July.
    assert [split.predict.start // 24 for split in found] == [91, 182, 274]
    shorter = refits(exam(hours=24 * 279), **RULES)
    assert [split.predict.start // 24 for split in shorter] == [91, 182]
    assert shorter[-1].predict.stop == 24 * 279
    X, y = learned_from(about.X, about.y, Split(slice(10, 50), slice(60, 70)))
    assert (len(X), len(y)) == (50, 50)
    assert np.isnan(y[:10]).all()
    assert np.array_equal(y[10:], about.y[10:50])


def test_a_change_is_more_than_rounding() -> None:
    base = np.array([0.5, np.nan, 0.25])
    assert first_change(base, base.astype(np.float32).astype(float)) is None
    assert first_change(base, base + np.array([0, 0, 2 * ROUNDING])) == 2
    assert first_change(base, np.array([0.5, 0.5, 0.25])) == 1
    assert first_change(base, np.array([np.nan, np.nan, 0.25])) == 0
    assert first_change(np.full(2, np.nan), np.full(2, np.nan)) is None


def test_shifts_give_luck_its_due() -> None:
    about = exam(0.0)
    beaten = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        made = np.convolve(rng.normal(size=len(about.y) + 47), np.ones(48), "valid")
        standing = shifted(about, made, count=60, seed=seed)
        assert not isinstance(standing, str)
        beaten.append(standing.beaten)
    # Noise with a memory of two days beats 95 % of its shifts about one time in twenty.
    assert np.mean(np.array(beaten) >= 0.95) < 0.15
    assert 0.35 < np.mean(beaten) < 0.65


def test_shuffled_outcomes_leave_no_skill_to_an_honest_model() -> None:
    about = exam(0.5)
    walk = Walk(Honest(), refits(about, **RULES)[:2], 1)
    found = [shuffled(about, walk, count=2, seed=seed) for seed in range(8)]
    deviations = np.array([one.deviations for one in found if not isinstance(one, str)])
    assert len(deviations) == 8
    assert deviations.max() < 4.0
    assert abs(deviations.mean()) < 1.0
