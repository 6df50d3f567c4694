"""What to do now: each policy's band, order, margin and funding for one position, side by side.

It calls the same ``decide`` as every driver, on the last tick with prices. It sends nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.decision.decide import Decision, decide, quiet_moment
from counterpoise.decision.explanation import chain_of
from counterpoise.decision.limits import (
    alive_ratio,
    event_windows,
    funding_cost,
    guard_rules,
    leverage_path,
    limits_of,
    refuse_caps_below_floors,
)
from counterpoise.decision.margin_need import Margin, margin_for
from counterpoise.decision.moment import STATE_AGE, Reason, initial_state
from counterpoise.decision.step import remember
from counterpoise.decision.wording import because, movement
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.exposure.now import ExposureNow, exposure_now
from counterpoise.hedging import RECOMMENDED, Intent, Situation, policies
from counterpoise.market.liquidity import liquidity
from counterpoise.market.timeline import Timeline
from counterpoise.risk.guard_rules import initial_memory
from counterpoise.signals.forecasts import Forecasts
from counterpoise.venues import contract_at
from counterpoise.venues.costs import one_way_cost, order_cost

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Advice:
    """One policy's answer for the position at hand.

    Attributes
    ----------
    policy, label : str
    acted_on : bool
        True for the configured policy.
    rule_target : float
        Ratio the rule itself asks for, before band and cap; NaN where a signal is missing.
    lo, hi : float
        Band in which the ratio may rest.
    target_ratio, target_eth : float
        Where the short goes now: it moves only from outside the band.
    order_eth : float
        Change of the short: positive sells perpetuals, negative buys them back.
    order_usd, order_cost_usd : float
        Notional of that order and its expected fee, half spread and impact.
    margin : Margin
        For the short after the order.
    funding_day_last_usd, funding_day_forecast_usd : float
        Received per day at the last settled and at the forecast rate.
    reasons : tuple of str
        Names of the decision's flags.
    because : str
        The reason in one sentence.
    """

    policy: str
    label: str
    acted_on: bool
    rule_target: float
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
        The policy acted on, formula, recommended policy, full hedge, and where the user stands.
    inputs : dict of str to float
        Forecasts and rates behind the rows.
    held : ExposureNow
        What the exposure is made of.
    leverage : float
        Notional ÷ margin that the rows are margined at.
    """

    as_of_ms: int
    price_usd: float
    exposure_eth: float
    short_eth: float
    rows: tuple[Advice, ...]
    inputs: dict[str, float]
    held: ExposureNow
    leverage: float


#: Reasons of the guard that are told beside the policy's own.
_GUARDS = (
    Reason.DRAWDOWN
    | Reason.LOCK
    | Reason.STOP
    | Reason.EVENT
    | Reason.FUNDING_COST
    | Reason.WAIT
    | Reason.VENUE_CAP
    | Reason.ORDER_CAP
    | Reason.COLLAR
    | Reason.FAT_FINGER
)
#: Told as well where the margin held is given: without it, it is assumed to be what is asked for.
_MARGIN = Reason.TOP_UP | Reason.UNFUNDED | Reason.KEPT_ALIVE
_INPUTS = (
    "p_up_4h",
    "p_hedge_pays_4h",
    "vol_24h",
    "vol_24h_har",
    "rv_24h",
    "rv_168h",
    "rho",
    "funding_next",
)


@dataclass(frozen=True)
class _Desk:
    """What every row of one call shares."""

    situation: Situation
    tick: int
    price: float
    short_eth: float
    exposure_eth: float
    leverage: float
    leverage_max: float
    equity_usd: float
    keep_alive: float

    def decide(self, intent: Intent, *, step_eth: float, min_notional_usd: float) -> Decision:
        """Decide at the tick, knowing the intents of the hours before.

        What was traded, lost and gained before is not known here: the guard begins now.
        """
        settings, timeline, t = self.situation.settings, self.situation.timeline, self.tick
        begin = max(0, t - settings.safety.signal_grace_h)
        priced = np.isfinite(timeline.spot.close) & np.isfinite(timeline.perp.close[:, 0])
        rows = np.column_stack([intent.lo, intent.hi, intent.to_lo, intent.to_hi])
        lo, hi, to_lo, to_hi = map(float, rows[t])
        state = initial_state(1)
        for tick in np.flatnonzero(priced[begin:t]) + begin:
            if np.isfinite(rows[tick]).all():
                known = rows[tick]
                remember(state, known[0], known[1], known[2], known[3], np.ones(1))
            else:
                state[STATE_AGE] += 1.0
        spot, capital = float(timeline.spot.close[t]), settings.capital
        windows = event_windows(timeline, settings)
        available = math.inf
        if capital.usdt_budget is not None and capital.collateral == "usdt":
            available = capital.usdt_budget - self.equity_usd
        moment = quiet_moment(
            exposure_eth=self.exposure_eth,
            spot=spot,
            leverage=self.leverage,
            leverage_max=self.leverage_max,
            now=float(t),
        )._replace(
            mark=self.price,
            equity=self.exposure_eth * spot,
            pnl=0.0,
            earned=0.0,
            event_floor=float(windows.floor[t]),
            event_class=float(windows.kind[t]),
            quiet=bool(windows.quiet[t]),
            available=available,
        )
        return decide(
            state,
            initial_memory(),
            short_eth=np.array([self.short_eth]),
            price=np.array([self.price]),
            equity=np.array([self.equity_usd]),
            band=(lo, hi, to_lo, to_hi),
            weights=np.array([1.0]),
            moment=moment,
            rules=guard_rules(settings),
            cost=funding_cost(timeline, settings.risk.funding.horizon_h)[t, :1],
            limits=limits_of(settings)._replace(keep_alive=self.keep_alive),
            step_eth=np.array([step_eth]),
            min_notional_usd=np.array([min_notional_usd]),
        )


