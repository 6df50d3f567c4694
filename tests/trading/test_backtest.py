"""The event-driven backtest against the simulator: one decision, two drivers."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.errors import FixConfig
from counterpoise.hedging import Situation, policies
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Bars, Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.simulation.account import COMPONENTS
from counterpoise.simulation.arena import arena, contracts_of
from counterpoise.trading.backtest import backtest
from counterpoise.trading.signal_rows import rows_of
from counterpoise.venues.costs import one_way_cost
from tests.random_timeline import random_timeline
from tests.trading.driven import FIRST, STEP, Both, band, both, strict, wandering

HOURS = 24 * 7
FUNDING = COMPONENTS.index("funding")


def agree(found: Both, *, steps: float = 0.5, bps: float = 1.0) -> None:
    """Targets equal, positions equal when their hour ends, P&L within a basis point."""
    off = np.abs(found.driven.driven.target_eth - found.path.short_eth[:, 0])
    assert off.max() <= steps * STEP
    assert found.whole.reached_differ == 0
    assert abs(found.settled.pnl_bps) < bps


@pytest.mark.parametrize("seed", range(4))
def test_drivers_agree_on_a_random_market(seed: int) -> None:
    timeline = random_timeline(HOURS, seed=seed)
    found = both(timeline, band(wandering(timeline, seed), to_target=seed % 2 == 1), strict())
    agree(found)
    assert found.whole.rows[2].driven > 5.0, "it traded"


def test_drivers_agree_when_quotes_move_within_the_hour() -> None:
    timeline = random_timeline(HOURS, seed=1)
    found = both(timeline, band(wandering(timeline, 1)), strict(), every_s=10)
    agree(found)
    assert found.driven.quotes == 49 * 360


def test_unknown_intents_are_held_then_fall_back_alike() -> None:
    timeline = random_timeline(HOURS, seed=2)
    target = wandering(timeline, 2)
    target[FIRST + 5 : FIRST + 8] = np.nan
    target[FIRST + 15 : FIRST + 27] = np.nan
    found = both(timeline, band(target), strict(hedge={"base_ratio": 0.9}))
    agree(found)
    assert found.path.short_eth[24, 0] == pytest.approx(13.5), "it fell back"


@pytest.mark.parametrize("every_s", [10, 3600])
def test_an_hour_without_bars_has_no_quotes_and_no_decision(every_s: int) -> None:
    timeline = random_timeline(HOURS, seed=3, gap_share=0.15)
    target = wandering(timeline, 3)
    target[FIRST + 11 : FIRST + 15] = np.nan
    found = both(timeline, band(target), strict(), every_s=every_s)
    span = slice(FIRST, FIRST + 49)
    perp = timeline.perp.close[span, 0]
    missing = np.isnan(perp)
    assert missing.sum() > 3
    driven, simulated = found.driven.driven, found.path.short_eth[:, 0]
    np.testing.assert_allclose(driven.target_eth, simulated, atol=0.5 * STEP)
    # What a last quote did not fill waits for the next one: until then, and no longer.
    late = np.abs(driven.short_eth[1:] - simulated[:-1])
    assert late[~missing[1:]].max() <= 1.5 * STEP
    known = np.flatnonzero(~missing)
    before = np.maximum.accumulate(np.where(missing, 0, np.arange(49)))
    after = known[np.searchsorted(known, np.arange(49)).clip(max=len(known) - 1)]
    waited_usd = (late * np.abs(perp[after] - perp[before])[1:])[missing[1:]].sum()
    exposed_usd = np.nanmean(found.path.exposure_eth * found.path.spot)
    assert abs(found.settled.pnl_bps) < 3.0 + 1e4 * waited_usd / exposed_usd
    assert found.driven.quotes == (~missing).sum() * (3600 // every_s)
    # No order leaves on a quote that is older than a minute.
    hour_ns, fresh_ns = 3_600 * 10**9, 60 * 10**9
    sent = [one.ts_ns for one in found.driven.orders if one.kind != "stop"]
    hours = {at // hour_ns for at in sent if at % hour_ns > fresh_ns}
    gaps = timeline.ts_ms[span][missing] // 3_600_000
    assert hours.isdisjoint((gaps[1:] - 1).tolist())
    # Nor is anything decided where a bar is missing: the hour after it trades what waited.
    for tick in np.flatnonzero(missing)[1:]:
        begins = int(timeline.ts_ms[FIRST + tick]) * 10**6
        within = [f.size for f in found.driven.fills if 0 <= f.ts_ns - begins < hour_ns]
        assert sum(within) <= late[tick - 1] + 0.5 * STEP


def test_an_intent_that_arrives_in_a_gap_is_not_seen() -> None:
    timeline = random_timeline(HOURS, seed=3, gap_share=0.15)
    where = arena(timeline, strict(), FIRST, FIRST + 49)
    rows = rows_of(where, band(np.full(HOURS, 0.7)))
    gaps = np.isnan(where.market.perp[:, 0])
    assert [np.isnan(row.lo) for row in rows] == gaps.tolist()


GUARDS: dict[str, dict[str, object]] = {
    "drawdown": {"drawdown": {"limit": 0.1}},
    "profit lock": {"profit_lock": {"step": 0.02}},
    "stops": {
        "stops": {
            "portfolio": {"distance": 0.02},
            "spot": {"distance": 0.03, "cooldown_h": 4},
            "short": {"distance": 0.03, "action": "cut", "to_ratio": 0.2, "cooldown_h": 6},
        }
    },
    "funding": {"funding": {"limit": 0.00005, "horizon_h": 24}},
    "interval": {"orders": {"min_interval_s": 4 * 3600}},
}


@pytest.mark.parametrize("guard", GUARDS)
def test_the_guard_acts_alike(guard: str) -> None:
    # The floor of a drawdown is made of P&L, so a cent of another fill can be a step of it.
    timeline = random_timeline(HOURS, seed=1)
    if guard == "funding":
        paid = -timeline.funding_settled, -timeline.funding_last
        timeline = replace(timeline, funding_settled=paid[0], funding_last=paid[1])
    target = band(wandering(timeline, 1, 0.15, 0.5))
    found = both(timeline, target, strict(risk=GUARDS[guard]))
    agree(found, steps=1.5)
    free = both(timeline, target, strict())
    assert not np.array_equal(free.path.short_eth, found.path.short_eth), "the guard did something"


def test_the_guard_of_events_acts_alike() -> None:
    timeline = random_timeline(HOURS, seed=2)
    ahead = np.full(HOURS, np.inf)
    ahead[: FIRST + 31] = np.arange(FIRST + 30, -1, -1)
    events = {
        f"{side}_{kind}": ahead if (side, kind) == ("hours_to", "macro") else np.full(HOURS, np.inf)
        for side in ("hours_to", "hours_since")
        for kind in ("network-upgrade", "regulatory", "macro")
    }
    timeline = replace(timeline, events=events)
    rule = {"events": {"macro": {"hedge_floor": 0.95, "before_h": 6, "after_h": 0}}}
    found = both(timeline, band(np.full(HOURS, 0.5)), strict(risk=rule))
    agree(found)
    assert found.path.short_eth[:, 0].max() == pytest.approx(0.95 * 15.0, abs=2 * STEP)


def test_deposits_and_withdrawals_are_hedged_alike(tmp_path: Path) -> None:
    flows = tmp_path / "flows.csv"
    flows.write_text(
        "ts,eth\n2020-01-05T05:00:00Z,3.5\n2020-01-05T13:20:00Z,-2.25\n2020-01-06T02:00:00Z,-4\n"
    )
    timeline = random_timeline(HOURS, seed=4)
    settings = strict(
        exposure={"eth": 10.0, "flows": str(flows)}, risk={"drawdown": {"limit": 0.25}}
    )
    found = both(timeline, band(wandering(timeline, 4), 0.02), settings)
    agree(found, steps=1.5)
    assert np.ptp(found.path.exposure_eth) == 6.25


def test_funding_is_the_simulators_when_the_position_is_at_rest() -> None:
    timeline = random_timeline(HOURS, seed=5)
    found = both(timeline, band(np.full(HOURS, 0.7)), strict(), every_s=10)
    simulated = np.cumsum(found.path.pnl[:, FUNDING])
    driven = found.driven.driven.funding_usd
    assert np.count_nonzero(np.diff(driven)) >= 6
    np.testing.assert_allclose(driven, simulated, rtol=1e-6)


def rally(timeline: Timeline, begin: int, hours: int, rise: float) -> Timeline:
    """The same market with a rally on top."""
    factor = np.ones(len(timeline.ts_ms))
    factor[begin : begin + hours] = np.linspace(1.0, 1.0 + rise, hours + 1)[1:]
    factor[begin + hours :] = 1.0 + rise
    before = np.concatenate([[1.0], factor[:-1]])

    def lifted(bars: Bars) -> Bars:
        shape = (slice(None), *(None,) * (bars.close.ndim - 1))
        now, then = factor[shape], before[shape]
        open_, close = bars.open * then, bars.close * now
        high = np.maximum(bars.high * now, np.maximum(open_, close))
        low = np.minimum(bars.low * then, np.minimum(open_, close))
        return Bars(open_, high, low, close, bars.volume)

    perp = lifted(timeline.perp)
    return replace(timeline, spot=lifted(timeline.spot), perp=perp, mark_high=perp.high)


def test_both_lose_the_position_when_its_margin_is_used_up() -> None:
    timeline = rally(random_timeline(HOURS, seed=5), FIRST + 14, 1, 0.4)
    settings = strict(
        capital={"leverage": 10.0, "leverage_max": 15.0, "usdt_budget": 250.0},
        risk={"keep_alive": 0.0},
    )
    found = both(timeline, band(np.full(HOURS, 0.8)), settings, hours=20)
    assert found.path.liquidations >= 1
    assert len(found.driven.liquidations) >= 1
    lost = 14
    when_ms = found.driven.liquidations[0] // 10**6
    assert found.path.ts_ms[lost] - 3_600_000 < when_ms <= found.path.ts_ms[lost]
    assert found.driven.driven.short_eth[lost] < 0.1
    told = [alarm.key for alarm in found.driven.alarms]
    assert "position-mismatch" in told
    # What was lost is in the P&L: the margin, and no more than the margin.
    paid_in = found.path.paid_in_usd[lost - 1]
    assert found.driven.driven.pnl_usd[lost] == pytest.approx(-paid_in, rel=0.05)


def test_default_settings_leave_only_what_the_table_names() -> None:
    timeline = random_timeline(HOURS, seed=3)
    settings = Settings(exposure={"eth": 200.0}, capital={"transfer_h": 0})
    found = both(timeline, band(wandering(timeline, 3)), settings, every_s=10)
    assert found.whole.targets_differ == 0
    for divergence in (found.whole, found.settled):
        rows = {row.what: row for row in divergence.rows}
        whole, *parts = (row for row in divergence.rows if row.unit == "bp of exposure")
        assert whole.difference == pytest.approx(sum(row.difference for row in parts))
        assert whole.difference == pytest.approx(divergence.pnl_bps)
        # A transfer more, at 5 USD; a schedule that goes on over a settlement.
        assert abs(rows["cost of capital"].difference) < 3.0
        assert abs(rows["funding"].difference) < 3.0
    assert abs(found.settled.pnl_bps) < 20.0
    assert 0.0 < found.driven.maker_share < 1.0


def test_policies_agree_on_a_generated_market(generated_lake: Lake) -> None:
    timeline = build_timeline(generated_lake, ("binance",), "ETHUSDT")
    settings = strict()
    cost = one_way_cost(settings.costs, contracts_of(settings, int(timeline.ts_ms[0]))[0])
    nothing = np.full(len(timeline.ts_ms), np.nan)
    volatility = 0.6 + 0.3 * np.sin(np.arange(len(timeline.ts_ms)) / 20.0)
    names = [one.name for one in fields(Forecasts) if one.name not in ("ts_ms", "folds")]
    unknown = Forecasts(ts_ms=timeline.ts_ms, **dict.fromkeys(names, nothing))
    forecasts = replace(unknown, rv_24h=volatility, rv_168h=volatility, vol_24h=volatility)
    situation = Situation(timeline, forecasts, settings, cost)
    for name in ("full", "static_eth", "manual_vol_7d", "volatility_timed"):
        intent = policies[name].build(situation)
        agree(both(timeline, intent, settings, hours=36, first=24 * 60))


def test_a_real_day_agrees(real_lake: Lake) -> None:
    timeline = build_timeline(real_lake, ("binance",), "ETHUSDT")
    first = int(np.searchsorted(timeline.ts_ms, 1_723_075_200_000))  # 2024-08-08
    found = both(
        timeline, band(wandering(timeline, 1)), strict(), hours=24, first=first, every_s=10
    )
    agree(found)


def test_a_number_of_seconds_that_does_not_divide_an_hour_is_refused() -> None:
    timeline = random_timeline(HOURS)
    where = arena(timeline, strict(), FIRST, FIRST + 3)
    with pytest.raises(FixConfig, match="every_s = 7"):
        backtest(timeline, where, band(np.full(HOURS, 0.7)), strict(), every_s=7)
