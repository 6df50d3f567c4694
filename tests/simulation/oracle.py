"""The slow simulator: docs/simulation.md again, in plain Python, one function per paragraph.

It exists to disagree with the compiled simulator when that one is wrong, so it was written from
the page alone and shares no code with the package. It is not fast and checks no input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

DELTA, BASIS, FUNDING, FEES, SLIPPAGE, CAPITAL, LIQUIDATION = range(7)
HOURS_PER_YEAR = 8760
TOLERANCE = 1e-12  # of a hedge ratio

Tier = tuple[float, float, float]  # cap, rate, amount: USD if linear, ETH if inverse
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
    liquidations: int


@dataclass(frozen=True)
class Funds:
    """What the accounts are funded with."""

    coin_value: float  # k: USD of margin per USD of coins
    inverse: bool  # contracts in USD, profit and loss in ETH
    budget_usd: float  # may be infinite

    @property
    def with_usdt(self) -> bool:
        """Whether top-ups are USDT (k = 0) and not the holder's coins."""
        return self.coin_value == 0

    def equity(self, cash: float, coins: float, price: float) -> float:
        """Margin equity in USD at a price."""
        return cash + self.coin_value * coins * price


@dataclass
class Guard:
    """The last known intent and how many ticks ago it was known (mutable: it is the state)."""

    lo: float
    hi: float
    to_lo: float
    to_hi: float
    weights: list[float]
    known: bool = False
    age: int = 0


@dataclass
class State:
    """Everything one tick hands to the next."""

    short: list[float]
    cash: list[float]  # USD, negative is a debt
    coins: list[float]  # ETH
    won: float  # ETH won or lost by coin-margined accounts
    paid_in: float  # USD
    last_spot: float | None  # None = no tick with prices yet
    last_perp: list[float] | None
    guard: Guard
    highs_seen: list[list[float]]  # known mark highs since the last tick with prices
    band_lo: float = math.nan  # of the latest decision, a gap has none of its own
    band_hi: float = math.nan


@dataclass(frozen=True)
class Decision:
    """What decision.step answers."""

    target: list[float]
    collateral: list[float]
    lo: float
    hi: float
    reasons: set[str]


# --- Inputs ---------------------------------------------------------------------------------------


def maintenance(notional: float, tiers: Sequence[Tier]) -> float:
    """Maintenance margin: the first tier whose cap holds the notional, else the last one."""
    for cap, rate, amount in tiers:
        if cap >= notional:
            return rate * notional - amount
    _, rate, amount = tiers[-1]
    return rate * notional - amount


# --- A short between two marks, and the price that liquidates it ----------------------------------


@dataclass(frozen=True)
class Position:
    """A short of ``q`` ETH at the price it was last marked at, with what stands behind it."""

    q: float
    last: float
    cash: float
    coins: float
    funds: Funds
    tiers: Sequence[Tier]

    def equity(self, price: float) -> float:
        """E(p), USD."""
        return self.funds.equity(self.cash, self.coins, price) - self.q * (price - self.last)

    def notional(self, price: float) -> float:
        """n(p), USD."""
        return self.q * self.last if self.funds.inverse else self.q * price

    def maintenance(self, price: float) -> float:
        """M(p), USD; the tiers of an inverse contract are in ETH."""
        if self.funds.inverse:
            return price * maintenance(self.q * self.last / price, self.tiers)
        return maintenance(self.q * price, self.tiers)

    def fails_at(self, price: float) -> bool:
        """Whether the venue would close the account at this price."""
        return self.equity(price) <= self.maintenance(price)

    def liquidation_price(self) -> float:
        """Price at which equity equals maintenance; infinite if no rise gets there."""
        price = math.inf
        for cap, rate, amount in self.tiers:
            if self.funds.inverse:
                usd = self.q * self.last
                d = self.q - self.coins - amount
                if d > 0:
                    price = usd * (1 - rate) / d
                    if usd / price <= cap:
                        return price
            else:
                d = self.q * (1 + rate) - self.funds.coin_value * self.coins
                if d > 0:
                    price = (self.cash + self.q * self.last + amount) / d
                    if self.q * price <= cap:
                        return price
        return price  # no tier holds it: the last one's that had a price


# --- One tick, step 1: capital --------------------------------------------------------------------


