"""What was really done is valued to the cent: a ledger of cash and one final mark must agree."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData, RejectData
from counterpoise.market.fills import Fills
from counterpoise.simulation.actual import refuse_strange_prices, remarks, replay
from counterpoise.simulation.arena import Arena, arena
from counterpoise.simulation.arrays import AccountRules, GuardArrays
from counterpoise.simulation.simulate import to_days
from counterpoise.units import HOUR_MS, HOURS_PER_YEAR
from tests.random_timeline import random_timeline

FIRST, TICKS, EXPOSURE = 24 * 40, 24 * 6 + 1, 1000.0
TIMELINE = random_timeline(FIRST + TICKS, seed=4)
WHERE: Arena = arena(TIMELINE, Settings(exposure={"eth": EXPOSURE}), FIRST, FIRST + TICKS)
T0 = int(WHERE.ts_ms[0])
VENUES = ("binance",)


def fills_of(*rows: tuple[float, float, float, float], venues: list[str] | None = None) -> Fills:
    """Fills from (hours after the first tick, ETH sold or minus bought, price, fee)."""
    hours, sold, price, fee = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return Fills(
        ts_ms=(T0 + np.round(hours * HOUR_MS)).astype(np.int64),
        side=-np.sign(sold),
        price_usd=price,
        size_eth=np.abs(sold),
        fee_usd=fee,
        venue=np.array(venues or ["binance"] * len(rows)),
        fill_id=np.array([str(k) for k in range(len(rows))]),
        notes=(),
    )


def small_arena(
    spot: list[float],
    perp: list[list[float]],
    funding: list[list[float]] | None = None,
    exposure: list[float] | None = None,
) -> Arena:
    """The first hours of the arena with prices of one's own."""
    ticks, venues = len(spot), len(perp[0])
    none = np.full((ticks, venues), np.nan)
    market = WHERE.market._replace(
        spot=np.array(spot, dtype=float),
        perp=np.array(perp, dtype=float),
        mark_high=none,
        funding_settled=none if funding is None else np.array(funding, dtype=float),
        funding_mark=none,
        sigma_day=np.full(ticks, 0.03),
        volume_day_eth=np.full((ticks, venues), 1e6),
        exposure_eth=np.array(exposure or [10.0] * ticks),
        bucket=np.arange(ticks),
    )
    watch = GuardArrays(
        leverage=np.full(ticks, 2.0),
        leverage_max=np.full(ticks, 3.0),
        event_floor=np.zeros(ticks),
        event_class=np.full(ticks, np.nan),
        quiet=np.zeros(ticks, dtype=bool),
        is_open=np.ones(ticks, dtype=bool),
        cost=none,
    )
    ts_ms = T0 + HOUR_MS * np.arange(ticks)
    return replace(WHERE, first=0, last=ticks, ts_ms=ts_ms, market=market, watch=watch)


