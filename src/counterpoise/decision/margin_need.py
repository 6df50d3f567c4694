"""What holding a short takes: margin to post, the price at which it dies, the venue's limits."""

import math
from dataclasses import dataclass

from counterpoise.config import CapitalSettings
from counterpoise.risk.liquidation import (
    bankruptcy_price,
    cross_liquidation_price,
    hours_to_liquidation,
    liquidated,
)
from counterpoise.units import Collateral
from counterpoise.venues import Contract
from counterpoise.venues.contract import stack


@dataclass(frozen=True)
class Margin:
    """Margin of a short.

    Attributes
    ----------
    collateral : str
        ``usdt``, ``eth`` or ``coin-margined``.
    amount : float
        Posted, in ``unit``.
    unit : str
        ``USDT`` or ``ETH``.
    liquidation_price_usd : float
        Mark at which the venue takes over; ``inf`` where it cannot, and the price of now where
        margin is below maintenance already.
    bankruptcy_price_usd : float
        Mark at which nothing would be left; ``inf`` where there is none.
    left_usd : float
        Margin equity left at the liquidation price, after the venue's largest fee; NaN where
        nothing liquidates it.
    worst_funding_days : float
        Days this margin lasts at this price if every settlement takes the venue's largest rate.
    warnings : tuple of str
        Limits of the venue or of the holder that this position breaks.
    """

    collateral: Collateral
    amount: float
    unit: str
    liquidation_price_usd: float
    bankruptcy_price_usd: float
    left_usd: float
    worst_funding_days: float
    warnings: tuple[str, ...]


def margin_for(
    short_eth: float,
    price: float,
    collateral: Collateral,
    capital: CapitalSettings,
    contract: Contract,
    *,
    exposure_eth: float,
    posted: float | None = None,
    other_maintenance: float = 0.0,
    other_pnl: float = 0.0,
) -> Margin:
    """Margin of a short opened at ``price``, and what is wrong with it.

    Parameters
    ----------
    short_eth : float
        ETH, >= 0.
    price : float
        Mark, USD.
    collateral : str
        ``usdt``: notional ÷ leverage. ``eth``: the same value after the haircut, in ETH.
        ``coin-margined``: notional ÷ leverage in ETH under the inverse contract.
    capital : CapitalSettings
    contract : Contract
        The inverse contract for ``coin-margined``, a linear one otherwise.
    exposure_eth : float
        ETH held: the most that can be posted in ETH.
    posted : float, optional
        Margin equity on the venue, in the collateral's unit, instead of what the configured
        leverage asks.
    other_maintenance, other_pnl : float
        Cross margin: maintenance margin and unrealised P&L of the other positions that share what
        is posted; USD, or ETH for ``coin-margined``.
    """
    notional = short_eth * price
    value = notional / capital.leverage
    unit = "USDT" if collateral == "usdt" else "ETH"
    if posted is not None:
        amount = posted
    elif collateral == "usdt":
        amount = value
    elif collateral == "eth":
        amount = value / (1.0 - capital.eth_haircut) / price
    else:
        amount = value / price
    if short_eth == 0.0:
        return Margin(collateral, amount, unit, math.inf, math.inf, math.nan, math.inf, ())
    rules = stack([contract])
    tiers = (rules.tier_cap[0], rules.tier_rate[0], rules.tier_amount[0])
    inverse = not contract.linear
    wallet = 0.0 if collateral == "eth" else amount
    coins = amount * (1.0 - capital.eth_haircut) if collateral == "eth" else 0.0
    shared = (wallet, coins, other_maintenance, other_pnl)
    dies = cross_liquidation_price(*shared, short_eth, price, price, inverse, *tiers)
    behind = wallet - other_maintenance + other_pnl
    account = (0.0, behind, short_eth, price) if inverse else (behind, coins, short_eth, price)
    end = liquidated(*account, inverse, contract.liquidation_fee, *tiers)
    hours = hours_to_liquidation(
        *account, inverse, -contract.funding.cap, contract.funding.interval_h, *tiers
    )
    counted = (behind if inverse else coins) * price + (0.0 if inverse else behind)
    warnings = _warnings(
        short_eth, price, contract, notional / counted if counted > 0 else math.inf
    )
    if dies <= price:
        warnings.append("this margin is below maintenance: the venue would liquidate at once")
    if unit == "ETH" and amount > exposure_eth:
        warnings.append(f"the margin of {amount:,.0f} ETH exceeds the {exposure_eth:,.0f} ETH held")
    return Margin(
        collateral,
        amount,
        unit,
        dies,
        bankruptcy_price(*account, inverse),
        end.left * (end.price_usd if inverse else 1.0),
        hours / 24.0,
        tuple(warnings),
    )


def _warnings(short_eth: float, price: float, contract: Contract, leverage: float) -> list[str]:
    """Limits of the venue's tiers that a position breaks."""
    size = short_eth * price if contract.linear else short_eth
    unit = "USD" if contract.linear else "ETH"
    largest = contract.tiers[-1]
    if size > largest.cap:
        return [
            f"{size:,.0f} {unit} is more than the largest tier of {contract.venue} "
            f"({largest.cap:,.0f} {unit}): one account cannot hold it"
        ]
    tier = next(tier for tier in contract.tiers if size <= tier.cap)
    if math.isinf(leverage):
        return ["no margin stands behind this short"]
    if leverage > tier.max_leverage * (1 + 1e-9):
        return [
            f"{contract.venue} allows at most {tier.max_leverage:g}× at {size:,.0f} {unit}, "
            f"this is {leverage:.1f}×"
        ]
    return []
