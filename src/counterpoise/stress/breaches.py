"""Breaches of a drawdown limit or a profit lock, taken apart: what equity lost that was to be kept.

The guard keeps equity above a floor against a fall of ``gap`` between two decisions. Each time it
was broken through is explained from the last safe decision to the worst one, in parts that add up,
and classed by what took most of the shortfall. Deposits are no part: where there are any they show
as unexplained. Nothing is simulated here.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from counterpoise.decision.moment import CHAIN, Reason
from counterpoise.risk.guard import SNAP, TINY
from counterpoise.risk.guard_rules import GuardRules
from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.units import HOUR_MS

Floats = NDArray[np.float64]

#: Ratios closer than this are rounding.
_ROUNDING = 1e-9
#: How far back a price move can have spent the cushion of a breach.
_RECENT_MS = 24 * HOUR_MS

#: Why a floor was broken through, by what took most of the shortfall on the day before: spot fell
#: by more than ``gap`` between two decisions; the hedge was below the floor because its margin was
#: on its way, could not be paid, or something else held the order back; basis, funding, fees and
#: capital were more than the reserve. Or none of them.
CAUSES = ("gap", "on_its_way", "unfunded", "held_back", "costs", "unexplained")
PARTS = ("gap", "later_delta", "basis", "funding", "trading", "capital", "unexplained")

_FLOOR, _EQUITY, _KEPT = (CHAIN.index(name) for name in ("floor", "guarded_usd", "kept_usd"))
_DELTA, _BASIS, _FUNDING, _FEES, _SLIPPAGE, _CAPITAL, _LIQUIDATION = range(len(COMPONENTS))
_DECIDED = int(Reason.IN_BAND | Reason.RAISE | Reason.LOWER)
_REARMED = int(Reason.REARMED)
_AWAITING = int(Reason.AWAITING)
_UNFUNDED = int(Reason.UNFUNDED)
_HELD_BACK = int(
    Reason.WAIT
    | Reason.CLOSED
    | Reason.VENUE_CAP
    | Reason.ORDER_CAP
    | Reason.COLLAR
    | Reason.FAT_FINGER
    | Reason.BELOW_MINIMUM
    | Reason.KEPT_ALIVE
)


@dataclass(frozen=True)
class Step:
    """A price move before a breach that met less than a full hedge.

    Attributes
    ----------
    begin_ms : int
        Decision that it follows.
    fall : float
        Of spot until the next decision, a fraction; negative is a rise.
    floor, needed, ratio : float
        Hedge ratio asked for by the guard, the one docs/risk.md asks for, and the one held.
    coins_usd, equity_usd : float
        Exposure at spot, and the holder's equity, at that decision.
    beyond_usd : float
        What the move cost beyond all that was not to be kept, less the reserve.
    reasons : int
        Of that decision.
    """

    begin_ms: int
    fall: float
    floor: float
    needed: float
    ratio: float
    coins_usd: float
    equity_usd: float
    beyond_usd: float
    reasons: int


@dataclass(frozen=True)
class Breach:
    """Equity fell below what was to be kept.

    It is one breach, however often equity comes back to that edge, until the guard lowers its floor
    again or begins a new cushion.

    Attributes
    ----------
    cause : str
        One of :data:`CAUSES`.
    safe_ms, worst_ms : int
        Last decision before it with equity at or above what is kept, and the worst one after that.
    of_peak : float
        Most that equity was below what is kept ÷ peak of the cushion.
    parts : dict of str to float
        What equity lost between the two, by :data:`PARTS`, ÷ peak; negative is a loss. ``gap`` is
        the price move of the unhedged part in that first step.
    spare : float
        Equity above what is kept at the last safe decision ÷ peak.
    full_h, short_h : int
        Later hours in which the hedge was full, and in which it was not and the reasons say why.
    step : Step
        Where most was spent: of the last day's price moves that met less than a full hedge.
    """

    cause: str
    safe_ms: int
    worst_ms: int
    of_peak: float
    parts: dict[str, float]
    spare: float
    full_h: int
    short_h: int
    step: Step


def needed(rules: GuardRules, equity: float, kept: float, coins_usd: float, full: float) -> float:
    """Hedge ratio that docs/risk.md asks for, written apart from the guard.

    Parameters
    ----------
    rules : GuardRules
    equity, kept, coins_usd : float
        Equity, what of it is kept (-inf: nothing), and the exposure at spot, USD.
    full : float
        The full hedge.

    Examples
    --------
    >>> from counterpoise.risk.guard_rules import NO_GUARD
    >>> round(needed(NO_GUARD, 100.0, 89.0, 100.0, 1.0), 3)
    0.333
    """
    if kept == -np.inf:
        return 0.0
    if equity <= 0.0:
        return full
    cushion = (1.0 - rules.reserve) * equity - kept
    ratio = full * min(max(1.0 - cushion / (rules.gap * coins_usd), 0.0), 1.0)
    return full if ratio >= SNAP * full else ratio


def could_breach(path: SimulatedPath) -> bool:
    """Whether equity was ever below what was to be kept."""
    return bool(np.any(path.chain[:, _EQUITY] < path.chain[:, _KEPT]))


def breaches_of(
    path: SimulatedPath, rules: GuardRules, *, near: float, full: float = 1.0
) -> list[Breach]:
    """Every breach of a path.

    Parameters
    ----------
    path : SimulatedPath
        By tick, of a run under these rules and no other rule of the guard.
    rules : GuardRules
    near : float
        A hedge ratio this near to what is asked for has it: the size step ÷ exposure.
    full : float
        The full hedge.
    """
    if not could_breach(path):
        return []
    equity, kept = path.chain[:, _EQUITY], path.chain[:, _KEPT]
    # A tick without a decision repeats the numbers of the one before it.
    decided = (path.reasons & _DECIDED > 0) & np.isfinite(equity)
    rows = np.flatnonzero(decided)
    fresh = np.append(True, (path.reasons[rows[1:]] & _REARMED > 0) & _dropped(kept[rows]))
    begins = np.flatnonzero(fresh)
    found = []
    for first, last in zip(begins, np.append(begins[1:], len(rows)), strict=True):
        cushion = rows[first:last]
        below = np.flatnonzero(equity[cushion] < kept[cushion])
        released = np.flatnonzero(path.chain[cushion, _FLOOR] < full - TINY)
        peaks = np.maximum.accumulate(equity[cushion])
        # A cushion begins with equity at its peak, so that something is before its first breach.
        while len(below):
            start = int(below[0])
            after = released[released > start]
            stop = int(after[0]) if len(after) else len(cushion)
            deep = kept[cushion[start:stop]] - equity[cushion[start:stop]]
            worst = start + int(np.argmax(deep))
            before, explained = cushion[:start], cushion[start - 1 : worst + 1]
            found.append(
                _explain(path, rules, (full, near), before, explained, float(peaks[start]))
            )
            below = below[below >= stop]
    return found


def _dropped(kept: Floats) -> NDArray[np.bool_]:
    """Whether less is kept than before: a new cushion; nothing kept counts as less."""
    return np.asarray(np.nan_to_num(kept[1:], nan=-np.inf) < np.nan_to_num(kept[:-1], nan=-np.inf))


def _explain(
    path: SimulatedPath,
    rules: GuardRules,
    ratios: tuple[float, float],
    before: NDArray[np.intp],
    rows: NDArray[np.intp],
    peak: float,
) -> Breach:
    """Take one breach apart.

    Parameters
    ----------
    ratios : tuple of float
        The full hedge, and how near to a ratio is there.
    before : int64 (M,)
        Decisions of the cushion up to the last safe one.
    rows : int64 (N,)
        Decisions from the last safe one to the worst.
    peak : float
        USD.
    """
    full, near = ratios
    safe, first, worst = int(rows[0]), int(rows[1]), int(rows[-1])
    equity, kept = path.chain[:, _EQUITY], path.chain[:, _KEPT]
    marked = path.pnl[safe + 1 : worst + 1].sum(axis=0)
    # A decision looks at equity before its own order is paid for.
    paid = path.pnl[safe:worst].sum(axis=0)
    gap = float(path.pnl[safe + 1 : first + 1, _DELTA].sum())
    lost = {
        "gap": gap,
        "later_delta": float(marked[_DELTA]) - gap,
        "basis": float(marked[_BASIS]),
        "funding": float(marked[_FUNDING]),
        "trading": float(paid[_FEES] + paid[_SLIPPAGE]),
        "capital": float(marked[_CAPITAL] + marked[_LIQUIDATION]),
    }
    lost["unexplained"] = float(equity[worst] - equity[safe]) - sum(lost.values())
    ratio, later = path.ratio, rows[1:-1]
    is_full = ratio[later] >= full - near - TINY
    excused = path.reasons[later] & (_AWAITING | _UNFUNDED | _HELD_BACK) > 0
    recent = np.append(before[:-1], rows)
    recent = recent[path.ts_ms[recent] >= path.ts_ms[safe] - _RECENT_MS]
    short = float(kept[worst] - equity[worst])
    steps = [
        _step(path, rules, full, int(begin), int(end))
        for begin, end in pairwise(recent)
        if begin == safe or ratio[begin] < full - near - TINY
    ]
    step = max(steps, key=lambda one: one.beyond_usd)
    cause = _cause(step, steps, near, rules.gap, short)
    obeyed = all(one.floor >= one.needed - _ROUNDING for one in steps)
    if not obeyed or not np.all(is_full | excused):
        cause = "unexplained"
    return Breach(
        cause=cause,
        safe_ms=int(path.ts_ms[safe]),
        worst_ms=int(path.ts_ms[worst]),
        of_peak=short / peak,
        parts={name: lost[name] / peak for name in PARTS},
        spare=float(equity[safe] - kept[safe]) / peak,
        full_h=int(np.count_nonzero(is_full)),
        short_h=int(np.count_nonzero(~is_full)),
        step=step,
    )


def _step(path: SimulatedPath, rules: GuardRules, full: float, begin: int, end: int) -> Step:
    """Price move from one decision to the next."""
    equity, kept, floor = (float(path.chain[begin, k]) for k in (_EQUITY, _KEPT, _FLOOR))
    if np.isnan(kept):  # a profit lock before its first step
        kept = -np.inf
    coins = float(path.exposure_eth[begin] * path.spot[begin])
    lost = -float(path.pnl[begin + 1 : end + 1, _DELTA].sum())
    return Step(
        begin_ms=int(path.ts_ms[begin]),
        fall=1.0 - float(path.spot[end] / path.spot[begin]),
        floor=floor,
        needed=needed(rules, equity, kept, coins, full),
        ratio=float(path.ratio[begin]),
        coins_usd=coins,
        equity_usd=equity,
        beyond_usd=lost - max(equity * (1.0 - rules.reserve) - kept, 0.0),
        reasons=int(path.reasons[begin]),
    )


def _cause(step: Step, steps: list[Step], near: float, gap: float, short: float) -> str:
    """Which of :data:`CAUSES` it was, by the larger part of ``short`` (USD).

    ``step`` cost most of ``steps``, those of the last day that met less than a full hedge.
    """
    by_price = step.beyond_usd >= 0.5 * short
    if by_price and step.fall > gap:
        return "gap"
    late = [one for one in steps if one.ratio < one.floor - near - TINY]
    saved = [(one.floor - one.ratio) * one.fall * one.coins_usd for one in late]
    own = max(step.floor - step.ratio, 0.0) * step.fall * step.coins_usd
    missed = max(sum(saved), own)
    if missed >= 0.5 * short:
        said = int(np.bitwise_or.reduce([one.reasons for one in late] or [0]))
        for cause, flags in (
            ("on_its_way", _AWAITING),
            ("unfunded", _UNFUNDED),
            ("held_back", _HELD_BACK),
        ):
            if said & flags:
                return cause
        return "unexplained"
    # Where the price left most of the reserve, the reserve was not enough.
    return "unexplained" if by_price else "costs"
