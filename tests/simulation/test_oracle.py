"""The compiled simulator agrees with the slow one written from the page, on random paths."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.decision.step import Limits, Reason
from counterpoise.simulation.kernel import (
    CostRules,
    IntentArrays,
    MarketArrays,
    empty_record,
    run,
)
from counterpoise.venues.contract import VenueRules
from tests.simulation.oracle import simulate as slow_simulate

TIERS = [
    [(50_000.0, 0.004, 0.0), (600_000.0, 0.005, 50.0), (1e12, 0.05, 27_050.0)],
    [(1e12, 0.012, 0.0)],
]


def random_case(seed: int) -> dict:
    """Inputs with gaps, jumps, settlements in gaps, unknown intents, tiny orders and two venues."""
    rng = np.random.default_rng(seed)
    ticks, venues = int(rng.integers(2, 60)), int(rng.integers(1, 3))
    size = (ticks, venues)
    wild = rng.choice([0.005, 0.03, 0.15])
    spot = 2_000.0 * np.exp(np.cumsum(rng.standard_t(4, ticks) * wild))
    perp = spot[:, None] * (1.0 + rng.normal(0, 0.003, size))
    high = np.maximum(perp, spot[:, None]) * (1.0 + np.abs(rng.normal(0, wild, size)))
    holes = 0.1
    lo = np.clip(rng.normal(0.6, 0.3, ticks), 0, 1.2)
    hi = lo + np.abs(rng.normal(0, 0.2, ticks)) * rng.integers(0, 2, ticks)
    to_lo = lo + (hi - lo) * rng.uniform(0, 1, ticks) * rng.integers(0, 2, ticks)
    to_hi = lo + (hi - lo) * (1 - rng.uniform(0, 1, ticks) * rng.integers(0, 2, ticks))
    # Only decisions with some margin to a rounding edge are comparable to 1e-9.
    calm = np.repeat(np.arange(0, ticks, 3), 3)[:ticks] if rng.integers(2) else np.arange(ticks)
    lo, hi, to_lo, to_hi = lo[calm], hi[calm], to_lo[calm], to_hi[calm]
    for series in (lo, to_hi):
        series[rng.uniform(size=ticks) < 0.15] = np.nan
    weights = np.abs(rng.normal(0, 1, size)) + 1e-3
    weights = (weights / weights.sum(axis=1, keepdims=True))[calm]
    spot[rng.uniform(size=ticks) < holes] = np.nan
    perp[rng.uniform(size=size) < holes / 2] = np.nan
    high[rng.uniform(size=size) < holes] = np.nan
    paid = np.where(rng.uniform(size=size) < 0.3, rng.normal(0, 5e-4, size), np.nan)
    mark = np.where(rng.uniform(size=size) < 0.5, spot[:, None] * 1.001, np.nan)
    bucket = np.cumsum(rng.integers(0, 2, ticks))
    return {
        "spot": spot,
        "perp": perp,
        "mark_high": high,
        "funding_settled": paid,
        "funding_mark": mark,
        "sigma_day": rng.uniform(0.01, 0.1, ticks),
        "volume_day_eth": rng.uniform(1e4, 1e6, size),
        "exposure_eth": 100.0 * rng.uniform(0.5, 2.0, ticks),
        "lo": lo,
        "hi": hi,
        "to_lo": to_lo,
        "to_hi": to_hi,
        "urgency": np.where(rng.uniform(size=ticks) < 0.1, np.nan, rng.uniform(0, 1, ticks)),
        "weights": weights,
        "bucket": bucket - bucket[0],
        "maker_fee": [2e-4, 1e-4][:venues],
        "taker_fee": [5e-4, 5e-4][:venues],
        "step_eth": [0.001, 0.01][:venues],
        "min_notional_usd": [float(rng.choice([20.0, 20_000.0])), 5_000.0][:venues],
        "liquidation_fee": [0.0125, 0.015][:venues],
        "tiers": TIERS[:venues],
        "max_ratio": float(rng.choice([0.7, 1.0])),
        "fallback_ratio": 0.8,
        "grace_ticks": int(rng.integers(0, 4)),
        "leverage": float(rng.choice([2.0, 5.0, 20.0])),
        "leverage_max": float(rng.choice([25.0, 40.0])),
        "taker_share": 0.4,
        "half_spread": 5e-5,
        "impact_coefficient": 0.7,
        "capital_cost_per_year": 0.04,
    }


def compiled(case: dict) -> tuple:
    """Run the kernel on the same inputs."""
    tiers = [row + [row[-1]] * (3 - len(row)) for row in case["tiers"]]
    venue = VenueRules(
        *(
            np.array(case[name], dtype=float)
            for name in (
                "maker_fee",
                "taker_fee",
                "step_eth",
                "min_notional_usd",
                "liquidation_fee",
            )
        ),
        *(np.array([[tier[k] for tier in row] for row in tiers]) for k in range(3)),
    )
    market = MarketArrays(
        *(
            np.ascontiguousarray(case[name])
            for name in (
                "spot",
                "perp",
                "mark_high",
                "funding_settled",
                "funding_mark",
                "sigma_day",
                "volume_day_eth",
                "exposure_eth",
            )
        ),
        case["bucket"].astype(np.int64),
    )
    intent = IntentArrays(
        *(
            np.ascontiguousarray(case[name])
            for name in ("lo", "hi", "to_lo", "to_hi", "weights", "urgency")
        )
    )
    limits = Limits(
        case["max_ratio"],
        case["fallback_ratio"],
        float(case["grace_ticks"]),
        case["leverage"],
        case["leverage_max"],
    )
    costs = CostRules(
        case["taker_share"],
        case["half_spread"],
        case["impact_coefficient"],
        case["capital_cost_per_year"],
    )
    record = empty_record(int(market.bucket[-1]) + 1, market.perp.shape[1])
    liquidations = run(market, intent, venue, limits, costs, record)
    return record, liquidations


FIELDS = ("pnl", "short_eth", "equity", "traded_eth", "lo", "hi", "exposure_eth", "spot")


def assert_agree(case: dict) -> set[str]:
    """Compare both simulators; returns the reasons that occurred."""
    expected = slow_simulate(**case)
    record, liquidations = compiled(case)
    scale = 2_000.0 * 200.0  # USD of exposure: money is compared relative to it
    for field in (*FIELDS, "spot_open"):
        np.testing.assert_allclose(
            getattr(record, field),
            np.array(getattr(expected, field), dtype=float),
            rtol=1e-9,
            atol=1e-9 * (scale if field in ("pnl", "equity") else 1.0),
            err_msg=field,
        )
    assert liquidations == expected.liquidations
    named = [{flag.name for flag in Reason(int(flags))} for flags in record.reasons]
    assert named == expected.reasons
    return set().union(*named) | ({"LIQUIDATED"} if liquidations else set())


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_compiled_simulator_equals_the_independent_one(seed: int) -> None:
    assert_agree(random_case(seed))


def test_the_random_cases_reach_every_branch() -> None:
    reached = set().union(*(assert_agree(random_case(seed)) for seed in range(150)))
    assert reached == {flag.name for flag in Reason} | {"LIQUIDATED"}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_attribution_adds_up_to_the_change_of_wealth(seed: int) -> None:
    """Components sum to ETH gains + perpetual gains + funding - costs, counted from cash alone."""
    case = random_case(seed)
    case["bucket"] = np.arange(len(case["spot"]))
    case["liquidation_fee"] = [0.0] * len(case["liquidation_fee"])
    case["mark_high"] = np.full_like(case["mark_high"], np.nan)
    case["leverage"], case["leverage_max"] = 1.0, 1.5
    record, liquidations = compiled(case)
    if liquidations:
        return  # the exit price of a liquidation is the oracle's test
    priced = np.isfinite(case["spot"]) & np.isfinite(case["perp"]).all(axis=1)
    rows = np.flatnonzero(priced)
    wealth = 0.0
    for before, after in itertools.pairwise(rows):
        held = record.short_eth[before]
        wealth += case["exposure_eth"][after - 1] * (case["spot"][after] - case["spot"][before])
        wealth -= float(held @ (case["perp"][after] - case["perp"][before]))
    booked = record.pnl[:, :2].sum() + record.pnl[:, 6].sum()
    assert abs(booked - wealth) < 1e-6
