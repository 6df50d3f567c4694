"""The compiled loop over history. Specification: docs/simulation.md, step by step.

It marks, liquidates, pays funding, decides, executes and records; it allocates nothing per tick
and holds no lock, so that threads run one policy each. Oracle: tests/simulation/oracle.py.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit, njit_in_place
from counterpoise.decision.step import STATE_AGE, Limits, initial_state, step
from counterpoise.risk.margin import liquidation_price, maintenance_of_short
from counterpoise.simulation.arrays import AccountRules, CostRules, IntentArrays, Record
from counterpoise.simulation.prices import Prices
from counterpoise.units import HOURS_PER_YEAR
from counterpoise.venues.contract import VenueRules

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DELTA, BASIS, FUNDING, FEES, SLIPPAGE, CAPITAL, LIQUIDATION = range(7)


#: Rows of the working memory of a run: one number per venue each.
SHORT, CASH, COINS, EQUITY, DEBT, TARGET, COLLATERAL, UNIT, STEP, PRICE, SHARE = range(11)
ROWS = SHARE + 1


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
    if venues == 1:
        # The same loop, compiled for one venue: its size is a constant to the compiler.
        return _history(
            prices,
            exposure_eth,
            bucket,
            intent,
            venue,
            limits,
            costs,
            account,
            np.zeros((ROWS, 1)),
            initial_state(1),
            record,
        )
    return _history(
        prices,
        exposure_eth,
        bucket,
        intent,
        venue,
        limits,
        costs,
        account,
        np.zeros((ROWS, venues)),
        initial_state(venues),
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
    record: Record,
) -> int:
    ticks, venues = len(bucket), book.shape[1]
    k, inverse = account.coin_value, account.inverse
    short, cash, coins = book[SHORT], book[CASH], book[COINS]
    equity, debt, target, collateral = book[EQUITY], book[DEBT], book[TARGET], book[COLLATERAL]
    unit, step_eth, price, share = book[UNIT], book[STEP], book[PRICE], book[SHARE]
    for v in range(venues):
        unit[v] = 1.0
        step_eth[v] = venue.step_eth[v]
    usd_cost = costs.capital_cost_per_year / HOURS_PER_YEAR
    eth_cost = costs.eth_cost_per_year / HOURS_PER_YEAR
    won = 0.0
    paid_in = 0.0
    lo_in_force = np.nan
    hi_in_force = np.nan
    liquidations = 0

    begins = True
    held_ticks = 0
    held_sum = 0.0
    delta = basis = funding = fees = slippage = capital = liquidated = traded = 0.0
    margin_low = np.inf
    reasons = 0

    for t in range(ticks):
        b = bucket[t]
        if begins:
            record.spot_open[b] = prices.spot_before[t]
            held_ticks = 0
            held_sum = 0.0
            delta = basis = funding = fees = slippage = capital = liquidated = traded = 0.0
            margin_low = np.inf
            reasons = 0

        if prices.priced[t] and not prices.marks[t]:
            record.spot_open[b] = prices.spot[t]

        exposed = exposure_eth[max(t - 1, 0)] + won
        held_ticks += 1
        held_sum += exposed
        spot = prices.spot[t]

        if t > 0:
            lent = paid_in
            for v in range(venues):
                lent += max(-cash[v], 0.0)
                if coins[v] > 0.0:
                    capital -= eth_cost * prices.spot_before[t] * coins[v]
            capital -= usd_cost * lent

        if prices.marks[t]:
            moved = spot - prices.spot_before[t]
            delta += exposed * moved
            for v in range(venues):
                q = short[v]
                if q <= 0.0:
                    continue
                last = prices.perp_before[t, v]
                perp = prices.perp[t, v]
                high = prices.high[t, v]
                at_high = cash[v] + k * coins[v] * high - q * (high - last)
                n_high = q * last if inverse else q * high
                margin_low = min(margin_low, at_high / n_high)
                # Without coins the high is the worst; with coins it can be the close.
                at_close = np.inf
                n_close = n_high
                if k > 0.0:
                    at_close = cash[v] + k * coins[v] * perp - q * (perp - last)
                    n_close = q * last if inverse else q * perp
                    margin_low = min(margin_low, at_close / n_close)
                exit_price = 0.0
                # Maintenance never exceeds its largest rate: most ticks need no tier.
                if at_high <= venue.highest_rate[v] * n_high and (
                    at_high
                    <= maintenance_of_short(
                        q,
                        last,
                        high,
                        inverse,
                        venue.tier_cap[v],
                        venue.tier_rate[v],
                        venue.tier_amount[v],
                    )
                ):
                    exit_price = liquidation_price(
                        cash[v],
                        k * coins[v],
                        q,
                        last,
                        inverse,
                        venue.tier_cap[v],
                        venue.tier_rate[v],
                        venue.tier_amount[v],
                    )
                    exit_price = min(max(exit_price, last), high)
                elif at_close <= venue.highest_rate[v] * n_close and (
                    at_close
                    <= maintenance_of_short(
                        q,
                        last,
                        perp,
                        inverse,
                        venue.tier_cap[v],
                        venue.tier_rate[v],
                        venue.tier_amount[v],
                    )
                ):
                    exit_price = perp
                perp_moved = perp - last
                if exit_price > 0.0:
                    loss = q * (exit_price - last)
                    if inverse:
                        lost = loss / exit_price
                        left = (coins[v] - lost) * exit_price
                        fee = min(venue.liquidation_fee[v] * q * last, max(left, 0.0)) / exit_price
                        coins[v] -= lost + fee
                        won -= lost + fee
                        delta -= lost * spot
                        liquidated -= fee * spot
                    else:
                        left = cash[v] - loss + k * coins[v] * exit_price
                        fee = min(venue.liquidation_fee[v] * q * exit_price, max(left, 0.0))
                        cash[v] -= loss + fee
                        delta -= loss
                        liquidated -= fee
                    short[v] = 0.0
                    liquidations += 1
                elif inverse:
                    gained = -q * perp_moved / perp
                    coins[v] += gained
                    won += gained
                    delta -= q * moved
                    basis += gained * spot + q * moved
                    short[v] = q * last / perp
                else:
                    cash[v] -= q * perp_moved
                    delta -= q * moved
                    basis -= q * (perp_moved - moved)

        for v in range(venues):
            paid = prices.funding[t, v]
            if paid != 0.0 and short[v] > 0.0:
                received = short[v] * paid
                if inverse:
                    coins[v] += received
                    won += received
                    funding += received * prices.spot_last[t]
                else:
                    cash[v] += received
                    funding += received

        exposed = exposure_eth[t] + won
        if not prices.priced[t]:
            state[STATE_AGE] += 1.0
        else:
            available = exposed if k > 0.0 else account.budget_usd - paid_in
            for v in range(venues):
                price[v] = prices.perp[t, v]
                share[v] = intent.weights[t, v]
                equity[v] = cash[v] + k * coins[v] * price[v]
                if k > 0.0:
                    available -= coins[v]
                    unit[v] = k * price[v]
                    debt[v] = max(-cash[v], 0.0)
                if inverse:
                    step_eth[v] = venue.contract_usd[v] / price[v]
            flags, lo_in_force, hi_in_force = step(
                state,
                short,
                price,
                equity,
                exposed,
                intent.lo[t],
                intent.hi[t],
                intent.to_lo[t],
                intent.to_hi[t],
                share,
                limits,
                step_eth,
                venue.min_notional_usd,
                debt,
                available,
                unit,
                target,
                collateral,
            )
            reasons |= flags
            for v in range(venues):
                size = abs(target[v] - short[v])
                move = collateral[v] - equity[v]
                if size == 0.0 and move == 0.0:
                    continue
                cost = 0.0
                if size > 0.0:
                    urgency = intent.urgency[t]
                    if not np.isfinite(urgency):
                        urgency = 0.0
                    taker = costs.taker_share + (1.0 - costs.taker_share) * urgency
                    notional = size * price[v]
                    fee = notional * (
                        taker * venue.taker_fee[v] + (1.0 - taker) * venue.maker_fee[v]
                    )
                    impact = costs.impact_coefficient * prices.impact[t, v] * np.sqrt(size)
                    slip = notional * (taker * costs.half_spread + impact)
                    fees -= fee
                    slippage -= slip
                    traded += size
                    short[v] = target[v]
                    cost = fee + slip
                if k == 0.0:
                    cash[v] += move
                    paid_in += move
                else:
                    if move < 0.0 < cash[v]:
                        returned = min(cash[v], -move)
                        cash[v] -= returned
                        paid_in -= returned
                        move += returned
                    coins[v] += move / unit[v]
                if inverse:
                    coins[v] -= cost / spot
                    won -= cost / spot
                else:
                    cash[v] -= cost
                if target[v] == 0.0:
                    # A closed position leaves no account: its cost comes out of what is freed.
                    paid_in -= cash[v]
                    cash[v] = 0.0
                    coins[v] = 0.0

        begins = t + 1 == ticks or bucket[t + 1] != b
        if begins:
            record.pnl[b, DELTA] = delta
            record.pnl[b, BASIS] = basis
            record.pnl[b, FUNDING] = funding
            record.pnl[b, FEES] = fees
            record.pnl[b, SLIPPAGE] = slippage
            record.pnl[b, CAPITAL] = capital
            record.pnl[b, LIQUIDATION] = liquidated
            for v in range(venues):
                record.short_eth[b, v] = short[v]
                record.posted_eth[b, v] = coins[v]
                worth = 0.0
                if coins[v] != 0.0:
                    worth = k * coins[v] * prices.perp_last[t, v]
                record.equity[b, v] = cash[v] + worth
            record.paid_in[b] = paid_in
            record.margin_low[b] = margin_low if np.isfinite(margin_low) else np.nan
            record.traded_eth[b] = traded
            record.lo[b] = lo_in_force
            record.hi[b] = hi_in_force
            record.reasons[b] = reasons
            record.exposure_eth[b] = exposure_eth[t] + won
            record.exposure_mean[b] = held_sum / held_ticks
            record.spot[b] = prices.spot_last[t]
    return liquidations