def test_a_sale_and_a_purchase_worked_out_by_hand() -> None:
    where = small_arena(
        spot=[2000.0, 2100.0, 2050.0, 2050.0],
        perp=[[2000.0], [2110.0], [2050.0], [2060.0]],
        funding=[[np.nan], [1e-4], [np.nan], [-2e-4]],
    )
    fills = fills_of((0.25, 4.0, 2005.0, 4.0), (1.5, -1.0, 2080.0, 1.0))
    path = replay(fills, where, VENUES)
    # Hour 1: nothing was held at its beginning: delta 10 · 100. 4 ETH sold at 2 005 are marked at
    #   2 110: slippage 4 · (2 005 − 2 110) = −420. Funding on 4 ETH at the close: 4 · 2 110 · 1e-4.
    # Hour 2: ΔS = −50, ΔF = −60 with 4 ETH short: delta (10 − 4) · −50, basis −4 · (−60 + 50).
    #   1 ETH bought at 2 080, marked at 2 050: slippage −(2 080 − 2 050) = −30.
    #   Capital on what is paid in: 4 · 2 110 / 2, and the 420 − 0.844 + 4 the account lost.
    # Hour 3: ΔF = 10 with 3 ETH: basis −30. Funding −3 · 2 060 · 2e-4. Capital on 3 · 2 050 / 2 and
    #   a loss of 423.156 − 240 + 1 + 30.
    hourly = 0.04 / HOURS_PER_YEAR
    assert path.pnl == pytest.approx(
        np.array(
            [
                [0.0] * 7,
                [1000.0, 0.0, 0.844, -4.0, -420.0, 0.0, 0.0],
                [-300.0, 40.0, 0.0, -1.0, -30.0, -(4220.0 + 423.156) * hourly, 0.0],
                [0.0, -30.0, -1.236, 0.0, 0.0, -(3075.0 + 214.156) * hourly, 0.0],
            ]
        )
    )
    assert path.short_eth[:, 0].tolist() == [0.0, 4.0, 3.0, 3.0]
    assert path.traded_eth.tolist() == [0.0, 4.0, 1.0, 0.0]
    assert path.ratio.tolist() == pytest.approx([0.0, 0.4, 0.3, 0.3])
    assert path.collateral_usd[:, 0].tolist() == [0.0, 4220.0, 3075.0, 3090.0]
    assert np.isnan(path.lo).all()
    assert np.isnan(path.hi).all()
    assert (path.reasons == 0).all()
    # 4 ETH sold, 1 bought and 3 marked, funding and fees: what the account won.
    won = 4 * 2005.0 - 2080.0 - 3 * 2060.0 + 0.844 - 1.236 - 5.0
    assert path.collateral_usd[-1, 0] - path.paid_in_usd[-1] == pytest.approx(won)


def test_a_fill_on_the_hour_is_not_yet_held_at_its_settlement() -> None:
    where = small_arena(
        spot=[2000.0] * 3,
        perp=[[2000.0]] * 3,
        funding=[[np.nan], [1e-4], [1e-4]],
    )
    on_the_hour = replay(fills_of((1.0, 5.0, 2000.0, 0.0)), where, VENUES)
    just_before = replay(fills_of((1.0 - 1 / HOUR_MS, 5.0, 2000.0, 0.0)), where, VENUES)
    assert on_the_hour.pnl[:, 2].tolist() == pytest.approx([0.0, 0.0, 1.0])
    assert just_before.pnl[:, 2].tolist() == pytest.approx([0.0, 1.0, 1.0])


def test_funding_reaches_a_position_taken_in_a_gap_and_a_long_pays_it() -> None:
    gap = [2000.0, np.nan, np.nan, 2100.0]
    where = small_arena(
        spot=gap, perp=[[price] for price in gap], funding=[[np.nan], [np.nan], [1e-3], [np.nan]]
    )
    path = replay(fills_of((0.5, -2.0, 2010.0, 0.0)), where, VENUES)
    # Long 2 ETH, settled at the last known close; slippage against it; the move when bars return.
    assert path.pnl[2, 2] == pytest.approx(-2 * 2000.0 * 1e-3)
    assert path.pnl[1, 4] == pytest.approx(-2 * (2010.0 - 2000.0))
    assert path.pnl[3, 0] == pytest.approx((10.0 + 2.0) * 100.0)
    assert path.spot.tolist() == [2000.0, 2000.0, 2000.0, 2100.0]
    assert path.spot_open.tolist() == [2000.0, 2000.0, 2000.0, 2000.0]


def test_an_opening_short_earns_from_the_first_close_and_costs_nothing_to_enter() -> None:
    where = small_arena(spot=[2000.0, 1900.0], perp=[[2001.0], [1901.0]])
    path = replay(fills_of((0.5, -10.0, 1950.0, 0.0)), where, VENUES, opening_short_eth=10.0)
    assert path.short_eth[:, 0].tolist() == [10.0, 0.0]
    assert path.pnl[0].tolist() == [0.0] * 7
    assert path.pnl[1, [0, 1, 4]].tolist() == pytest.approx([0.0, 0.0, -10.0 * (1950 - 1901)])


