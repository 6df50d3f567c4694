"""What a hedge is margined with changes its cost and its survival, not its decisions."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.hedging import Situation
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.simulation.arena import arena
from counterpoise.simulation.simulate import simulate, to_days
from counterpoise.study.collateral import KINDS, OnCollateral, side_by_side
from counterpoise.study.metrics import daily_returns
from tests.random_timeline import random_timeline

HOURS, FIRST = 24 * 120, 240


def rally(timeline: Timeline, by: float) -> Timeline:
    """The same market, its price drifting up by a factor over the span."""
    factor = np.exp(np.log(by) * np.clip((np.arange(HOURS) - FIRST) / (HOURS - FIRST), 0.0, 1.0))

    def lifted(bars, scale):  # type: ignore[no-untyped-def]
        return replace(
            bars,
            **{name: getattr(bars, name) * scale for name in ("open", "high", "low", "close")},
        )

    return replace(
        timeline,
        spot=lifted(timeline.spot, factor),
        perp=lifted(timeline.perp, factor[:, None]),
        mark_high=timeline.mark_high * factor[:, None],
    )


def compared(settings: Settings, by: float = 1.0) -> dict[str, dict[str, OnCollateral]]:
    """Rows by collateral and policy; no forecast is known, so the model falls to the static one."""
    timeline = rally(random_timeline(HOURS, seed=4), by)
    unknown = np.full(HOURS, np.nan)
    forecasts = Forecasts(**dict.fromkeys(Forecasts.__dataclass_fields__, unknown))
    where = arena(timeline, settings, FIRST, HOURS)
    situation = Situation(timeline, forecasts, settings, one_way_cost=5e-4)
    bare = to_days(next(iter(simulate(where, [situation.around(np.zeros(HOURS), 0.0)]))))
    rows, refused = side_by_side(situation, where, daily_returns(bare))
    assert refused == ()
    found: dict[str, dict[str, OnCollateral]] = defaultdict(dict)
    for row in rows:
        found[row.collateral][row.policy] = row
    assert tuple(found) == KINDS
    return found


def test_usdt_ties_up_dollars_and_coins_tie_up_coins() -> None:
    rows = {kind: row["full"] for kind, row in compared(Settings()).items()}
    assert rows["usdt"].posted_peak == 0.0
    assert rows["usdt"].usdt_peak > 0.0
    assert rows["coin-margined"].usdt_peak == 0.0
    assert 0.3 < rows["coin-margined"].posted_peak <= 1.0
    assert rows["eth"].posted_peak > 0.3


def test_the_account_changes_no_decision_of_a_constant_hedge() -> None:
    rows = {kind: row["full"] for kind, row in compared(Settings()).items()}
    assert rows["usdt"].funding == rows["eth"].funding
    assert rows["usdt"].cost == rows["eth"].cost
    # The coins a coin-margined account wins and loses are hedged as well.
    assert rows["coin-margined"].funding == pytest.approx(rows["usdt"].funding, rel=0.05)
    assert max(row.vol for row in rows.values()) < 0.1


def test_a_rally_takes_more_dollars_than_anybody_budgeted() -> None:
    unlimited = compared(Settings(), by=4.0)["usdt"]["full"]
    # The loss of the short is paid in cash while the coins rise: about three times the start.
    assert unlimited.liquidations == 0
    budget = unlimited.usdt_peak / 3
    # Cut in time, a part of the hedge survives; left alone, all of it goes.
    alive = compared(Settings(capital={"usdt_budget": budget}), by=4.0)["usdt"]["full"]
    assert alive.liquidations == 0
    assert alive.unfunded_h > 0
    left_alone = Settings(capital={"usdt_budget": budget}, risk={"keep_alive": 0.0})
    short = compared(left_alone, by=4.0)
    assert short["usdt"]["full"].usdt_peak <= budget * 1.01
    assert short["usdt"]["full"].unfunded_h > 0
    assert short["usdt"]["full"].liquidations >= 1
    assert short["usdt"]["full"].first_liquidation_ms is not None
    # The contract whose P&L is ETH is paid by the coins themselves.
    assert short["coin-margined"]["full"].liquidations == 0


def test_a_venue_that_does_not_take_the_collateral_is_named() -> None:
    timeline = random_timeline(HOURS, seed=4)
    settings = Settings(venue={"names": ("dydx",)})
    forecasts = Forecasts(
        **{name: np.full(HOURS, np.nan) for name in Forecasts.__dataclass_fields__}
    )
    where = arena(timeline, settings, FIRST, HOURS)
    situation = Situation(timeline, forecasts, settings, one_way_cost=5e-4)
    rows, refused = side_by_side(situation, where, np.zeros(len(where.ts_ms) // 24))
    assert {row.collateral for row in rows} == {"usdt"}
    assert len(refused) == 2
    assert all("dydx" in why and "usdt" in why for why in refused)
