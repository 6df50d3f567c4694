"""The exposure over time: what counts, from when on, and what a lender leaves of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from counterpoise.config import load_settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.exposure.path import ExposurePath, exposure_path, unchecked_path
from counterpoise.units import DAY_MS, HOUR_MS, from_ms
from tests.exposure.held import LOAN, at, holding, priced, written
from tests.random_timeline import START_MS, cut, random_timeline

START = datetime(2020, 1, 1, tzinfo=UTC)


def test_an_amount_of_eth_is_the_same_at_every_hour() -> None:
    path = exposure_path(
        load_settings(overrides={"exposure": {"eth": 7.5}}), priced([2_000.0] * 10)
    )
    assert path.exposure_eth.tolist() == [7.5] * 10
    assert path.delta_eth.shape == (10, 1)
    assert path.holdings[0].liquidation is None
    assert path.notes == ()


def test_a_deposit_counts_from_its_hour_on_and_a_withdrawal_too(tmp_path: Path) -> None:
    timeline = priced([2_000.0] * 6)
    flows = written(
        tmp_path,
        "flows.csv",
        "ts,eth",
        [(at(timeline, 2), 50), ("2020-01-01T02:30:00+00:00", 5), (at(timeline, 4), -20)],
    )
    settings = load_settings(overrides={"exposure": {"eth": 100.0, "flows": flows}})
    path = exposure_path(settings, timeline)
    assert path.exposure_eth.tolist() == [100.0, 100.0, 150.0, 155.0, 135.0, 135.0]
    assert path.flow_eth.tolist() == [0.0, 0.0, 50.0, 55.0, 35.0, 35.0]


def test_flows_outside_the_span_are_told_and_only_the_earlier_count(tmp_path: Path) -> None:
    timeline = priced([2_000.0] * 6)
    flows = written(
        tmp_path,
        "flows.csv",
        "ts,eth",
        [("2019-05-01T00:00:00Z", 30), (at(timeline, 1), 10), ("2030-01-01T00:00:00Z", -500)],
    )
    settings = load_settings(overrides={"exposure": {"eth": 100.0, "flows": flows}})
    path = exposure_path(settings, timeline, 2, 5)
    assert path.exposure_eth[2:5].tolist() == [140.0] * 3
    assert path.notes == (
        "flows before 2020-01-01 02:00: 2, in sum +40 ETH, counted from the first hour on",
        "flows after 2020-01-01 04:00: 1, in sum -500 ETH, not counted",
    )


def test_staking_rewards_grow_from_the_day_the_amount_was_stated() -> None:
    timeline = random_timeline(24 * 365 + 1, seed=2)
    path = exposure_path(
        holding({"asset": "steth", "amount": 1000.0, "as_of": START, "yield_per_year": 0.03}),
        timeline,
    )
    assert path.exposure_eth[0] == 1000.0
    assert path.exposure_eth[24 * 73] == pytest.approx(1000.0 * 1.03**0.2, rel=1e-14)
    assert path.exposure_eth[-1] == pytest.approx(1030.0, rel=1e-14)


def test_a_rate_stated_later_was_lower_before() -> None:
    timeline = priced([2_000.0] * 3)
    year = START + timedelta(days=365)
    stated = {"asset": "wsteth", "amount": 100.0, "eth_per_token": 1.2, "as_of": year}
    path = exposure_path(holding(stated | {"yield_per_year": 0.04}), timeline)
    assert path.exposure_eth[0] == pytest.approx(120.0 / 1.04, rel=1e-14)


def test_a_rate_counts_from_when_it_was_known(tmp_path: Path) -> None:
    timeline = priced([2_000.0] * 6)
    rows = [
        (at(timeline, 0), at(timeline, 0), 1.10),
        (at(timeline, 1), at(timeline, 4), 1.11),
        (at(timeline, 2), at(timeline, 3), 1.12),
    ]
    file = written(tmp_path, "reth.csv", "ts,known_at,eth_per_token", rows)
    path = exposure_path(holding({"asset": "reth", "amount": 10.0, "rate_file": file}), timeline)
    np.testing.assert_allclose(path.exposure_eth, [11.0, 11.0, 11.0, 11.2, 11.2, 11.2], rtol=1e-14)


def test_a_rate_that_is_not_known_yet_is_refused(tmp_path: Path) -> None:
    timeline = priced([2_000.0] * 6)
    file = written(tmp_path, "reth.csv", "ts,eth_per_token", [(at(timeline, 3), 1.1)])
    settings = holding({"asset": "reth", "amount": 10.0, "rate_file": file})
    with pytest.raises(NotEnoughData) as refused:
        exposure_path(settings, timeline, 2)
    for words in ("reth", "holdings[0]", "known from 2020-01-01 03:00 on", "Next: add earlier"):
        assert words in str(refused.value)
    assert exposure_path(settings, timeline, 3).exposure_eth[3] == pytest.approx(11.0)


def test_an_old_rate_is_carried_on_and_told(tmp_path: Path) -> None:
    timeline = random_timeline(24 * 10, seed=2)
    file = written(tmp_path, "reth.csv", "ts,eth_per_token", [(at(timeline, 0), 1.1)])
    path = exposure_path(holding({"asset": "reth", "amount": 10.0, "rate_file": file}), timeline)
    assert path.notes == (
        "the rate of reth is carried on for up to 10.0 days, until 2020-01-10 23:00",
    )
    assert path.exposure_eth[-1] == pytest.approx(11.0)


def test_borrowed_dollars_leave_the_delta_and_borrowed_eth_takes_its_size() -> None:
    timeline = priced([2_000.0] * 4)
    dollars = {"asset": "eth", "amount": 100.0, "debt_usd": 90_000.0, **LOAN}
    coins = {"asset": "steth", "amount": 100.0, "debt_eth": 80.0, **LOAN}
    path = exposure_path(holding(dollars, coins), timeline)
    assert path.delta_eth[0].tolist() == [100.0, 20.0]
    assert path.holdings[0].liquidation_price_usd[0] == pytest.approx(1084.3373, abs=1e-4)
    assert np.isnan(path.holdings[0].liquidation_ratio).all()
    assert path.holdings[1].liquidation_ratio[0] == pytest.approx(0.963855, abs=1e-6)
    assert np.isnan(path.holdings[1].liquidation_price_usd).all()


def test_a_bar_whose_low_reaches_the_limit_liquidates_at_the_limit() -> None:
    """1000 ETH, a million owed, threshold 0.83: at 1204.82 the lender takes 871.5 of them."""
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1_000_000.0, **LOAN}
    limit = 1_000_000 / 830
    timeline = priced([1_500, 1_400, 1_300, 1_350], low=[1_490, 1_205, 1_204.8, 1_290])
    path = exposure_path(holding(loan), timeline)
    taken = path.holdings[0].liquidation
    assert taken is not None
    assert (taken.tick, taken.ts_ms) == (2, START_MS + 2 * HOUR_MS)
    assert taken.price_usd == pytest.approx(limit, rel=1e-14)
    assert taken.repaid_eth == pytest.approx(830.0, rel=1e-14)
    assert taken.left_eth == pytest.approx(1000 - 830 * 1.05, rel=1e-12)
    assert taken.loss_usd == pytest.approx(50_000.0, rel=1e-12)
    np.testing.assert_allclose(path.exposure_eth, [1000, 1000, 128.5, 128.5], rtol=1e-12)
    assert path.holdings[0].debt_usd.tolist() == [1e6, 1e6, 0.0, 0.0]


def test_after_a_gap_the_lender_sells_at_the_open_and_no_better() -> None:
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1_000_000.0, **LOAN}
    nan = float("nan")
    timeline = priced(
        [1_500, nan, 1_150, 1_200], low=[1_490, nan, 1_140, 1_140], opens=[1_500, nan, 1_180, 1_150]
    )
    taken = exposure_path(holding(loan), timeline).holdings[0].liquidation
    assert taken is not None
    assert (taken.tick, taken.price_usd) == (2, 1_180.0)
    assert taken.left_eth == pytest.approx(1000 - 1.05e6 / 1180, rel=1e-12)


def test_a_bar_whose_low_is_not_believed_still_has_its_close() -> None:
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1_000_000.0, **LOAN}
    timeline = priced([1_500, 1_200, 1_300], low=[1_490, float("nan"), 1_290])
    taken = exposure_path(holding(loan), timeline).holdings[0].liquidation
    assert taken is not None
    assert taken.tick == 1


def test_collateral_that_does_not_cover_debt_and_penalty_is_gone_and_no_more() -> None:
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1_000_000.0, **LOAN}
    rest = {"asset": "weth", "amount": 10.0}
    timeline = priced([1_500, 900], opens=[1_500, 950])
    path = exposure_path(holding(loan, rest), timeline)
    taken = path.holdings[0].liquidation
    assert taken is not None
    assert (taken.left_eth, taken.loss_usd) == (0.0, 0.0)
    assert path.exposure_eth[1] == 10.0


def test_a_loop_is_liquidated_by_its_rate_whatever_eth_costs(tmp_path: Path) -> None:
    """1000 stETH against 850 ETH, threshold 0.93: a rate of 0.91398 or less ends it."""
    timeline = priced([2_000.0, 500.0, 500.0, 400.0, 600.0])
    rows = [(at(timeline, 0), 1.0), (at(timeline, 2), 0.915), (at(timeline, 3), 0.913)]
    file = written(tmp_path, "steth.csv", "ts,eth_per_token", rows)
    loop = {"asset": "steth", "amount": 1000.0, "rate_file": file, "debt_eth": 850.0}
    terms = {"liquidation_threshold": 0.93, "liquidation_penalty": 0.01}
    path = exposure_path(holding(loop | terms), timeline)
    taken = path.holdings[0].liquidation
    assert taken is not None
    assert (taken.tick, taken.price_usd, taken.repaid_eth) == (3, 400.0, 850.0)
    assert taken.left_eth == pytest.approx(913 - 858.5)
    assert taken.loss_usd == pytest.approx(8.5 * 400)
    np.testing.assert_allclose(path.exposure_eth, [150.0, 150.0, 65.0, 54.5, 54.5])


def test_interest_alone_can_end_a_loop() -> None:
    timeline = random_timeline(24 * 400, seed=2)
    loop = {"asset": "steth", "amount": 100.0, "debt_eth": 88.0, "as_of": START}
    terms = {"liquidation_threshold": 0.93, "liquidation_penalty": 0.0, "interest_per_year": 0.06}
    taken = exposure_path(holding(loop | terms), timeline).holdings[0].liquidation
    assert taken is not None
    days = 365 * np.log(93 / 88) / np.log(1.06)
    assert taken.ts_ms == START_MS + np.ceil(days * 24) * HOUR_MS


def test_a_loan_stands_from_as_of_or_from_the_span_whichever_is_earlier() -> None:
    timeline = priced([1_500, 1_000, 1_500, 1_400, 1_100, 1_500])
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1_000_000.0, **LOAN}

    def ends(first: int, as_of: int | None) -> int | None:
        stated = {} if as_of is None else {"as_of": from_ms(int(timeline.ts_ms[as_of]))}
        taken = exposure_path(holding(loan | stated), timeline, first).holdings[0].liquidation
        return None if taken is None else taken.tick

    assert ends(2, None) == 4
    assert ends(2, 0) == 1
    assert ends(2, 5) == 4
    assert ends(5, None) is None


def test_what_is_assumed_about_a_loan_is_told() -> None:
    timeline = priced([1_500.0] * 5)
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1_000_000.0, **LOAN}
    for as_of, words in (
        (START + timedelta(days=3), "2020-01-04 00:00, is taken to stand since 2020-01-01 01:00"),
        (START - timedelta(days=3), "is watched from 2020-01-01 00:00 on, the first hour of the"),
    ):
        notes = exposure_path(holding(loan | {"as_of": as_of}), timeline, 1).notes
        assert len(notes) == 1
        assert words in notes[0]


def test_a_loan_that_could_not_have_stood_is_refused() -> None:
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1_000_000.0, **LOAN}
    with pytest.raises(
        FixConfig, match=r"holdings\[0\].*ETH is 1,200\.00 USD and eth is liq.*at 1,204"
    ):
        exposure_path(holding(loan), priced([1_200.0, 1_300.0]))
    loop = {"asset": "steth", "amount": 100.0, "debt_eth": 84.0, **LOAN}
    with pytest.raises(FixConfig, match="owes 84 ETH against 100, more than liquidation_threshold"):
        exposure_path(holding(loop), priced([1_200.0, 1_300.0]))


def test_an_exposure_that_ends_is_refused_with_its_hour_and_parts(tmp_path: Path) -> None:
    timeline = priced([2_000.0] * 6)
    flows = written(tmp_path, "flows.csv", "ts,eth", [(at(timeline, 3), -100)])
    settings = load_settings(overrides={"exposure": {"eth": 100.0, "flows": flows}})
    with pytest.raises(FixConfig) as refused:
        exposure_path(settings, timeline)
    for words in ("'0 ETH at 2020-01-01 03:00'", "eth 100, flows -100", "--from .. --to"):
        assert words in str(refused.value)
    assert exposure_path(settings, timeline, 0, 3).exposure_eth[:3].tolist() == [100.0] * 3


def test_the_same_asset_twice_has_two_names() -> None:
    one = {"asset": "eth", "amount": 1.0}
    path = exposure_path(holding(one, one, {"asset": "weth", "amount": 1.0}), priced([9.0, 9.0]))
    assert [each.name for each in path.holdings] == ["eth", "eth 2", "weth"]


HOURS = 24 * 14
amounts = st.floats(0.1, 1e5)
growth = st.floats(0.0, 0.2)


@st.composite
def stated(draw: st.DrawFn) -> dict[str, Any]:
    """Return a holding, some with a loan that stands at the first price of 200 USD."""
    amount = draw(amounts)
    table: dict[str, Any] = {"asset": draw(st.sampled_from(["eth", "steth", "wsteth", "reth"]))}
    table |= {"amount": amount, "as_of": START, "yield_per_year": draw(growth)}
    rate = 1.0
    if table["asset"] in ("wsteth", "reth"):
        table["eth_per_token"] = rate = draw(st.floats(1.0, 1.3))
    debt = draw(st.sampled_from([None, "debt_usd", "debt_eth"]))
    if debt is not None:
        share = draw(st.floats(0.3, 0.95)) * LOAN["liquidation_threshold"]
        unit = 170.0 if debt == "debt_usd" else 1.0
        table |= {debt: amount * rate * share * unit, "interest_per_year": draw(growth), **LOAN}
    return table


def with_flows(folder: str, sizes: list[float]) -> Path:
    """Flows every 29 hours."""
    moments = (START + timedelta(hours=29 * i + 3) for i in range(len(sizes)))
    rows = [(moment.isoformat(), size) for moment, size in zip(moments, sizes, strict=True)]
    return written(Path(folder), "flows.csv", "ts,eth", rows)


several = st.lists(stated(), min_size=1, max_size=4)
sizes = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8)


def same(one: ExposurePath, other: ExposurePath, ticks: int) -> None:
    for name in ("exposure_eth", "flow_eth", "delta_eth"):
        assert getattr(one, name)[:ticks].tobytes() == getattr(other, name)[:ticks].tobytes()


@given(several, sizes, st.integers(0, 50))
@tries(max_examples=40)
def test_the_exposure_is_the_sum_of_its_parts(
    tables: list[dict[str, Any]], moved: list[float], seed: int
) -> None:
    with TemporaryDirectory() as folder:
        settings = holding(*tables, flows=with_flows(folder, moved))
        timeline = random_timeline(HOURS, seed=seed)
        path = unchecked_path(settings, timeline)
        alone = [unchecked_path(holding(table), timeline).exposure_eth for table in tables]
    whole = np.sum(alone, axis=0) + path.flow_eth
    np.testing.assert_allclose(path.exposure_eth, whole, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(path.delta_eth.sum(axis=1) + path.flow_eth, path.exposure_eth)


@given(several, sizes, st.integers(0, 50), st.integers(1, HOURS - 1))
@tries(max_examples=40)
def test_what_comes_later_changes_nothing_before(
    tables: list[dict[str, Any]], moved: list[float], seed: int, ticks: int
) -> None:
    """Prices and flows cut at any hour leave every earlier exposure byte-identical."""
    timeline = random_timeline(HOURS, seed=seed, gap_share=0.05)
    with TemporaryDirectory() as folder:
        whole = unchecked_path(holding(*tables, flows=with_flows(folder, moved)), timeline)
        known = [size for i, size in enumerate(moved) if 29 * i + 3 < ticks] or [0.0]
        flows = with_flows(folder, known)
        same(unchecked_path(holding(*tables, flows=flows), cut(timeline, ticks)), whole, ticks)
        same(unchecked_path(holding(*tables, flows=flows), timeline), whole, ticks)


@given(several, st.sampled_from([0.25, 2.0, 8.0]), st.integers(0, 50))
@tries(max_examples=40)
def test_twice_the_holdings_have_twice_the_delta_and_the_same_limits(
    tables: list[dict[str, Any]], factor: float, seed: int
) -> None:
    timeline = random_timeline(HOURS, seed=seed)
    scaled = [
        {
            key: value * factor if key in ("amount", "debt_usd", "debt_eth") else value
            for key, value in table.items()
        }
        for table in tables
    ]
    one, more = (unchecked_path(holding(*each), timeline) for each in (tables, scaled))
    np.testing.assert_array_equal(more.delta_eth, factor * one.delta_eth)
    for small, large in zip(one.holdings, more.holdings, strict=True):
        np.testing.assert_array_equal(large.liquidation_price_usd, small.liquidation_price_usd)
        if small.liquidation is not None and large.liquidation is not None:
            assert large.liquidation.tick == small.liquidation.tick
            assert large.liquidation.loss_usd == pytest.approx(factor * small.liquidation.loss_usd)
        assert (small.liquidation is None) == (large.liquidation is None)


@given(stated(), st.integers(0, 50))
def test_at_its_liquidation_price_a_debt_is_threshold_times_the_collateral(
    table: dict[str, Any], seed: int
) -> None:
    one = unchecked_path(holding(table), random_timeline(HOURS, seed=seed)).holdings[0]
    dollars, coins = one.debt_usd > 0, one.debt_eth > 0
    value = one.collateral_eth * LOAN["liquidation_threshold"]
    np.testing.assert_allclose(
        (value * one.liquidation_price_usd)[dollars], one.debt_usd[dollars], rtol=1e-14
    )
    np.testing.assert_allclose(
        (value * one.liquidation_ratio)[coins], one.debt_eth[coins], rtol=1e-14
    )


@given(stated(), st.integers(0, 50))
def test_a_liquidation_moves_equity_only_by_what_it_says_was_lost(
    table: dict[str, Any], seed: int
) -> None:
    """A walk hour by hour, written apart, finds the same tick, remainder and loss."""
    timeline = random_timeline(HOURS, seed=seed)
    path = unchecked_path(holding(table), timeline)
    collateral = table["amount"] * table.get("eth_per_token", 1.0)
    taken = path.holdings[0].liquidation
    for tick in range(1, HOURS):
        years = tick / 24 / 365
        held = collateral * (1 + table["yield_per_year"]) ** years
        grown = (1 + table.get("interest_per_year", 0.0)) ** years
        usd, eth = table.get("debt_usd", 0.0) * grown, table.get("debt_eth", 0.0) * grown
        low, begins = timeline.spot.low[tick], timeline.spot.open[tick]
        if not usd + eth or 0.83 * held * low > usd + eth * low:
            continue
        price = min(usd / (0.83 * held), begins) if usd else timeline.spot.close[tick]
        repaid = usd / price + eth
        left = max(held - 1.05 * repaid, 0.0)
        assert taken is not None
        assert taken.tick == tick
        assert taken.left_eth == pytest.approx(left, rel=1e-9, abs=1e-9)
        equity = (held - repaid) * price
        assert taken.loss_usd == pytest.approx(max(equity, 0) - left * price, rel=1e-9, abs=1e-6)
        assert path.exposure_eth[tick] == pytest.approx(left, rel=1e-9, abs=1e-9)
        return
    assert taken is None


def test_growth_counts_years_of_365_days() -> None:
    timeline = random_timeline(2, start_ms=START_MS + 365 * DAY_MS)
    table = {"asset": "eth", "amount": 1.0, "as_of": START, "yield_per_year": 0.5}
    assert exposure_path(holding(table), timeline).exposure_eth[0] == 1.5


def test_the_simulator_hedges_this_exposure(tmp_path: Path) -> None:
    from counterpoise.simulation.arena import arena

    timeline = random_timeline(HOURS, seed=4)
    flows = written(tmp_path, "flows.csv", "ts,eth", [(at(timeline, 200), 40)])
    table = {"asset": "steth", "amount": 100.0, "as_of": START, "yield_per_year": 0.03}
    settings = holding(table, flows=flows)
    where = arena(timeline, settings, 72, HOURS)
    found = exposure_path(settings, timeline, 72, HOURS).exposure_eth[72:]
    assert where.market.exposure_eth.tobytes() == found.tobytes()
    assert found[200 - 72] - found[199 - 72] == pytest.approx(40.0, abs=1e-3)


def test_a_million_owed_on_a_thousand_eth_ended_in_june_2022(real_data: Path) -> None:
    import polars as pl

    bars = pl.read_parquet(real_data / "klines" / "binance_spot_ethusdt_1h.parquet").filter(
        pl.col("ts") >= datetime(2021, 8, 1, tzinfo=UTC)
    )
    prices = (bars[name].to_list() for name in ("close", "low", "open"))
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1_000_000.0, **LOAN}
    taken = exposure_path(holding(loan), priced(*prices)).holdings[0].liquidation
    assert taken is not None
    assert bars["ts"][taken.tick] == datetime(2022, 6, 13, 9, tzinfo=UTC)
    assert taken.price_usd == pytest.approx(1_000_000 / 830)
    earlier = bars["low"][1 : taken.tick].min()
    assert earlier is not None
    assert float(str(earlier)) > taken.price_usd
