"""Rows of history are what the simulator reads: put back into it, they give the same path."""

import math
from dataclasses import replace

import numpy as np
import pytest

from counterpoise.config import Settings, load_settings
from counterpoise.errors import FixConfig
from counterpoise.execution.events import Signals
from counterpoise.hedging import Situation, policies
from counterpoise.hedging.intent import Intent
from counterpoise.market.assemble import build_timeline
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.training import forecast
from counterpoise.simulation.arena import Arena, arena
from counterpoise.simulation.arrays import GuardArrays
from counterpoise.simulation.simulate import simulate_one
from counterpoise.trading.signal_rows import exposures_of, newest_row, rows_of
from counterpoise.units import HOUR_MS
from tests.random_timeline import cut

FIRST, LAST = 2600, 3300


def settings_of(**more: object) -> Settings:
    """Dynamic leverage, every guard that reads a row, a short first training."""
    risk = {"funding": {"limit": 0.002}, "drawdown": {"limit": 0.2}}
    return load_settings(
        overrides={
            "exposure": {"eth": 500.0},
            "signals": {"min_train_days": 60},
            "capital": {"leverage_mode": "dynamic"},
            "risk": risk,
            **more,
        }
    )


@pytest.fixture(scope="module")
def timeline(generated_lake) -> Timeline:
    return build_timeline(generated_lake)


@pytest.fixture(scope="module")
def forecasts(timeline) -> Forecasts:
    return forecast(timeline, settings_of())


@pytest.fixture(scope="module")
def situation(timeline, forecasts) -> Situation:
    return Situation(timeline, forecasts, settings_of(), 5e-4)


def same(one: Signals, other: Signals) -> bool:
    """Equal to the last bit, an unknown being equal to an unknown."""
    return repr(one) == repr(other)


def from_rows(where: Arena, rows: list[Signals]) -> tuple[Arena, Intent]:
    """The arena and the intent as the rows tell them; only marks and settlements are its own."""

    def column(name: str) -> np.ndarray:
        return np.array([getattr(row, name) for row in rows])

    held = [one.exposure_eth for one in exposures_of(where)]
    market = where.market._replace(
        spot=column("spot"),
        perp=column("perp")[:, None],
        sigma_day=column("sigma_day"),
        volume_day_eth=column("volume_day_eth")[:, None],
        exposure_eth=np.array(held),
    )
    watch = GuardArrays(
        leverage=column("leverage"),
        leverage_max=column("leverage_max"),
        event_floor=column("event_floor"),
        event_class=column("event_class"),
        quiet=column("quiet"),
        is_open=where.watch.is_open,
        cost=column("funding_cost")[:, None],
    )
    names = ("lo", "hi", "to_lo", "to_hi")
    ones = np.ones((len(rows), 1))
    intent = Intent(
        **{name: column(name) for name in names},
        weights=ones,
        urgency=column("urgency"),
        target=column("target"),
    )
    told = replace(where, first=0, last=len(rows), market=market, watch=watch)
    return told, intent


@pytest.mark.parametrize("policy", ["volatility_timed", "formula_literal", "manual_vol_24h"])
def test_rows_put_back_into_the_simulator_give_the_same_path(
    timeline, situation, policy: str
) -> None:
    where = arena(timeline, situation.settings, FIRST, LAST)
    intent = policies[policy].build(situation)
    path = simulate_one(where, intent)
    told = simulate_one(*from_rows(where, rows_of(where, intent)))
    assert path.traded_eth.sum() > 0.0
    for name in ("pnl", "short_eth", "collateral_usd", "lo", "hi", "reasons", "chain"):
        assert getattr(told, name).tobytes() == getattr(path, name).tobytes(), name


def test_a_row_is_of_its_hour(timeline, situation) -> None:
    where = arena(timeline, situation.settings, FIRST, LAST)
    rows = rows_of(where, policies["volatility_timed"].build(situation))
    assert len(rows) == LAST - FIRST == len(exposures_of(where))
    for row, told, ts_ms in zip(rows, exposures_of(where), timeline.ts_ms[FIRST:LAST], strict=True):
        assert row.ts_ns == told.ts_ns == ts_ms * 1_000_000
        assert row.tick == ts_ms // HOUR_MS
        assert told.exposure_eth == 500.0
    assert type(rows[0].quiet) is bool
    assert type(rows[0].tick) is int
    assert type(rows[0].lo) is float


def test_the_newest_row_of_a_cut_market_is_the_row_of_the_whole_one(timeline, situation) -> None:
    where = arena(timeline, situation.settings, FIRST, LAST)
    for policy in ("volatility_timed", "minimum_variance"):
        rows = rows_of(where, policies[policy].build(situation))
        for ticks in (FIRST + 1, 2888, 2889, 3100, LAST):
            seen = situation.until(ticks)
            found = newest_row(
                cut(timeline, ticks),
                situation.settings,
                policies[policy].build(seen),
                500.0,
            )
            assert same(found, rows[ticks - 1 - FIRST])


def test_an_unknown_intent_stays_unknown(timeline, situation) -> None:
    where = arena(timeline, situation.settings, FIRST, LAST)
    intent = policies["volatility_timed"].build(situation)
    blind = replace(intent, lo=np.full_like(intent.lo, np.nan))
    assert all(math.isnan(row.lo) for row in rows_of(where, blind))


def test_more_than_one_venue_is_refused(generated_lake) -> None:
    generated = build_timeline(generated_lake, ("binance", "bybit"))
    both = replace(generated, venues=("binance", "dydx"))
    settings = settings_of(venue={"names": ("binance", "dydx")})
    where = arena(both, settings, FIRST, LAST)
    full = np.ones(len(both.ts_ms))
    intent = Intent.around(full, 0.0, venues=2, cap=1.0)
    with pytest.raises(FixConfig, match=r"venue\.names = '2 venues'.*one venue"):
        rows_of(where, intent)
    with pytest.raises(FixConfig, match="one venue"):
        newest_row(both, settings, intent, 500.0)