def test_fills_outside_the_window_are_its_opening_position_or_left_out_and_said() -> None:
    fills = fills_of((-30.0, 3.0, 2000.0, 9.0), (5.5, 1.0, 2000.0, 1.0), (900.0, 4.0, 2000.0, 1.0))
    path = replay(fills, WHERE, VENUES, opening_short_eth=2.0)
    assert path.short_eth[0, 0] == 5.0
    assert path.short_eth[-1, 0] == 6.0
    assert path.pnl[:, 3].sum() == -1.0
    before, after = remarks(fills, path)
    assert before.startswith("1 fills before 2020-02-10 00:00 UTC")
    assert after.startswith("1 fills from 2020-02-16 00:00 UTC on are not used")


def test_a_long_position_and_one_above_the_exposure_are_reported_not_clipped() -> None:
    fills = fills_of((0.5, 1200.0, 200.0, 0.0), (10.5, -1300.0, 200.0, 0.0))
    path = replay(fills, WHERE, VENUES)
    assert path.short_eth[[1, 11], 0].tolist() == [1200.0, -100.0]
    long, over = remarks(fills, path)
    assert f"net long in {TICKS - 11} of {TICKS} hours" in long
    assert "--actual-opening-short" in long
    assert f"short of more than the exposure in 10 of {TICKS} hours" in over
    assert "1,200.000 ETH short of 1,000.000 held" in over


def test_collateral_in_eth_costs_what_posted_eth_costs() -> None:
    where = small_arena(spot=[2000.0, 2000.0], perp=[[2000.0], [2000.0]])
    where = replace(where, account=AccountRules(0.9, False, np.inf))
    path = replay(fills_of((5.0, 1.0, 2000.0, 0.0)), where, VENUES, opening_short_eth=9.0)
    assert path.posted_eth[0, 0] == pytest.approx(9.0 / 2 / 0.9)
    rate = where.costs.eth_cost_per_year / HOURS_PER_YEAR
    assert path.pnl[1, 5] == pytest.approx(-rate * 2000.0 * path.posted_eth[0, 0])


def test_fills_of_a_venue_without_bars_and_a_span_without_prices_are_refused() -> None:
    with pytest.raises(FixConfig, match=r"venue\.names.*dydx"):
        replay(fills_of((1.0, 1.0, 2000.0, 0.0), venues=["dydx"]), WHERE, VENUES)
    empty = small_arena(spot=[np.nan] * 2, perp=[[2000.0]] * 2)
    with pytest.raises(NotEnoughData, match="cannot be valued"):
        replay(fills_of((0.5, 1.0, 2000.0, 0.0)), empty, VENUES)


def test_stamps_of_another_zone_show_in_the_bars() -> None:
    hours = np.arange(FIRST + 1, FIRST + 100)
    inside = fills_of(*((h - FIRST - 0.5, 1.0, float(TIMELINE.perp.low[h, 0]), 0.0) for h in hours))
    assert refuse_strange_prices(inside, TIMELINE) == ()
    shifted = replace(inside, ts_ms=inside.ts_ms - 8 * HOUR_MS)
    with pytest.raises(RejectData, match="zone of the times"):
        refuse_strange_prices(shifted, TIMELINE)
    one = replace(inside, price_usd=np.where(hours == FIRST + 7, 1.0, inside.price_usd))
    (said,) = refuse_strange_prices(one, TIMELINE)
    assert said.startswith("1 of 99 fills lie outside the bar")