def charge_capital(
    state: State, pnl: list[float], *, usd_cost_per_year: float, eth_cost_per_year: float
) -> None:
    """Charge an hour of what the tick before left: USD paid in, debts and coins posted."""
    debts = sum(max(-cash, 0.0) for cash in state.cash)
    cost = usd_cost_per_year * (state.paid_in + debts)
    if state.last_spot is not None:
        cost += eth_cost_per_year * state.last_spot * sum(max(coins, 0.0) for coins in state.coins)
    pnl[CAPITAL] -= cost / HOURS_PER_YEAR


# --- One tick, step 3: marking --------------------------------------------------------------------


def mark(
    state: State,
    pnl: list[float],
    *,
    spot: float,
    perp: list[float],
    exposure_before: float,
    liquidation_fee: list[float],
    tiers: Sequence[Sequence[Tier]],
    funds: Funds,
) -> tuple[int, list[float]]:
    """Move the book from the last prices to these; returns liquidations and margin ratios seen."""
    liquidations = 0
    ratios: list[float] = []
    if state.last_spot is not None and state.last_perp is not None:
        spot_move = spot - state.last_spot
        pnl[DELTA] += exposure_before * spot_move

        for v in range(len(perp)):
            if not state.short[v] > 0:
                continue
            held = Position(
                q=state.short[v],
                last=state.last_perp[v],
                cash=state.cash[v],
                coins=state.coins[v],
                funds=funds,
                tiers=tiers[v],
            )
            high = max([perp[v], *state.highs_seen[v]])
            ratios += [held.equity(price) / held.notional(price) for price in (high, perp[v])]

            if held.fails_at(high):
                # A bar may lie below the last mark as a whole: no exit above its high.
                exit_price = min(max(held.liquidation_price(), held.last), high)
                liquidate(state, pnl, v, held, exit_price, spot, liquidation_fee[v])
                liquidations += 1
            elif held.fails_at(perp[v]):
                liquidate(state, pnl, v, held, perp[v], spot, liquidation_fee[v])
                liquidations += 1
            else:
                carry(state, pnl, v, held, perp[v], spot, spot_move)

    state.last_spot = spot
    state.last_perp = list(perp)
    state.highs_seen = [[] for _ in perp]
    return liquidations, ratios


def liquidate(
    state: State,
    pnl: list[float],
    v: int,
    held: Position,
    exit_price: float,
    spot: float,
    liquidation_fee: float,
) -> None:
    """The venue closes the short and takes its fee out of what is left."""
    loss = held.q * (exit_price - held.last)
    if held.funds.inverse:
        loss_eth = loss / exit_price
        state.coins[v] -= loss_eth
        state.won -= loss_eth
        pnl[DELTA] -= loss_eth * spot
        fee = min(liquidation_fee * held.q * held.last, max(state.coins[v] * exit_price, 0.0))
        fee_eth = fee / exit_price
        state.coins[v] -= fee_eth
        state.won -= fee_eth
        pnl[LIQUIDATION] -= fee_eth * spot
    else:
        state.cash[v] -= loss
        pnl[DELTA] -= loss
        left = held.funds.equity(state.cash[v], state.coins[v], exit_price)
        fee = min(liquidation_fee * held.q * exit_price, max(left, 0.0))
        state.cash[v] -= fee
        pnl[LIQUIDATION] -= fee
    state.short[v] = 0.0


def carry(
    state: State,
    pnl: list[float],
    v: int,
    held: Position,
    perp: float,
    spot: float,
    spot_move: float,
) -> None:
    """Book the move of a short that survives the bar."""
    perp_move = perp - held.last
    pnl[DELTA] -= held.q * spot_move
    if held.funds.inverse:
        gained_eth = -held.q * perp_move / perp
        state.coins[v] += gained_eth
        state.won += gained_eth
        pnl[BASIS] += gained_eth * spot + held.q * spot_move
        state.short[v] = held.q * held.last / perp  # the USD of contracts stay the same
    else:
        pnl[BASIS] -= held.q * (perp_move - spot_move)
        state.cash[v] -= held.q * perp_move


# --- One tick, step 4: funding --------------------------------------------------------------------


def settle_funding(
    state: State,
    pnl: list[float],
    *,
    rate: list[float],
    settlement_mark: list[float],
    inverse: bool,
) -> None:
    """Pay or receive the settlements of the hour; a positive rate pays the short."""
    if state.last_spot is None or state.last_perp is None:
        return  # nothing was ever sold
    for v in range(len(rate)):
        q = state.short[v]
        if math.isnan(rate[v]) or not q > 0:
            continue
        last = state.last_perp[v]
        price = last if math.isnan(settlement_mark[v]) else settlement_mark[v]
        if inverse:
            paid_eth = q * last / price * rate[v]
            state.coins[v] += paid_eth
            state.won += paid_eth
            pnl[FUNDING] += paid_eth * state.last_spot
        else:
            paid = q * price * rate[v]
            state.cash[v] += paid
            pnl[FUNDING] += paid


