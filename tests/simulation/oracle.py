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

Tier = tuple[float, float, float]  # notional cap in USD, rate, amount in USD
Series = Sequence[float]
Panel = Sequence[Sequence[float]]  # T × V


@dataclass(frozen=True)
class OracleResult:
    """What the run left behind, one entry per bucket (B of them, V venues)."""

    pnl: list[list[float]]  # B × 7, USD, in the order of the constants above
    short_eth: list[list[float]]  # B × V, after the bucket's last tick
    equity: list[list[float]]  # B × V, USD, after the bucket's last tick
    traded_eth: list[float]
    lo: list[float]  # band in force at the last tick; NaN before the first decision
    hi: list[float]
    exposure_eth: list[float]
    spot: list[float]  # last known close, USD; NaN if none was known yet
    spot_open: list[float]  # last known close before the bucket began, USD
    reasons: list[set[str]]
    liquidations: int


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
    equity: list[float]
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


def maintenance_usd(notional: float, tiers: Sequence[Tier]) -> float:
    """Maintenance margin: the first tier whose cap holds the notional, else the last one."""
    for cap, rate, amount in tiers:
        if cap >= notional:
            return rate * notional - amount
    _, rate, amount = tiers[-1]
    return rate * notional - amount


# --- Liquidation price of a short -----------------------------------------------------------------


def liquidation_price(q: float, last_perp: float, equity: float, tiers: Sequence[Tier]) -> float:
    """Price at which the equity of a short of ``q`` ETH equals its maintenance margin."""
    price = math.nan
    for cap, rate, amount in tiers:
        price = (equity + q * last_perp + amount) / (q * (1 + rate))
        if q * price <= cap:
            return price
    return price  # no tier holds it: the last tier's


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
) -> int:
    """Move the book from the last prices to these; returns the number of liquidations."""
    liquidations = 0
    if state.last_spot is not None and state.last_perp is not None:
        spot_move = spot - state.last_spot
        pnl[DELTA] += exposure_before * spot_move

        for v in range(len(perp)):
            q = state.short[v]
            if not q > 0:
                continue
            last = state.last_perp[v]
            high = max([perp[v], *state.highs_seen[v]])
            equity_at_high = state.equity[v] - q * (high - last)

            if equity_at_high <= maintenance_usd(q * high, tiers[v]):
                exit_price = max(liquidation_price(q, last, state.equity[v], tiers[v]), last)
                loss = q * (exit_price - last)
                equity_after = state.equity[v] - loss
                fee = min(liquidation_fee[v] * q * exit_price, max(equity_after, 0.0))
                pnl[DELTA] -= loss
                pnl[LIQUIDATION] -= fee
                state.equity[v] = equity_after - fee
                state.short[v] = 0.0
                liquidations += 1
            else:
                perp_move = perp[v] - last
                pnl[DELTA] -= q * spot_move
                pnl[BASIS] -= q * (perp_move - spot_move)
                state.equity[v] -= q * perp_move

    state.last_spot = spot
    state.last_perp = list(perp)
    state.highs_seen = [[] for _ in perp]
    return liquidations


# --- One tick, step 4: funding --------------------------------------------------------------------


def settle_funding(
    state: State, pnl: list[float], *, rate: list[float], settlement_mark: list[float]
) -> None:
    """Pay or receive the settlements of the hour; a positive rate pays the short."""
    for v in range(len(rate)):
        q = state.short[v]
        if math.isnan(rate[v]) or not q > 0:
            continue
        if not math.isnan(settlement_mark[v]):
            price = settlement_mark[v]
        elif state.last_perp is not None:
            price = state.last_perp[v]
        else:
            continue
        cash = q * price * rate[v]
        pnl[FUNDING] += cash
        state.equity[v] += cash


# --- decision.step --------------------------------------------------------------------------------


