"""Errors of scores against other people's formulas, and the size of a test by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_pinball_loss
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.sandwich_covariance import cov_hac

from counterpoise.appraisal import scores
from counterpoise.signals.confidence import auc, brier


def ar(rng: np.random.Generator, size: int, memory: float) -> np.ndarray:
    """An autoregression that has forgotten where it began."""
    from scipy.signal import lfilter

    return np.asarray(lfilter([1.0], [1.0, -memory], rng.normal(size=size + 400))[400:])


@pytest.mark.parametrize("lags", [0, 1, 7, 60])
@pytest.mark.parametrize("memory", [0.0, 0.8, -0.5])
def test_the_long_run_variance_is_newey_and_wests(lags: int, memory: float) -> None:
    values = 3.0 + ar(np.random.default_rng(lags), 500, memory)
    fitted = OLS(values, np.ones(500)).fit()
    expected = float(cov_hac(fitted, nlags=lags, use_correction=False).item())
    assert scores.long_run_variance(values, lags) / 500 == pytest.approx(expected, rel=1e-10)
    assert scores.standard_error(values, lags) == pytest.approx(np.sqrt(expected), rel=1e-10)


@given(size=st.integers(1, 40), lags=st.integers(0, 60), seed=st.integers(0, 99))
def test_the_long_run_variance_is_a_plain_sum_of_autocovariances(
    size: int, lags: int, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=size)
    centred = values - values.mean()
    total = centred @ centred / size
    for k in range(1, min(lags, size - 1) + 1):
        total += 2 * (1 - k / (lags + 1)) * (centred[k:] @ centred[:-k]) / size
    floor = centred @ centred / size / size
    found = scores.long_run_variance(values, lags)
    assert found == pytest.approx(max(total, floor), rel=1e-9, abs=1e-14)
    assert found >= 0.0


def test_the_standard_error_is_the_spread_of_the_mean_over_many_histories() -> None:
    rng = np.random.default_rng(2)
    histories = [ar(rng, 2000, 0.8) for _ in range(300)]
    spread = np.std([one.mean() for one in histories])
    told = np.mean([scores.standard_error(one, 60) for one in histories])
    assert told == pytest.approx(spread, rel=0.15)
    # Without the neighbours it would be a third of that.
    assert np.mean([scores.standard_error(one, 0) for one in histories]) < 0.45 * spread


def judged(seed: int, size: int, memory: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = ar(rng, size, memory)
    score = np.round(truth / truth.std() + 1.5 * rng.normal(size=size), 1)
    return score, (truth > 0.3).astype(float)


def test_the_auc_interval_is_delongs_where_rows_are_independent() -> None:
    score, rises = judged(1, 800)
    found = scores.auc_interval(score, rises, 0)
    above, below = score[rises > 0], score[rises <= 0]
    beats = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    variance = beats.mean(axis=1).var() / len(above) + beats.mean(axis=0).var() / len(below)
    assert found.value == pytest.approx(beats.mean(), rel=1e-12)
    assert found.value == pytest.approx(auc(score, rises), rel=1e-15)
    assert found.high - found.value == pytest.approx(1.96 * np.sqrt(variance), rel=1e-6)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_the_auc_interval_agrees_with_a_bootstrap_of_rows() -> None:
    score, rises = judged(3, 1000)
    rng = np.random.default_rng(0)
    drawn = [auc(score[rows], rises[rows]) for rows in rng.integers(0, 1000, size=(800, 1000))]
    found = scores.auc_interval(score, rises, 0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)


def test_the_auc_interval_of_neighbours_that_are_alike_agrees_with_blocks() -> None:
    score, rises = judged(4, 4000, 0.95)
    found, naive = (scores.auc_interval(score, rises, lags) for lags in (168, 0))
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 4000 - 200 + 1, size=(400, 20))
    blocks = (starts[:, :, None] + np.arange(200)).reshape(400, -1)
    drawn = [auc(score[rows], rises[rows]) for rows in blocks]
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(np.std(drawn), rel=0.25)
    assert found.high - found.low > 1.3 * (naive.high - naive.low)


def test_one_kind_of_outcome_has_no_auc_and_no_interval() -> None:
    found = scores.auc_interval(np.arange(5.0), np.ones(5), 3)
    assert np.isnan([found.value, found.low, found.high]).all()


def plain_test(difference: np.ndarray, overlap: int, lags: int) -> tuple[float, float]:
    """Harvey, Leybourne and Newbold's statistic and p, written from their paper."""
    n, mean = len(difference), difference.mean()
    variance = float(
        cov_hac(OLS(difference, np.ones(n)).fit(), nlags=lags, use_correction=False).item()
    )
    h = overlap
    t = mean / np.sqrt(variance) * np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    return t, 2 * stats.t(df=n - 1).cdf(-abs(t))