# --- decision.step --------------------------------------------------------------------------------


def decide(
    guard: Guard,
    *,
    short: list[float],
    price: list[float],
    equity: list[float],
    debt: list[float],
    exposure: float,
    intent: tuple[float, float, float, float],
    weights: list[float],
    max_ratio: float,
    fallback_ratio: float,
    grace_ticks: int,
    leverage: float,
    leverage_max: float,
    step_eth: list[float],
    min_notional_usd: list[float],
    available: float,
    unit_usd: list[float],
) -> Decision:
    """Turn the intent's row into a target and a collateral per venue; updates the guard."""
    venues = range(len(short))
    reasons: set[str] = set()

    # 1. Which band is in force.
    if all(math.isfinite(level) for level in intent):
        guard.lo, guard.hi, guard.to_lo, guard.to_hi = intent
        guard.weights = list(weights)
        guard.known = True
        guard.age = 0
    else:
        guard.age += 1
        if not guard.known or guard.age > grace_ticks:
            reasons.add("FALLBACK")
        else:
            reasons.add("HELD")

    if "FALLBACK" in reasons:
        lo = to_lo = min(fallback_ratio, max_ratio)
        hi = to_hi = max(max_ratio, lo)
    else:
        lo, hi, to_lo, to_hi = guard.lo, guard.hi, guard.to_lo, guard.to_hi

    # 2. Where the hedge ratio should go.
    held = sum(short)
    if exposure > 0:
        h = held / exposure
    elif held > 0:
        h = math.inf
    else:
        h = 0.0
    if h < lo - TOLERANCE:
        goal = to_lo
        reasons.add("RAISE")
    elif h > hi + TOLERANCE:
        goal = to_hi
        reasons.add("LOWER")
    else:
        goal = h
        reasons.add("IN_BAND")

    # 3. The limits of the goal.
    if goal > max_ratio + TOLERANCE:
        goal = max_ratio
        reasons.add("CAPPED")
    if goal < 0:
        goal = 0.0

    # 4. Whether anything moves, and to where.
    moves = abs(goal - h) > TOLERANCE
    if held > 0 and sum(abs(guard.weights[v] - short[v] / held) for v in venues) > 0.1:
        moves = True
        reasons.add("SWITCH")
    wanted = [guard.weights[v] * goal * exposure if moves else short[v] for v in venues]

    # 5. What can be ordered.
    target: list[float] = []
    for v in venues:
        steps = abs(wanted[v] - short[v]) / step_eth[v]
        reduces = wanted[v] < short[v]
        if h > max_ratio + TOLERANCE and reduces:
            n = math.ceil(steps - 1e-9)
        else:
            n = math.floor(steps + 1e-9)
        if wanted[v] <= 1e-9 * step_eth[v]:
            target.append(0.0)
        elif n == 0:
            target.append(short[v])
        elif reduces:
            target.append(max(0.0, short[v] - n * step_eth[v]))
        elif n * step_eth[v] * price[v] < min_notional_usd[v]:
            target.append(short[v])
            reasons.add("BELOW_MINIMUM")
        else:
            target.append(short[v] + n * step_eth[v])
    moves_between_venues_only = abs(goal - h) <= TOLERANCE
    if "BELOW_MINIMUM" in reasons and moves_between_venues_only:
        target = list(short)

    # 6. What margin stays on the venue, and 7. paying for it.
    def margined() -> tuple[list[float], bool]:
        posted = stay_or_move(
            target, reasons, price, equity, debt, leverage=leverage, leverage_max=leverage_max
        )
        all_paid, lowered = pay_for(
            target,
            posted,
            short=short,
            price=price,
            equity=equity,
            leverage_max=leverage_max,
            step_eth=step_eth,
            min_notional_usd=min_notional_usd,
            available=available,
            unit_usd=unit_usd,
        )
        if not all_paid:
            reasons.add("UNFUNDED")
        return posted, lowered

    collateral, lowered = margined()
    if lowered and moves_between_venues_only:
        target = list(short)
        collateral, _ = margined()
    return Decision(target, collateral, lo, hi, reasons)


