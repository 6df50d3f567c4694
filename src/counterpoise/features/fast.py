"""Fast numbers per event: microprice, order flow, basis and the funding of the running interval.

Recursions as in ``feature``, but a tick is an event and every one of them has its time: history is
one call over all events, live is a call per event. They stand beside the catalog, whose features
belong to the bar clock: no model reads them. What they may do is said in ``decision.fast_band``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.features.carry import predicted_rate
from counterpoise.features.feature import Memory
from counterpoise.venues.contract import FundingRule

Floats = NDArray[np.float64]

#: Seconds for which a quote is taken to stand; a longer silence is a gap.
MOST_HELD_S = 60.0
HOUR_S = 3600.0


@njit
def microprice(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Price that the sizes of a quote lean to, from its mid.

    ``x`` = (bid, its size, ask, its size); no state.

    Formula: (a·B + b·A)/(A + B) − (a + b)/2.
    Unit: USD.
    Pitfall: sizes at the touch come and go; within a tick of the mid where the spread is one.
    Source: Stoikov (2018), its first approximation; SCIENCE §6.
    """
    bid, bid_size, ask, ask_size = x
    for t in range(out.shape[0]):
        both = bid_size[t] + ask_size[t]
        out[t] = np.nan
        if both > 0.0 and bid[t] <= ask[t]:
            leans = (ask[t] * bid_size[t] + bid[t] * ask_size[t]) / both
            out[t] = leans - 0.5 * (bid[t] + ask[t])


