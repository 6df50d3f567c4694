"""How sure a difference is: intervals that cover, p-values that do not cry wolf."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import kstest
from statsmodels.stats.multitest import multipletests

from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.study import inference
from counterpoise.study.inference import (
    BOOTSTRAPPED,
    block_length,
    holm,
    paired_bootstrap,
    stationary_indices,
)
from counterpoise.study.metrics import RETURN_METRICS

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15


def policies(
    generator: np.random.Generator, days: int, *, edge: float = 0.0, memory: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Daily returns of two policies in one market; A earns ``edge`` more per day."""
    market = generator.standard_t(6, days) * 0.006
    noise = generator.normal(0.0, 0.002, days + 50)
    for t in range(1, days + 50):
        noise[t] += memory * noise[t - 1]
    return market + noise[50:] + edge, market


def mix(state: int) -> int:
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_drawn_days_are_those_of_a_plain_python_generator() -> None:
    days, block, seed = 60, 7.0, 5
    found = stationary_indices(days, block, 3, seed)
    for draw in range(3):
        state, at, expected = mix((seed + GAMMA * (draw + 1)) & MASK), 0, []
        for t in range(days):
            state = (state + GAMMA) & MASK
            if t == 0 or (mix(state) >> 11) * 2.0**-53 < 1.0 / block:
                state = (state + GAMMA) & MASK
                at = int((mix(state) >> 11) * 2.0**-53 * days)
            else:
                at = (at + 1) % days
            expected.append(at)
        assert found[draw].tolist() == expected


@pytest.mark.parametrize("block", [1.0, 4.0, 20.0])
def test_blocks_last_as_long_as_asked_and_no_day_is_favoured(block: float) -> None:
    drawn = stationary_indices(500, block, 400, 1)
    jumps = np.mean((drawn[:, 1:] - drawn[:, :-1]) % 500 != 1)
    assert jumps == pytest.approx(1.0 / block, rel=0.05)
    share = np.bincount(drawn.ravel(), minlength=500) / drawn.size * 500
    assert abs(share.mean() - 1.0) < 1e-12
    assert share.std() < 1.3 * np.sqrt(2.0 * block / 400)


