"""What happens to the accounts of a run at a tick. Specification: docs/simulation.md.

Transfers arrive, capital costs, shorts are marked or liquidated, funding is paid, targets trade.
Nothing is decided here. All of it is compiled into the loop of ``kernel``.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place
from counterpoise.decision.moment import COLLATERAL, EQUITY, ON_WAY, PRICE, SHORT, TARGET, UNIT
from counterpoise.risk.margin import liquidation_price, maintenance_of_short
from counterpoise.simulation.arrays import AccountRules, CostRules, GuardArrays, IntentArrays
from counterpoise.simulation.books import (
    BASIS,
    CAPITAL,
    CASH,
    CHARGED,
    COINS,
    COMING,
    DELTA,
    EARNED,
    FEES,
    FUNDING,
    HELD,
    LIQUIDATION,
    MARGIN_LOW,
    PAID_IN,
    SLIPPAGE,
    SMALL,
    TICKS,
    TRADED,
    WAITS,
    WON,
    Desk,
    Rules,
)
from counterpoise.simulation.prices import Prices
from counterpoise.units import HOURS_PER_YEAR
from counterpoise.venues.contract import VenueRules

Floats = NDArray[np.float64]


@njit_in_place
def arrive(t: int, watch: GuardArrays, account: AccountRules, desk: Desk) -> None:
    """Take in the transfers that are due; where the venue is down they wait (step 0)."""
    slots = desk.transit.shape[0]
    if slots == 1:
        return
    for v in range(desk.book.shape[1]):
        due = desk.transit[t % slots, v]
        if due == 0.0:
            continue
        desk.transit[t % slots, v] = 0.0
        if not watch.is_open[t]:
            desk.transit[(t + 1) % slots, v] += due
            continue
        desk.book[COMING, v] -= due
        if account.coin_value > 0.0:
            desk.book[COINS, v] += due
        else:
            desk.book[CASH, v] += due
        if abs(desk.book[COMING, v]) <= SMALL:
            desk.book[COMING, v] = 0.0


@njit_in_place
def hold(
    t: int,
    prices: Prices,
    exposure_eth: Floats,
    costs: CostRules,
    account: AccountRules,
    desk: Desk,
) -> None:
    """Count what was held into the tick and charge for the capital behind it (step 1)."""
    book, sums, carried = desk.book, desk.sums, desk.carried
    sums[HELD] += exposure_eth[max(t - 1, 0)] + carried[WON]
    sums[TICKS] += 1.0
    if t == 0:
        return
    lent = carried[PAID_IN]
    charged = 0.0
    for v in range(book.shape[1]):
        lent += max(-book[CASH, v], 0.0)
        coins = max(book[COINS, v], 0.0)
        if account.coin_value > 0.0:
            coins += book[COMING, v]
        if coins > 0.0:
            charged += costs.eth_cost_per_year / HOURS_PER_YEAR * prices.spot_before[t] * coins
    charged += costs.capital_cost_per_year / HOURS_PER_YEAR * lent
    sums[CAPITAL] -= charged
    carried[CHARGED] += charged


@njit_in_place
def mark(
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
def settle(
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
            carried[EARNED] += received * prices.spot_last[t]
        else:
            book[CASH, v] += received
            sums[FUNDING] += received
            carried[EARNED] += received


@njit_in_place
def execute(t: int, v: int, prices: Prices, intent: IntentArrays, rules: Rules, desk: Desk) -> None:
    """Trade to the target and move the collateral (step 6)."""
    book, sums, carried = desk.book, desk.sums, desk.carried
    size = abs(book[TARGET, v] - book[SHORT, v])
    move = book[COLLATERAL, v] - book[EQUITY, v] - book[ON_WAY, v]
    if move < 0.0:
        # Margin on its way cannot be called back.
        move = max(move, -max(book[EQUITY, v] - book[COLLATERAL, v], 0.0))
    elif book[COLLATERAL, v] == 0.0:
        move = 0.0  # a closing account is settled below
    if abs(move) <= SMALL:
        move = 0.0
    closed = book[TARGET, v] == 0.0 and book[COLLATERAL, v] == 0.0
    if size == 0.0 and move == 0.0 and not closed:
        return
    cost = 0.0
    if size > 0.0:
        urgency = intent.urgency[t]
        if not np.isfinite(urgency):
            urgency = 0.0
        costs, venue = rules.costs, rules.venue
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
    if move != 0.0:
        _transfer(t, v, move, rules.account, desk)
    if rules.account.inverse:
        book[COINS, v] -= cost / prices.spot[t]
        carried[WON] -= cost / prices.spot[t]
    else:
        book[CASH, v] -= cost
    if closed:
        # A closed position leaves no account: its cost comes out of what is freed.
        carried[PAID_IN] -= book[CASH, v]
        book[CASH, v] = 0.0
        book[COINS, v] = 0.0


@njit_in_place
def _transfer(t: int, v: int, move: float, account: AccountRules, desk: Desk) -> None:
    """Send margin to a venue, or take it back, USD of margin (step 6)."""
    book, carried = desk.book, desk.carried
    desk.sums[CAPITAL] -= account.transfer_usd
    carried[CHARGED] += account.transfer_usd
    if move > 0.0 and carried[WAITS] > 0.0:
        slots = desk.transit.shape[0]
        amount = move
        if account.coin_value > 0.0:
            amount = move / book[UNIT, v]
        else:
            carried[PAID_IN] += move
        desk.transit[(t + account.transfer_ticks) % slots, v] += amount
        book[COMING, v] += amount
        return
    if account.coin_value == 0.0:
        book[CASH, v] += move
        carried[PAID_IN] += move
        return
    if move < 0.0 < book[CASH, v]:
        returned = min(book[CASH, v], -move)
        book[CASH, v] -= returned
        carried[PAID_IN] -= returned
        move += returned
    book[COINS, v] += move / book[UNIT, v]