@njit
def order_flow(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Order-flow imbalance of the last moments, in touches: fading, over the mean size there.

    ``x`` = (seconds, bid, its size, ask, its size); head = [half-life in seconds, time, bid, size,
    ask, size, flow, sizes, weight]. After a gap of a minute the flow begins anew.

    Formula: Σ e·2^(−age/h) over the mean of (A + B)/2 weighted alike, with e = 1(b ≥ b₋)·B −
    1(b ≤ b₋)·B₋ − 1(a ≤ a₋)·A + 1(a ≥ a₋)·A₋.
    Unit: multiples of the size at the touch; positive is buying.
    Pitfall: explains the same second, not the next (SCIENCE §3); depends on how often quotes come.
    Source: Cont, Kukanov and Stoikov (2014); SCIENCE §6.
    """
    time_s, bid, bid_size, ask, ask_size = x
    half_life, last_s, b, bs, a, sizes_a = (
        state[0],
        state[1],
        state[2],
        state[3],
        state[4],
        state[5],
    )
    flow, sizes, weight = state[6], state[7], state[8]
    for t in range(out.shape[0]):
        out[t] = np.nan
        known = bid[t] + bid_size[t] + ask[t] + ask_size[t] + time_s[t]
        if np.isnan(known) or not bid[t] <= ask[t]:
            continue
        passed = max(time_s[t] - last_s, 0.0)
        if np.isnan(last_s) or passed > MOST_HELD_S:
            flow, sizes, weight = 0.0, 0.0, 0.0
        else:
            kept = 0.5 ** (passed / half_life)
            event = 0.0
            if bid[t] >= b:
                event += bid_size[t]
            if bid[t] <= b:
                event -= bs
            if ask[t] <= a:
                event -= ask_size[t]
            if ask[t] >= a:
                event += sizes_a
            flow = flow * kept + event
            sizes, weight = sizes * kept, weight * kept
        sizes += 0.5 * (bid_size[t] + ask_size[t])
        weight += 1.0
        last_s = time_s[t] if np.isnan(last_s) else max(last_s, time_s[t])
        b, bs, a, sizes_a = bid[t], bid_size[t], ask[t], ask_size[t]
        if sizes > 0.0:
            out[t] = flow * weight / sizes
    state[1], state[2], state[3], state[4], state[5] = last_s, b, bs, a, sizes_a
    state[6], state[7], state[8] = flow, sizes, weight


@njit
def smooth_basis(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Mid of the perpetual over the index, less 1, smoothed by time.

    ``x`` = (seconds, bid, ask, index); head = [half-life in seconds, time, mean]. After a gap of
    a minute it begins anew.

    Formula: m ← m + (1 − 2^(−Δt/h))·(mid/index − 1 − m).
    Unit: fraction.
    Pitfall: an index that stands still makes a basis of every move; the mark is not used.
    Source: SCIENCE §6.
    """
    time_s, bid, ask, index = x
    half_life, last_s, mean = state[0], state[1], state[2]
    for t in range(out.shape[0]):
        out[t] = np.nan
        if np.isnan(time_s[t] + bid[t] + ask[t] + index[t]) or not index[t] > 0.0:
            continue
        basis = 0.5 * (bid[t] + ask[t]) / index[t] - 1.0
        passed = max(time_s[t] - last_s, 0.0)
        if np.isnan(mean) or passed > MOST_HELD_S:
            mean = basis
        else:
            mean += (1.0 - 0.5 ** (passed / half_life)) * (basis - mean)
        last_s = time_s[t] if np.isnan(last_s) else max(last_s, time_s[t])
        out[t] = mean
    state[1], state[2] = last_s, mean


@njit
def running_premium(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Mean premium of the running funding interval, later moments weighing more.

    ``x`` = (seconds, bid, ask, index, seconds of the next settlement, interval in hours); head =
    [time, premium, next settlement, weighted sum, weight]. A premium stands until the next event,
    for a minute at most. Before anything has stood in an interval it is the premium of now.

    Formula: ∫ s·P ds / ∫ s ds over the interval so far, s since it began, P = [max(0, bid − index)
    − max(0, index − ask)]/index.
    Unit: fraction of the index.
    Pitfall: the venue takes prices of an impact notional, not the touch, so its premium is nearer
    to 0; joined late, the part before is unknown.
    Source: SCIENCE §4.
    """
    time_s, bid, ask, index, next_s, interval_h = x
    last_s, before, until_s, total, weight = state[0], state[1], state[2], state[3], state[4]
    for t in range(out.shape[0]):
        out[t] = np.nan
        known = time_s[t] + bid[t] + ask[t] + index[t] + next_s[t] + interval_h[t]
        if np.isnan(known) or not index[t] > 0.0:
            continue
        begin_s = next_s[t] - HOUR_S * interval_h[t]
        if next_s[t] != until_s:
            total, weight, until_s = 0.0, 0.0, next_s[t]
        held = time_s[t] - last_s
        if held > 0.0 and held <= MOST_HELD_S and time_s[t] > begin_s:
            since, to = max(last_s - begin_s, 0.0), time_s[t] - begin_s
            piece = 0.5 * (to * to - since * since)
            total += piece * before
            weight += piece
        above, below = max(0.0, bid[t] - index[t]), max(0.0, index[t] - ask[t])
        before = (above - below) / index[t]
        last_s = time_s[t] if np.isnan(last_s) else max(last_s, time_s[t])
        out[t] = total / weight if weight > 0.0 else before
    state[0], state[1], state[2], state[3], state[4] = last_s, before, until_s, total, weight


@dataclass(frozen=True, slots=True)
class Fast:
    """Fast numbers as of an event; NaN where unknown.

    Attributes
    ----------
    microprice_usd : float
        From the mid.
    flow : float
        Order-flow imbalance, in sizes at the touch; positive is buying.
    basis : float
        Smoothed, a fraction of the index.
    premium : float
        Mean of the running interval.
    funding_8h : float
        Rate the interval would settle at, per 8 h; positive pays the short.
    """

    microprice_usd: float
    flow: float
    basis: float
    premium: float
    funding_8h: float


@njit
def _quote(
    row: Floats, rule: Floats, flow: Floats, basis: Floats, premium: Floats, out: Floats
) -> None:
    """Every recursion on one event: one call from Python instead of five."""
    none = flow[:0]
    time_s, bid, bid_size, ask, ask_size = row[0:1], row[1:2], row[2:3], row[3:4], row[4:5]
    index, next_s, interval_h = row[5:6], row[6:7], row[7:8]
    microprice(none, (bid, bid_size, ask, ask_size), out[0:1])
    order_flow(flow, (time_s, bid, bid_size, ask, ask_size), out[1:2])
    smooth_basis(basis, (time_s, bid, ask, index), out[2:3])
    running_premium(premium, (time_s, bid, ask, index, next_s, interval_h), out[3:4])
    given = (out[3:4], interval_h, rule[0:1], rule[1:2], rule[2:3])
    predicted_rate(none, given, out[4:5])


def flow_memory(half_life_s: float) -> Memory:
    """Memory of :func:`order_flow`."""
    unknown = float("nan")
    return Memory((half_life_s, unknown, unknown, 0.0, unknown, 0.0, 0.0, 0.0, 0.0))


def basis_memory(half_life_s: float) -> Memory:
    """Memory of :func:`smooth_basis`."""
    return Memory((half_life_s, float("nan"), float("nan")))


#: Memory of :func:`running_premium`.
PREMIUM_MEMORY = Memory((float("nan"), float("nan"), float("nan"), 0.0, 0.0))


class FastSignals:
    """The fast numbers of one market, event by event.

    Parameters
    ----------
    rule : FundingRule
        Of the contract that is traded.
    flow_half_life_s, basis_half_life_s : float
        Seconds in which order flow fades, and basis forgets, by half.
    """

    def __init__(
        self, rule: FundingRule, *, flow_half_life_s: float = 5.0, basis_half_life_s: float = 60.0
    ) -> None:
        damper = float("nan") if rule.damper_8h is None else rule.damper_8h
        self._rule = np.array([rule.interest_8h, damper, rule.cap])
        self._flow = flow_memory(flow_half_life_s).fresh()
        self._basis = basis_memory(basis_half_life_s).fresh()
        self._premium = PREMIUM_MEMORY.fresh()
        self._row = np.full(8, np.nan)
        self._row[7] = self._longest_h = float(rule.interval_h)
        self._out = np.full(5, np.nan)

    def mark(self, index: float, next_funding_ns: int) -> None:
        """Take in the venue's index and when it settles next; they count from the next quote on.

        An interval is as long as two settlements are apart, where the venue has shortened it.
        """
        row, next_s = self._row, next_funding_ns / 1e9
        hours = (next_s - row[6]) / HOUR_S
        if hours != 0.0:
            row[7] = hours if 0.0 < hours < self._longest_h else self._longest_h
        row[5], row[6] = index, next_s

    def quote(self, ts_ns: int, bid: float, bid_size: float, ask: float, ask_size: float) -> Fast:
        """Take in a best bid and ask; the fast numbers as of it."""
        row = self._row
        row[0], row[1], row[2], row[3], row[4] = ts_ns / 1e9, bid, bid_size, ask, ask_size
        _quote(row, self._rule, self._flow, self._basis, self._premium, self._out)
        return Fast(*self._out.tolist())