def decide(
    guard: Guard,
    *,
    short: list[float],
    price: list[float],
    equity: list[float],
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
    h = held / exposure
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
    if "BELOW_MINIMUM" in reasons and abs(goal - h) <= TOLERANCE:
        target = list(short)

    # 6. What margin stays on the venue.
    collateral: list[float] = []
    for v in venues:
        notional = target[v] * price[v]
        if target[v] == 0:
            collateral.append(0.0)
        elif equity[v] <= 0 or notional / equity[v] > leverage_max:
            collateral.append(notional / leverage)
            reasons.add("TOP_UP")
        elif notional / equity[v] < leverage**2 / leverage_max:
            collateral.append(notional / leverage)
            reasons.add("RELEASE")
        else:
            collateral.append(equity[v])

    return Decision(target, collateral, lo, hi, reasons)


# --- One tick, step 6: execution ------------------------------------------------------------------


def execute(
    state: State,
    pnl: list[float],
    decision: Decision,
    *,
    perp: list[float],
    urgency: float,
    maker_fee: list[float],
    taker_fee: list[float],
    taker_share: float,
    half_spread: float,
    impact_coefficient: float,
    sigma_day: float,
    volume_day_eth: list[float],
) -> float:
    """Trade to the target at the perpetual close; returns the ETH traded."""
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
        state.equity[v] = decision.collateral[v] - fee - slip if decision.target[v] > 0 else 0.0
    return traded


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
) -> OracleResult:
    """Run the book hour by hour as docs/simulation.md says; shapes and units are its table's."""
    ticks = len(spot)
    venues = len(maker_fee)
    buckets = int(max(bucket)) + 1
    maker_fee, taker_fee = _floats(maker_fee), _floats(taker_fee)
    step_eth, min_notional_usd = _floats(step_eth), _floats(min_notional_usd)
    liquidation_fee = _floats(liquidation_fee)
    tier_table = [[(float(c), float(r), float(a)) for c, r, a in table] for table in tiers]

    first_venue_only = [1.0] + [0.0] * (venues - 1)
    state = State(
        short=[0.0] * venues,
        equity=[0.0] * venues,
        last_spot=None,
        last_perp=None,
        guard=Guard(math.nan, math.nan, math.nan, math.nan, first_venue_only),
        highs_seen=[[] for _ in range(venues)],
    )
    result = OracleResult(
        pnl=[[0.0] * 7 for _ in range(buckets)],
        short_eth=[[0.0] * venues for _ in range(buckets)],
        equity=[[0.0] * venues for _ in range(buckets)],
        traded_eth=[0.0] * buckets,
        lo=[math.nan] * buckets,
        hi=[math.nan] * buckets,
        exposure_eth=[math.nan] * buckets,
        spot=[math.nan] * buckets,
        spot_open=[math.nan] * buckets,
        reasons=[set() for _ in range(buckets)],
        liquidations=0,
    )
    liquidations = 0

    for t in range(ticks):
        b = int(bucket[t])
        pnl = [0.0] * 7
        spot_t, perp_t = float(spot[t]), _floats(perp[t])
        begins_bucket = t == 0 or b != int(bucket[t - 1])
        if begins_bucket and state.last_spot is not None:
            result.spot_open[b] = state.last_spot

        # 1. Capital.
        if t > 0:
            locked = sum(max(equity, 0.0) for equity in state.equity)
            pnl[CAPITAL] -= capital_cost_per_year * locked / HOURS_PER_YEAR

        # 2. Gap.
        gap = math.isnan(spot_t) or any(math.isnan(price) for price in perp_t)

        for seen, high in zip(state.highs_seen, _floats(mark_high[t]), strict=True):
            if not math.isnan(high):
                seen.append(high)
        if gap:
            state.guard.age += 1

        # 3. Marking.
        if not gap:
            if state.last_spot is None:
                result.spot_open[b] = spot_t  # the first known close opens its own bucket
            liquidations += mark(
                state,
                pnl,
                spot=spot_t,
                perp=perp_t,
                exposure_before=float(exposure_eth[t - 1]) if t > 0 else 0.0,
                liquidation_fee=liquidation_fee,
                tiers=tier_table,
            )

        # 4. Funding.
        settle_funding(
            state,
            pnl,
            rate=_floats(funding_settled[t]),
            settlement_mark=_floats(funding_mark[t]),
        )

        if not gap:
            # 5. Decision.
            decision = decide(
                state.guard,
                short=state.short,
                price=perp_t,
                equity=state.equity,
                exposure=float(exposure_eth[t]),
                intent=(float(lo[t]), float(hi[t]), float(to_lo[t]), float(to_hi[t])),
                weights=_floats(weights[t]),
                max_ratio=max_ratio,
                fallback_ratio=fallback_ratio,
                grace_ticks=grace_ticks,
                leverage=leverage,
                leverage_max=leverage_max,
                step_eth=step_eth,
                min_notional_usd=min_notional_usd,
            )
            state.band_lo, state.band_hi = decision.lo, decision.hi
            result.reasons[b].update(decision.reasons)

            # 6. Execution.
            result.traded_eth[b] += execute(
                state,
                pnl,
                decision,
                perp=perp_t,
                urgency=float(urgency[t]),
                maker_fee=maker_fee,
                taker_fee=taker_fee,
                taker_share=taker_share,
                half_spread=half_spread,
                impact_coefficient=impact_coefficient,
                sigma_day=float(sigma_day[t]),
                volume_day_eth=_floats(volume_day_eth[t]),
            )

        # 7. Record, in a gap too.
        for component in range(7):
            result.pnl[b][component] += pnl[component]
        result.short_eth[b] = list(state.short)
        result.equity[b] = list(state.equity)
        result.lo[b], result.hi[b] = state.band_lo, state.band_hi
        result.exposure_eth[b] = float(exposure_eth[t])
        result.spot[b] = math.nan if state.last_spot is None else state.last_spot

    return replace(result, liquidations=liquidations)


def _floats(values: Series) -> list[float]:
    """One row as plain floats, whatever kind of sequence it came in."""
    return [float(value) for value in values]
