"""``now`` obeys the guard: collar, margin, waiting, events, and rules that would do nothing."""

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.decision.advice import Advice, advise
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from tests.random_timeline import random_timeline

HOURS = 24 * 20
UNKNOWN = Forecasts(**dict.fromkeys(Forecasts.__dataclass_fields__, np.full(HOURS, np.nan)))


def market(*, macro_in: float = np.inf) -> Timeline:
    """Twenty days, with a calendar whose next statement is some hours ahead."""
    far = np.full(HOURS, np.inf)
    names = [
        f"hours_{side}_{kind}" for side in ("to", "since") for kind in ("upgrade", "regulatory")
    ]
    events = dict.fromkeys([*names, "hours_since_macro"], far)
    events["hours_to_macro"] = np.where(np.arange(HOURS) == HOURS - 1, macro_in, np.inf)
    return replace(random_timeline(HOURS, seed=6), events=events)


def told(
    short_eth: float = 800.0,
    *,
    posted: float | None = None,
    timeline: Timeline | None = None,
    policy: str = "static_eth",
    **settings: object,
) -> Advice:
    """The row acted on."""
    given = Settings(hedge={"policy": policy}, **settings)
    where = market() if timeline is None else timeline
    found = advise(where, UNKNOWN, given, short_eth=short_eth, posted=posted)
    return next(row for row in found.rows if row.acted_on)


def test_nothing_that_was_never_traded_makes_it_wait() -> None:
    for seconds in (0, 7_200, 14_400, 86_400):
        orders = {"min_interval_s": seconds}
        assert told(0.0, risk={"orders": orders}).order_eth == pytest.approx(800.0)


def test_a_perpetual_away_from_spot_takes_no_order() -> None:
    timeline = market()
    perp = timeline.perp.close.copy()
    perp[-1] = timeline.spot.close[-1] * 1.02
    off = replace(timeline, perp=replace(timeline.perp, close=perp))
    assert told(0.0, timeline=off).order_eth == pytest.approx(800.0)
    held = told(0.0, timeline=off, risk={"orders": {"collar": 0.01}})
    assert held.order_eth == 0.0
    assert held.because.startswith("Hold: 0.0% hedged against 80.0%, and no order is sent")
    assert "a perpetual was 2.0 % from the index" in held.because


def test_margin_that_is_given_is_looked_at() -> None:
    thin = told(posted=1_000.0)
    assert thin.order_eth == 0.0
    assert "margin was asked for, as notional was over 3.00 × it" in thin.because
    # Half the notional of 800 ETH, less what is there.
    price = float(market().perp.close[-1, 0])
    assert f"post {400.0 * price - 1_000.0:,.0f} USD of margin now." in thin.because
    # What cannot be topped up is cut, and the rest lives.
    capital = {"usdt_budget": 1_000.0}
    cut = told(posted=1_000.0, capital=capital)
    assert cut.order_eth < 0.0
    assert cut.because.startswith("Buy back: the margin does not carry 80.0%")
    assert "there was not enough left to post" in cut.because


def test_without_margin_given_none_is_spoken_of() -> None:
    assert "margin" not in told(0.0).because


def test_an_event_is_obeyed_and_its_class_is_named() -> None:
    rule = {"events": {"macro": {"hedge_floor": 0.95}}}
    near = told(timeline=market(macro_in=10.0), risk=rule)
    assert near.target_ratio == pytest.approx(0.95)
    assert "a window around macro events makes 95.0 % the floor" in near.because
    assert told(timeline=market(macro_in=30.0), risk=rule).target_ratio == pytest.approx(0.8)


def test_a_cap_that_cuts_what_is_held_says_so() -> None:
    timeline = market()
    price = float(timeline.perp.close[-1, 0])
    capped = told(800.0, risk={"orders": {"venue_usd": 700.0 * price}})
    assert capped.order_eth == pytest.approx(-100.0, abs=0.002)
    assert capped.because.startswith("Buy back: 80.0% hedged is more than the caps allow")


def test_rules_that_would_do_nothing_are_refused() -> None:
    bare = random_timeline(HOURS, seed=6)
    with pytest.raises(NotEnoughData, match="calendar"):
        told(timeline=bare, risk={"events": {"macro": {"hedge_floor": 0.9}}})
    silent = replace(bare, funding_settled=np.full((HOURS, 1), np.nan))
    with pytest.raises(NotEnoughData, match=r"risk\.funding is set"):
        told(timeline=silent, risk={"funding": {"limit": 0.01}})
    with pytest.raises(FixConfig, match="contradict each other"):
        told(risk={"drawdown": {"limit": 0.2}, "orders": {"total_usd": 1_000.0}})


def test_the_margin_of_an_event_is_what_its_leverage_allows() -> None:
    rule = {"events": {"macro": {"leverage_cap": 1.5}}}
    usual = told(timeline=market(macro_in=30.0), risk=rule)
    near = told(timeline=market(macro_in=10.0), risk=rule)
    assert near.margin.amount == pytest.approx(2.0 * usual.margin.amount)
