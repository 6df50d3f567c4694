"""Coverage says how far a feature is known, and why one is not, in words of the lake."""

import dataclasses

import numpy as np
import pytest

from counterpoise.features.catalog import FEATURES
from counterpoise.features.coverage import coverage
from counterpoise.features.engine import compute
from counterpoise.units import HOUR_MS
from tests.features.market import START_MS, market

SMALL = market(400, seed=11)


def row_of(name: str, **changes: object):
    """Coverage of one feature on the small market with parts of it replaced."""
    timeline = dataclasses.replace(SMALL, **changes)
    return coverage(timeline, compute(timeline, [name]))[0]


@pytest.mark.parametrize("name", ["return_1h", "log_rv_72h", "basis", "vix_change", "hour_sin"])
def test_a_clean_history_is_known_from_the_end_of_the_warm_up_on(name: str) -> None:
    row, warm_up = row_of(name), FEATURES[name].warm_up
    assert row.state == "varies"
    assert row.known == (400 - warm_up) / 400
    assert row.first_ms == START_MS + warm_up * HOUR_MS
    assert row.last_ms == START_MS + 399 * HOUR_MS
    assert row.low <= row.median <= row.high


def test_a_gap_lowers_coverage_by_what_it_hides() -> None:
    close = SMALL.spot.close.copy()
    close[100:120] = np.nan
    row = row_of("basis", spot=dataclasses.replace(SMALL.spot, close=close))
    assert row.known == 380 / 400


def test_a_series_that_never_moves_is_called_constant() -> None:
    row = row_of("funding_last", funding_last=np.full((400, 1), 2e-4))
    assert (row.state, row.low, row.high) == ("constant", 2e-4, 2e-4)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("hy_spread_change", {"daily": {}}, "the lake holds no us_hy_oas_pct"),
        (
            "gas_over_target",
            {"daily": {"gas_used": SMALL.daily["gas_used"]}},
            "the lake holds no gas_limit_avg",
        ),
        *(
            (
                name,
                {"hourly": {"taker_buy_base": SMALL.hourly["taker_buy_base"]}},
                "the lake holds no spot bars of BTC: counterpoise update",
            )
            for name in ("btc_return_1h", "btc_range_position_24h", "eth_btc_return_72h")
        ),
        ("predicted_funding", {"venues": ("mexc",)}, "no funding rule is registered for mexc"),
        (
            "premium_elapsed",
            {"funding_interval_h": np.full((400, 1), np.nan)},
            "the lake holds no funding_interval_h",
        ),
        ("log_rv_720h", {}, "its inputs are never known together for 600 h on end"),
    ],
)
def test_a_feature_that_cannot_be_evaluated_says_why(
    name: str, changes: dict[str, object], reason: str
) -> None:
    row = row_of(name, **changes)
    assert row.state == "not evaluated"
    assert row.reason == reason
    assert (row.known, row.first_ms, row.last_ms) == (0.0, None, None)