def stay_or_move(
    target: list[float],
    reasons: set[str],
    price: list[float],
    equity: list[float],
    debt: list[float],
    *,
    leverage: float,
    leverage_max: float,
) -> list[float]:
    """Margin each venue should hold for its target, if there is the money for it."""
    collateral: list[float] = []
    for v in range(len(target)):
        notional = max(target[v] * price[v], debt[v])
        if target[v] == 0:
            collateral.append(0.0)
        elif equity[v] <= 0 or notional > leverage_max * equity[v]:
            collateral.append(notional / leverage)
            reasons.add("TOP_UP")
        elif notional * leverage_max < leverage**2 * equity[v]:
            collateral.append(notional / leverage)
            reasons.add("RELEASE")
        else:
            collateral.append(equity[v])
    return collateral


def pay_for(
    target: list[float],
    collateral: list[float],
    *,
    short: list[float],
    price: list[float],
    equity: list[float],
    leverage_max: float,
    step_eth: list[float],
    min_notional_usd: list[float],
    available: float,
    unit_usd: list[float],
) -> tuple[bool, bool]:
    """Cut target and collateral, in place, to what can be posted.

    Answers whether every rise was paid for in full, and whether any target was cut.
    """
    venues = range(len(short))
    freed = sum(
        (equity[v] - collateral[v]) / unit_usd[v] for v in venues if collateral[v] < equity[v]
    )
    spare = max(available + freed, 0.0)  # what is overdrawn never takes margin back
    all_paid = True
    cut = False
    for v in venues:
        if not (target[v] > 0 and collateral[v] > equity[v]):
            continue
        need = (collateral[v] - equity[v]) / unit_usd[v]
        if need <= spare:
            spare -= need
            continue
        all_paid = False
        collateral[v] = equity[v] + spare * unit_usd[v]
        if target[v] > short[v]:
            most = collateral[v] * leverage_max / price[v]
            n = math.floor((most - short[v]) / step_eth[v] + 1e-9)
            carried = short[v]
            if n > 0 and n * step_eth[v] * price[v] >= min_notional_usd[v]:
                carried = short[v] + n * step_eth[v]
            if carried < target[v]:
                target[v] = carried
                cut = True
        if target[v] == 0:
            collateral[v] = 0.0  # nothing to back, so the spare is there for the next venue
        else:
            spare = 0.0
    return all_paid, cut


# --- One tick, step 6: execution ------------------------------------------------------------------


