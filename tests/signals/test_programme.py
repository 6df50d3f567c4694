"""The programme at its full width on a small history: nothing later is seen, nothing done twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import SignalSettings
from counterpoise.errors import NotEnoughData
from counterpoise.market.timeline import Bars
from counterpoise.signals import conformal, labels, stack
from counterpoise.signals.confidence import fit_validated
from counterpoise.signals.linear import Linear
from counterpoise.signals.own_model import load_model
from counterpoise.signals.programme import (
    SCALE_HALF_LIFE,
    Programme,
    Walked,
    combine,
    run,
    trailing_error,
)
from counterpoise.signals.stack import past_weights
from counterpoise.signals.targets import Target, judged, targets
from tests.random_timeline import cut, random_timeline

HOURS = 24 * 240
SMALL = SignalSettings(min_train_days=60)
EVERY = targets()


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.of(random_timeline(HOURS, seed=2, gap_share=0.001), SMALL)


@pytest.fixture(scope="module")
def walked(programme: Programme) -> dict[str, Walked]:
    return run(programme, EVERY, workers=2)


def series(one: Walked) -> dict[str, np.ndarray]:
    """Everything that claims to have been known at its tick."""
    return {
        **one.candidates,
        "blend": one.score,
        "best forecast": one.best,
        "lower": one.interval.lower,
        "upper": one.interval.upper,
    }


def same_before(early: dict[str, Walked], late: dict[str, Walked], ticks: int) -> None:
    assert early.keys() == late.keys()
    for key, one in early.items():
        then, now = series(one), series(late[key])
        assert then.keys() == now.keys()
        for name, values in then.items():
            assert values[:ticks].tobytes() == now[name][:ticks].tobytes(), (key, name)
        for row, weights in one.weights.items():
            assert row >= ticks or np.array_equal(weights, late[key].weights[row])


# In the middle of a month, at the first tick of one, and near the end.
@pytest.mark.parametrize("ticks", [2500, 2184 + 1, 5000])
def test_forecasts_are_the_same_when_history_ends_there(
    programme: Programme, walked: dict[str, Walked], ticks: int
) -> None:
    early = run(Programme.of(cut(programme.timeline, ticks), SMALL), EVERY, workers=2)
    same_before(early, walked, ticks)
    for key, one in early.items():
        assert np.isfinite(one.score[-24:]).any(), key


def test_forecasts_are_the_same_whatever_comes_after(
    programme: Programme, walked: dict[str, Walked]
) -> None:
    ticks = 4000
    whole = programme.timeline

    def other(bars: Bars) -> Bars:
        def changed(values: np.ndarray) -> np.ndarray:
            later = values[ticks:][::-1] * 3.0
            return np.concatenate([values[:ticks], later])

        return Bars(*(changed(getattr(bars, name)) for name in Bars.__dataclass_fields__))

    perp = other(whole.perp)
    settled, last = whole.funding_settled.copy(), whole.funding_last.copy()
    settled[ticks:] *= -5.0
    last[ticks:] *= -5.0
    future = replace(
        whole,
        spot=other(whole.spot),
        perp=perp,
        mark_high=perp.high,
        funding_settled=settled,
        funding_last=last,
    )
    found = run(Programme.of(future, SMALL), EVERY, workers=2)
    same_before(found, walked, ticks)
    for key, one in found.items():
        assert not np.array_equal(one.score, walked[key].score, equal_nan=True), key


def test_every_target_is_forecast_from_its_first_refit_on(walked: dict[str, Walked]) -> None:
    for key, one in walked.items():
        first = one.splits[0].predict.start
        for name, forecast in one.candidates.items():
            assert np.isnan(forecast[:first]).all()
            assert np.isfinite(forecast[first:]).mean() > 0.5, (key, name)
        # An outcome and an embargo lie between the last row of the past and the refit.
        for split in one.splits:
            assert split.train.stop - 1 + 2 * max(one.target.horizon_h, 12) <= split.predict.start
            assert split.predict.start in one.weights


def test_blends_use_the_weights_of_their_past_and_calibration_only_moves_probabilities(
    walked: dict[str, Walked],
) -> None:
    for one in walked.values():
        target = one.target
        members = {n: one.candidates[n] for n in target.blended if n in one.candidates}
        assert "lstm" not in members
        for split in one.splits:
            start = split.predict.start
            expected = past_weights(
                members,
                one.outcome,
                start,
                horizon_h=target.horizon_h,
                loss=target.loss,
                quantile=target.quantile,
            )
            assert np.array_equal(one.weights[start], expected)
            mixed = stack.blend(members, expected, split.predict)
            assert one.score[split.predict].tobytes() == mixed.tobytes()
        if target.loss in ("mean", "median"):
            assert one.best is one.score


def test_probabilities_are_calibrated_on_outcomes_known_by_the_refit(
    walked: dict[str, Walked],
) -> None:
    for key in ("direction.1h", "direction.4h", "direction.24h"):
        one, hours = walked[key], walked[key].target.horizon_h
        spoke = 0
        for split in one.splits:
            # The newest outcome of use began ``hours`` before the refit.
            rows = np.arange(split.predict.start - hours + 1)
            calibrator = fit_validated(one.score[rows], one.outcome[rows], horizon_h=hours)
            found = one.best[split.predict]
            if calibrator is None:
                assert np.isnan(found).all()
            else:
                spoke += 1
                assert found.tobytes() == calibrator(one.score[split.predict]).tobytes()
        assert spoke, key


def test_the_interval_of_a_direction_is_about_the_return(
    programme: Programme, walked: dict[str, Walked]
) -> None:
    one = walked["direction.4h"]
    close = programme.timeline.spot.close
    moved = np.log(close[4:] / close[:-4])
    np.testing.assert_allclose(one.bounded[:-4], moved, rtol=0, atol=1e-14)
    good = np.isfinite(one.interval.lower) & np.isfinite(one.bounded)
    bounded, spoke = np.isfinite(one.interval.upper), np.isfinite(one.best)
    assert np.array_equal(bounded, np.isfinite(one.interval.lower))
    # No bound without a forecast, nor where the ranges behind its scale are unknown.
    assert not (bounded & ~spoke).any()
    assert bounded[spoke].mean() > 0.99
    inside = (one.bounded >= one.interval.lower) & (one.bounded <= one.interval.upper)
    assert good.sum() > 2000
    assert inside[good].mean() == pytest.approx(0.9, abs=0.03)


def test_the_best_quantile_is_its_adaptive_bound(walked: dict[str, Walked]) -> None:
    for key, level in (("adverse_move.24h", 0.95), ("adverse_move.24h_99", 0.99)):
        one = walked[key]
        assert one.best is one.interval.upper
        assert np.isnan(one.interval.lower).all()
        expected = conformal.bound(
            one.score,
            one.score,
            one.outcome,
            delay=24,
            tail=1.0 - level,
            rate=one.target.rate,
            upper=True,
            multiple=0.0,
        )
        assert one.best.tobytes() == expected.tobytes()


def test_a_running_settlement_has_an_interval_for_each_hour_before_it(
    programme: Programme, walked: dict[str, Walked]
) -> None:
    one = walked["funding.next"]
    hour = programme.timeline.ts_ms // 3_600_000 % 8
    rows = np.where(hour == 3, one.score, np.nan)
    expected = conformal.interval(
        rows,
        trailing_error(rows, one.outcome, 8),
        one.outcome,
        delay=8,
        level=0.9,
        rate=one.target.rate,
    )
    assert one.interval.upper[hour == 3].tobytes() == expected.upper[hour == 3].tobytes()
    assert one.interval.lower[hour == 3].tobytes() == expected.lower[hour == 3].tobytes()


def test_the_scale_of_an_interval_is_the_mean_error_known_by_then() -> None:
    rng = np.random.default_rng(6)
    center, outcome = rng.normal(size=(2, 3000))
    center[::5] = np.nan
    outcome[7::11] = np.nan
    found = trailing_error(center, outcome, 24)
    errors = np.abs(outcome - center)
    for t in (23, 24, 25, 400, 1000):
        known = errors[: t - 24 + 1] if t >= 24 else np.empty(0)
        known = known[np.isfinite(known)]
        expected = known.mean() if len(known) else np.nan
        assert found[t] == pytest.approx(expected, rel=1e-12, nan_ok=True)
    # From some 1,040 errors on the old ones fade, by half every 720.
    keep = 0.5 ** (1 / SCALE_HALF_LIFE)
    known = errors[: 3000 - 24]
    known = known[np.isfinite(known)]
    start = int(np.ceil(1 / (1 - keep)))
    mean = known[: start - 1].mean()
    for error in known[start - 1 :]:
        mean = keep * mean + (1 - keep) * error
    assert found[-1] == pytest.approx(mean, rel=1e-9)


def test_parts_of_a_probability_are_averaged_by_their_log_odds() -> None:
    target = EVERY["direction.4h"]
    parts = [np.array([0.2, 0.5, np.nan]), np.array([0.8, 0.9, 0.5])]
    # The odds of the mean are the geometric mean of the odds: 1, and 3.
    found = combine(target, parts)
    np.testing.assert_allclose(found, [0.5, 0.75, np.nan], rtol=1e-12)
    assert combine(target, parts[:1]) is parts[0]
    plain = combine(EVERY["volatility.24h"], parts)
    np.testing.assert_allclose(plain, [0.5, 0.7, np.nan])
    certain = combine(target, [np.array([0.0, 1.0]), np.array([0.5, 0.5])])
    assert np.isfinite(certain).all()


def test_threads_change_nothing_and_processes_neither(
    programme: Programme, walked: dict[str, Walked]
) -> None:
    some = {key: EVERY[key] for key in ("funding.7d", "adverse_move.24h")}
    expected = {key: walked[key] for key in some}
    same_before(run(programme, some, workers=1), expected, HOURS)
    same_before(run(programme, some, backend="local", workers=2), expected, HOURS)


def test_a_target_does_not_depend_on_which_others_are_asked(
    programme: Programme, walked: dict[str, Walked]
) -> None:
    for key in ("direction.1h", "funding.next"):
        same_before(run(programme, {key: EVERY[key]}, workers=1), {key: walked[key]}, HOURS)


def test_a_second_run_with_the_same_folder_does_no_work(
    programme: Programme, walked: dict[str, Walked], tmp_path: Path
) -> None:
    some = {key: EVERY[key] for key in ("funding.7d", "volatility.24h")}
    expected = {key: walked[key] for key in some}

    def again() -> tuple[dict[str, Walked], list[tuple[int, int]]]:
        told: list[tuple[int, int]] = []
        found = run(
            programme,
            some,
            folder=tmp_path,
            workers=1,
            progress=lambda done, of: told.append((done, of)),
        )
        return found, told

    def written() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}

    first, told = again()
    # A mean of two candidates asks for nothing new: what it is made of is learned once.
    models = {
        key: {repr(part.model) for one in some[key].candidates for part in one.parts}
        for key in some
    }
    refits = sum(len(expected[key].splits) * len(models[key]) for key in some)
    assert told[0] == (0, refits)
    assert told[-1] == (refits, refits)
    kept = written()
    assert len(kept) == refits
    second, told = again()
    assert told == [(refits, refits)]
    assert written() == kept
    same_before(first, expected, HOURS)
    same_before(second, expected, HOURS)
    # A killed run left one out, and a disk spoilt another: these two are done, nothing else.
    gone, spoilt = sorted(tmp_path.iterdir())[:2]
    gone.unlink()
    spoilt.write_bytes(spoilt.read_bytes()[:-40])
    third, told = again()
    assert told[0] == (refits - 2, refits)
    same_before(third, expected, HOURS)
    changed = {name for name, when in written().items() if when != kept[name]}
    assert changed == {gone.name, spoilt.name}


def test_results_of_another_history_seed_or_model_are_not_taken_for_these(
    programme: Programme, tmp_path: Path
) -> None:
    target = EVERY["volatility.24h"]
    ranges = next(c for c in target.candidates if c.name == "range_har")
    slim = replace(target, candidates=(ranges,), baseline="range_har", blended=("range_har",))
    reseeded = replace(programme, settings=SMALL.model_copy(update={"seed": 8}))
    shorter = Programme.of(cut(programme.timeline, 3000), SMALL)
    part = replace(ranges.parts[0], model=Linear("range_har", ("log_parkinson_24h",)))
    other = replace(slim, candidates=(replace(ranges, parts=(part,)),))
    runs: list[tuple[Programme, Target]] = [
        (programme, slim),
        (reseeded, slim),
        (shorter, slim),
        (programme, other),
    ]
    kept = 0
    for which, asked in runs:
        found = run(which, {"v": asked}, folder=tmp_path, workers=1)["v"]
        kept += len(found.splits)
        assert len(list(tmp_path.iterdir())) == kept


def test_a_forecast_made_elsewhere_enters_the_blend(
    programme: Programme, walked: dict[str, Walked]
) -> None:
    key = "funding.1d"
    before = walked[key]
    knowing = before.outcome + 1e-7
    knowing[: before.splits[0].predict.start] = np.nan
    given = {key: {"lstm": knowing, "beside": before.candidates["no_change"] - 1.0}}
    one = run(programme, {key: EVERY[key]}, given=given, workers=1)[key]
    assert one.candidates["lstm"] is knowing
    members = [name for name in EVERY[key].blended if name in one.candidates]
    assert members == list(EVERY[key].blended)
    assert members[-1] == "lstm"
    first, *_, last = sorted(one.weights)
    np.testing.assert_array_equal(one.weights[first], 1 / len(members))
    # It alone was right, so the weight goes to it as outcomes become known.
    assert one.weights[last][-1] > one.weights[last][:-1].max() + 0.2
    good = np.isfinite(one.score) & np.isfinite(one.outcome) & np.isfinite(before.score)
    ours, theirs = (np.abs(w.score - one.outcome)[good].mean() for w in (one, before))
    assert ours < theirs
    # A name no blend asks for is a candidate and nothing more.
    alone = run(programme, {key: EVERY[key]}, given={key: {"beside": given[key]["beside"]}})[key]
    assert "beside" in alone.candidates
    assert alone.score.tobytes() == before.score.tobytes()


OWN = """import numpy as np


