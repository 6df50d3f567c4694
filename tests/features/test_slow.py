"""Queues by the churn rule of their day, gas without a limit, a calendar that comes round."""

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest

from counterpoise.features.engine import Live, column, compute
from counterpoise.features.rules import CHURN_RULES, rule_column
from counterpoise.units import to_ms
from tests.features.market import market

SMALL = market(48, seed=8)
QUEUES = ("entry_queue_epochs", "exit_queue_epochs")


def waits(day: datetime, *, validators: float, staked: float, queue: float = 10_240.0):
    """Epochs of both queues at one moment."""
    ts_ms = np.array([to_ms(day)])
    daily = {
        "entry_queue_eth": queue,
        "exit_queue_eth": queue,
        "active_validators": validators,
        "staked_eth": staked,
    }
    timeline = dataclasses.replace(
        SMALL, ts_ms=ts_ms, daily={name: np.array([value]) for name, value in daily.items()}
    )
    return tuple(compute(timeline, QUEUES).values[0])


@pytest.mark.parametrize(
    ("day", "entry", "leaving"),
    [
        # 1,068,000 validators // 65,536 = 16 per epoch, 512 ETH.
        (datetime(2024, 3, 13, 13, tzinfo=UTC), 20.0, 20.0),
        # EIP-7514: 8 validators in, still 16 out.
        (datetime(2024, 3, 13, 14, tzinfo=UTC), 40.0, 20.0),
        # EIP-7251: 256 ETH each way.
        (datetime(2025, 5, 7, 10, tzinfo=UTC), 40.0, 20.0),
        (datetime(2025, 5, 7, 11, tzinfo=UTC), 40.0, 40.0),
    ],
)
def test_a_queue_of_10240_eth_takes_as_long_as_the_rule_of_the_day_says(
    day: datetime, entry: float, leaving: float
) -> None:
    found = waits(day, validators=1_068_000, staked=34_176_000)
    assert found == pytest.approx((entry, leaving))


def test_a_small_chain_lets_four_validators_through() -> None:
    day = datetime(2021, 1, 1, tzinfo=UTC)
    assert waits(day, validators=60_000, staked=1_920_000) == pytest.approx((80.0, 80.0))


def test_below_its_cap_the_churn_of_eip_7251_follows_stake_in_whole_eth() -> None:
    day = datetime(2025, 6, 1, tzinfo=UTC)
    found = waits(day, validators=1.0, staked=200.5 * 65_536)
    assert found == pytest.approx((10_240 / 200, 10_240 / 200))


def test_before_the_beacon_chain_there_is_no_queue() -> None:
    day = datetime(2020, 6, 1, tzinfo=UTC)
    assert np.isnan(waits(day, validators=60_000, staked=1_920_000)).all()


def test_churn_rules_are_dated_in_order_and_sourced() -> None:
    moments = [rule.effective for rule in CHURN_RULES]
    assert moments == sorted(moments)
    assert all(rule.source for rule in CHURN_RULES)


def test_the_funding_rule_is_the_one_in_force_at_the_tick() -> None:
    moments = [datetime(2021, 1, 1, tzinfo=UTC), datetime(2024, 10, 24, tzinfo=UTC)]
    caps = rule_column("rule.cap", "binance", np.array([to_ms(moment) for moment in moments]))
    np.testing.assert_allclose(caps, [0.75 * 0.005, 0.75 * 0.004])


def test_a_day_without_a_gas_limit_is_unknown() -> None:
    daily = SMALL.daily | {"gas_limit_avg": np.zeros(48)}
    without = compute(dataclasses.replace(SMALL, daily=daily), ["gas_over_target"])
    assert np.isnan(without.values).all()


def test_a_repeated_publication_is_not_a_change() -> None:
    live = Live(["vix_change"])
    values = [live.update(np.array([vix]))[0] for vix in (20.0, 20.0, 21.5, 21.5, np.nan, 21.0)]
    assert np.array_equal(values, [np.nan, np.nan, 1.5, 1.5, np.nan, -0.5], equal_nan=True)


def test_the_calendar_comes_round_to_the_same_bit_and_takes_parts_of_an_hour() -> None:
    clock_h = column(SMALL, "clock_h")
    found = compute(SMALL, ["hour_sin", "hour_cos"])
    assert np.array_equal(found.values[:24], found.values[24:])
    np.testing.assert_allclose(found["hour_sin"] ** 2 + found["hour_cos"] ** 2, 1.0)
    live = Live(["hour_sin"])
    assert live.update(clock_h[:1] + 6.5)[0] == pytest.approx(np.sin(2 * np.pi * 6.5 / 24))
    assert live.update(clock_h[:1] + 6.0)[0] == pytest.approx(1.0)