@pytest.mark.parametrize(
    ("size", "overlap", "gap_h", "lags"),
    # A week of hours, of settlements, twice a long outcome, and a quarter of a short history.
    [(3000, 4, 1, 168), (900, 3, 8, 21), (3000, 168, 1, 336), (200, 24, 1, 50), (8, 1, 1, 2)],
)
def test_the_comparison_is_harvey_leybourne_and_newbolds(
    size: int, overlap: int, gap_h: int, lags: int
) -> None:
    rng = np.random.default_rng(size)
    ours, theirs = ar(rng, size, 0.5) ** 2, ar(rng, size, 0.5) ** 2 + 0.2
    found = scores.diebold_mariano(ours, theirs, overlap, gap_h=gap_h)
    t, p = plain_test(theirs - ours, overlap, lags)
    assert found.gain == pytest.approx((theirs - ours).mean(), rel=1e-12)
    assert found.t == pytest.approx(t, rel=1e-9)
    assert found.p == pytest.approx(p, rel=1e-9)
    back = scores.diebold_mariano(theirs, ours, overlap, gap_h=gap_h)
    assert (back.gain, back.t, back.p) == (-found.gain, -found.t, found.p)


@pytest.mark.parametrize(("memory", "overlap"), [(0.0, 4), (0.0, 24), (0.9, 4), (0.97, 24)])
def test_equal_forecasts_are_told_apart_about_as_often_as_promised(
    memory: float, overlap: int
) -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(400):
        # Overlapping outcomes of hours that are alike: a moving sum of an autoregression.
        whole = np.cumsum(ar(rng, 6000 + overlap, memory))
        difference = whole[overlap:] - whole[:-overlap]
        wrong += scores.diebold_mariano(-difference, np.zeros(6000), overlap).p < 0.05
    assert 0.02 <= wrong / 400 <= 0.115


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(1)
    found = scores.diebold_mariano(rng.normal(size=2000), rng.normal(size=2000) + 0.4, 4)
    assert found.gain > 0
    assert found.t > 4
    assert found.p < 0.001


def test_nothing_to_compare_is_no_difference() -> None:
    same = np.random.default_rng(1).normal(size=50)
    assert scores.diebold_mariano(same, same.copy(), 4) == scores.Comparison(0.0, 0.0, 1.0)
    few = scores.diebold_mariano(np.zeros(7), np.arange(7.0), 1)
    assert (few.gain, few.t, few.p) == (3.0, 0.0, 1.0)
    none = scores.diebold_mariano(np.empty(0), np.empty(0), 1)
    assert np.isnan(none.gain)
    assert none.p == 1.0
    # An outcome longer than the history is no square root of less than nothing.
    long = scores.diebold_mariano(same, same + same[::-1], 60)
    assert np.isfinite([long.t, long.p]).all()


@given(level=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_the_pinball_loss_is_scikit_learns(level: float, seed: int) -> None:
    forecast, outcome = np.random.default_rng(seed).normal(size=(2, 60))
    found = scores.pinball(forecast, outcome, level)
    assert (found >= 0).all()
    assert found.mean() == pytest.approx(mean_pinball_loss(outcome, forecast, alpha=level))


def calibrated(size: int, seed: int, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(4.0, 4.0, size)
    said = 0.5 + slope * (p - 0.5)
    return said, (rng.random(size) < p).astype(float)


def test_calibration_tells_the_whole_and_where_blocks_put_it() -> None:
    p, rises = calibrated(5000, 2, 1.6)
    found = scores.calibration(p, rises, block=100, draws=200, seed=3)
    whole = brier(p, rises)
    assert (found.brier_skill, found.ece) == (whole.skill, whole.ece)
    assert found.ece_low <= found.ece <= found.ece_high
    assert found.ece_low > 0.04
    assert found == scores.calibration(p, rises, block=100, draws=200, seed=3)
    assert found != scores.calibration(p, rises, block=100, draws=200, seed=4)
    honest = scores.calibration(*calibrated(5000, 2), block=100, draws=200, seed=3)
    assert honest.ece_high < found.ece_low


def test_neighbours_that_are_alike_widen_the_interval_of_calibration() -> None:
    rng = np.random.default_rng(3)
    p = np.repeat(rng.beta(4.0, 4.0, 100), 50)
    rises = np.repeat((rng.random(100) < p[::50]).astype(float), 50)
    alone, blocks = (
        scores.calibration(p, rises, block=block, draws=200, seed=3) for block in (1, 100)
    )
    assert blocks.ece_high - blocks.ece_low > 2.0 * (alone.ece_high - alone.ece_low)


def test_every_row_takes_part_in_the_draws_of_calibration() -> None:
    # The last row alone is wrong: draws that could never hold it would all be faultless.
    p, rises = np.array([0.0, 1.0] * 10), np.array([0.0, 1.0] * 10)
    rises[-1] = 0.0
    found = scores.calibration(p, rises, block=2, draws=300, seed=1)
    assert found.ece_high > found.ece
    whole = scores.calibration(p, rises, block=50, draws=20, seed=1)
    assert whole.ece_low == whole.ece == whole.ece_high


def test_coverage_comes_with_half_its_interval() -> None:
    inside = (np.random.default_rng(1).random(2000) < 0.9).astype(float)
    share, error = scores.coverage_error(inside, 0)
    assert share == inside.mean()
    assert error == pytest.approx(1.96 * np.sqrt(share * (1 - share) / 2000), rel=1e-3)
