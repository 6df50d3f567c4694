"""How closely a run kept the hedge: the ratio it held against its band and its target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from counterpoise.execution.records import Decision, FillBooked
from counterpoise.units import HOUR_MS, NS_PER_MS


@dataclass(frozen=True, slots=True)
class Step:
    """What held from a moment until the next step: ETH, and ratios to the exposure."""

    ts_ms: int
    short_eth: float
    exposure_eth: float
    ratio: float
    target: float
    lo: float
    hi: float
    outside: bool


@dataclass(frozen=True, slots=True)
class Tracking:
    """The ratio over the time from the first decision to the end.

    Attributes
    ----------
    steps : tuple of Step
    hours : tuple of Step
        What was held when each whole hour ended, and at the very end.
    mean_error, rms_error : float
        Of how far the ratio was from the target, weighted by time.
    outside_s, whole_s : float
        Market seconds outside the band by more than a step of the size, and in all.
    """

    steps: tuple[Step, ...]
    hours: tuple[Step, ...]
    mean_error: float
    rms_error: float
    outside_s: float
    whole_s: float


def tracking(
    decisions: Sequence[Decision], fills: Sequence[FillBooked], end_ms: int, step_eth: float
) -> Tracking:
    """Follow the short from decision to decision and fill to fill.

    Parameters
    ----------
    decisions, fills
        Of a journal, each in its order.
    end_ms : int
        Until when the last step held, ms of the market's clock.
    step_eth : float
        Size step: a target is on the grid, so a ratio may miss an edge of its band by one.
    """
    told: list[Decision | FillBooked] = [*decisions, *fills]
    steps: list[Step] = []
    decision: Decision | None = None
    for event in sorted(told, key=lambda one: one.ts_ns):
        if isinstance(event, Decision):
            decision = event
        if decision is not None:
            steps.append(_step(event, decision, step_eth))
    if decision is None:
        return Tracking((), (), math.nan, math.nan, 0.0, 0.0)
    end_ms = max(end_ms, steps[-1].ts_ms)
    lasts = [
        (step, (after - step.ts_ms) / 1000.0)
        for step, after in zip(steps, [*(s.ts_ms for s in steps[1:]), end_ms], strict=True)
    ]
    whole = sum(seconds for _, seconds in lasts)
    errors = [(abs(s.ratio - s.target), seconds / whole) for s, seconds in lasts if whole]
    return Tracking(
        steps=tuple(steps),
        hours=_hours(steps, end_ms),
        mean_error=sum(e * w for e, w in errors) if errors else math.nan,
        rms_error=math.sqrt(sum(e * e * w for e, w in errors)) if errors else math.nan,
        outside_s=sum(seconds for step, seconds in lasts if step.outside),
        whole_s=whole,
    )


def _step(event: Decision | FillBooked, decision: Decision, step_eth: float) -> Step:
    exposure, short = decision.exposure_eth, event.short_eth
    known = exposure > 0.0
    ratio = short / exposure if known else math.nan
    slack = step_eth / exposure + 1e-12 if known else math.nan
    return Step(
        ts_ms=event.ts_ns // NS_PER_MS,
        short_eth=short,
        exposure_eth=exposure,
        ratio=ratio,
        target=decision.target_eth / exposure if known else math.nan,
        lo=decision.lo,
        hi=decision.hi,
        outside=ratio < decision.lo - slack or ratio > decision.hi + slack,
    )


def _hours(steps: Sequence[Step], end_ms: int) -> tuple[Step, ...]:
    first = (steps[0].ts_ms // HOUR_MS + 1) * HOUR_MS
    found = []
    for at_ms in sorted({*range(first, end_ms + 1, HOUR_MS), end_ms}):
        held = [step for step in steps if step.ts_ms <= at_ms][-1]
        found.append(replace(held, ts_ms=at_ms))
    return tuple(found)
