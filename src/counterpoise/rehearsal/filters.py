"""Rules of a symbol on the venue in exact decimals, and the refusals that follow from them."""

import re
from dataclasses import dataclass
from decimal import Decimal

from counterpoise.rehearsal.feed import Side
from counterpoise.rehearsal.orders import Refused
from counterpoise.venues.contract import Contract

_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")


@dataclass(frozen=True)
class Bracket:
    """Maintenance tier: ``rate · notional - amount`` for notionals up to ``cap`` USD."""

    cap: Decimal
    rate: Decimal
    max_leverage: int
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class SymbolRules:
    """What the venue allows and charges on one symbol.

    Attributes
    ----------
    symbol, base, quote : str
    tick, step : Decimal
        Price and size steps.
    min_price, max_price, max_quantity, max_market_quantity, min_notional : Decimal
    band : Decimal
        Largest distance of a price from the mark, fraction: PERCENT_PRICE and the bound up to which
        a market order takes.
    maker_fee, taker_fee, liquidation_fee : Decimal
        Fractions of the notional.
    brackets : tuple of Bracket
        By rising ``cap``.
    """

    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    liquidation_fee: Decimal
    brackets: tuple[Bracket, ...]
    min_price: Decimal
    max_price: Decimal = Decimal(306177)
    max_quantity: Decimal = Decimal(10000)
    max_market_quantity: Decimal = Decimal(2000)
    max_orders: int = 200
    max_algos: int = 100
    band: Decimal = Decimal("0.05")

    def ticks(self, price: Decimal) -> int:
        """Price in whole ticks, which it must be (-1111, -4014)."""
        return _whole(price, self.tick, -4014, "Price not increased by tick size.")

    def steps(self, quantity: Decimal) -> int:
        """Size in whole steps, which it must be (-1111)."""
        return _whole(quantity, self.step, -1111, _PRECISION)

    def steps_near(self, quantity: float) -> int:
        """Nearest whole number of steps."""
        return round(quantity / float(self.step))

    def price(self, ticks: int) -> Decimal:
        """USD."""
        return ticks * self.tick

    def quantity(self, steps: int) -> Decimal:
        """ETH."""
        return steps * self.step

    def bracket(self, notional: Decimal) -> Bracket:
        """Tier a notional (>= 0) falls in; the last one also serves what exceeds its cap."""
        for bracket in self.brackets:
            if notional <= bracket.cap:
                return bracket
        return self.brackets[-1]

    def maintenance(self, notional: Decimal) -> Decimal:
        """Maintenance margin of a notional (>= 0), USD."""
        bracket = self.bracket(notional)
        return bracket.rate * notional - bracket.amount

    def max_notional(self, leverage: int) -> Decimal:
        """Largest position at a leverage, USD; 0 where no tier allows it."""
        caps = [b.cap for b in self.brackets if b.max_leverage >= leverage]
        return caps[-1] if caps else Decimal(0)

    def check_quantity(self, quantity: Decimal, *, market: bool) -> int:
        """Steps of a size that LOT_SIZE or MARKET_LOT_SIZE allows (-4003, -1111, -4005)."""
        if quantity <= 0:
            raise Refused(-4003, "Quantity less than or equal to zero.")
        steps = self.steps(quantity)
        if quantity > (self.max_market_quantity if market else self.max_quantity):
            raise Refused(-4005, "Quantity greater than max quantity.")
        return steps

    def check_price(self, price: Decimal | None, side: Side, mark: Decimal) -> int:
        """Ticks of a limit price that PRICE_FILTER and PERCENT_PRICE allow.

        A buy may not be too far above the mark and a sell not too far below it (-4016, -4024).
        """
        if price is None:
            raise Refused(-1102, "Mandatory parameter 'price' was not sent, was empty/null.")
        if price <= 0:
            raise Refused(-4001, "Price less than 0.")
        if price > self.max_price:
            raise Refused(-4002, "Price greater than max price.")
        if price < self.min_price:
            raise Refused(-4013, "Price less than min price.")
        ticks = self.ticks(price)
        lowest, highest = mark * (1 - self.band), mark * (1 + self.band)
        if side == "BUY" and price > highest:
            raise Refused(-4016, f"Limit price can't be higher than {highest.quantize(self.tick)}.")
        if side == "SELL" and price < lowest:
            raise Refused(-4024, f"Limit price can't be lower than {lowest.quantize(self.tick)}.")
        return ticks

    def check_notional(self, notional: Decimal) -> None:
        """Refuse what is smaller than the venue's smallest order (-4164)."""
        if notional < self.min_notional:
            raise Refused(
                -4164,
                f"Order's notional must be no smaller than {self.min_notional} "
                "(unless you choose reduce only).",
            )


_PRECISION = "Precision is over the maximum defined for this asset."


def _whole(value: Decimal, unit: Decimal, code: int, message: str) -> int:
    if value.normalize().as_tuple().exponent < unit.normalize().as_tuple().exponent:  # type: ignore[operator]
        raise Refused(-1111, _PRECISION)
    count = value / unit
    if count != int(count):
        raise Refused(code, message)
    return int(count)


def check_client_id(client_id: str) -> None:
    """Refuse what is no client order id (-4015)."""
    if not _CLIENT_ID.fullmatch(client_id):
        raise Refused(-4015, "Client order id is not valid.")


def rules_of(contract: Contract, *, base: str = "ETH", quote: str = "USDT") -> SymbolRules:
    """Rules of a linear contract.

    Examples
    --------
    >>> from counterpoise.venues import venues
    >>> rules = rules_of(venues["binance"][-1])
    >>> rules.taker_fee, rules.maintenance(Decimal(1_000_000)), rules.max_notional(20)
    (Decimal('0.0005'), Decimal('5550.0000'), Decimal('65000000'))
    >>> [rules.bracket(Decimal(notional)).max_leverage for notional in (50_000, 50_001)]
    [125, 100]
    """
    return SymbolRules(
        symbol=contract.symbol,
        base=base,
        quote=quote,
        tick=exact(contract.tick_usd),
        step=exact(contract.step_eth),
        min_notional=exact(contract.min_notional_usd),
        maker_fee=exact(contract.maker_fee),
        taker_fee=exact(contract.taker_fee),
        liquidation_fee=exact(contract.liquidation_fee),
        brackets=tuple(
            Bracket(exact(t.cap), exact(t.rate), int(t.max_leverage), exact(t.amount))
            for t in contract.tiers
        ),
        min_price=exact(contract.tick_usd),
    )


def exact(value: float) -> Decimal:
    """The decimal a float was written as."""
    return Decimal(int(value)) if float(value).is_integer() else Decimal(repr(value))
