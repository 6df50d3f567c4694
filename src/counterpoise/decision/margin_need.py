"""What holding a short takes: margin to post, the price at which it dies, the venue's limits."""

import math
from dataclasses import dataclass

from counterpoise.config import CapitalSettings
from counterpoise.risk.margin import liquidation_price
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
        Mark at which the venue takes over; ``inf`` where it cannot.
    warnings : tuple of str
        Limits of the venue or of the holder that this position breaks.
    """

    collateral: Collateral
    amount: float
    unit: str
    liquidation_price_usd: float
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
        return Margin(collateral, amount, unit, math.inf, ())
    rules = stack([contract])
    tiers = (rules.tier_cap[0], rules.tier_rate[0], rules.tier_amount[0])
    cash = amount if collateral == "usdt" else 0.0
    coins = {"usdt": 0.0, "eth": amount * (1.0 - capital.eth_haircut), "coin-margined": amount}[
        collateral
    ]
    dies = liquidation_price(cash, coins, short_eth, price, not contract.linear, *tiers)
    counted = cash + coins * price
    warnings = _warnings(
        short_eth, price, contract, notional / counted if counted > 0 else math.inf
    )
    if dies <= price:
        warnings.append("this margin is below maintenance: the venue would liquidate at once")
    if unit == "ETH" and amount > exposure_eth:
        warnings.append(f"the margin of {amount:,.0f} ETH exceeds the {exposure_eth:,.0f} ETH held")
    return Margin(collateral, amount, unit, dies, tuple(warnings))


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
    if leverage > tier.max_leverage * (1 + 1e-9):
        return [
            f"{contract.venue} allows at most {tier.max_leverage:g}× at {size:,.0f} {unit}, "
            f"this is {leverage:.1f}×"
        ]
    return []
