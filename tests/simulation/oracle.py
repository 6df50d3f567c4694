"""The slow simulator: docs/simulation.md again, in plain Python, one function per paragraph.

It exists to disagree with the compiled simulator when that one is wrong, so it was written from
the page alone and shares no code with the package. It is not fast and checks no input. Marking and
funding are in oracle_book.py, decision.step is in oracle_decision.py, the guard in
tests/risk/guard_oracle.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.risk.guard_oracle import GuardOracle, GuardRules
from tests.simulation.oracle_book import (
    CAPITAL,
    FEES,
    FUNDING,
    SLIPPAGE,
    Funds,
    State,
    Tier,
    Transfer,
    mark,
    settle_funding,
)
from tests.simulation.oracle_decision import Decision, Limits, Memory, Moment, decide

HOURS_PER_YEAR = 8760

Series = Sequence[float]
Panel = Sequence[Sequence[float]]  # T × V


@dataclass(frozen=True)
class OracleResult:
    """What the run left behind, one entry per bucket (B of them, V venues)."""

    pnl: list[list[float]]  # B × 7, USD, in the order of the constants above
    short_eth: list[list[float]]  # B × V, after the bucket's last tick
    equity: list[list[float]]  # B × V, margin equity in USD, after the bucket's last tick
    posted_eth: list[list[float]]  # B × V, coins on the venues after the bucket's last tick
    paid_in: list[float]  # USD sent to the venues less what came back, so far
    margin_low: list[float]  # least equity / notional of a marked short; NaN without one
    traded_eth: list[float]
    lo: list[float]  # band in force at the last tick; NaN before the first decision
    hi: list[float]
    exposure_eth: list[float]  # L after the last tick, ETH won or lost included
    exposure_mean: list[float]  # mean of the L that each tick's spot move was counted on
    spot: list[float]  # last known close, USD; NaN if none was known yet
    spot_open: list[float]  # last known close before the bucket began, USD
    reasons: list[set[str]]
    chain: list[tuple[float, ...]]  # asked, least, forced, goal, V, kept of the last decision
    coming: list[list[float]]  # B × V, on its way after the bucket's last tick, USD or ETH
    liquidations: int


# --- One tick, step 0: arrivals -------------------------------------------------------------------


def receive(state: State, tick: int, funds: Funds) -> None:
    """Book what is due by now."""
    for transfer in state.transfers:
        if transfer.due <= tick:
            if funds.with_usdt:
                state.cash[transfer.venue] += transfer.amount
            else:
                state.coins[transfer.venue] += transfer.amount
    state.transfers = [transfer for transfer in state.transfers if transfer.due > tick]


# --- One tick, step 1: capital --------------------------------------------------------------------


def charge_capital(
    state: State,
    pnl: list[float],
    funds: Funds,
    *,
    usd_cost_per_year: float,
    eth_cost_per_year: float,
) -> None:
    """Charge an hour of what the tick before left: USD paid in, debts and coins of the holder."""
    debts = sum(max(-cash, 0.0) for cash in state.cash)
    cost = usd_cost_per_year * (state.paid_in + debts)
    if state.last_spot is not None:
        coins = sum(max(coins, 0.0) for coins in state.coins)
        if not funds.with_usdt:
            coins += sum(state.coming())
        cost += eth_cost_per_year * state.last_spot * coins
    pnl[CAPITAL] -= cost / HOURS_PER_YEAR


# --- One tick, step 5: what a decision is taken on ------------------------------------------------


def see(
    state: State,
    funds: Funds,
    *,
    spot: float,
    perp: list[float],
    exposure_eth: float,
    steps: list[float],
    min_notional_usd: list[float],
    now: float,
    quiet: bool,
    intent: tuple[float, float, float, float],
    weights: list[float],
    leverage: float,
    leverage_max: float,
    capital: float,
    earned: float,
    cost: list[float],
    event_floor: float,
) -> Moment:
    """Put together the inputs of decision.step; capital and earned are the sums so far."""
    exposure = exposure_eth + state.won
    coming = state.coming()
    if funds.with_usdt:
        available = funds.budget_usd - state.paid_in
        unit = [1.0] * len(perp)
        debt = [0.0] * len(perp)
        coming_usd = sum(coming)
    else:
        available = exposure - sum(state.coins) - sum(coming)
        unit = [funds.coin_value * price for price in perp]
        debt = [max(-cash, 0.0) for cash in state.cash]
        coming_usd = 0.0

    value = exposure * spot + sum(state.cash) + coming_usd - state.paid_in + capital
    before = exposure_eth if state.exposure_decided is None else state.exposure_decided
    arrived = (exposure_eth - before) * spot
    flow = 1.0
    if arrived != 0 and value - arrived > 0:
        flow = value / (value - arrived)

    return Moment(
        short=list(state.short),
        price=perp,
        equity=equities(state, funds, perp),
        on_way=[amount * worth for amount, worth in zip(coming, unit, strict=True)],
        debt=debt,
        step=steps,
        min_notional_usd=min_notional_usd,
        unit=unit,
        available=available,
        exposure=exposure,
        index=spot,
        now=now,
        quiet=quiet,
        intent=intent,
        weights=weights,
        leverage=leverage,
        leverage_max=leverage_max,
        value=value,
        flow=flow,
        profit=value - exposure_eth * spot,
        earned=earned,
        cost=cost,
        event_floor=event_floor,
    )


# --- One tick, step 6: execution ------------------------------------------------------------------


def execute(
    state: State,
    pnl: list[float],
    decision: Decision,
    *,
    tick: int,
    spot: float,
    perp: list[float],
    urgency: float,
    maker_fee: list[float],
    taker_fee: list[float],
    taker_share: float,
    half_spread: float,
    impact_coefficient: float,
    sigma_day: float,
    volume_day_eth: list[float],
    funds: Funds,
) -> float:
    """Trade to the target at the perpetual close, move the margin; returns the ETH traded."""
    if math.isnan(urgency):
        urgency = 0.0
    s = taker_share + (1 - taker_share) * urgency

    traded = 0.0
    for v in range(len(perp)):
        d = abs(decision.target[v] - state.short[v])
        n = d * perp[v]
        impact = impact_coefficient * sigma_day * math.sqrt(d / volume_day_eth[v])
        fee = n * (s * taker_fee[v] + (1 - s) * maker_fee[v])
        slip = n * (s * half_spread + impact)
        pnl[FEES] -= fee
        pnl[SLIPPAGE] -= slip
        traded += d
        state.short[v] = decision.target[v]

        move_margin(state, pnl, v, decision.collateral[v], perp[v], funds, tick)
        if funds.inverse:
            state.coins[v] -= (fee + slip) / spot
            state.won -= (fee + slip) / spot
        else:
            state.cash[v] -= fee + slip
        if decision.target[v] == 0 and decision.collateral[v] == 0:
            state.paid_in -= state.cash[v]  # a debt is paid off, too
            state.cash[v] = 0.0
            state.coins[v] = 0.0
    return traded


def move_margin(
    state: State,
    pnl: list[float],
    v: int,
    collateral: float,
    perp: float,
    funds: Funds,
    tick: int,
) -> None:
    """Bring the margin equity of one account to its collateral, now or after the journey."""
    equity = funds.equity(state.cash[v], state.coins[v], perp)
    unit = 1.0 if funds.with_usdt else funds.coin_value * perp
    move = collateral - equity - state.coming()[v] * unit
    if abs(move) <= 1e-9:
        return
    pnl[CAPITAL] -= funds.transfer_usd
    if move < 0:
        move = max(move, -max(equity, 0.0))  # what is on its way cannot turn round

    if move > 0 and funds.transfer_ticks > 0:
        state.transfers.append(Transfer(v, move / unit, tick + funds.transfer_ticks))
        if funds.with_usdt:
            state.paid_in += move
        return
    if funds.with_usdt:
        state.cash[v] += move
        state.paid_in += move
        return
    if move < 0 and state.cash[v] > 0:
        leaves = min(state.cash[v], -move)
        state.cash[v] -= leaves
        state.paid_in -= leaves
        move += leaves
    state.coins[v] += move / unit


# --- The run --------------------------------------------------------------------------------------


def simulate(
    *,
    spot: Series,
    perp: Panel,
    mark_high: Panel,
    funding_settled: Panel,
    funding_mark: Panel,
    sigma_day: Series,
    volume_day_eth: Panel,
    exposure_eth: Series,
    lo: Series,
    hi: Series,
    to_lo: Series,
    to_hi: Series,
    urgency: Series,
    weights: Panel,
    bucket: Sequence[int],
    maker_fee: Series,
    taker_fee: Series,
    step_eth: Series,
    contract_usd: Series,
    min_notional_usd: Series,
    liquidation_fee: Series,
    tiers: Sequence[Sequence[Tier]],
    max_ratio: float,
    fallback_ratio: float,
    grace_ticks: int,
    leverage: float | Series,
    leverage_max: float | Series,
    taker_share: float,
    half_spread: float,
    impact_coefficient: float,
    capital_cost_per_year: float,
    eth_cost_per_year: float,
    coin_value: float,
    inverse: bool,
    budget_usd: float,
    transfer_ticks: int = 0,
    transfer_usd: float = 0.0,
    event_floor: Series | None = None,
    quiet: Sequence[bool] | None = None,
    is_open: Sequence[bool] | None = None,
    cost: Panel | None = None,
    venue_usd: float = math.inf,
    total_usd: float = math.inf,
    order_usd: float = math.inf,
    minute_usd: float = math.inf,
    collar: float = math.inf,
    fat_finger: float = math.inf,
    min_interval_h: float = 0.0,
    keep_alive: float = 0.0,
    active: bool = False,
    **guard_rules: object,
) -> OracleResult:
    """Run the book hour by hour as docs/simulation.md says; shapes and units are its table's.

    ``guard_rules`` are the fields of GuardRules. What has a default is switched off by it.
    """
    ticks = len(spot)
    venues = len(maker_fee)
    leverage, leverage_max = _each_tick(leverage, ticks), _each_tick(leverage_max, ticks)
    event_floor = [0.0] * ticks if event_floor is None else event_floor
    quiet = [False] * ticks if quiet is None else quiet
    is_open = [True] * ticks if is_open is None else is_open
    cost = [[math.nan] * venues] * ticks if cost is None else cost
    limits = Limits(
        max_ratio=max_ratio,
        fallback_ratio=fallback_ratio,
        grace_ticks=grace_ticks,
        venue_usd=venue_usd,
        total_usd=total_usd,
        order_usd=order_usd,
        minute_usd=minute_usd,
        collar=collar,
        fat_finger=fat_finger,
        min_interval_h=min_interval_h,
        keep_alive=keep_alive,
        transfers_take_time=transfer_ticks > 0,
    )
    guard = GuardOracle(GuardRules(**guard_rules), full=min(max_ratio, 1.0)) if active else None
    buckets = int(max(bucket)) + 1
    maker_fee, taker_fee = _floats(maker_fee), _floats(taker_fee)
    step_eth, contract_usd = _floats(step_eth), _floats(contract_usd)
    min_notional_usd = _floats(min_notional_usd)
    liquidation_fee = _floats(liquidation_fee)
    tier_table = [[(float(c), float(r), float(a)) for c, r, a in table] for table in tiers]
    funds = Funds(
        coin_value=float(coin_value),
        inverse=bool(inverse),
        budget_usd=float(budget_usd),
        transfer_ticks=int(transfer_ticks),
        transfer_usd=float(transfer_usd),
    )

    first_venue_only = [1.0] + [0.0] * (venues - 1)
    state = State(
        short=[0.0] * venues,
        cash=[0.0] * venues,
        coins=[0.0] * venues,
        won=0.0,
        paid_in=0.0,
        last_spot=None,
        last_perp=None,
        memory=Memory(first_venue_only, guard=guard),
        highs_seen=[[] for _ in range(venues)],
    )
    result = OracleResult(
        pnl=[[0.0] * 7 for _ in range(buckets)],
        short_eth=[[0.0] * venues for _ in range(buckets)],
        equity=[[0.0] * venues for _ in range(buckets)],
        posted_eth=[[0.0] * venues for _ in range(buckets)],
        paid_in=[0.0] * buckets,
        margin_low=[math.nan] * buckets,
        traded_eth=[0.0] * buckets,
        lo=[math.nan] * buckets,
        hi=[math.nan] * buckets,
        exposure_eth=[math.nan] * buckets,
        exposure_mean=[math.nan] * buckets,
        spot=[math.nan] * buckets,
        spot_open=[math.nan] * buckets,
        reasons=[set() for _ in range(buckets)],
        chain=[(math.nan,) * 6] * buckets,
        coming=[[0.0] * venues for _ in range(buckets)],
        liquidations=0,
    )
    liquidations = 0
    exposures_seen: list[list[float]] = [[] for _ in range(buckets)]
    funding_so_far = capital_so_far = 0.0

    for t in range(ticks):
        b = int(bucket[t])
        pnl = [0.0] * 7
        spot_t, perp_t = float(spot[t]), _floats(perp[t])
        begins_bucket = t == 0 or b != int(bucket[t - 1])
        if begins_bucket and state.last_spot is not None:
            result.spot_open[b] = state.last_spot

        # 0. Arrivals.
        if is_open[t]:
            receive(state, t, funds)

        # 1. Capital.
        if t > 0:
            charge_capital(
                state,
                pnl,
                funds,
                usd_cost_per_year=capital_cost_per_year,
                eth_cost_per_year=eth_cost_per_year,
            )

        # 2. Gap, or prices but no way to trade on them.
        missing = math.isnan(spot_t) or any(math.isnan(price) for price in perp_t)
        closed = not missing and not is_open[t]

        for seen, high in zip(state.highs_seen, _floats(mark_high[t]), strict=True):
            if not math.isnan(high):
                seen.append(high)
        if missing or closed:
            state.memory.age += 1
        if closed:
            result.reasons[b].add("CLOSED")

        # 3. Marking.
        exposure_before = float(exposure_eth[max(t - 1, 0)]) + state.won
        exposures_seen[b].append(exposure_before)
        if not missing:
            if state.last_spot is None:
                result.spot_open[b] = spot_t  # the first known close opens its own bucket
            liquidated, ratios = mark(
                state,
                pnl,
                spot=spot_t,
                perp=perp_t,
                exposure_before=exposure_before,
                liquidation_fee=liquidation_fee,
                tiers=tier_table,
                funds=funds,
            )
            liquidations += liquidated
            known = [] if math.isnan(result.margin_low[b]) else [result.margin_low[b]]
            result.margin_low[b] = min([*known, *ratios], default=math.nan)

        # 4. Funding.
        settle_funding(
            state,
            pnl,
            rate=_floats(funding_settled[t]),
            settlement_mark=_floats(funding_mark[t]),
            inverse=funds.inverse,
        )

        if not (missing or closed):
            # 5. Decision.
            moment = see(
                state,
                funds,
                spot=spot_t,
                perp=perp_t,
                exposure_eth=float(exposure_eth[t]),
                steps=(
                    [usd / price for usd, price in zip(contract_usd, perp_t, strict=True)]
                    if funds.inverse
                    else step_eth
                ),
                min_notional_usd=min_notional_usd,
                now=float(t),
                quiet=bool(quiet[t]),
                intent=(float(lo[t]), float(hi[t]), float(to_lo[t]), float(to_hi[t])),
                weights=_floats(weights[t]),
                leverage=leverage[t],
                leverage_max=leverage_max[t],
                capital=capital_so_far + pnl[CAPITAL],
                earned=funding_so_far + pnl[FUNDING],
                cost=_floats(cost[t]),
                event_floor=float(event_floor[t]),
            )
            decision = decide(state.memory, moment, limits)
            state.band_lo, state.band_hi = decision.lo, decision.hi
            state.chain = decision.chain
            state.exposure_decided = float(exposure_eth[t])
            result.reasons[b].update(decision.reasons)

            # 6. Execution.
            result.traded_eth[b] += execute(
                state,
                pnl,
                decision,
                tick=t,
                spot=spot_t,
                perp=perp_t,
                urgency=float(urgency[t]),
                maker_fee=maker_fee,
                taker_fee=taker_fee,
                taker_share=taker_share,
                half_spread=half_spread,
                impact_coefficient=impact_coefficient,
                sigma_day=float(sigma_day[t]),
                volume_day_eth=_floats(volume_day_eth[t]),
                funds=funds,
            )

        # 7. Record, in a gap too.
        for component in range(7):
            result.pnl[b][component] += pnl[component]
        funding_so_far += pnl[FUNDING]
        capital_so_far += pnl[CAPITAL]
        result.short_eth[b] = list(state.short)
        if state.last_perp is not None:
            result.equity[b] = equities(state, funds, state.last_perp)
        result.posted_eth[b] = list(state.coins)
        result.paid_in[b] = state.paid_in
        result.lo[b], result.hi[b] = state.band_lo, state.band_hi
        result.chain[b] = state.chain
        result.coming[b] = state.coming()
        result.exposure_eth[b] = float(exposure_eth[t]) + state.won
        result.exposure_mean[b] = sum(exposures_seen[b]) / len(exposures_seen[b])
        result.spot[b] = math.nan if state.last_spot is None else state.last_spot

    return replace(result, liquidations=liquidations)


def equities(state: State, funds: Funds, price: list[float]) -> list[float]:
    """Margin equity of every account at these prices, USD."""
    accounts = zip(state.cash, state.coins, price, strict=True)
    return [funds.equity(cash, coins, at) for cash, coins, at in accounts]


def _floats(values: Series) -> list[float]:
    """One row as plain floats, whatever kind of sequence it came in."""
    return [float(value) for value in values]


def _each_tick(value: float | Series, ticks: int) -> list[float]:
    """One value per tick, of a number or of a series."""
    return [float(value)] * ticks if isinstance(value, int | float) else _floats(value)
