"""One day in three drivers: simulator, event-driven backtest and the live node over the wire."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import settings_without_file
from counterpoise.execution.records import Decision
from counterpoise.hedging import Situation, policies
from counterpoise.journal.reading import Reader
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.rehearsal.rehearse import rehearse, script_of
from counterpoise.signals.forecasts import Forecasts
from counterpoise.simulation.arena import arena
from counterpoise.simulation.simulate import simulate_one
from counterpoise.trading.backtest import backtest
from counterpoise.units import BPS, HOUR_MS, from_ms
from counterpoise.venues import contract_at
from counterpoise.venues.costs import one_way_cost

HOURS, SPEED, EXPOSURE_ETH = 5, 900.0, 100.0
STEP_ETH = 0.001


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory):
    """Targets, positions at the end of each hour and P&L of the hedge, by driver."""
    folder = tmp_path_factory.mktemp("parity")
    lake = Lake(folder / "lake")
    lake.write(generate(5, days=12, with_gaps=False), synthetic=True)
    whole = build_timeline(lake, ("binance",), "ETHUSDT")
    first = len(whole.ts_ms) - 40
    flows = folder / "flows.csv"
    moments = [from_ms(int(whole.ts_ms[first + hour])) for hour in (2, 3)]
    rows = [f"{moments[0]:%Y-%m-%dT%H:%M:%SZ},8.0", f"{moments[1]:%Y-%m-%dT%H:%M:%SZ},-5.0"]
    flows.write_text("\n".join(["ts,eth", *rows]) + "\n", encoding="utf-8")
    settings = settings_without_file(
        {
            "lake": lake.path,
            "exposure": {"eth": EXPOSURE_ETH, "flows": flows},
            "hedge": {"policy": "static_eth"},
            # Both describe the same thing: orders that cross, at once.
            "costs": {"taker_share": 1.0, "impact_coefficient": 0.0},
            "twap": {"horizon_max_s": 60.0, "slice_s": 10.0, "patience": 0},
        }
    )
    where = arena(whole, settings, first, first + HOURS + 1)
    cost = one_way_cost(settings.costs, contract_at("binance", int(where.ts_ms[0])))
    situation = Situation(whole, Forecasts.unknown(whole.ts_ms), settings, cost)
    intent = policies["static_eth"].build(situation)
    path = simulate_one(where, intent)
    moved = path.exposure_mean_eth * np.diff(path.spot, prepend=path.spot[0])
    found = {
        "simulator": (path.short_eth[:, 0], path.short_eth[:-1, 0], np.cumsum(path.total - moved))
    }
    ran = backtest(whole, where, intent, settings)
    found["backtest"] = (ran.driven.target_eth, ran.driven.short_eth[1:], ran.driven.pnl_usd)
    state = folder / "state"
    script = script_of(
        settings,
        lake.path,
        exposure_eth=EXPOSURE_ETH,
        first_ms=int(where.ts_ms[0]),
        last_ms=int(where.ts_ms[-1]) + 50 * 60_000,
        speed=SPEED,
    )
    told: list[str] = []
    venue = asyncio.run(rehearse(settings, script, state, tell=told.append))
    bars = bar_decisions(state, [int(ms) // HOUR_MS for ms in where.ts_ms])
    found["rehearsal"] = (
        np.array([row.target_eth for row in bars]),
        np.array([row.short_eth for row in bars[1:]]),
        np.array([pnl_usd(row) for row in bars]),
    )
    return where, found, venue, bars


def bar_decisions(state: Path, ticks: list[int]) -> list[Decision]:
    with Reader(state / "journal.sqlite") as reader:
        rows = {row.tick: row for row in reader.decisions(0) if row.cause == "bar"}
    return [rows[tick] for tick in ticks]


def pnl_usd(row: Decision) -> float:
    told = row.inputs
    paid = told["paid_in_usd"] + told["charged_usd"]
    return told["equity_usd"] + told["coming_usd"] - paid


def test_each_decision_has_the_same_target_in_every_driver(drivers) -> None:
    _, found, *_ = drivers
    targets = found["simulator"][0]
    assert len(set(np.round(targets, 6))) == 3, "the exposure moves twice"
    for name in ("backtest", "rehearsal"):
        np.testing.assert_allclose(found[name][0], targets, atol=1e-9, err_msg=name)


def test_each_hour_ends_with_the_same_position_to_one_step(drivers) -> None:
    _, found, venue, _ = drivers
    reached = found["simulator"][1]
    for name in ("backtest", "rehearsal"):
        np.testing.assert_allclose(found[name][1], reached, atol=STEP_ETH + 1e-9, err_msg=name)
    assert venue.short_eth == pytest.approx(found["simulator"][0][-1], abs=STEP_ETH)


def test_from_the_end_of_the_first_schedule_on_the_pnl_is_the_same_to_a_basis_point(
    drivers,
) -> None:
    where, found, *_ = drivers
    exposed = float((where.market.exposure_eth * where.market.spot).mean())
    ours = found["simulator"][2]
    for name in ("backtest", "rehearsal"):
        theirs = found[name][2]
        off = (theirs[-1] - theirs[1]) - (ours[-1] - ours[1])
        assert abs(off) <= BPS * exposed, (name, off / (BPS * exposed))
