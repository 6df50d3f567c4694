"""Volatility and its parts: halves add up, a quiet side is exactly zero, a jump is a jump."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.features.engine import FeatureMatrix, compute
from tests.features.market import market

NAMES = (
    "upside_volatility_24h",
    "downside_volatility_24h",
    "log_rv_24h",
    "downside_share_24h",
    "log_bipower_24h",
    "jump_share_24h",
    "log_parkinson_24h",
)
BASE = market(60, seed=2)


def of_returns(returns: np.ndarray) -> FeatureMatrix:
    """Volatility features of closes that make these hourly log returns."""
    close = np.full(60, 2_000.0)
    close[1 : 1 + len(returns)] = 2_000.0 * np.exp(np.cumsum(returns))
    close[1 + len(returns) :] = np.nan
    spot = dataclasses.replace(BASE.spot, close=close)
    return compute(dataclasses.replace(BASE, spot=spot), NAMES)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), gap_share=st.floats(0.0, 0.2))
def test_up_and_down_variance_add_up_to_realised_variance(seed: int, gap_share: float) -> None:
    found = compute(market(200, seed=seed, gap_share=gap_share), NAMES)
    up, down = found["upside_volatility_24h"], found["downside_volatility_24h"]
    np.testing.assert_allclose(up**2 + down**2, np.exp(2 * found["log_rv_24h"]), rtol=1e-9)
    np.testing.assert_allclose(down**2 / (up**2 + down**2), found["downside_share_24h"], atol=1e-9)


def test_a_day_without_a_fall_has_no_downside_at_all() -> None:
    # The crash before it has left the window; nothing of it may remain.
    found = of_returns(np.array([-0.5, *[0.001] * 40]))
    assert found["downside_volatility_24h"][40] == 0.0
    assert found["downside_share_24h"][40] == 0.0
    assert found["downside_volatility_24h"][24] > 0.0


def test_a_single_large_hour_is_a_jump_and_bipower_volatility_hardly_sees_it() -> None:
    rng = np.random.default_rng(0)
    calm = 0.002 * rng.choice([-1.0, 1.0], 40)
    jumpy = calm.copy()
    jumpy[30] = 0.08
    before, after = of_returns(calm), of_returns(jumpy)
    assert before["jump_share_24h"][40] == 0.0
    assert after["jump_share_24h"][40] > 0.85
    realised = after["log_rv_24h"][40] - before["log_rv_24h"][40]
    bipower = after["log_bipower_24h"][40] - before["log_bipower_24h"][40]
    assert realised > 2.0
    assert bipower < 0.9


def test_prices_that_stand_still_have_no_log_volatility() -> None:
    found = of_returns(np.zeros(40))
    for name in ("log_rv_24h", "log_bipower_24h", "jump_share_24h", "downside_share_24h"):
        assert np.isnan(found[name][40]), name
    assert found["upside_volatility_24h"][40] == 0.0