def execute(
    state: State,
    pnl: list[float],
    decision: Decision,
    *,
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

        move_margin(state, v, decision.collateral[v], perp[v], funds)
        if funds.inverse:
            state.coins[v] -= (fee + slip) / spot
            state.won -= (fee + slip) / spot
        else:
            state.cash[v] -= fee + slip
        if decision.target[v] == 0:
            state.paid_in -= state.cash[v]  # a debt is paid off, too
            state.cash[v] = 0.0
            state.coins[v] = 0.0
    return traded


def move_margin(state: State, v: int, collateral: float, perp: float, funds: Funds) -> None:
    """Bring the margin equity of one account to its collateral."""
    move = collateral - funds.equity(state.cash[v], state.coins[v], perp)
    if funds.with_usdt:
        state.cash[v] += move
        state.paid_in += move
        return
    if move < 0 and state.cash[v] > 0:
        leaves = min(state.cash[v], -move)
        state.cash[v] -= leaves
        state.paid_in -= leaves
        move += leaves
    state.coins[v] += move / (funds.coin_value * perp)


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
    leverage: float,
    leverage_max: float,
    taker_share: float,
    half_spread: float,
    impact_coefficient: float,
    capital_cost_per_year: float,
    eth_cost_per_year: float,
    coin_value: float,
    inverse: bool,
    budget_usd: float,
) -> OracleResult:
    """Run the book hour by hour as docs/simulation.md says; shapes and units are its table's."""
    ticks = len(spot)
    venues = len(maker_fee)
    buckets = int(max(bucket)) + 1
    maker_fee, taker_fee = _floats(maker_fee), _floats(taker_fee)
    step_eth, contract_usd = _floats(step_eth), _floats(contract_usd)
    min_notional_usd = _floats(min_notional_usd)
    liquidation_fee = _floats(liquidation_fee)
    tier_table = [[(float(c), float(r), float(a)) for c, r, a in table] for table in tiers]
    funds = Funds(float(coin_value), bool(inverse), float(budget_usd))

    first_venue_only = [1.0] + [0.0] * (venues - 1)
    state = State(
        short=[0.0] * venues,
        cash=[0.0] * venues,
        coins=[0.0] * venues,
        won=0.0,
        paid_in=0.0,
        last_spot=None,
        last_perp=None,
        guard=Guard(math.nan, math.nan, math.nan, math.nan, first_venue_only),
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
        liquidations=0,
    )
    liquidations = 0
    exposures_seen: list[list[float]] = [[] for _ in range(buckets)]

    for t in range(ticks):
        b = int(bucket[t])
        pnl = [0.0] * 7
        spot_t, perp_t = float(spot[t]), _floats(perp[t])
        begins_bucket = t == 0 or b != int(bucket[t - 1])
        if begins_bucket and state.last_spot is not None:
            result.spot_open[b] = state.last_spot

        # 1. Capital.
        if t > 0:
            charge_capital(
                state,
                pnl,
                usd_cost_per_year=capital_cost_per_year,
                eth_cost_per_year=eth_cost_per_year,
            )

        # 2. Gap.
        gap = math.isnan(spot_t) or any(math.isnan(price) for price in perp_t)

        for seen, high in zip(state.highs_seen, _floats(mark_high[t]), strict=True):
            if not math.isnan(high):
                seen.append(high)
        if gap:
            state.guard.age += 1

        # 3. Marking.
        exposure_before = float(exposure_eth[max(t - 1, 0)]) + state.won
        exposures_seen[b].append(exposure_before)
        if not gap:
            if state.last_spot is None:
                result.spot_open[b] = spot_t  # the first known close opens its own bucket
            closed, ratios = mark(
                state,
                pnl,
                spot=spot_t,
                perp=perp_t,
                exposure_before=exposure_before,
                liquidation_fee=liquidation_fee,
                tiers=tier_table,
                funds=funds,
            )
            liquidations += closed
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

        if not gap:
            # 5. Decision.
            exposure = float(exposure_eth[t]) + state.won
            if funds.with_usdt:
                available = funds.budget_usd - state.paid_in
                unit_usd = [1.0] * venues
                debt = [0.0] * venues
            else:
                available = exposure - sum(state.coins)
                unit_usd = [funds.coin_value * price for price in perp_t]
                debt = [max(-cash, 0.0) for cash in state.cash]
            if funds.inverse:
                steps = [usd / price for usd, price in zip(contract_usd, perp_t, strict=True)]
            else:
                steps = step_eth
            decision = decide(
                state.guard,
                short=state.short,
                price=perp_t,
                equity=_equities(state, funds, perp_t),
                debt=debt,
                exposure=exposure,
                intent=(float(lo[t]), float(hi[t]), float(to_lo[t]), float(to_hi[t])),
                weights=_floats(weights[t]),
                max_ratio=max_ratio,
                fallback_ratio=fallback_ratio,
                grace_ticks=grace_ticks,
                leverage=leverage,
                leverage_max=leverage_max,
                step_eth=steps,
                min_notional_usd=min_notional_usd,
                available=available,
                unit_usd=unit_usd,
            )
            state.band_lo, state.band_hi = decision.lo, decision.hi
            result.reasons[b].update(decision.reasons)

            # 6. Execution.
            result.traded_eth[b] += execute(
                state,
                pnl,
                decision,
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
        result.short_eth[b] = list(state.short)
        if state.last_perp is not None:
            result.equity[b] = _equities(state, funds, state.last_perp)
        result.posted_eth[b] = list(state.coins)
        result.paid_in[b] = state.paid_in
        result.lo[b], result.hi[b] = state.band_lo, state.band_hi
        result.exposure_eth[b] = float(exposure_eth[t]) + state.won
        result.exposure_mean[b] = sum(exposures_seen[b]) / len(exposures_seen[b])
        result.spot[b] = math.nan if state.last_spot is None else state.last_spot

    return replace(result, liquidations=liquidations)


def _equities(state: State, funds: Funds, price: list[float]) -> list[float]:
    """Margin equity of every account at these prices, USD."""
    accounts = zip(state.cash, state.coins, price, strict=True)
    return [funds.equity(cash, coins, at) for cash, coins, at in accounts]


def _floats(values: Series) -> list[float]:
    """One row as plain floats, whatever kind of sequence it came in."""
    return [float(value) for value in values]
