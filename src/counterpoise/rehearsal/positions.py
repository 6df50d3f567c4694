"""A position under Binance's rules: average entry, realised P&L, liquidation price."""

from dataclasses import dataclass
from decimal import Decimal

from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.orders import ZERO, PositionSide

CENT = Decimal("1E-8")


def cents(usd: Decimal) -> Decimal:
    """Rounded to the eighth decimal, as the venue books money."""
    return usd.quantize(CENT)


@dataclass(slots=True)
class Position:
    """One side of one symbol; ``amount`` is negative when short.

    Attributes
    ----------
    cost : Decimal
        Average entry times ``|amount|``, USD.
    fees : Decimal
        Commission paid since it was opened, USD.
    isolated_wallet : Decimal
        USD set aside for it; 0 of a cross position.
    """

    symbol: str
    side: PositionSide
    amount: Decimal = ZERO
    cost: Decimal = ZERO
    fees: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    update_ms: int = 0

    @property
    def entry(self) -> Decimal:
        """Average entry price, USD; 0 without a position."""
        return self.cost / abs(self.amount) if self.amount else ZERO

    @property
    def break_even(self) -> Decimal:
        """Price at which closing repays the commission so far; 0 without a position."""
        return self.entry + self.fees / self.amount if self.amount else ZERO

    def unrealised(self, mark: Decimal) -> Decimal:
        """P&L at the mark, USD."""
        return self.amount * mark - (self.cost if self.amount > 0 else -self.cost)

    def fill(self, amount: Decimal, price: Decimal) -> Decimal:
        """Add a signed amount at a price that does not cross zero.

        Returns
        -------
        Decimal
            P&L realised, USD, to the eighth decimal; 0 when the position grows.
        """
        if self.amount * amount >= 0:
            self.amount += amount
            self.cost += abs(amount) * price
            return ZERO
        closed = self.cost * abs(amount / self.amount)
        sign = 1 if self.amount > 0 else -1
        realised = cents(sign * (abs(amount) * price - closed))
        self.cost -= closed
        self.amount += amount
        if not self.amount:
            self.cost = self.fees = ZERO
        return realised


def liquidation_price(
    position: Position, wallet: Decimal, rules: SymbolRules, others: Decimal = ZERO
) -> Decimal:
    """Mark at which the margin of a position meets its maintenance; 0 where none does.

    Parameters
    ----------
    position : Position
    wallet : Decimal
        USD behind it: its isolated wallet, or the cross wallet.
    rules : SymbolRules
    others : Decimal
        Unrealised P&L less maintenance of the other cross positions, USD.

    Notes
    -----
    (WB + others + cum - side·Q·EP) / (Q·MMR - side·Q), of the tier the position has at the result:
    the first whose cap holds it, because maintenance is continuous from tier to tier.
    """
    size = abs(position.amount)
    if not size:
        return ZERO
    sign = 1 if position.amount > 0 else -1
    price = ZERO
    for bracket in rules.brackets:
        price = (wallet + others + bracket.amount - sign * position.cost) / (
            size * (bracket.rate - sign)
        )
        if price * size <= bracket.cap:
            break
    return max(price, ZERO)
