"""What the windows around events say, in sentences: what is not significant is called so.

Only words and the units of numbers live here; the numbers come from ``event_windows``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from counterpoise.study.event_windows import FEWEST_EVENTS, EventEffect, Measured

#: What the events of a class are called.
CLASS_NAMES = {
    "network-upgrade": "network upgrades",
    "regulatory": "regulatory dates",
    "macro": "FOMC statements",
}


@dataclass(frozen=True)
class Shown:
    """How a measure is written: its name, its unit, and what its value is multiplied by."""

    label: str
    unit: str
    scale: float


SHOWN = {
    "hedge_effectiveness": Shown("hedge effectiveness", "%", 100.0),
    "spot_vol": Shown("spot volatility", "%/yr", 100.0),
    "basis_mean_bps": Shown("basis, mean", "bps", 1.0),
    "basis_sd_bps": Shown("basis, sd", "bps", 1.0),
    "funding_mean_bps": Shown("funding, mean", "bps/8h", 1.0),
    "funding_sd_bps": Shown("funding, sd", "bps/8h", 1.0),
    "worst_rise": Shown("largest hourly rise", "%", 100.0),
    "worst_fall": Shown("largest hourly fall", "%", 100.0),
}


def _p(name: str, value: float) -> str:
    return f"{name} < 0.001" if value < 0.001 else f"{name} = {value:.3f}"


def _sureness(one: Measured) -> str:
    """P-values of a measure, and whether it may be believed."""
    end = "significant" if one.significant else "not significant"
    return f"({_p('p', one.p)}, {_p('Holm', one.p_holm)}: {end})"


def _both(one: Measured) -> str:
    shown = SHOWN[one.name]
    inside, usual = shown.scale * one.inside, shown.scale * one.usual
    return f"{inside:.2f} against {usual:.2f} {shown.unit}"


def window_text(before_h: int, after_h: int) -> str:
    """Say where the hours of a window are.

    Examples
    --------
    >>> window_text(24, 24), window_text(0, 6)
    ('within 24 h', 'from 0 h before to 6 h after')
    """
    if before_h == after_h:
        return f"within {before_h} h"
    return f"from {before_h} h before to {after_h} h after"


def verdict_of(effect: EventEffect, before_h: int, after_h: int) -> str:
    """What the events of a class do to spot volatility and to the hedge, in plain words."""
    name = CLASS_NAMES[effect.kind]
    if not effect.events:
        return f"{name}: none inside the data"
    if effect.too_few:
        return f"{name}: too few, {effect.events} of the {FEWEST_EVENTS} events a p-value needs"
    said = []
    vol, hedge = effect.measure("spot_vol"), effect.measure("hedge_effectiveness")
    if math.isfinite(vol.p):
        more = vol.inside / vol.usual - 1.0
        side = "higher" if more >= 0.0 else "lower"
        said.append(
            f"spot volatility is {abs(more):.1%} {side} {window_text(before_h, after_h)} than in "
            f"the same hours of other weeks {_sureness(vol)}"
        )
    if math.isfinite(hedge.p):
        if not hedge.significant:
            side = "not shown to be worse" if hedge.difference < 0.0 else "not worse"
        else:
            side = "worse" if hedge.difference < 0.0 else "better"
        said.append(
            f"a full hedge is {side}: effectiveness {hedge.inside:.4f} against {hedge.usual:.4f} "
            f"{_sureness(hedge)}"
        )
    others = [one for one in effect.measures if one not in (vol, hedge) and math.isfinite(one.p)]
    said.extend(
        f"{SHOWN[one.name].label} is {_both(one)} {_sureness(one)}"
        for one in others
        if one.significant
    )
    if not any(one.significant for one in others):
        said.append("nothing measured of basis, funding and extremes differs significantly")
    return f"{name}: " + "; ".join(said)


def overall(effects: Sequence[EventEffect]) -> str:
    """Whether scheduled events matter, all tests together."""
    tests = [one for effect in effects for one in effect.measures if math.isfinite(one.p)]
    if not tests:
        return "No class has events enough for a test"
    found = sum(one.significant for one in tests)
    if not found:
        return (
            f"None of {len(tests)} tests is significant at 5 % after Holm's correction: these data "
            "do not show that scheduled events matter to a hedger. That is no proof that they do "
            "not: a difference within its ± would have been missed"
        )
    return f"{found} of {len(tests)} tests significant at 5 % after Holm's correction"
