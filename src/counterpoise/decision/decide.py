"""One decision from Python: the compiled step over a driver's numbers, and a pure form of it.

:class:`Desk` is for drivers that decide at every event: its arrays are made once and written in
place. :func:`decide` is for everybody else. Neither sends an order.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.decision import moment as layout
from counterpoise.decision.moment import Limits, Moment, Reason, initial_state
from counterpoise.decision.step import step
from counterpoise.risk.guard import NO_GUARD, GuardRules, initial_memory, unbound

Floats = NDArray[np.float64]

_MOMENTS = len(Moment._fields)
_LIMITS = len(Limits._fields)


@njit
def _packed(
    state: Floats,
    memory: Floats,
    book: Floats,
    now: Floats,
    intent: Floats,
    rules: Floats,
    bound: Floats,
    chain: Floats,
) -> int:
    """Unpack vectors into the tuples of :func:`step`: taking a tuple from Python costs far more."""
    moment = Moment(
        now[0],
        now[1],
        now[2],
        now[3],
        now[4],
        now[5],
        now[6],
        now[7],
        now[8],
        now[9],
        now[10],
        now[11] > 0.0,
        now[12],
        now[13],
        now[14],
        now[15] > 0.0,
    )
    limits = Limits(
        rules[0],
        rules[1],
        rules[2],
        rules[3],
        rules[4],
        rules[5],
        rules[6],
        rules[7],
        rules[8],
        rules[9],
        rules[10],
        rules[11],
    )
    g = rules[12:]
    guard = GuardRules(
        g[0] > 0.0,
        g[1],
        g[2],
        g[3],
        g[4],
        g[5],
        g[6],
        (g[7], g[8], g[9], g[10]),
        (g[11], g[12], g[13], g[14]),
        (g[15], g[16], g[17], g[18]),
        (g[19], g[20], g[21], g[22]),
        g[23],
        g[24],
        g[25],
        g[26],
    )
    reasons, lo, hi = step(
        state,
        memory,
        book,
        moment,
        intent[0],
        intent[1],
        intent[2],
        intent[3],
        limits,
        guard,
        bound,
        chain,
    )
    intent[4], intent[5] = lo, hi
    return reasons


def _flat(values: tuple[object, ...]) -> list[float]:
    """Numbers of a tuple and of the tuples in it, in order."""
    flat: list[float] = []
    for value in values:
        if isinstance(value, tuple):
            flat += _flat(value)
        else:
            flat.append(float(value))  # type: ignore[arg-type]
    return flat


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
        self.moment = np.zeros(_MOMENTS)
        self.intent = np.full(6, np.nan)
        self.chain = np.full(layout.LINKS, np.nan)
        self.state = initial_state(venues)
        self.memory = initial_memory()
        self._rules = np.array(_flat(limits) + _flat(rules))
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