def ledger(fills: Fills, where: Arena, venues: tuple[str, ...], opening: float) -> float:
    """USD won by coins, cash flows and one final mark, hour by hour in plain Python."""
    market, last_ms = where.market, int(where.ts_ms[-1])
    rows = sorted(range(len(fills)), key=lambda k: int(fills.ts_ms[k]))
    position = dict.fromkeys(venues, 0.0)
    position[str(fills.venue[0])] = opening
    for k in rows:
        if fills.ts_ms[k] < where.ts_ms[0]:
            position[str(fills.venue[k])] -= fills.side[k] * fills.size_eth[k]
    priced = [
        t
        for t in range(len(where.ts_ms))
        if np.isfinite(market.spot[t]) and np.isfinite(market.perp[t]).all()
    ]
    # What was held when prices began is entered at the first of them.
    cash = sum(position[name] * market.perp[priced[0], v] for v, name in enumerate(venues))
    coins, entered, spot = 0.0, False, 0.0
    known = [float("nan")] * len(venues)
    todo = [k for k in rows if where.ts_ms[0] <= fills.ts_ms[k] < last_ms]
    paid_in = charged = 0.0
    for t, now in enumerate(where.ts_ms):
        charged += where.costs.capital_cost_per_year * paid_in / HOURS_PER_YEAR if t else 0.0
        if t in priced:
            if entered:
                coins += market.exposure_eth[t - 1] * (market.spot[t] - spot)
            spot, entered = market.spot[t], True
            known = [float(price) for price in market.perp[t]]
        while todo and fills.ts_ms[todo[0]] < now:
            k = todo.pop(0)
            sold = -fills.side[k] * fills.size_eth[k]
            position[str(fills.venue[k])] += sold
            cash += sold * fills.price_usd[k] - fills.fee_usd[k]
        for v, name in enumerate(venues):
            rate, mark = market.funding_settled[t, v], market.funding_mark[t, v]
            mark = mark if np.isfinite(mark) else known[v]
            if np.isfinite(rate) and entered:
                cash += position[name] * mark * rate
        marks = known if entered else [float(price) for price in market.perp[priced[0]]]
        posted = sum(abs(position[name]) * marks[v] for v, name in enumerate(venues))
        won = cash - sum(position[name] * marks[v] for v, name in enumerate(venues))
        paid_in = posted / where.watch.leverage[t] - won
    return coins + cash - charged - sum(position[name] * known[v] for v, name in enumerate(venues))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_parts_add_up_to_the_cash_that_flowed_and_one_final_mark(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ticks, venues = int(rng.integers(2, 80)), ("binance", "dydx")[: int(rng.integers(1, 3))]
    spot = 2000.0 * np.exp(np.cumsum(rng.normal(0, 0.02, ticks)))
    perp = spot[:, None] * (1 + rng.normal(0, 0.002, (ticks, len(venues))))
    spot[rng.random(ticks) < 0.2] = np.nan
    perp[rng.random(perp.shape) < 0.1] = np.nan
    last = int(rng.integers(ticks))
    spot[last], perp[last] = 2000.0, 2001.0
    paid = np.where(rng.random(perp.shape) < 0.3, rng.normal(0, 5e-4, perp.shape), np.nan)
    where = small_arena(
        spot.tolist(), perp.tolist(), paid.tolist(), rng.uniform(50, 150, ticks).tolist()
    )
    mark = np.where(rng.random(perp.shape) < 0.5, 1990.0, np.nan)
    where = replace(where, market=where.market._replace(funding_mark=mark))
    count = int(rng.integers(1, 60))
    hours = np.sort(rng.uniform(-3, ticks + 2, count))
    hours[rng.random(count) < 0.2] //= 1
    fills = fills_of(
        *zip(
            np.sort(hours),
            rng.normal(0, 30, count) + rng.choice([-0.5, 0.5], count),
            rng.uniform(1500, 2500, count),
            rng.normal(2, 1, count),
            strict=True,
        ),
        venues=rng.choice(venues, count).tolist(),
    )
    opening = float(rng.normal(0, 20))
    path = replay(fills, where, venues, opening)
    assert path.total.sum() == pytest.approx(ledger(fills, where, venues, opening), abs=0.01)
    # Adding up days loses nothing.
    assert to_days(path).pnl.sum(axis=0) == pytest.approx(path.pnl.sum(axis=0), abs=1e-6)
