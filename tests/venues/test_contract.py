"""Venue rules are dated data, and funding follows each venue's own formula."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import FixConfig
from counterpoise.units import to_ms
from counterpoise.venues import Contract, FundingRule, contract_at, venues

BINANCE = FundingRule(8, 0.0001, 0.0005, 0.003)
DYDX = contract_at("dydx", to_ms(datetime(2025, 1, 1, tzinfo=UTC))).funding


def on(venue: str, year: int, month: int, day: int, hour: int = 0) -> Contract:
    return contract_at(venue, to_ms(datetime(year, month, day, hour, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        # SCIENCE §4: P + clamp(0.01 % - P, ±0.05 %), within ±0.30 %.
        (0.0, 0.0001),
        (0.0002, 0.0001),
        (0.0006, 0.0001),
        (0.001, 0.0005),
        (-0.0004, 0.0001),
        (-0.001, -0.0005),
        (0.02, 0.003),
        (-0.02, -0.003),
    ],
)
def test_binance_funding_rests_at_the_interest_rate_until_the_damper_gives(
    premium: float, rate: float
) -> None:
    assert BINANCE.rate(premium) == pytest.approx(rate, abs=1e-15)


@given(st.floats(-0.00039, 0.00059))
def test_inside_the_damper_binance_funding_is_the_interest_rate_to_the_last_bit(
    premium: float,
) -> None:
    assert BINANCE.rate(premium) == 0.0001


@pytest.mark.parametrize("interval_h", [1, 2, 4, 8])
def test_a_shorter_interval_pays_its_share_of_eight_hours_but_keeps_the_cap(
    interval_h: int,
) -> None:
    rule = replace(BINANCE, interval_h=interval_h)
    assert rule.rate(0.001) == pytest.approx(0.0005 * interval_h / 8, abs=1e-15)
    assert rule.rate(1.0) == 0.003
    assert rule.rate(-1.0) == -0.003


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        # SCIENCE §4: (P + 100 ppm) / 8 an hour, clamped at ±6·(2 % - 1.2 %) / 8 = ±0.6 %.
        (0.0, 1.25e-5),
        (0.0002, 3.75e-5),
        (0.001, 1.375e-4),
        (-0.0001, 0.0),
        (-0.001, -1.125e-4),
        (0.0479, 0.006),
        (0.1, 0.006),
        (-0.1, -0.006),
    ],
)
def test_dydx_adds_the_default_rate_and_pays_by_the_hour(premium: float, rate: float) -> None:
    assert DYDX.interval_h == 1
    assert DYDX.rate(premium) == pytest.approx(rate, abs=1e-15)


@given(st.lists(st.floats(-0.1, 0.1), min_size=1), st.sampled_from([BINANCE, DYDX]))
def test_funding_rises_with_the_premium_within_the_cap_and_takes_arrays(
    premiums: list[float], rule: FundingRule
) -> None:
    rates = np.asarray(rule.rate(np.sort(premiums)))
    assert np.all(np.diff(rates) >= 0)
    assert np.abs(rates).max() <= rule.cap
    assert rates[0] == rule.rate(min(premiums))


def test_binance_rules_change_on_the_day_the_cap_did() -> None:
    assert on("binance", 2024, 10, 23, 23).funding.cap == pytest.approx(0.00375)
    assert on("binance", 2024, 10, 24).funding.cap == pytest.approx(0.003)
    assert on("binance", 2024, 10, 23).effective == date(2019, 11, 27)


def test_the_older_binance_cap_admits_the_lowest_rate_ever_settled() -> None:
    assert on("binance", 2021, 5, 19).funding.rate(-0.00406) == pytest.approx(-0.00356)
    assert on("binance", 2025, 5, 19).funding.rate(-0.00406) == pytest.approx(-0.003)


def test_the_older_binance_rules_differ_in_nothing_but_the_cap_and_say_so() -> None:
    old, new = on("binance", 2021, 1, 1), on("binance", 2025, 1, 1)
    assert replace(old, effective=new.effective, source=new.source, funding=new.funding) == new
    assert replace(old.funding, cap=new.funding.cap) == new.funding
    assert "taken from 2024-10-24" in old.source


def test_before_the_first_known_rules_the_oldest_hold() -> None:
    assert on("binance", 2019, 1, 1) is on("binance", 2020, 1, 1)


@pytest.mark.parametrize("venue", list(venues))
def test_every_venue_lists_its_rules_oldest_first_under_its_own_name(venue: str) -> None:
    versions = venues[venue]
    assert all(version.venue == venue for version in versions)
    days = [version.effective for version in versions]
    assert days == sorted(set(days))


@pytest.mark.parametrize("venue", ["binance", "binance-coin-m"])
def test_todays_binance_cap_is_three_quarters_of_the_first_maintenance_rate(venue: str) -> None:
    contract = venues[venue][-1]
    assert contract.funding.cap == pytest.approx(0.75 * contract.tiers[0].rate)


@pytest.mark.parametrize("venue", list(venues))
def test_only_inverse_contracts_have_a_size_in_usd(venue: str) -> None:
    for contract in venues[venue]:
        assert contract.contract_usd == (0 if contract.linear else 10)


@pytest.mark.parametrize("venue", list(venues))
def test_bigger_positions_need_more_margin_and_less_leverage(venue: str) -> None:
    for contract in venues[venue]:
        for below, above in zip(contract.tiers, contract.tiers[1:], strict=False):
            assert above.cap > below.cap
            assert above.rate > below.rate
            assert above.max_leverage < below.max_leverage
        for tier in contract.tiers:
            assert tier.rate < 1 / tier.max_leverage


def test_an_unknown_venue_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FixConfig, match="binance"):
        contract_at("binanse", 0)
