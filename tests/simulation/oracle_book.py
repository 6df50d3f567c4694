"""The slow simulator's book: accounts, marking, liquidation and funding (a tick's steps 3, 4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.simulation.oracle_decision import Memory

DELTA, BASIS, FUNDING, FEES, SLIPPAGE, CAPITAL, LIQUIDATION = range(7)

Tier = tuple[float, float, float]  # cap, rate, amount: USD if linear, ETH if inverse


@dataclass(frozen=True)
class Funds:
    """What the accounts are funded with."""

    coin_value: float  # k: USD of margin per USD of coins
    inverse: bool  # contracts in USD, profit and loss in ETH
    budget_usd: float  # may be infinite
    transfer_ticks: int  # d
    transfer_usd: float

    @property
    def with_usdt(self) -> bool:
        """Whether top-ups are USDT (k = 0) and not the holder's coins."""
        return self.coin_value == 0

    def equity(self, cash: float, coins: float, price: float) -> float:
        """Margin equity in USD at a price."""
        return cash + self.coin_value * coins * price


@dataclass(frozen=True)
class Transfer:
    """Collateral on its way to a venue."""

    venue: int
    amount: float  # USD or ETH
    due: int  # tick


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
    memory: Memory
    highs_seen: list[list[float]]  # known mark highs since the last tick with prices
    transfers: list[Transfer] = field(default_factory=list)
    band_lo: float = math.nan  # of the latest decision, a gap has none of its own
    band_hi: float = math.nan
    chain: tuple[float, ...] = (math.nan,) * 6  # of the latest decision
    exposure_decided: float | None = None  # exposure_eth of the latest decision

    def coming(self) -> list[float]:
        """What is on its way to each venue, USD or ETH."""
        return [
            sum(transfer.amount for transfer in self.transfers if transfer.venue == v)
            for v in range(len(self.short))
        ]


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
        if self.fails_at(self.last):
            return self.last
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
