"""The compiled loop over history. Specification: docs/simulation.md, step by step.

It marks, liquidates, pays funding, decides, executes and records; it allocates nothing per tick
and holds no lock, so that threads run one policy each. Oracle: tests/simulation/oracle.py.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit, njit_in_place
from counterpoise.decision.band import asked, bounded, note
from counterpoise.decision.moment import (
    COST,
    DEBT,
    EQUITY,
    LINKS,
    MINIMUM,
    ON_WAY,
    PRICE,
    SHARE,
    SHORT,
    STATE_AGE,
    STATE_NOW,
    STEP,
    UNIT,
    Limits,
    Moment,
    Reason,
    initial_state,
)
from counterpoise.decision.step import remember, rests, step
from counterpoise.risk.guard_rules import GuardRules, initial_memory, unbound
from counterpoise.simulation.arrays import (
    AccountRules,
    CostRules,
    GuardArrays,
    IntentArrays,
    Record,
)
from counterpoise.simulation.books import (
    BASIS,
    CAPITAL,
    CARRIED,
    CASH,
    CHARGED,
    COINS,
    COMING,
    DELTA,
    EARNED,
    EXPOSED,
    FUNDING,
    HELD,
    HI,
    LIQUIDATION,
    LO,
    MARGIN_LOW,
    PAID_IN,
    ROWS,
    SUMS,
    TICKS,
    TRADED,
    WAITS,
    WON,
    Desk,
    Rules,
)
from counterpoise.simulation.ledger import arrive, execute, hold, mark, settle
from counterpoise.simulation.prices import Prices
from counterpoise.units import HOURS_PER_YEAR
from counterpoise.venues.contract import VenueRules

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_CLOSED = int(Reason.CLOSED)


@njit
def run(
    prices: Prices,
    exposure_eth: Floats,
    bucket: Integers,
    intent: IntentArrays,
    watch: GuardArrays,
    venue: VenueRules,
    limits: Limits,
    costs: CostRules,
    account: AccountRules,
    guard: GuardRules,
    record: Record,
) -> int:
    """Simulate one intent over T ticks and fill ``record``.

    Returns
    -------
    int
        Number of liquidations.
    """
    venues, slots = prices.perp.shape[1], account.transfer_ticks + 1
    rules = Rules(venue, limits, costs, account, guard)
    sums, carried = np.zeros(SUMS), np.zeros(CARRIED)
    reasons, chain = np.zeros(1, dtype=np.int64), np.full(LINKS, np.nan)
    memory, bound = initial_memory(), unbound()
    if venues == 1:
        # The same loop, compiled for one venue: its size is a constant to the compiler.
        alone = Desk(
            np.zeros((ROWS, 1)),
            initial_state(1),
            memory,
            bound,
            chain,
            np.zeros((slots, 1)),
            sums,
            carried,
            reasons,
        )
        return _history(prices, exposure_eth, bucket, intent, watch, rules, alone, record)
    several = Desk(
        np.zeros((ROWS, venues)),
        initial_state(venues),
        memory,
        bound,
        chain,
        np.zeros((slots, venues)),
        sums,
        carried,
        reasons,
    )
    return _history(prices, exposure_eth, bucket, intent, watch, rules, several, record)


@njit_in_place
def _history(
    prices: Prices,
    exposure_eth: Floats,
    bucket: Integers,
    intent: IntentArrays,
    watch: GuardArrays,
    rules: Rules,
    desk: Desk,
    record: Record,
) -> int:
    book, sums, carried = desk.book, desk.sums, desk.carried
    ticks, venues = len(bucket), book.shape[1]
    for v in range(venues):
        book[UNIT, v] = 1.0
        book[STEP, v] = rules.venue.step_eth[v]
        book[MINIMUM, v] = rules.venue.min_notional_usd[v]
    carried[LO] = carried[HI] = np.nan
    carried[EXPOSED] = np.nan
    sums[MARGIN_LOW] = np.inf
    liquidations = 0
    t = 0
    while t < ticks:
        if venues == 1 and not rules.account.inverse and book[SHORT, 0] > 0.0:
            t = _rest(t, prices, exposure_eth, bucket, intent, watch, rules, desk, record)
            if t == ticks:
                break
        if prices.priced[t] and not prices.marks[t]:
            record.spot_open[bucket[t]] = prices.spot[t]
        arrive(t, watch, rules.account, desk)
        hold(t, prices, exposure_eth, rules.costs, rules.account, desk)
        if prices.marks[t]:
            exposed = exposure_eth[t - 1] + carried[WON]
            sums[DELTA] += exposed * (prices.spot[t] - prices.spot_before[t])
            for v in range(venues):
                if book[SHORT, v] > 0.0:
                    liquidations += mark(
                        t, v, prices, rules.venue, rules.account, book, sums, carried
                    )
        settle(t, prices, rules.account, book, sums, carried)
        if prices.priced[t] and watch.is_open[t]:
            desk.reasons[0] |= _decide(t, prices, exposure_eth, intent, watch, rules, desk)
            for v in range(venues):
                execute(t, v, prices, intent, rules, desk)
        else:
            desk.state[STATE_AGE] += 1.0
            if prices.priced[t]:
                desk.reasons[0] |= _CLOSED
        if prices.ends[t]:
            _write(t, bucket, prices, exposure_eth, rules.account, desk, record)
        t += 1
    return liquidations


@njit_in_place
def _rest(
    t: int,
    prices: Prices,
    exposure_eth: Floats,
    bucket: Integers,
    intent: IntentArrays,
    watch: GuardArrays,
    rules: Rules,
    desk: Desk,
    record: Record,
) -> int:
    """Go through the ticks from ``t`` on at which nothing happens, on one linear venue.

    No liquidation is near and the decision rests. Such a tick only marks and pays funding, and this
    is the arithmetic of :func:`hold`, :func:`mark` and :func:`settle` without the rest of the
    loop; most of history is made of them.

    Returns
    -------
    int
        First tick at which something may happen.
    """
    book, sums, carried, state = desk.book, desk.sums, desk.carried, desk.state
    if book[COMING, 0] != 0.0:
        return t
    carried[WAITS] = 1.0 if rules.account.transfer_ticks > 0 else 0.0
    book[ON_WAY, 0] = 0.0
    k, q = rules.account.coin_value, book[SHORT, 0]
    cash, coins = book[CASH, 0], book[COINS, 0]
    counted = k * coins
    highest_rate = rules.venue.highest_rate[0]
    usd_cost = rules.costs.capital_cost_per_year / HOURS_PER_YEAR
    eth_cost = rules.costs.eth_cost_per_year / HOURS_PER_YEAR * max(coins, 0.0)
    spot_before, last = prices.spot_before[t], prices.perp_before[t, 0]
    begin = t
    while prices.calm[t] and watch.is_open[t]:
        spot, perp, high = prices.spot[t], prices.perp[t, 0], prices.high[t, 0]
        at_high = cash + counted * high - q * (high - last)
        at_close = cash + counted * perp - q * (perp - last)
        if at_high <= highest_rate * (q * high):
            break
        if k > 0.0 and at_close <= highest_rate * (q * perp):
            break
        received = q * prices.funding[t, 0]
        after = cash - q * (perp - last) + received
        charged = usd_cost * (carried[PAID_IN] + max(-cash, 0.0)) + eth_cost * spot_before
        book[PRICE, 0] = perp
        book[EQUITY, 0] = after + counted * perp
        book[DEBT, 0] = max(-after, 0.0) if k > 0.0 else 0.0
        book[SHARE, 0] = intent.weights[t, 0]
        book[COST, 0] = watch.cost[t, 0]
        moment = _moment(
            t,
            prices,
            exposure_eth,
            watch,
            carried,
            after,
            carried[CHARGED] + charged,
            carried[EARNED] + received,
            0.0,
        )
        flags = rests(
            desk.memory,
            book,
            moment,
            intent.lo[t],
            intent.hi[t],
            intent.to_lo[t],
            intent.to_hi[t],
            rules.limits,
            rules.guard,
            desk.bound,
        )
        if flags < 0:
            break
        exposed = exposure_eth[t - 1] + carried[WON]
        moved, perp_moved = spot - spot_before, perp - last
        sums[HELD] += exposed
        sums[TICKS] += 1.0
        sums[CAPITAL] -= charged
        carried[CHARGED] += charged
        sums[DELTA] += (exposed - q) * moved
        sums[BASIS] -= q * (perp_moved - moved)
        sums[FUNDING] += received
        carried[EARNED] += received
        carried[EXPOSED] = exposure_eth[t]
        margin = at_high / (q * high)
        if k > 0.0:
            margin = min(margin, at_close / (q * perp))
        sums[MARGIN_LOW] = min(sums[MARGIN_LOW], margin)
        cash, last, spot_before = after, perp, spot
        desk.reasons[0] |= flags
        if prices.ends[t]:
            book[CASH, 0] = cash
            _rested(t, moment, intent, rules, desk)
            _write(t, bucket, prices, exposure_eth, rules.account, desk, record)
        t += 1
    if t > begin:
        book[CASH, 0] = cash
        if not prices.ends[t - 1]:
            moment = _moment(
                t - 1,
                prices,
                exposure_eth,
                watch,
                carried,
                cash,
                carried[CHARGED],
                carried[EARNED],
                0.0,
            )
            _rested(t - 1, moment, intent, rules, desk)
        state[STATE_NOW] = float(t - 1)
        book[SHARE, 0] = intent.weights[t - 1, 0]
        remember(
            state,
            intent.lo[t - 1],
            intent.hi[t - 1],
            intent.to_lo[t - 1],
            intent.to_hi[t - 1],
            book[SHARE],
        )
    return t


@njit_in_place
def _moment(
    t: int,
    prices: Prices,
    exposure_eth: Floats,
    watch: GuardArrays,
    carried: Floats,
    usd: float,
    charged: float,
    earned: float,
    available: float,
) -> Moment:
    """What a decision reads at a tick; ``usd`` is all cash on the venues or on its way."""
    spot = prices.spot[t]
    pnl = usd - carried[PAID_IN] - charged + carried[WON] * spot
    equity = exposure_eth[t] * spot + pnl
    flow = 1.0
    arrived = exposure_eth[t] - carried[EXPOSED]
    if arrived != 0.0 and np.isfinite(arrived):
        before = equity - arrived * spot
        flow = equity / before if before > 0.0 else 0.0
    return Moment(
        float(t),
        0.0,
        exposure_eth[t] + carried[WON],
        spot,
        prices.perp[t, 0],
        equity,
        flow,
        pnl,
        earned,
        watch.event_floor[t],
        watch.event_class[t],
        watch.quiet[t],
        watch.leverage[t],
        watch.leverage_max[t],
        available,
        carried[WAITS] > 0.0,
    )


@njit_in_place
def _rested(t: int, moment: Moment, intent: IntentArrays, rules: Rules, desk: Desk) -> None:
    """Keep the band and the numbers of a decision that rested."""
    bound, ratio = desk.bound, desk.book[SHORT, 0] / moment.exposure_eth
    lo, hi, to_lo, to_hi = intent.lo[t], intent.hi[t], intent.to_lo[t], intent.to_hi[t]
    asks = asked(ratio, lo, hi, to_lo, to_hi)
    if rules.guard.active:
        lo, hi, to_lo, to_hi = bounded(lo, hi, to_lo, to_hi, bound)
    goal = asked(ratio, lo, hi, to_lo, to_hi)
    note(asks, ratio, goal, desk.book, moment, rules.guard, bound, desk.chain)
    desk.carried[LO], desk.carried[HI] = lo, hi


@njit_in_place
def _decide(
    t: int,
    prices: Prices,
    exposure_eth: Floats,
    intent: IntentArrays,
    watch: GuardArrays,
    rules: Rules,
    desk: Desk,
) -> int:
    """Ask for targets and collateral (step 5); returns the reasons."""
    book, carried, account = desk.book, desk.carried, rules.account
    k = account.coin_value
    # Before the first decision there was time to send what it needs.
    waits = account.transfer_ticks > 0 and not np.isnan(carried[EXPOSED])
    carried[WAITS] = 1.0 if waits else 0.0
    exposed = exposure_eth[t] + carried[WON]
    available = exposed if k > 0.0 else account.budget_usd - carried[PAID_IN]
    usd = 0.0
    for v in range(book.shape[1]):
        price = prices.perp[t, v]
        book[PRICE, v] = price
        book[SHARE, v] = intent.weights[t, v]
        book[COST, v] = watch.cost[t, v]
        book[EQUITY, v] = book[CASH, v] + k * book[COINS, v] * price
        book[ON_WAY, v] = book[COMING, v]
        usd += book[CASH, v]
        if k > 0.0:
            available -= book[COINS, v] + book[COMING, v]
            book[UNIT, v] = k * price
            book[DEBT, v] = max(-book[CASH, v], 0.0)
            book[ON_WAY, v] = book[COMING, v] * book[UNIT, v]
        else:
            usd += book[COMING, v]
        if account.inverse:
            book[STEP, v] = rules.venue.contract_usd[v] / price
    moment = _moment(
        t,
        prices,
        exposure_eth,
        watch,
        carried,
        usd,
        carried[CHARGED],
        carried[EARNED],
        available,
    )
    carried[EXPOSED] = exposure_eth[t]
    reasons, carried[LO], carried[HI] = step(
        desk.state,
        desk.memory,
        book,
        moment,
        intent.lo[t],
        intent.hi[t],
        intent.to_lo[t],
        intent.to_hi[t],
        rules.limits,
        rules.guard,
        desk.bound,
        desk.chain,
    )
    return reasons


@njit_in_place
def _write(
    t: int,
    bucket: Integers,
    prices: Prices,
    exposure_eth: Floats,
    account: AccountRules,
    desk: Desk,
    record: Record,
) -> None:
    """Record the bucket that ends at the tick and begin the next (step 7)."""
    book, sums, carried = desk.book, desk.sums, desk.carried
    b = bucket[t]
    for component in range(LIQUIDATION + 1):
        record.pnl[b, component] = sums[component]
    for v in range(book.shape[1]):
        record.short_eth[b, v] = book[SHORT, v]
        record.posted_eth[b, v] = book[COINS, v]
        record.coming[b, v] = book[COMING, v]
        worth = 0.0
        if book[COINS, v] != 0.0:
            worth = account.coin_value * book[COINS, v] * prices.perp_last[t, v]
        record.equity[b, v] = book[CASH, v] + worth
    record.paid_in[b] = carried[PAID_IN]
    record.margin_low[b] = sums[MARGIN_LOW] if np.isfinite(sums[MARGIN_LOW]) else np.nan
    record.traded_eth[b] = sums[TRADED]
    record.lo[b] = carried[LO]
    record.hi[b] = carried[HI]
    record.exposure_eth[b] = exposure_eth[t] + carried[WON]
    record.exposure_mean[b] = sums[HELD] / sums[TICKS]
    record.spot[b] = prices.spot_last[t]
    record.reasons[b] = desk.reasons[0]
    for link in range(LINKS):
        record.chain[b, link] = desk.chain[link]
    if t + 1 < len(bucket):
        record.spot_open[bucket[t + 1]] = prices.spot_last[t]
    desk.reasons[0] = 0
    for place in range(SUMS):
        sums[place] = 0.0
    sums[MARGIN_LOW] = np.inf
