"""A contract of ours as NautilusTrader's instrument."""

from decimal import Decimal

from nautilus_trader.model.currencies import ETH, USDT
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity

from counterpoise.venues.contract import Contract


def instrument_id_of(contract: Contract) -> InstrumentId:
    """Identity under which NautilusTrader's adapters know a linear contract."""
    return InstrumentId.from_str(f"{contract.symbol}-PERP.{contract.venue.upper()}")


def instrument_of(contract: Contract) -> CryptoPerpetual:
    """Instrument of a linear contract, for an event-driven backtest.

    Parameters
    ----------
    contract : Contract

    Notes
    -----
    Margin rates are zero on purpose: NautilusTrader's own are one rate without tiers, and our
    liquidation module holds the venue's.
    """
    tick, step = _grid(contract.tick_usd), _grid(contract.step_eth)
    return CryptoPerpetual(
        instrument_id=instrument_id_of(contract),
        raw_symbol=Symbol(contract.symbol),
        base_currency=ETH,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=_decimals(tick),
        size_precision=_decimals(step),
        price_increment=Price.from_str(f"{tick:f}"),
        size_increment=Quantity.from_str(f"{step:f}"),
        min_quantity=Quantity.from_str(f"{step:f}"),
        # Reduce-only orders are exempt at the venue and would not be here; ours keep the minimum.
        min_notional=None,
        max_notional=None,
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=_grid(contract.maker_fee),
        taker_fee=_grid(contract.taker_fee),
        ts_event=0,
        ts_init=0,
    )


def usdt(amount: float) -> Money:
    """Money of an amount in USD."""
    return Money(amount, USDT)


def _grid(value: float) -> Decimal:
    """The decimal a contract rule was written as."""
    return Decimal(repr(value))


def _decimals(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "a rule is a finite number"
    return max(-exponent, 0)
