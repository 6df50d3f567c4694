"""One decision from Python: the compiled step over a driver's numbers, and a pure form of it.

:class:`Desk` is for drivers that decide at every event: its arrays are made once and written in
place. :func:`decide` is for everybody else. Neither sends an order.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.decision import moment as layout
from counterpoise.decision.moment import Limits, Moment, Reason, initial_state
from counterpoise.decision.step import step
from counterpoise.risk.guard_rules import NO_GUARD, GuardRules, initial_memory, unbound

Floats = NDArray[np.float64]


@njit
def moment_of(x: Floats) -> Moment:
    """Moment from its numbers in the order of its fields; shape (16,)."""
    return Moment(
        x[0],
        x[1],
        x[2],
        x[3],
        x[4],
        x[5],
        x[6],
        x[7],
        x[8],
        x[9],
        x[10],
        x[11] > 0.0,
        x[12],
        x[13],
        x[14],
        x[15] > 0.0,
    )


@njit
def limits_from(x: Floats) -> Limits:
    """Limits from their numbers in the order of the fields; shape (12,)."""
    return Limits(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11])


@njit
def rules_from(x: Floats) -> GuardRules:
    """Rules from their numbers in the order of the fields, the fours unrolled; shape (27,)."""
    return GuardRules(
        x[0] > 0.0,
        x[1],
        x[2],
        x[3],
        x[4],
        x[5],
        x[6],
        (x[7], x[8], x[9], x[10]),
        (x[11], x[12], x[13], x[14]),
        (x[15], x[16], x[17], x[18]),
        (x[19], x[20], x[21], x[22]),
        x[23],
        x[24],
        x[25],
        x[26],
    )


@njit
def _packed(
    state: Floats,
    memory: Floats,
    book: Floats,
    moment: Floats,
    intent: Floats,
    limits: Floats,
    rules: Floats,
    bound: Floats,
    chain: Floats,
) -> int:
    """Unpack vectors into the tuples of :func:`step`: taking a tuple from Python costs far more."""
    reasons, intent[4], intent[5] = step(
        state,
        memory,
        book,
        moment_of(moment),
        intent[0],
        intent[1],
        intent[2],
        intent[3],
        limits_from(limits),
        rules_from(rules),
        bound,
        chain,
    )
    return reasons


def flat(values: tuple[Any, ...]) -> list[float]:
    """Numbers of a tuple and of the tuples in it, in order."""
    numbers: list[float] = []
    for value in values:
        numbers += flat(value) if isinstance(value, tuple) else [float(value)]
    return numbers


class Desk:
    """A driver's place for decisions: write ``book``, ``moment``, ``intent``; call :meth:`decide`.

    Parameters
    ----------
    venues : int
    limits : Limits
    rules : GuardRules

    Attributes
    ----------
    book : float64 (DECISION_ROWS, V)
        Rows of ``decision.moment``: the driver writes what a decision reads, and reads ``TARGET``
        and ``COLLATERAL``. A decision may change ``SHARE``.
    moment : float64 (16,)
        In the order of ``Moment``.
    intent : float64 (6,)
        ``lo hi to_lo to_hi`` of the intent; then the band in force, written.
    chain : float64 (18,)
        Numbers behind the last decision, in the order of ``moment.CHAIN``.
    state, memory : float64
        What is remembered from decision to decision: all a driver has to keep through a restart.

    Notes
    -----
    Not safe for threads: one desk per loop. A decision on ground that cannot be trusted returns
    ``Reason.HALTED`` and the targets held: no order may follow from it.
    """

    def __init__(self, venues: int, limits: Limits, rules: GuardRules = NO_GUARD) -> None:
        self.book = np.zeros((layout.DECISION_ROWS, venues))
        self.book[layout.UNIT] = 1.0
        self.book[layout.COST] = np.nan
        self.moment = np.zeros(len(Moment._fields))
        self.intent = np.full(6, np.nan)
        self.chain = np.full(layout.LINKS, np.nan)
        self.state = initial_state(venues)
        self.memory = initial_memory()
        self._limits, self._rules = np.array(flat(limits)), np.array(flat(rules))
        self._bound = unbound()

    def decide(self) -> int:
        """Decide; allocation-free.

        Returns
        -------
        int
            Flags of ``Reason``.
        """
        reasons: int = _packed(
            self.state,
            self.memory,
            self.book,
            self.moment,
            self.intent,
            self._limits,
            self._rules,
            self._bound,
            self.chain,
        )
        return reasons


@dataclass(frozen=True)
class Decision:
    """Outcome of one step.

    Attributes
    ----------
    target_eth, collateral_usd : float64 (V,)
        Short and margin equity to hold on each venue.
    lo, hi : float
        Band in force.
    reasons : Reason
    chain : dict of str to float
        Numbers behind it, by the names of ``moment.CHAIN``; NaN where there is none.
    state, memory : float64
        What the next decision remembers.
    """

    target_eth: Floats
    collateral_usd: Floats
    lo: float
    hi: float
    reasons: Reason
    chain: dict[str, float]
    state: Floats
    memory: Floats


def decide(
    state: Floats,
    memory: Floats,
    *,
    short_eth: Floats,
    price: Floats,
    equity: Floats,
    band: tuple[float, float, float, float],
    weights: Floats,
    moment: Moment,
    limits: Limits,
    step_eth: Floats,
    min_notional_usd: Floats,
    rules: GuardRules = NO_GUARD,
    cost: Floats | None = None,
) -> Decision:
    """Pure form of :func:`step`: inputs stay as they are, the next memories are returned.

    Parameters
    ----------
    state, memory : float64
        As ``initial_state`` and ``initial_memory`` make them, or of the decision before.
    short_eth, price, equity : float64 (V,)
        Position (ETH, positive short), perpetual price and margin equity (USD) per venue.
    band : tuple of 4 float
        ``lo hi to_lo to_hi`` of the intent.
    weights : float64 (V,)
    moment : Moment
    limits : Limits
    step_eth, min_notional_usd : float64 (V,)
        Venue filters.
    rules : GuardRules
    cost : float64 (V,), optional
        Expected funding cost over the guard's horizon; unknown by default.
    """
    desk = Desk(len(short_eth), limits, rules)
    desk.state[:], desk.memory[:] = state, memory
    book = desk.book
    book[layout.SHORT], book[layout.PRICE], book[layout.EQUITY] = short_eth, price, equity
    book[layout.SHARE], book[layout.STEP] = weights, step_eth
    book[layout.MINIMUM] = min_notional_usd
    if cost is not None:
        book[layout.COST] = cost
    desk.moment[:] = np.array(moment)
    desk.intent[:4] = band
    reasons = Reason(desk.decide())
    return Decision(
        book[layout.TARGET].copy(),
        book[layout.COLLATERAL].copy(),
        float(desk.intent[4]),
        float(desk.intent[5]),
        reasons,
        dict(zip(layout.CHAIN, map(float, desk.chain), strict=True)),
        desk.state,
        desk.memory,
    )


def quiet_moment(
    *, exposure_eth: float, spot: float, leverage: float, leverage_max: float, now: float = 0.0
) -> Moment:
    """A moment at which only the intent speaks: fresh marks, no guard, all the USDT it takes.

    Parameters
    ----------
    exposure_eth, spot : float
        ETH and USD.
    leverage, leverage_max : float
    now : float
        Hours.
    """
    return Moment(
        now=now,
        mark_age_s=0.0,
        exposure_eth=exposure_eth,
        spot=spot,
        mark=spot,
        equity=math.nan,
        flow=1.0,
        pnl=math.nan,
        earned=math.nan,
        event_floor=0.0,
        event_class=math.nan,
        quiet=False,
        leverage=leverage,
        leverage_max=leverage_max,
        available=math.inf,
        waits=False,
    )