def test_the_kernel_agrees_with_plain_numpy_on_the_same_days() -> None:
    """Oracle: the definitions of ``metrics`` applied to each draw, one by one."""
    a, b = policies(np.random.default_rng(4), 257, edge=0.0002, memory=0.4)
    block, seed, draws = 5.0, 9, 60
    found = inference._differences(
        a, b, np.argsort(a), np.argsort(b), 1.0 / block, np.uint64(seed), draws
    )
    expected = [
        [metric(a[days]) - metric(b[days]) for metric in RETURN_METRICS.values()]
        for days in stationary_indices(257, block, draws, seed)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_intervals_and_pvalues_are_those_of_the_definition() -> None:
    a, b = policies(np.random.default_rng(8), 200, edge=0.0002)
    found = paired_bootstrap(a, b, draws=500, seed=3)
    block_days = block_length(a, b)
    days = stationary_indices(200, block_days, 500, 3)
    stretch = stats.t.ppf(0.975, 200 / block_days) / stats.norm.ppf(0.975)
    for name, metric in RETURN_METRICS.items():
        theta = metric(a) - metric(b)
        drawn = np.array([metric(a[d]) - metric(b[d]) for d in days])
        centred = stretch * np.abs(drawn - theta)
        half = np.quantile(centred, 0.95 * 501 / 500, method="inverted_cdf")
        assert found[name].difference == pytest.approx(theta)
        assert found[name].low == pytest.approx(theta - half, abs=1e-10)
        assert found[name].high == pytest.approx(theta + half, abs=1e-10)
        assert found[name].p == pytest.approx((1 + np.sum(centred >= abs(theta))) / 501)


def test_the_same_seed_gives_the_same_numbers_and_another_does_not() -> None:
    a, b = policies(np.random.default_rng(1), 200)
    assert paired_bootstrap(a, b, 300, seed=1) == paired_bootstrap(a, b, 300, seed=1)
    assert paired_bootstrap(a, b, 300, seed=1) != paired_bootstrap(a, b, 300, seed=2)


def test_the_number_of_threads_does_not_change_a_digit() -> None:
    import numba

    a, b = policies(np.random.default_rng(1), 200)
    before = numba.get_num_threads()
    many = paired_bootstrap(a, b, 300, seed=1)
    numba.set_num_threads(1)
    try:
        one = paired_bootstrap(a, b, 300, seed=1)
    finally:
        numba.set_num_threads(before)
    assert many == one


def test_swapping_the_policies_turns_every_sign() -> None:
    a, b = policies(np.random.default_rng(2), 300, edge=0.0003)
    forth, back = paired_bootstrap(a, b, 400), paired_bootstrap(b, a, 400)
    for name in BOOTSTRAPPED:
        assert forth[name].difference == pytest.approx(-back[name].difference)
        assert forth[name].low == pytest.approx(-back[name].high)
        assert forth[name].p == pytest.approx(back[name].p)


def test_a_policy_does_not_differ_from_itself() -> None:
    _, b = policies(np.random.default_rng(2), 100)
    for found in paired_bootstrap(b, b.copy(), 200).values():
        assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_half_the_position_is_surely_half_the_risk() -> None:
    _, b = policies(np.random.default_rng(2), 500)
    found = paired_bootstrap(0.5 * b, b, 2_000)
    for name in ("vol", "cvar95"):
        assert found[name].high < 0
        assert found[name].p == pytest.approx(1 / 2_001)


def test_an_interval_excludes_zero_exactly_when_p_is_five_percent_or_less() -> None:
    decided = set()
    for replication in range(40):
        generator = np.random.default_rng(replication)
        a, b = policies(generator, 120, edge=generator.choice([0.0, 0.0004]))
        for found in paired_bootstrap(a, b, 999, seed=replication).values():
            assert (found.low > 0 or found.high < 0) == (found.p <= 0.05)
            decided.add(found.p <= 0.05)
    assert decided == {True, False}


@pytest.mark.parametrize(
    ("memory", "days", "at_least"),
    [(0.0, 250, 0.91), (0.5, 400, 0.88)],
    ids=["independent days", "days that remember"],
)
def test_the_interval_covers_the_true_mean_difference(
    memory: float, days: int, at_least: float
) -> None:
    edge, replications = 0.0002, 300
    covered = 0
    for replication in range(replications):
        a, b = policies(np.random.default_rng(replication), days, edge=edge, memory=memory)
        found = paired_bootstrap(a, b, 400, seed=replication)["mean"]
        covered += found.low <= 365 * edge <= found.high
    assert at_least <= covered / replications <= 0.99


def test_resampling_single_days_would_miss_what_days_remember() -> None:
    """Why blocks: independent draws cover the mean of an AR(1) far too rarely."""
    covered = 0
    for replication in range(200):
        a, b = policies(np.random.default_rng(replication), 400, edge=0.0, memory=0.5)
        drawn = (a - b)[stationary_indices(400, 1.0, 200, replication)].mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        covered += low <= 0.0 <= high
    assert covered / 200 < 0.85


def test_the_block_is_longer_when_days_remember_or_volatility_clusters() -> None:
    generator = np.random.default_rng(3)
    plain = block_length(*policies(generator, 1_000))
    remembering = block_length(*policies(generator, 1_000, memory=0.7))
    level = np.exp(np.convolve(generator.normal(0.0, 0.3, 1_100), 0.95 ** np.arange(100), "same"))
    market = generator.normal(0.0, 0.01, 1_000) * level[:1_000]
    clustered = block_length(0.8 * market, market)
    assert plain < 6 < remembering
    assert plain < 6 < clustered <= 1_000 / inference.MIN_BLOCKS


def test_pvalues_are_uniform_when_nothing_differs() -> None:
    """Two policies with the same law: 5 % of the p-values lie under 5 %, in every metric."""
    found: dict[str, list[float]] = {name: [] for name in BOOTSTRAPPED}
    for replication in range(300):
        generator = np.random.default_rng(10_000 + replication)
        shared = generator.normal(0.0, 0.006, 250)
        a, b = (shared + generator.normal(0.0, 0.004, 250) for _ in range(2))
        for name, difference in paired_bootstrap(a, b, 399, seed=replication).items():
            found[name].append(difference.p)
    for name, pvalues in found.items():
        assert np.mean(np.array(pvalues) < 0.05) <= 0.08, name
    for name in ("mean", "vol", "ce5", "ce20"):
        assert kstest(found[name], "uniform").pvalue > 0.001, name


def test_a_useless_timing_rule_is_rarely_called_significant() -> None:
    """Two hedges that drift at random in a market of clustered volatility: neither is better.

    The honest rate is 5 %. Blocks that follow the returns alone call one of them better more
    often than not; ours do so far less, but too often, and the docs say so.
    """

    def drifting(generator: np.random.Generator, days: int) -> np.ndarray:
        level = np.zeros(days)
        shocks = generator.normal(0.0, 0.12, days)
        for t in range(1, days):
            level[t] = 0.97 * level[t - 1] + shocks[t]
        return np.exp(level / 2)

    ours, naive, replications = 0, 0, 100
    for replication in range(replications):
        generator = np.random.default_rng(replication)
        market = generator.normal(0.0, 0.03, 1_000) * drifting(generator, 1_000)
        a, b = (np.clip(0.2 * drifting(generator, 1_000), 0.02, 0.7) * market for _ in range(2))
        ours += paired_bootstrap(a, b, 199, seed=replication)["vol"].p <= 0.05
        found = a.std() - b.std()
        drawn = stationary_indices(1_000, 3.0, 199, replication)
        centred = a[drawn].std(axis=1) - b[drawn].std(axis=1) - found
        naive += 1 + np.sum(np.abs(centred) >= abs(found)) <= 0.05 * 200
    assert naive / replications > 0.4
    assert ours / replications < 0.2
    assert ours < naive / 2


@settings(max_examples=25)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_holm_agrees_with_statsmodels(pvalues: list[float]) -> None:
    np.testing.assert_allclose(holm(pvalues), multipletests(pvalues, method="holm")[1], atol=1e-12)


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]).size == 0


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1])
def test_what_is_no_pvalue_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.5, value])


def test_too_short_a_history_says_what_to_do() -> None:
    with pytest.raises(NotEnoughData, match=r"at least 30 days, got 29.*Next:"):
        paired_bootstrap(np.zeros(29), np.zeros(29))


def test_too_few_draws_and_a_bad_seed_name_their_settings() -> None:
    with pytest.raises(FixConfig, match=r"study\.draws = 99"):
        paired_bootstrap(np.zeros(40), np.zeros(40), draws=99)
    with pytest.raises(FixConfig, match=r"study\.seed = -1"):
        paired_bootstrap(np.zeros(40), np.zeros(40), seed=-1)


def test_days_that_do_not_match_or_are_unknown_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        paired_bootstrap(np.zeros(40), np.zeros(41))
    with pytest.raises(ValueError, match="finite"):
        paired_bootstrap(np.full(40, np.nan), np.zeros(40))
