"""The compiled loop over history. Specification: docs/simulation.md, step by step.

It marks, liquidates, pays funding, decides, executes and records; it allocates nothing per tick
and holds no lock, so that threads run one policy each. Oracle: tests/simulation/oracle.py.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit, njit_in_place
from counterpoise.decision.step import (
    STATE_AGE,
    Limits,
    Reason,
    initial_state,
    remember,
    rests,
    step,
)
from counterpoise.risk.margin import liquidation_price, maintenance_of_short
from counterpoise.simulation.arrays import AccountRules, CostRules, IntentArrays, Record
from counterpoise.simulation.prices import Prices
from counterpoise.units import HOURS_PER_YEAR
from counterpoise.venues.contract import VenueRules

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

IN_BAND = int(Reason.IN_BAND)

#: What a bucket adds up: the P&L by component, then what is needed for the other columns.
DELTA, BASIS, FUNDING, FEES, SLIPPAGE, CAPITAL, LIQUIDATION = range(7)
TRADED, HELD, TICKS, MARGIN_LOW, SUMS = range(7, 12)
#: What a run carries from tick to tick, all venues together.
WON, PAID_IN, LO, HI, CARRIED = range(5)
#: Rows of the book of a run: one number per venue each.
SHORT, CASH, COINS, EQUITY, DEBT, TARGET, COLLATERAL, UNIT, STEP, PRICE, SHARE, ROWS = range(12)


@njit
def run(
    prices: Prices,
    exposure_eth: Floats,
    bucket: Integers,
    intent: IntentArrays,
    venue: VenueRules,
    limits: Limits,
    costs: CostRules,
    account: AccountRules,
    record: Record,
) -> int:
    """Simulate one intent over T ticks and fill ``record``.

    Returns
    -------
    int
        Number of liquidations.
    """
    venues = prices.perp.shape[1]
    sums, carried = np.zeros(SUMS), np.zeros(CARRIED)
    reasons = np.zeros(1, dtype=np.int64)
    if venues == 1:
        # The same loop, compiled for one venue: its size is a constant to the compiler.
        book = np.zeros((ROWS, 1))
        return _history(
            prices,
            exposure_eth,
            bucket,
            intent,
            venue,
            limits,
            costs,
            account,
            book,
            initial_state(1),
            sums,
            carried,
            reasons,
            record,
        )
    several = np.zeros((ROWS, venues))
    return _history(
        prices,
        exposure_eth,
        bucket,
        intent,
        venue,
        limits,
        costs,
        account,
        several,
        initial_state(venues),
        sums,
        carried,
        reasons,
        record,
    )


@njit_in_place
def _history(
    prices: Prices,
    exposure_eth: Floats,
    bucket: Integers,
    intent: IntentArrays,
    venue: VenueRules,
    limits: Limits,
    costs: CostRules,
    account: AccountRules,
    book: Floats,
    state: Floats,
    sums: Floats,
    carried: Floats,
    reasons: Integers,
    record: Record,
) -> int:
    ticks, venues = len(bucket), book.shape[1]
    for v in range(venues):
        book[UNIT, v] = 1.0
        book[STEP, v] = venue.step_eth[v]
    carried[LO] = carried[HI] = np.nan
    sums[MARGIN_LOW] = np.inf
    liquidations = 0
    t = 0
    while t < ticks:
        if venues == 1 and not account.inverse and book[SHORT, 0] > 0.0:
            t = _rest(
                t,
                prices,
                exposure_eth,
                bucket,
                intent,
                venue,
                limits,
                costs,
                account,
                book,
                state,
                sums,
                carried,
                reasons,
                record,
            )
            if t == ticks:
                break
        if prices.priced[t] and not prices.marks[t]:
            record.spot_open[bucket[t]] = prices.spot[t]
        _hold(t, prices, exposure_eth, costs, book, sums, carried)
        if prices.marks[t]:
            exposed = exposure_eth[t - 1] + carried[WON]
            sums[DELTA] += exposed * (prices.spot[t] - prices.spot_before[t])
            for v in range(venues):
                if book[SHORT, v] > 0.0:
                    liquidations += _mark(t, v, prices, venue, account, book, sums, carried)
        _settle(t, prices, account, book, sums, carried)
        if prices.priced[t]:
            reasons[0] |= _decide(
                t, prices, exposure_eth, intent, venue, limits, account, book, state, carried
            )
            for v in range(venues):
                _execute(t, v, prices, intent, venue, costs, account, book, sums, carried)
        else:
            state[STATE_AGE] += 1.0
        if prices.ends[t]:
            _write(t, bucket, prices, exposure_eth, account, book, sums, carried, reasons, record)
        t += 1
    return liquidations


@njit_in_place
def _rest(
    t: int,
    prices: Prices,
    exposure_eth: Floats,
    bucket: Integers,
    intent: IntentArrays,
    venue: VenueRules,
    limits: Limits,
    costs: CostRules,
    account: AccountRules,
    book: Floats,
    state: Floats,
    sums: Floats,
    carried: Floats,
    reasons: Integers,
    record: Record,
) -> int:
    """Go through the ticks from ``t`` on at which nothing happens, on one linear venue.

    No liquidation is near and the decision rests. Such a tick only marks and pays funding, and this
    is the arithmetic of :func:`_hold`, :func:`_mark` and :func:`_settle` without the rest of the
    loop; most of history is made of them.

    Returns
    -------
    int
        First tick at which something may happen.
    """
    k, q = account.coin_value, book[SHORT, 0]
    cash, coins = book[CASH, 0], book[COINS, 0]
    counted = k * coins
    usd_cost = costs.capital_cost_per_year / HOURS_PER_YEAR
    eth_cost = costs.eth_cost_per_year / HOURS_PER_YEAR * max(coins, 0.0)
    spot_before, last = prices.spot_before[t], prices.perp_before[t, 0]
    begin = t
    while prices.calm[t]:
        spot, perp, high = prices.spot[t], prices.perp[t, 0], prices.high[t, 0]
        at_high = cash + counted * high - q * (high - last)
        at_close = cash + counted * perp - q * (perp - last)
        if at_high <= venue.highest_rate[0] * (q * high):
            break
        if k > 0.0 and at_close <= venue.highest_rate[0] * (q * perp):
            break
        received = q * prices.funding[t, 0]
        after = cash - q * (perp - last) + received
        book[PRICE, 0] = perp
        book[EQUITY, 0] = after + counted * perp
        book[DEBT, 0] = max(-after, 0.0) if k > 0.0 else 0.0
        book[SHARE, 0] = intent.weights[t, 0]
        if not rests(
            book[SHORT],
            book[PRICE],
            book[EQUITY],
            exposure_eth[t],
            intent.lo[t],
            intent.hi[t],
            intent.to_lo[t],
            intent.to_hi[t],
            book[SHARE],
            limits,
            book[STEP],
            book[DEBT],
        ):
            break
        exposed = exposure_eth[t - 1] + carried[WON]
        lent = carried[PAID_IN] + max(-cash, 0.0)
        moved, perp_moved = spot - spot_before, perp - last
        sums[HELD] += exposed
        sums[TICKS] += 1.0
        sums[CAPITAL] -= usd_cost * lent + eth_cost * spot_before
        sums[DELTA] += (exposed - q) * moved
        sums[BASIS] -= q * (perp_moved - moved)
        sums[FUNDING] += received
        margin = at_high / (q * high)
        if k > 0.0:
            margin = min(margin, at_close / (q * perp))
        sums[MARGIN_LOW] = min(sums[MARGIN_LOW], margin)
        cash, last, spot_before = after, perp, spot
        if prices.ends[t]:
            book[CASH, 0] = cash
            carried[LO], carried[HI] = intent.lo[t], intent.hi[t]
            reasons[0] |= IN_BAND
            _write(t, bucket, prices, exposure_eth, account, book, sums, carried, reasons, record)
        t += 1
    if t > begin:
        book[CASH, 0] = cash
        carried[LO], carried[HI] = intent.lo[t - 1], intent.hi[t - 1]
        if not prices.ends[t - 1]:
            reasons[0] |= IN_BAND
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
def _hold(
    t: int,
    prices: Prices,
    exposure_eth: Floats,
    costs: CostRules,
    book: Floats,
    sums: Floats,
    carried: Floats,
) -> None:
    """Count what was held into the tick and charge for the capital behind it (step 1)."""
    sums[HELD] += exposure_eth[max(t - 1, 0)] + carried[WON]
    sums[TICKS] += 1.0
    if t == 0:
        return
    lent = carried[PAID_IN]
    for v in range(book.shape[1]):
        lent += max(-book[CASH, v], 0.0)
        if book[COINS, v] > 0.0:
            coins_usd = prices.spot_before[t] * book[COINS, v]
            sums[CAPITAL] -= costs.eth_cost_per_year / HOURS_PER_YEAR * coins_usd
    sums[CAPITAL] -= costs.capital_cost_per_year / HOURS_PER_YEAR * lent


@njit_in_place
def _mark(
    t: int,
    v: int,
    prices: Prices,
    venue: VenueRules,
    account: AccountRules,
    book: Floats,
    sums: Floats,
    carried: Floats,
) -> int:
    """Mark the short of one venue, or liquidate it (step 3); returns the liquidations."""
    k, inverse = account.coin_value, account.inverse
    q, cash, coins = book[SHORT, v], book[CASH, v], book[COINS, v]
    spot, perp, high = prices.spot[t], prices.perp[t, v], prices.high[t, v]
    last = prices.perp_before[t, v]
    moved, perp_moved = spot - prices.spot_before[t], perp - last
    exit_price = 0.0
    for price in (high, perp):
        at_price = cash + k * coins * price - q * (price - last)
        notional = q * last if inverse else q * price
        sums[MARGIN_LOW] = min(sums[MARGIN_LOW], at_price / notional)
        # Maintenance never exceeds its largest rate: most ticks need no tier.
        if exit_price == 0.0 and at_price <= venue.highest_rate[v] * notional:
            needed = maintenance_of_short(
                q, last, price, inverse, venue.tier_cap[v], venue.tier_rate[v], venue.tier_amount[v]
            )
            if at_price <= needed:
                exit_price = price
    if exit_price == 0.0:
        sums[DELTA] -= q * moved
        if inverse:
            gained = -q * perp_moved / perp
            book[COINS, v] += gained
            carried[WON] += gained
            sums[BASIS] += gained * spot + q * moved
            book[SHORT, v] = q * last / perp
        else:
            book[CASH, v] -= q * perp_moved
            sums[BASIS] -= q * (perp_moved - moved)
        return 0
    at_high = cash + k * coins * high - q * (high - last)
    if at_high <= maintenance_of_short(
        q, last, high, inverse, venue.tier_cap[v], venue.tier_rate[v], venue.tier_amount[v]
    ):
        exit_price = liquidation_price(
            cash,
            k * coins,
            q,
            last,
            inverse,
            venue.tier_cap[v],
            venue.tier_rate[v],
            venue.tier_amount[v],
        )
        exit_price = min(max(exit_price, last), high)
    loss = q * (exit_price - last)
    if inverse:
        lost = loss / exit_price
        left = (coins - lost) * exit_price
        fee = min(venue.liquidation_fee[v] * q * last, max(left, 0.0)) / exit_price
        book[COINS, v] -= lost + fee
        carried[WON] -= lost + fee
        sums[DELTA] -= lost * spot
        sums[LIQUIDATION] -= fee * spot
    else:
        left = cash - loss + k * coins * exit_price
        fee = min(venue.liquidation_fee[v] * q * exit_price, max(left, 0.0))
        book[CASH, v] -= loss + fee
        sums[DELTA] -= loss
        sums[LIQUIDATION] -= fee
    book[SHORT, v] = 0.0
    return 1


@njit_in_place
def _settle(
    t: int, prices: Prices, account: AccountRules, book: Floats, sums: Floats, carried: Floats
) -> None:
    """Pay or receive the funding that settled (step 4)."""
    for v in range(book.shape[1]):
        per_eth = prices.funding[t, v]
        if per_eth == 0.0 or book[SHORT, v] <= 0.0:
            continue
        received = book[SHORT, v] * per_eth
        if account.inverse:
            book[COINS, v] += received
            carried[WON] += received
            sums[FUNDING] += received * prices.spot_last[t]
        else:
            book[CASH, v] += received
            sums[FUNDING] += received


@njit_in_place
def _decide(
    t: int,
    prices: Prices,
    exposure_eth: Floats,
    intent: IntentArrays,
    venue: VenueRules,
    limits: Limits,
    account: AccountRules,
    book: Floats,
    state: Floats,
    carried: Floats,
) -> int:
    """Ask for targets and collateral (step 5); returns the reasons."""
    k = account.coin_value
    exposed = exposure_eth[t] + carried[WON]
    available = exposed if k > 0.0 else account.budget_usd - carried[PAID_IN]
    for v in range(book.shape[1]):
        price = prices.perp[t, v]
        book[PRICE, v] = price
        book[SHARE, v] = intent.weights[t, v]
        book[EQUITY, v] = book[CASH, v] + k * book[COINS, v] * price
        if k > 0.0:
            available -= book[COINS, v]
            book[UNIT, v] = k * price
            book[DEBT, v] = max(-book[CASH, v], 0.0)
        if account.inverse:
            book[STEP, v] = venue.contract_usd[v] / price
    reasons, carried[LO], carried[HI] = step(
        state,
        book[SHORT],
        book[PRICE],
        book[EQUITY],
        exposed,
        intent.lo[t],
        intent.hi[t],
        intent.to_lo[t],
        intent.to_hi[t],
        book[SHARE],
        limits,
        book[STEP],
        venue.min_notional_usd,
        book[DEBT],
        available,
        book[UNIT],
        book[TARGET],
        book[COLLATERAL],
    )
    return reasons


@njit_in_place
def _execute(
    t: int,
    v: int,
    prices: Prices,
    intent: IntentArrays,
    venue: VenueRules,
    costs: CostRules,
    account: AccountRules,
    book: Floats,
    sums: Floats,
    carried: Floats,
) -> None:
    """Trade to the target and move the collateral (step 6)."""
    size = abs(book[TARGET, v] - book[SHORT, v])
    move = book[COLLATERAL, v] - book[EQUITY, v]
    if size == 0.0 and move == 0.0:
        return
    cost = 0.0
    if size > 0.0:
        urgency = intent.urgency[t]
        if not np.isfinite(urgency):
            urgency = 0.0
        taker = costs.taker_share + (1.0 - costs.taker_share) * urgency
        notional = size * book[PRICE, v]
        fee = notional * (taker * venue.taker_fee[v] + (1.0 - taker) * venue.maker_fee[v])
        impact = costs.impact_coefficient * prices.impact[t, v] * np.sqrt(size)
        slip = notional * (taker * costs.half_spread + impact)
        sums[FEES] -= fee
        sums[SLIPPAGE] -= slip
        sums[TRADED] += size
        book[SHORT, v] = book[TARGET, v]
        cost = fee + slip
    if account.coin_value == 0.0:
        book[CASH, v] += move
        carried[PAID_IN] += move
    else:
        if move < 0.0 < book[CASH, v]:
            returned = min(book[CASH, v], -move)
            book[CASH, v] -= returned
            carried[PAID_IN] -= returned
            move += returned
        book[COINS, v] += move / book[UNIT, v]
    if account.inverse:
        book[COINS, v] -= cost / prices.spot[t]
        carried[WON] -= cost / prices.spot[t]
    else:
        book[CASH, v] -= cost
    if book[TARGET, v] == 0.0:
        # A closed position leaves no account: its cost comes out of what is freed.
        carried[PAID_IN] -= book[CASH, v]
        book[CASH, v] = 0.0
        book[COINS, v] = 0.0


@njit_in_place
def _write(
    t: int,
    bucket: Integers,
    prices: Prices,
    exposure_eth: Floats,
    account: AccountRules,
    book: Floats,
    sums: Floats,
    carried: Floats,
    reasons: Integers,
    record: Record,
) -> None:
    """Record the bucket that ends at the tick and begin the next (step 7)."""
    b = bucket[t]
    for component in range(LIQUIDATION + 1):
        record.pnl[b, component] = sums[component]
    for v in range(book.shape[1]):
        record.short_eth[b, v] = book[SHORT, v]
        record.posted_eth[b, v] = book[COINS, v]
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
    record.reasons[b] = reasons[0]
    if t + 1 < len(bucket):
        record.spot_open[bucket[t + 1]] = prices.spot_last[t]
    reasons[0] = 0
    for place in range(SUMS):
        sums[place] = 0.0
    sums[MARGIN_LOW] = np.inf
