"""What the hedge account is worth and what it has cost so far, counted fill by fill.

Equity at a perpetual price is ``cash - short · price``, with ``cash`` what sales brought in on top
of the collateral: exact for a linear contract whatever the average entry was. Nothing is decided
here.
"""

from dataclasses import dataclass

from counterpoise.execution.events import Fill, Funding, Snapshot
from counterpoise.execution.records import FillBooked, Moved
from counterpoise.units import HOURS_PER_YEAR, NS_PER_HOUR

#: Decimals of ETH that every venue's grid fits in: sums of sizes stay on it.
GRID_DIGITS = 9


@dataclass(slots=True)
class Account:
    """One linear account.

    Attributes
    ----------
    short_eth : float
        Positive is short.
    cash_usd : float
        Equity plus the short at the price it is marked at.
    paid_in_usd : float
        Collateral paid to the venue, net of what came back.
    coming_usd : float
        Collateral on its way to the venue.
    charged_usd : float
        Opportunity cost of the collateral so far.
    earned_usd, fees_usd : float
        Funding received and fees paid since the beginning.
    charged_ns : int
        Until when the collateral was charged for; 0 before the first time.
    """

    short_eth: float = 0.0
    cash_usd: float = 0.0
    paid_in_usd: float = 0.0
    coming_usd: float = 0.0
    charged_usd: float = 0.0
    earned_usd: float = 0.0
    fees_usd: float = 0.0
    charged_ns: int = 0

    def equity_usd(self, price: float) -> float:
        """Margin equity at a perpetual price, USD."""
        return self.cash_usd - self.short_eth * price

    def pnl_usd(self, price: float) -> float:
        """P&L of the hedge after all costs, the cost of capital included, USD."""
        return self.equity_usd(price) + self.coming_usd - self.paid_in_usd - self.charged_usd

    def book(self, fill: Fill | FillBooked) -> None:
        """Count a fill."""
        sign = 1.0 if fill.side == "sell" else -1.0
        self.short_eth = round(self.short_eth + sign * fill.size, GRID_DIGITS)
        self.cash_usd += sign * fill.size * fill.price - fill.fee_usd
        self.fees_usd += fill.fee_usd

    def settle(self, funding: Funding) -> None:
        """Count a funding settlement."""
        self.cash_usd += funding.usd
        self.earned_usd += funding.usd

    def follow(self, move: Moved) -> None:
        """Count collateral that was asked for, arrived or did not leave; paid in when asked for."""
        match move.status:
            case "asked":
                self.paid_in_usd += move.usd
                self.coming_usd += move.usd
            case "done":
                self.coming_usd -= move.usd
                self.cash_usd += move.usd
            case "refused" | "abandoned":
                self.paid_in_usd -= move.usd
                self.coming_usd -= move.usd

    def charge(self, now_ns: int, cost_per_year: float, price: float) -> None:
        """Charge for the collateral held since the last time; ``price`` marks what is owed."""
        if self.charged_ns:
            hours = (now_ns - self.charged_ns) / NS_PER_HOUR
            lent = self.paid_in_usd + max(-self.equity_usd(price), 0.0)
            self.charged_usd += cost_per_year / HOURS_PER_YEAR * hours * lent
        self.charged_ns = now_ns

    def adopt(self, snapshot: Snapshot) -> float:
        """Take the venue's balance and position; returns how far our count of equity was off, USD.

        A difference that is left over was paid or received by somebody else: it changes what was
        paid in, not the P&L of the hedge, unless the account has never been seen before.
        """
        cash = snapshot.wallet_usd + snapshot.short_eth * snapshot.entry
        before = self.equity_usd(snapshot.mark)
        self.short_eth, self.cash_usd = snapshot.short_eth, cash
        off = self.equity_usd(snapshot.mark) - before
        self.paid_in_usd += off
        return off
