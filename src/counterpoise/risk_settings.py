"""Settings of the risk guard: drawdown, profit lock, stops, funding, events and orders.

What each rule does is in docs/risk.md. A rule without its number is off.
"""

from typing import Annotated, Literal

from pydantic import Field

from counterpoise.sections import Fraction, Positive, Section

Share = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]
Hours = Annotated[int, Field(ge=1, le=8_760)]
Window = Annotated[int, Field(ge=0, le=8_760)]


class DrawdownSettings(Section):
    """A limit on open equity, and the cushion that keeps it."""

    limit: Share | None = Field(None, description="most of the peak equity that may be lost")
    gap: Share = Field(0.15, description="fall between two decisions that the cushion must bear")
    reserve: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.01, description="share of equity kept back for costs, funding and basis"
    )
    rerisk_h: Hours = Field(168, description="hours after the floor last rose until a new look")


class ProfitLockSettings(Section):
    """A ratchet under gains."""

    step: Share | None = Field(None, description="gain from which on it is locked, of the base")
    keep: Fraction = Field(0.5, description="share of the highest gain that is kept")


class StopSettings(Section):
    """One stop; what it does is explicit."""

    distance: Share | None = Field(None, description="adverse change that fires it")
    follow: Literal["trailing", "fixed"] = Field("trailing", description="what it measures from")
    action: Literal["full_hedge", "flatten", "cut"] = Field(
        "full_hedge", description="where it goes; flatten and cut un-hedge"
    )
    to_ratio: Fraction | None = Field(None, description="hedge ratio of action = cut")
    cooldown_h: Hours = Field(24, description="how long it acts before it is armed again")


class StopsSettings(Section):
    """Stops of the whole portfolio and of either leg."""

    portfolio: StopSettings = StopSettings()
    spot: StopSettings = StopSettings()
    short: StopSettings = StopSettings()
    short_equity: StopSettings = StopSettings()


class FundingGuardSettings(Section):
    """What staying short may cost."""

    limit: Positive | None = Field(
        None, description="expected cost over the horizon that is too much, of notional"
    )
    horizon_h: Hours = Field(168, description="how far the cost is expected ahead")
    release: Fraction = Field(0.5, description="share of the limit at which it ends")
    switch_gain: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.00114, description="saving over the horizon that is worth another venue"
    )
    keep: Share | None = Field(None, description="share of the funding earned that is kept")


class EventRule(Section):
    """What holds around the events of one class."""

    hedge_floor: Fraction = Field(0.0, description="least hedge ratio in the window")
    leverage_cap: Annotated[float, Field(ge=1.0, le=100.0)] | None = Field(
        None, description="most notional ÷ collateral in the window"
    )
    new_orders: Literal["allowed", "none"] = Field(
        "allowed", description="none: only the guard moves the hedge"
    )
    before_h: Window = 24
    after_h: Window = 24


class EventRules(Section):
    """Rules by class of the calendar."""

    network_upgrade: EventRule = EventRule()
    regulatory: EventRule = EventRule()
    macro: EventRule = EventRule()


class OrderSettings(Section):
    """Caps of positions and orders."""

    venue_usd: Positive | None = Field(None, description="most notional on one venue")
    total_usd: Positive | None = Field(None, description="most notional on all venues")
    order_usd: Positive | None = Field(None, description="most of one order")
    minute_usd: Positive | None = Field(None, description="most of all orders in one minute")
    collar: Share = Field(0.10, description="distance to the index at which no order is sent")
    fat_finger: Annotated[float, Field(gt=0.0, le=10.0)] = Field(
        1.5, description="share of the exposure above which an order is a mistake"
    )
    min_interval_s: Annotated[int, Field(ge=0, le=31_536_000)] = Field(
        0, description="seconds between two moves of the hedge"
    )


class RiskSettings(Section):
    """The guard between what a policy asks for and any order."""

    keep_alive: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.05, description="margin ÷ notional below which a short is cut; 0 is off"
    )
    mark_max_age_s: Positive = Field(60.0, description="age of a price that halts, live")
    drawdown: DrawdownSettings = DrawdownSettings()
    profit_lock: ProfitLockSettings = ProfitLockSettings()
    stops: StopsSettings = StopsSettings()
    funding: FundingGuardSettings = FundingGuardSettings()
    events: EventRules = EventRules()
    orders: OrderSettings = OrderSettings()
