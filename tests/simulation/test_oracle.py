"""The compiled simulator agrees with the slow one written from the page, on random paths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.decision.moment import Limits, Reason
from counterpoise.risk.guard_rules import NO_GUARD, GuardRules
from counterpoise.simulation.arrays import (
    AccountRules,
    CostRules,
    GuardArrays,
    IntentArrays,
    Record,
    empty_record,
)
from counterpoise.simulation.books import CAPITAL
from counterpoise.simulation.kernel import run
from counterpoise.simulation.prices import MarketArrays, Prices, prices_of
from counterpoise.venues.contract import VenueRules
from tests.simulation.oracle import simulate as slow_simulate

TIERS = [
    [(50_000.0, 0.004, 0.0), (600_000.0, 0.005, 50.0), (1e12, 0.05, 27_050.0)],
    [(1e12, 0.012, 0.0)],
]


#: Kind of collateral: what a posted coin counts for, and whether the contract is inverse.
KINDS = {"usdt": (0.0, False), "eth": (0.9, False), "coin-margined": (1.0, True)}


def random_case(seed: int) -> dict:
    """Inputs with gaps, jumps, settlements in gaps, unknown intents, tiny orders and two venues.

    Any kind of collateral, a budget that may run out, an exposure that may fall.
    """
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(list(KINDS)))
    coin_value, inverse = KINDS[kind]
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
    # Short buckets and frequent settlements, or long calm stretches with neither.
    calm_market = bool(rng.integers(2))
    if calm_market:
        paid[rng.uniform(size=ticks) < 0.7] = np.nan
        keep = rng.uniform(size=ticks) < 0.8
        known = np.isfinite(lo) & np.isfinite(to_hi)
        if known.any():
            lo, hi, to_lo, to_hi = (
                np.where(keep, np.median(series[known]), series)
                for series in (lo, hi, to_lo, to_hi)
            )
        lo, hi = np.fmin(lo, hi), np.fmax(lo, hi)
        to_lo, to_hi = np.clip(to_lo, lo, hi), np.clip(to_hi, lo, hi)
    guarded = bool(rng.integers(2))
    bucket = np.arange(ticks) // 11 if calm_market else np.cumsum(rng.integers(0, 2, ticks))
    return {
        "spot": spot,
        "perp": perp,
        "mark_high": high,
        "funding_settled": paid,
        "funding_mark": mark,
        "sigma_day": rng.uniform(0.01, 0.1, ticks),
        "volume_day_eth": rng.uniform(1e4, 1e6, size),
        "exposure_eth": 100.0 * rng.uniform(0.5, 2.0, ticks) ** rng.integers(0, 2),
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
        "contract_usd": [10.0, 100.0][:venues],
        "min_notional_usd": [float(rng.choice([20.0, 20_000.0])), 5_000.0][:venues],
        "liquidation_fee": [0.0125, 0.015][:venues],
        "tiers": [
            [(cap / 2_000.0, rate, amount / 2_000.0) for cap, rate, amount in row]
            if inverse
            else row
            for row in TIERS[:venues]
        ],
        "coin_value": coin_value,
        "inverse": inverse,
        "budget_usd": float(rng.choice([np.inf, 60_000.0, 10_000.0])),
        "max_ratio": float(rng.choice([0.7, 1.0])),
        "fallback_ratio": 0.8,
        "grace_ticks": int(rng.integers(0, 4)),
        **margin_and_limits(rng, ticks, venues),
        **(guard_of(rng, ticks, venues) if guarded else OFF),
        "taker_share": 0.4,
        "half_spread": 5e-5,
        "impact_coefficient": 0.7,
        "capital_cost_per_year": 0.04,
        "eth_cost_per_year": 0.03,
    }


def maybe(rng: np.random.Generator, *values: float) -> float:
    """One of the values, or no limit."""
    return float(rng.choice([np.inf, np.inf, *values]))


def margin_and_limits(rng: np.random.Generator, ticks: int, venues: int) -> dict:
    """Leverage by tick, transfers, limits of orders, hours at which the venues are down."""
    leverage = float(rng.choice([2.0, 5.0, 20.0]))
    most = float(rng.choice([25.0, 40.0, 60.0]))
    tighter = np.where(rng.uniform(size=ticks) < 0.1, rng.uniform(0.3, 1.0, ticks), 1.0)
    return {
        "leverage": leverage * tighter,
        "leverage_max": most * tighter,
        "is_open": rng.uniform(size=ticks) > float(rng.choice([0.0, 0.15])),
        "transfer_ticks": int(rng.choice([0, 0, 1, 2, 5])),
        "transfer_usd": float(rng.choice([0.0, 7.0])),
        "venue_usd": maybe(rng, 40_000.0, 100_000.0),
        "total_usd": maybe(rng, 60_000.0, 150_000.0),
        "order_usd": maybe(rng, 25_000.0, 60_000.0),
        "minute_usd": maybe(rng, 25_000.0, 60_000.0),
        "collar": maybe(rng, 0.004),
        "fat_finger": maybe(rng, 0.3),
        "min_interval_h": float(rng.choice([0.0, 0.0, 1.5, 4.0])),
        "keep_alive": float(rng.choice([0.0, 0.0, 0.01, 0.016])),
        "quiet": rng.uniform(size=ticks) < float(rng.choice([0.0, 0.3])),
        "event_floor": np.zeros(ticks),
        "event_class": np.full(ticks, np.nan),
        "cost": np.full((ticks, venues), np.nan),
    }


def guard_of(rng: np.random.Generator, ticks: int, venues: int) -> dict:
    """Rules of a guard that is on, and what it reads."""
    four = 4
    cost = rng.normal(0.0, 0.01, (ticks, venues))
    cost[rng.uniform(size=cost.shape) < 0.2] = np.nan
    windows = np.repeat(rng.uniform(size=ticks // 5 + 1) < 0.3, 5)[:ticks]
    return {
        "active": True,
        "drawdown_limit": maybe(rng, 0.05, 0.2),
        "gap": float(rng.choice([0.05, 0.15])),
        "reserve": float(rng.choice([0.0, 0.01])),
        "rerisk_h": float(rng.choice([3.0, 12.0])),
        "lock_step": maybe(rng, 0.02, 0.1),
        "lock_keep": float(rng.choice([0.3, 0.8])),
        "stop_distance": tuple(maybe(rng, 0.03, 0.1) for _ in range(four)),
        "stop_trailing": tuple(float(rng.integers(2)) for _ in range(four)),
        "stop_ratio": tuple(float(rng.choice([0.0, 0.4, 1.0])) for _ in range(four)),
        "stop_cooldown_h": tuple(float(rng.choice([1.0, 5.0])) for _ in range(four)),
        "funding_limit": maybe(rng, 0.005),
        "funding_release": 0.5,
        "funding_keep": float(rng.choice([0.0, 0.5])),
        "switch_gain": float(rng.choice([0.0, 0.005, np.inf])),
        "event_floor": windows * rng.uniform(0.3, 1.0, ticks),
        "cost": cost,
    }


#: A guard of which no rule is on.
OFF = NO_GUARD._asdict()


def compiled(case: dict) -> tuple[Record, int, Prices]:
    """Run the kernel on the same inputs."""
    tiers = [row + [row[-1]] * (3 - len(row)) for row in case["tiers"]]
    rates = np.array([[tier[1] for tier in row] for row in tiers])
    per_venue = {
        name: np.array(case[name], dtype=float)
        for name in (
            *("maker_fee", "taker_fee", "step_eth", "contract_usd", "min_notional_usd"),
            "liquidation_fee",
        )
    }
    venue = VenueRules(
        **per_venue,
        highest_rate=rates.max(axis=1),
        tier_cap=np.array([[tier[0] for tier in row] for row in tiers]),
        tier_rate=rates,
        tier_amount=np.array([[tier[2] for tier in row] for row in tiers]),
    )
    market = MarketArrays(
        **{
            name: np.ascontiguousarray(case[name])
            for name in MarketArrays._fields
            if name != "bucket"
        },
        bucket=case["bucket"].astype(np.int64),
    )
    intent = IntentArrays(
        **{name: np.ascontiguousarray(case[name]) for name in IntentArrays._fields}
    )
    limits = Limits(
        **{name: float(case[name]) for name in Limits._fields if name != "mark_max_age_s"}
    )
    costs = CostRules(**{name: case[name] for name in CostRules._fields})
    account = AccountRules(**{name: case[name] for name in AccountRules._fields})
    watch = GuardArrays(**{name: np.ascontiguousarray(case[name]) for name in GuardArrays._fields})
    guard = GuardRules(**{name: case[name] for name in GuardRules._fields})
    record = empty_record(int(market.bucket[-1]) + 1, market.perp.shape[1])
    prices = prices_of(market, account.inverse)
    liquidations = run(
        prices,
        market.exposure_eth,
        market.bucket,
        intent,
        watch,
        venue,
        limits,
        costs,
        account,
        guard,
        record,
    )
    return record, liquidations, prices


IN_USD = ("pnl", "equity", "paid_in")
FIELDS = (
    *IN_USD,
    *("short_eth", "posted_eth", "coming", "margin_low", "traded_eth", "lo", "hi"),
    *("exposure_eth", "exposure_mean", "spot", "spot_open"),
)


def assert_agree(case: dict) -> set[str]:
    """Compare both simulators; returns the reasons that occurred."""
    # The class of an event is only told.
    expected = slow_simulate(**{name: case[name] for name in case if name != "event_class"})
    record, liquidations, _ = compiled(case)
    scale = 2_000.0 * 200.0  # USD of exposure: money is compared relative to it
    for field in FIELDS:
        np.testing.assert_allclose(
            getattr(record, field),
            np.array(getattr(expected, field), dtype=float),
            rtol=1e-9,
            atol=1e-9 * (scale if field in IN_USD else 1.0),
            err_msg=field,
        )
    links = np.array(expected.chain, dtype=float)
    np.testing.assert_allclose(
        record.chain[:, : links.shape[1]], links, rtol=1e-9, atol=1e-6, err_msg="chain"
    )
    assert liquidations == expected.liquidations
    named = [{flag.name for flag in Reason(int(flags))} for flags in record.reasons]
    assert named == expected.reasons
    return set().union(*named) | ({"LIQUIDATED"} if liquidations else set())


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_compiled_simulator_equals_the_independent_one(seed: int) -> None:
    assert_agree(random_case(seed))


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_twenty_thousand_lives_equal_the_independent_ones(seed: int) -> None:
    assert_agree(random_case(seed))


def test_the_random_cases_reach_every_branch() -> None:
    reached = set().union(*(assert_agree(random_case(seed)) for seed in range(400)))
    # History knows prices, positions and the time.
    live = {"HALTED", "NO_POSITION", "STALE_MARK", "CLOCK_BACK", "BAD_INPUT"}
    assert reached == {flag.name for flag in Reason} - live | {"LIQUIDATED"}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_attribution_adds_up_to_the_change_of_wealth(seed: int) -> None:
    """Components but the cost of capital are what coins and cash became worth, less deposits."""
    case = random_case(seed)
    case["bucket"] = np.arange(len(case["spot"]))
    record, _, prices = compiled(case)
    cash = record.equity - case["coin_value"] * record.posted_eth * np.nan_to_num(prices.perp_last)
    spot = np.nan_to_num(prices.spot_last)
    on_way = 0.0 if case["coin_value"] > 0.0 else record.coming.sum(axis=1)
    wealth = record.exposure_eth * spot + cash.sum(axis=1) + on_way - record.paid_in
    arrived = np.diff(case["exposure_eth"], prepend=0.0) * spot
    first = np.flatnonzero(np.isfinite(prices.spot_last))
    if not len(first):
        return
    # What is held before the first price comes at that price.
    arrived[first[0]] = case["exposure_eth"][first[0]] * spot[first[0]]
    booked = record.pnl.sum(axis=1) - record.pnl[:, CAPITAL]
    assert np.cumsum(booked + arrived)[first[0] :] == pytest.approx(
        wealth[first[0] :], rel=1e-9, abs=1e-6
    )


def test_a_fully_hedged_coin_margined_holder_has_a_synthetic_dollar() -> None:
    """Without costs, funding and basis the USD value of coins and contracts never moves."""
    rng = np.random.default_rng(5)
    ticks = 500
    case = random_case(0)
    spot = 2_000.0 * np.exp(np.cumsum(rng.normal(0, 0.01, ticks)))
    column = np.ones((ticks, 1))
    case |= {
        **{name: np.full(ticks, 1.0) for name in ("lo", "hi", "to_lo", "to_hi")},
        "urgency": np.zeros(ticks),
        "weights": column,
        "spot": spot,
        "perp": spot[:, None],
        "mark_high": np.nan * column,
        "funding_settled": np.nan * column,
        "funding_mark": np.nan * column,
        "sigma_day": np.full(ticks, 0.03),
        "volume_day_eth": 1e6 * column,
        "exposure_eth": np.full(ticks, 100.0),
        "bucket": np.arange(ticks),
        "maker_fee": [0.0],
        "taker_fee": [0.0],
        "step_eth": [0.0],
        "contract_usd": [1e-6],
        "min_notional_usd": [0.0],
        "liquidation_fee": [0.0],
        "tiers": [[(1e12, 0.01, 0.0)]],
        "coin_value": 1.0,
        "inverse": True,
        "budget_usd": np.inf,
        "max_ratio": 1.0,
        **margin_and_limits(np.random.default_rng(0), 0, 1),
        **OFF,
        "leverage": np.full(ticks, 2.0),
        "leverage_max": np.full(ticks, 3.0),
        "event_floor": np.zeros(ticks),
        "event_class": np.full(ticks, np.nan),
        "quiet": np.zeros(ticks, dtype=bool),
        "is_open": np.ones(ticks, dtype=bool),
        "cost": np.nan * column,
        **dict.fromkeys(("venue_usd", "total_usd", "order_usd", "minute_usd"), np.inf),
        **{"collar": np.inf, "fat_finger": np.inf, "min_interval_h": 0.0, "keep_alive": 0.0},
        "transfer_ticks": 0,
        "transfer_usd": 0.0,
        "half_spread": 0.0,
        "impact_coefficient": 0.0,
    }
    record, liquidations, _ = compiled(case)
    assert liquidations == 0
    assert record.exposure_eth * spot == pytest.approx(100.0 * spot[0], rel=1e-6)
    assert record.exposure_eth.std() > 1.0  # the coins themselves come and go
