"""How an order is spread over time: horizon, slices, and the grid of the venue.

The horizon weighs impact against the risk of waiting, the slices are drawn from a seed, and sizes
are whole steps and prices whole ticks inside, so that nothing drifts. Formulas: docs/twap.md.
"""

import math
import random
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any

from counterpoise.errors import FixConfig
from counterpoise.execution.events import Quote, Side
from counterpoise.execution.records import Plan
from counterpoise.run_settings import TwapSettings
from counterpoise.units import BPS, HOUR_MS
from counterpoise.venues.contract import Contract

SECOND_NS = 1_000_000_000
DAY_S = 86_400
HOUR_NS = HOUR_MS * 1_000_000
#: Y of the square-root law. Only its ratio to ``risk_aversion`` matters, so it is no setting here.
IMPACT_COEFFICIENT = 0.7
#: Full urgency weighs the risk of waiting this many times as much as none.
URGENCY_SPAN = 100.0


@dataclass(frozen=True, slots=True)
class Filters:
    """What a venue accepts: size step (ETH), price tick (USD) and smallest order (USD)."""

    step_eth: float
    tick_usd: float
    min_notional_usd: float

    def __post_init__(self) -> None:
        for name in ("step_eth", "tick_usd"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise FixConfig(
                    name, value, "a positive step", "work a contract that is sized in ETH"
                )

    @classmethod
    def of(cls, contract: Contract) -> "Filters":
        """Filters of a linear contract.

        Raises
        ------
        FixConfig
            An inverse contract: it is sized in whole contracts, not in ETH.
        """
        return cls(contract.step_eth, contract.tick_usd, contract.min_notional_usd)

    def steps(self, size_eth: float) -> int:
        """Whole steps of a size that is on the grid but for rounding."""
        return round(size_eth / self.step_eth)

    def whole_steps(self, size_eth: float) -> int:
        """Whole steps within a size."""
        return math.floor(size_eth / self.step_eth + 1e-9)

    def eth(self, steps: int) -> float:
        """Size of so many steps: the float nearest to the decimal number.

        Examples
        --------
        >>> Filters(0.001, 0.01, 20).eth(1003), 1003 * 0.001
        (1.003, 1.0030000000000001)
        """
        return float(steps * Decimal(repr(self.step_eth)))

    def ticks(self, price: float) -> int:
        """Whole ticks of a price that is on the grid but for rounding."""
        return round(price / self.tick_usd)

    def usd(self, ticks: int) -> float:
        """Price of so many ticks: the float nearest to the decimal number."""
        return float(ticks * Decimal(repr(self.tick_usd)))

    def least_steps(self, price: float, reduce_only: bool) -> int:
        """Smallest order at a price, steps; reduce-only orders are exempt from the minimum."""
        if reduce_only:
            return 1
        return max(1, math.ceil(self.min_notional_usd / (price * self.step_eth) - 1e-9))

    def limit_ticks(self, side: Side, mid: float, protection_bps: float) -> int:
        """Worst price of a crossing order, rounded towards the mid."""
        if side == "sell":
            return max(1, math.ceil(mid * (1 - protection_bps * BPS) / self.tick_usd - 1e-6))
        return math.floor(mid * (1 + protection_bps * BPS) / self.tick_usd + 1e-6)


def horizon_s(
    size_eth: float,
    *,
    sigma_day: float,
    volume_day_eth: float,
    urgency: float,
    settings: TwapSettings,
) -> float:
    """Seconds over which an order is worked.

    Parameters
    ----------
    size_eth : float
        ETH, > 0.
    sigma_day, volume_day_eth : float
        Trailing daily volatility (fraction) and volume.
    urgency : float
        0 (none) to 1.
    settings : TwapSettings

    Returns
    -------
    float
        Between ``horizon_min_s`` and ``horizon_max_s``.

    Notes
    -----
    Worked evenly over T days, q ETH are the part q/(V·T) of the volume. What that presses the
    price is taken as Y·σ·√(q/V)·√(q/(V·T)): the square-root law when the order is as large as the
    volume, less by the root of the participation when it is spread. Waiting has the variance
    σ²·T/3. The T that minimises impact + λ/2 · variance is (3·Y·q/(V·λ·σ))^(2/3), with
    λ = risk_aversion · 100^urgency (Almgren & Chriss 2000, with the concave impact of Almgren
    et al. 2005). It is never so short that the participation cap would be broken.

    Examples
    --------
    >>> given = {"sigma_day": 0.04, "volume_day_eth": 2.3e6, "settings": TwapSettings()}
    >>> [round(horizon_s(500, urgency=u, **given)) for u in (0, 0.5, 1)]
    [594, 128, 94]
    """
    share = size_eth / volume_day_eth
    aversion = settings.risk_aversion * URGENCY_SPAN**urgency
    days: float = (3 * IMPACT_COEFFICIENT * share / (aversion * sigma_day)) ** (2 / 3)
    days = max(days, share / settings.participation)
    return min(max(days * DAY_S, settings.horizon_min_s), settings.horizon_max_s)


def plan_schedule(
    schedule_id: int,
    decision_id: int,
    side: Side,
    size: float,
    quote: Quote,
    now_ns: int,
    *,
    urgency: float,
    sigma_day: float,
    volume_day_eth: float,
    filters: Filters,
    settings: TwapSettings,
    seed: int,
    at_once: bool = False,
) -> Plan:
    """Spread an order over slices, or have it cross at once.

    Parameters
    ----------
    schedule_id, decision_id : int
        Of the journal.
    side : {"sell", "buy"}
        A buy only ever reduces the short, so its orders are reduce-only.
    size : float
        ETH, on the venue's grid.
    quote : Quote
        Its mid is the arrival price.
    now_ns : int
        Market time, nanoseconds.
    urgency : float
        0 to 1; NaN counts as 0.
    sigma_day, volume_day_eth : float
        Trailing daily volatility (fraction) and volume.
    filters, settings
        Of the venue and the user.
    seed : int
        The only source of randomness; kept in the plan.
    at_once : bool
        An emergency from the beginning: one slice that crosses, wider each time.

    Returns
    -------
    Plan
        To be journalled; ``abandoned``, and says why, where the whole order is too small for the
        venue.

    Raises
    ------
    FixConfig
        A size off the grid, or a volatility, volume or urgency that is none.
    """
    given = {"size": size, "sigma_day": sigma_day, "volume_day_eth": volume_day_eth}
    for key, value in given.items():
        if not (math.isfinite(value) and value > 0):
            raise FixConfig(key, value, "a number above 0", "check what the decision handed over")
    steps = filters.steps(size)
    if steps < 1 or abs(size / filters.step_eth - steps) > 1e-3:
        raise FixConfig(
            "size", size, f"whole steps of {filters.step_eth} ETH", "round the order to the grid"
        )
    urgency = 0.0 if math.isnan(urgency) else urgency
    if not 0 <= urgency <= 1:
        raise FixConfig("urgency", urgency, "0 to 1", "check the policy's intent")
    memory: dict[str, Any] = {
        "seed": seed,
        "urgency": urgency,
        "sigma_day": sigma_day,
        "volume_day_eth": volume_day_eth,
        "hurry": 0 if at_once else None,
        "ending": None,
        "why": "",
    }
    reduce_only = side == "buy"
    status = "working"
    if steps < filters.least_steps(quote.mid, reduce_only):
        status = "abandoned"
        memory["why"] = f"{size} ETH is below the venue's {filters.min_notional_usd} USD"
    memory |= slices(0, steps, quote.mid, now_ns, reduce_only, memory, 0, filters, settings)
    return Plan(
        ts_ns=now_ns,
        schedule_id=schedule_id,
        decision_id=decision_id,
        side=side,
        size=filters.eth(steps),
        arrival_mid=quote.mid,
        start_ns=now_ns,
        end_ns=memory["ends_ns"][-1],
        status=status,
        plan=memory,
    )


def slices(
    done: int,
    steps: int,
    mid: float,
    now_ns: int,
    reduce_only: bool,
    memory: dict[str, Any],
    first: int,
    filters: Filters,
    settings: TwapSettings,
) -> dict[str, Any]:
    """Draw the slices of what is left of an order.

    Parameters
    ----------
    done, steps : int
        Filled so far and to be filled in all, whole steps.
    mid : float
        USD.
    now_ns : int
    reduce_only : bool
    memory : dict
        ``seed``, ``urgency``, ``sigma_day``, ``volume_day_eth`` and ``hurry`` of the plan.
    first : int
        Number of the first slice: slices are counted on when a schedule is planned anew.
    filters, settings

    Returns
    -------
    dict
        ``first``; ``ends_ns``, when each slice ends; ``until``, whole steps of the schedule that
        are to be filled by then; ``over_ns``, when what is left is given up.
    """
    bar_end = (now_ns // HOUR_NS + 1) * HOUR_NS - round(settings.bar_margin_s * SECOND_NS)
    over_ns = max(bar_end, now_ns + round(settings.horizon_min_s * SECOND_NS))
    if memory["hurry"] is not None:
        return {"first": first, "ends_ns": [over_ns], "until": [steps], "over_ns": over_ns}
    left = steps - done
    seconds = horizon_s(
        filters.eth(left),
        sigma_day=memory["sigma_day"],
        volume_day_eth=memory["volume_day_eth"],
        urgency=memory["urgency"],
        settings=settings,
    )
    seconds = min(seconds, (over_ns - now_ns) / SECOND_NS)
    # Twice the minimum: the price may fall before the last slice is placed.
    smallest = 2 * filters.least_steps(mid, reduce_only)
    count = max(1, min(round(seconds / settings.slice_s), left // smallest))
    chance = random.Random(f"{memory['seed']} {first}")

    def portions() -> list[float]:
        weights = [1 + settings.jitter * chance.uniform(-1, 1) for _ in range(count)]
        whole = sum(weights)
        return [part / whole for part in accumulate(weights)]

    ends = [now_ns + round(part * seconds * SECOND_NS) for part in portions()]
    until = [done + round(part * left) for part in portions()]
    until[-1] = steps
    for place in range(count - 1):
        # A slice below the minimum joins the next one; the last one takes what is left.
        before = until[place - 1] if place else done
        if until[place] - before < smallest or steps - until[place] < smallest:
            until[place] = before
    return {"first": first, "ends_ns": ends, "until": until, "over_ns": over_ns}


def next_size(due: int, left: int, least: int) -> int:
    """Whole steps of the next order, or 0 to wait: never below the minimum, never leaving dust.

    Parameters
    ----------
    due, left : int
        What may be sent now, and all that is left; whole steps.
    least : int
        Smallest order.

    Examples
    --------
    >>> next_size(5, 100, 8), next_size(10, 100, 8), next_size(95, 100, 8), next_size(5, 5, 8)
    (0, 10, 100, 0)
    """
    if due < least:
        return 0
    return left if left - due < least else due
