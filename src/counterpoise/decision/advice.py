"""What to do now: each policy's band, order, margin and funding for one position, side by side.

It calls the same ``decide`` as every driver, on the last tick of a timeline. It sends nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.decision.step import REASON_TEXT, Limits, Reason, decide, initial_state
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.hedging import Situation, one_way_cost, policies
from counterpoise.hedging.volatility_rule import reference_volatility
from counterpoise.market.timeline import Timeline
from counterpoise.risk.margin import (
    liquidation_price_eth_collateral,
    liquidation_price_inverse,
    liquidation_price_linear,
)
from counterpoise.signals.forecasts import Forecasts
from counterpoise.units import Collateral
from counterpoise.venues import Contract, contract_at
from counterpoise.venues.contract import stack

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Margin:
    """What holding a short takes.

    Attributes
    ----------
    collateral : str
        ``usdt``, ``eth`` or ``coin-margined``.
    amount : float
        Margin to post at the configured leverage, in ``unit``.
    unit : str
        ``USDT`` or ``ETH``.
    liquidation_price_usd : float
        Mark at which the venue takes over; ``inf`` where it cannot.
    """

    collateral: Collateral
    amount: float
    unit: str
    liquidation_price_usd: float


@dataclass(frozen=True)
class Advice:
    """One policy's answer for the position at hand.

    Attributes
    ----------
    policy, label : str
    acted_on : bool
        True for the configured policy.
    lo, hi, target_ratio : float
        Band and target hedge ratio, fractions of exposure.
    target_eth : float
        Short to hold.
    order_eth : float
        Change of the short: positive sells perpetuals, negative buys them back.
    order_usd, order_cost_usd : float
        Notional of that order and its expected fee and half spread.
    margin : Margin
        For the target.
    funding_day_last_usd, funding_day_forecast_usd : float
        Received per day by the target at the last settled and at the forecast rate.
    reasons : tuple of str
        Names of the decision's flags.
    because : str
        The reason in one sentence.
    """

    policy: str
    label: str
    acted_on: bool
    lo: float
    hi: float
    target_ratio: float
    target_eth: float
    order_eth: float
    order_usd: float
    order_cost_usd: float
    margin: Margin
    funding_day_last_usd: float
    funding_day_forecast_usd: float
    reasons: tuple[str, ...]
    because: str


@dataclass(frozen=True)
class Advised:
    """Everything ``counterpoise now`` shows.

    Attributes
    ----------
    as_of_ms : int
        Tick of the decision clock the advice rests on.
    price_usd : float
        Last perpetual close of the first venue.
    exposure_eth, short_eth : float
    rows : tuple of Advice
        Formula, recommended policy, full static hedge, and where the user stands.
    inputs : dict
        Forecasts behind the rows.
    """

    as_of_ms: int
    price_usd: float
    exposure_eth: float
    short_eth: float
    rows: tuple[Advice, ...]
    inputs: dict[str, float]


def margin_for(
    short_eth: float, price: float, collateral: Collateral, settings: Settings, contract: Contract
) -> Margin:
    """Margin to post for a short and the price at which it dies.

    Parameters
    ----------
    short_eth : float
        ETH, >= 0.
    price : float
        Mark, USD.
    collateral : str
        ``usdt``: notional ÷ leverage. ``eth``: the same value after the haircut, in ETH.
        ``coin-margined``: notional ÷ leverage in ETH under the inverse contract.
    settings : Settings
    contract : Contract
        The inverse contract for ``coin-margined``, a linear one otherwise.
    """
    capital = settings.capital
    rules = stack([contract])
    tiers = (rules.tier_cap[0], rules.tier_rate[0], rules.tier_amount[0])
    notional = short_eth * price
    value = notional / capital.leverage
    if collateral == "usdt":
        amount, unit = value, "USDT"
    elif collateral == "eth":
        amount, unit = value / (1.0 - capital.eth_haircut) / price, "ETH"
    else:
        amount, unit = value / price, "ETH"
    if short_eth == 0.0:
        return Margin(collateral, 0.0, unit, math.inf)
    if collateral == "usdt":
        dies = liquidation_price_linear(amount, short_eth, price, *tiers)
    elif collateral == "eth":
        dies = liquidation_price_eth_collateral(
            amount, capital.eth_haircut, short_eth, price, *tiers
        )
    else:
        dies = liquidation_price_inverse(amount, notional, price, *tiers)
    return Margin(collateral, amount, unit, dies)


def _because(name: str, inputs: dict[str, float], target: float, reasons: Reason) -> str:
    """Why this policy wants that ratio, in words."""
    if Reason.FALLBACK in reasons:
        return (
            "a signal this policy needs is missing, so it falls back: the static base ratio is the "
            "floor and nothing is reduced"
        )
    confidence = {
        "formula_literal": ("P(up) over 4 h", inputs["p_up_4h"]),
        "formula_bearish": ("1 - P(up) over 4 h", 1.0 - inputs["p_up_4h"]),
        "formula_hedge_value": ("P(hedge pays) over 4 h", inputs["p_hedge_pays_4h"]),
    }
    volatility = {
        "volatility_timed": ("forecast for 24 h (LightGBM)", "vol_24h"),
        "volatility_har": ("forecast for 24 h (HAR)", "vol_24h_har"),
        "manual_vol_24h": ("of the last 24 h", "rv_24h"),
        "manual_vol_7d": ("of the last 7 days", "rv_168h"),
    }
    if name in confidence:
        words, value = confidence[name]
        return f"C = {words} = {value:.2f} and ρ = {inputs['rho']:+.2f} give S/L = {target:.1%}"
    if name in volatility:
        words, key = volatility[name]
        return (
            f"volatility {words} is {inputs[key]:.0%} a year against {inputs[f'{key}_usual']:.0%} "
            f"usually, so {1 - target:.0%} may stay unhedged"
        )
    if name == "full":
        return "every coin is hedged; what is left is basis, funding and cost"
    return f"its rule asks for {target:.1%} now"


def advise(
    timeline: Timeline,
    forecasts: Forecasts,
    settings: Settings,
    *,
    short_eth: float,
    collateral: Collateral,
) -> Advised:
    """Advice at the last tick with prices, for one position.

    Parameters
    ----------
    timeline, forecasts
        Of the lake as it is now.
    settings : Settings
        ``hedge.policy`` is the one acted on; ``exposure.eth`` is L.
    short_eth : float
        Short held now, ETH, >= 0.
    collateral : str
        How it is margined.

    Raises
    ------
    FixConfig
        A short below 0, or larger than the exposure can explain.
    NotEnoughData
        No tick with both prices.
    """
    exposure = settings.exposure.eth
    if not (math.isfinite(short_eth) and 0.0 <= short_eth <= 10 * exposure):
        raise FixConfig(
            "--short",
            short_eth,
            f"ETH between 0 and ten times the exposure of {exposure:g}",
            "give the short as a positive number of ETH",
        )
    acted_on = policies[settings.hedge.policy].name
    priced = np.isfinite(timeline.spot.close) & np.isfinite(timeline.perp.close[:, 0])
    if not priced.any():
        raise NotEnoughData(
            "no hour has both a spot and a perpetual price. Next: counterpoise data check"
        )
    t = int(np.flatnonzero(priced)[-1])
    price = float(timeline.perp.close[t, 0])
    venue = settings.venue.names[0]
    linear = contract_at(venue, int(timeline.ts_ms[t]))
    coin = contract_at("binance-coin-m", int(timeline.ts_ms[t]))
    contract = coin if collateral == "coin-margined" else linear
    situation = Situation(timeline, forecasts, settings, one_way_cost(settings.costs, linear))
    inputs = {
        name: float(getattr(forecasts, name)[t])
        for name in (
            "p_up_4h",
            "p_hedge_pays_4h",
            "vol_24h",
            "vol_24h_har",
            "rv_24h",
            "rv_168h",
            "rho",
            "funding_next",
        )
    }
    for name in ("vol_24h", "vol_24h_har", "rv_24h", "rv_168h"):
        usual = reference_volatility(getattr(forecasts, name)[: t + 1])[-1]
        inputs[f"{name}_usual"] = float(usual)
    last_rate = float(timeline.funding_last[t, 0])
    per_day = 24.0 / float(timeline.funding_interval_h[t, 0])
    inputs["funding_last"] = last_rate
    limits = Limits(
        settings.hedge.max_ratio,
        settings.hedge.base_ratio,
        float(settings.safety.signal_grace_h),
        settings.capital.leverage,
        settings.capital.leverage_max,
    )

    def row(
        policy: str, label: str, band: tuple[float, float], target: float, why: str, flags: Reason
    ) -> Advice:
        order = target - short_eth
        notional = abs(order) * price
        return Advice(
            policy=policy,
            label=label,
            acted_on=policy == acted_on,
            lo=band[0],
            hi=band[1],
            target_ratio=target / exposure,
            target_eth=target,
            order_eth=order,
            order_usd=notional,
            order_cost_usd=notional * situation.one_way_cost,
            margin=margin_for(target, price, collateral, settings, contract),
            funding_day_last_usd=target * price * last_rate * per_day,
            funding_day_forecast_usd=target * price * inputs["funding_next"] * per_day,
            reasons=tuple(flag.name or "" for flag in flags),
            because=why,
        )

    def ask(name: str) -> Advice:
        chosen = policies[name]
        intent = chosen.build(situation)
        # Hours of history let the guard hold an intent through a missing signal, as it would live.
        begin = max(0, t - int(limits.grace_ticks))
        state = initial_state(1)
        decision = None
        for tick in range(begin, t + 1):
            band = tuple(
                float(getattr(intent, part)[tick]) for part in ("lo", "hi", "to_lo", "to_hi")
            )
            decision = decide(
                state,
                short_eth=np.array([short_eth]),
                price=np.array([price]),
                equity=np.array([short_eth * price / limits.leverage]),
                exposure_eth=exposure,
                band=(band[0], band[1], band[2], band[3]),
                weights=intent.weights[tick][:1],
                limits=limits,
                step_eth=np.array([linear.step_eth]),
                min_notional_usd=np.array([linear.min_notional_usd]),
            )
            state = decision.state
        assert decision is not None
        target = float(decision.target_eth[0])
        wanted = _centre(decision.lo, decision.hi)
        why = _because(name, inputs, wanted, decision.reasons)
        move = _move(decision.reasons, short_eth / exposure, decision.lo, decision.hi)
        return row(
            name,
            chosen.label,
            (decision.lo, decision.hi),
            target,
            f"{move}: {why}.",
            decision.reasons,
        )

    names = [f"formula_{settings.hedge.reading}", "volatility_timed", "full"]
    if acted_on not in names:
        names.insert(0, acted_on)
    rows = [ask(name) for name in names]
    ratio = short_eth / exposure
    rows.append(
        row(
            "as_is",
            "where I stand",
            (ratio, ratio),
            short_eth,
            f"You are {ratio:.1%} hedged; this row changes nothing.",
            Reason(0),
        )
    )
    return Advised(int(timeline.ts_ms[t]), price, exposure, short_eth, tuple(rows), inputs)


def _centre(lo: float, hi: float) -> float:
    return (lo + hi) / 2.0


def _move(reasons: Reason, ratio: float, lo: float, hi: float) -> str:
    """What happens, in words."""
    band = f"{lo:.1%}" if lo == hi else f"{lo:.1%} to {hi:.1%}"
    if Reason.BELOW_MINIMUM in reasons:
        return f"Hold: {REASON_TEXT[Reason.BELOW_MINIMUM]}"
    if Reason.RAISE in reasons:
        return f"Sell: {ratio:.1%} hedged is below {band}"
    if Reason.LOWER in reasons:
        return f"Buy back: {ratio:.1%} hedged is above {band}"
    return f"Hold: {ratio:.1%} hedged is inside {band}"