def _refuse_silent_rules(timeline: Timeline, settings: Settings, tick: int) -> None:
    """Refuse a funding guard that would do nothing because no rate is known.

    Raises
    ------
    NotEnoughData
    """
    rule = settings.risk.funding
    known = np.isfinite(funding_cost(timeline, rule.horizon_h)[tick, 0])
    if (rule.limit is not None or rule.keep is not None) and not known:
        raise NotEnoughData(
            "risk.funding is set, but the last two settlements of the venue are not in the lake. "
            "Next: counterpoise update, or take the rule out."
        )


def advise(
    timeline: Timeline,
    forecasts: Forecasts,
    settings: Settings,
    *,
    short_eth: float,
    posted: float | None = None,
    other_maintenance: float = 0.0,
    other_pnl: float = 0.0,
) -> Advised:
    """Advice at the last tick with prices, for one position on the first venue.

    Parameters
    ----------
    timeline, forecasts
        Of the lake as it is now.
    settings : Settings
        ``hedge.policy`` is acted on, ``exposure`` is L, ``capital.collateral`` margins it.
    short_eth : float
        Short held now, ETH, >= 0.
    posted : float, optional
        Margin equity held now, in the collateral's unit; for the row of where the user stands.
    other_maintenance, other_pnl : float
        Of the other positions that share ``posted`` (cross margin), in the collateral's value: USD,
        or ETH for ``coin-margined``.

    Raises
    ------
    FixConfig
        An unknown policy, a negative short or margin, other positions without a margin, or a
        short of over ten times the exposure.
    NotEnoughData
        No tick with both prices, or too little history to price an order.
    FixConfig, RejectData, NotEnoughData
        What ``exposure_now`` refuses.
    """
    collateral = settings.capital.collateral
    acted_on = policies[settings.hedge.policy].name
    if posted is not None and not (math.isfinite(posted) and posted >= 0.0):
        raise FixConfig("--margin", posted, "an amount >= 0", "give the margin equity you hold")
    if not (math.isfinite(other_maintenance) and other_maintenance >= 0.0):
        raise FixConfig(
            "--other-maintenance", other_maintenance, "an amount >= 0", "give it as the venue does"
        )
    if not math.isfinite(other_pnl):
        raise FixConfig("--other-pnl", other_pnl, "a finite amount", "give it as the venue does")
    if posted is None and (other_maintenance or other_pnl):
        raise FixConfig(
            "--margin",
            None,
            "the margin equity that the other positions share",
            "give --margin beside --other-maintenance and --other-pnl",
        )
    priced = np.isfinite(timeline.spot.close) & np.isfinite(timeline.perp.close[:, 0])
    sigma_day, volume_day = liquidity(timeline)
    ready = priced & np.isfinite(sigma_day) & (volume_day[:, 0] > 0)
    if not ready.any():
        raise NotEnoughData(
            "no hour has spot and perpetual prices and two days of history before it. "
            "Next: counterpoise data check"
        )
    t = int(np.flatnonzero(ready)[-1])
    held_now = exposure_now(settings, timeline, t)
    exposure = held_now.exposure_eth
    if not (math.isfinite(short_eth) and 0.0 <= short_eth <= 10 * exposure):
        raise FixConfig(
            "--short",
            short_eth,
            f"ETH between 0 and ten times the exposure of {exposure:g}",
            "give the short as a positive number of ETH",
        )
    ts_ms, price = int(timeline.ts_ms[t]), float(timeline.perp.close[t, 0])
    linear = contract_at(settings.venue.names[0], ts_ms)
    inverse = contract_at("binance-coin-m", ts_ms)
    contract = inverse if collateral == "coin-margined" else linear
    step_eth = contract.step_eth if contract.linear else contract.contract_usd / price
    inputs = {name: float(getattr(forecasts, name)[t]) for name in _INPUTS}
    inputs["funding_last"] = float(timeline.funding_last[t, 0])
    inputs["funding_interval_h"] = float(timeline.funding_interval_h[t, 0])
    inputs["sigma_day"] = float(sigma_day[t])
    inputs["volume_day_eth"] = float(volume_day[t, 0])
    per_day = 24.0 / inputs["funding_interval_h"]
    situation = Situation(timeline, forecasts, settings, one_way_cost(settings.costs, contract))
    held_eth = np.full(len(timeline.ts_ms), exposure)
    whole, most = leverage_path(timeline, settings, [contract], held_eth)
    leverage_max = min(float(most[t]), float(event_windows(timeline, settings).leverage_cap[t]))
    leverage = float(whole[t]) * leverage_max / float(most[t])
    capital = settings.capital.model_copy(update={"leverage": leverage})
    _refuse_silent_rules(timeline, settings, t)
    refuse_caps_below_floors(settings, exposure * price)
    unit_usd = {"usdt": 1.0, "eth": (1.0 - capital.eth_haircut) * price, "coin-margined": price}
    equity_usd = short_eth * price / leverage
    if posted is not None:
        equity_usd = posted * unit_usd[collateral]
    alive = alive_ratio(settings, [contract], exposure * price * settings.hedge.max_ratio)
    desk = _Desk(
        situation, t, price, short_eth, exposure, leverage, leverage_max, equity_usd, alive
    )

    def row(
        name: str,
        label: str,
        band: tuple[float, float, float],
        target_eth: float,
        reasons: Reason,
        why: str,
        held: float | None = None,
        shared: tuple[float, float] = (0.0, 0.0),
    ) -> Advice:
        order = target_eth - short_eth
        return Advice(
            policy=name,
            label=label,
            acted_on=name == acted_on,
            rule_target=band[0],
            lo=band[1],
            hi=band[2],
            target_ratio=target_eth / exposure,
            target_eth=target_eth,
            order_eth=order,
            order_usd=abs(order) * price,
            order_cost_usd=order_cost(
                abs(order),
                price,
                costs=settings.costs,
                contract=contract,
                sigma_day=inputs["sigma_day"],
                volume_day_eth=inputs["volume_day_eth"],
            ),
            margin=margin_for(
                target_eth,
                price,
                collateral,
                capital,
                contract,
                exposure_eth=exposure,
                posted=held,
                other_maintenance=shared[0],
                other_pnl=shared[1],
            ),
            funding_day_last_usd=target_eth * price * inputs["funding_last"] * per_day,
            funding_day_forecast_usd=target_eth * price * inputs["funding_next"] * per_day,
            reasons=tuple(flag.name or "" for flag in reasons),
            because=why,
        )

    def ask(name: str) -> Advice:
        intent = policies[name].build(situation)
        decision = desk.decide(
            intent, step_eth=step_eth, min_notional_usd=contract.min_notional_usd
        )
        target_eth = float(decision.target_eth[0])
        rule_target = float(intent.target[t])
        moved = movement(short_eth / exposure, decision, target_eth - short_eth)
        why = because(name, situation, t, rule_target, decision)
        sections = settings.model_dump(include={"hedge", "safety", "risk"})
        told = _GUARDS if posted is None else _GUARDS | _MARGIN
        bound = chain_of(decision.reasons & told, decision.chain, sections)[1:]
        why = "; ".join([why, *(link.says for link in bound)])
        if posted is not None and Reason.TOP_UP in decision.reasons:
            more = float(decision.collateral_usd[0]) - desk.equity_usd
            why += f"; post {more:,.0f} USD of margin now"
        return row(
            name,
            policies[name].label,
            (rule_target, decision.lo, decision.hi),
            target_eth,
            decision.reasons,
            f"{moved}: {why}.",
        )

    names = [acted_on, f"formula_{settings.hedge.reading}", RECOMMENDED, "full"]
    ordered = names[1:] if acted_on in names[1:] else names
    ratio = short_eth / exposure
    as_is = row(
        "as_is",
        "where I stand",
        (ratio, ratio, ratio),
        short_eth,
        Reason(0),
        f"You are {ratio:.1%} hedged; this row changes nothing. "
        + (
            f"Its liquidation price assumes margin of notional ÷ {leverage:g} "
            "posted at this price; give --margin for yours."
            if posted is None
            else "Its liquidation price is that of your margin at this price."
        ),
        held=posted,
        shared=(other_maintenance, other_pnl),
    )
    rows = (*(ask(name) for name in ordered), as_is)
    return Advised(ts_ms, price, exposure, short_eth, rows, inputs, held_now, leverage)