class Fitted:
    def __init__(self, level):
        self.level = level

    def predict(self, X, rows):
        return np.full(rows.stop - rows.start, self.level)


class Mine:
    name = "mine"

    def fit(self, X, y, seed):
        return Fitted(float(np.nanmean(y)))


model = Mine()
"""


def test_a_users_model_is_walked_forward_here_and_kept_nowhere(
    programme: Programme, walked: dict[str, Walked], tmp_path: Path
) -> None:
    from counterpoise.appraisal.assess import with_own

    file = tmp_path / "mine.py"
    file.write_text(OWN, encoding="utf-8")
    key = "volatility.24h"
    ours = with_own({key: EVERY[key]}, {key: load_model(file, "value")})
    results = tmp_path / "results"
    one = run(programme, ours, folder=results, workers=1)[key]
    assert len(list(results.iterdir())) == len(one.splits) * len(EVERY[key].candidates)
    outcome = labels.log_variance(programme.timeline, 24).values
    for split in one.splits:
        expected = np.nanmean(outcome[: split.train.stop])
        np.testing.assert_allclose(one.candidates["mine"][split.predict], expected, rtol=1e-12)
    assert one.score.tobytes() == walked[key].score.tobytes()


@pytest.mark.parametrize("key", ["direction.4h", "volatility.7d", "funding.7d"])
def test_too_short_a_history_says_what_it_would_take(key: str) -> None:
    short = Programme.of(random_timeline(24 * 59, seed=2), SMALL)
    with pytest.raises(NotEnoughData) as told:
        run(short, {key: EVERY[key]})
    message = str(told.value)
    assert "2020-01-01" in message
    assert "2020-02-28" in message
    assert "no month start 60 days after the first outcome" in message
    assert "Next: " in message
    assert "signals.min_train_days" in message


def test_a_history_without_a_single_outcome_says_so_too() -> None:
    base = random_timeline(24 * 100, seed=2)
    silent = replace(base, funding_settled=np.full_like(base.funding_settled, np.nan))
    with pytest.raises(NotEnoughData, match="funding over 168 h"):
        run(Programme.of(silent, SMALL), {"funding.7d": EVERY["funding.7d"]})


def test_the_next_settlement_is_judged_an_hour_before_it(programme: Programme) -> None:
    hour = programme.timeline.ts_ms // 3_600_000 % 8
    assert np.array_equal(judged(EVERY["funding.next"], programme.timeline), hour == 7)
    assert judged(EVERY["funding.7d"], programme.timeline).all()


@pytest.mark.parametrize("key", sorted(EVERY))
def test_every_target_names_its_baseline_and_its_blend_among_its_candidates(key: str) -> None:
    target = EVERY[key]
    names = [candidate.name for candidate in target.candidates]
    assert target.key == key
    assert target.baseline in names
    assert set(target.blended) - {"lstm"} <= set(names)
    assert len(set(names)) == len(names)
    label = target.outcome(random_timeline(400))
    assert label.horizon_h == target.horizon_h
