"""The account as the local venue itself has it, to be held against what the run remembers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from counterpoise.rehearsal.feed import Market, MarketEvent, Trade
from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.units import MINUTE_MS

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """A fill as the venue has it; USD and ETH, ``side`` as Binance writes it."""

    trade_id: str
    client_id: str
    side: str
    price: float
    size: float
    fee_usd: float
    maker: bool


@dataclass(frozen=True, slots=True)
class AtVenue:
    """The account at the end.

    Attributes
    ----------
    short_eth, entry, wallet_usd : float
    funding_usd, moved_usd : float
        Funding received, and collateral moved into the wallet, in all.
    orders, stops : tuple of (str, str)
        Client id and Binance's status of every order and every conditional order ever taken.
    trades : tuple of VenueTrade
    traded_eth : dict of int to float
        What the market traded, by the minute's first ms.
    calls : dict of str to int
        How often each call was made.
    """

    short_eth: float
    entry: float
    wallet_usd: float
    funding_usd: float
    moved_usd: float
    orders: tuple[tuple[str, str], ...]
    stops: tuple[tuple[str, str], ...]
    trades: tuple[VenueTrade, ...] = field(repr=False)
    traded_eth: dict[int, float] = field(repr=False)
    calls: dict[str, int] = field(repr=False)


class Counted:
    """A market that counts what trades on it while it is played.

    Parameters
    ----------
    market : Market
    rules : SymbolRules

    Attributes
    ----------
    steps : Counter of int
        Steps of the size by the minute's first ms.
    """

    def __init__(self, market: Market, rules: SymbolRules) -> None:
        self._market, self._symbol = market, rules.symbol
        self.rules = rules
        self.steps: Counter[int] = Counter()

    def __iter__(self) -> Iterator[MarketEvent]:
        for event in self._market:
            if isinstance(event, Trade) and event.symbol == self._symbol:
                self.steps[event.ts_ms // MINUTE_MS * MINUTE_MS] += event.size
            yield event


def account_of(venue: "Venue", market: Counted) -> AtVenue:
    """The account of the market's symbol."""
    exchange, symbol = venue.exchange, market.rules.symbol
    account, position = exchange.account, exchange.account.position(symbol)
    orders = exchange.all_orders(symbol)
    names = {order.order_id: order.client_id for order in orders}

    def booked(kind: str) -> float:
        return float(sum(one.usd for one in account.incomes if one.type == kind))

    return AtVenue(
        short_eth=-float(position.amount),
        entry=float(position.entry),
        wallet_usd=float(account.wallet),
        funding_usd=booked("FUNDING_FEE"),
        moved_usd=booked("TRANSFER"),
        orders=tuple((order.client_id, order.status) for order in orders),
        stops=tuple((algo.client_id, algo.status) for algo in exchange.algos.all(symbol)),
        trades=tuple(
            VenueTrade(
                str(trade.trade_id),
                names[trade.order_id],
                trade.side,
                float(trade.price),
                float(trade.quantity),
                float(trade.commission),
                trade.maker,
            )
            for trade in account.trades
        ),
        traded_eth={ms: float(market.rules.quantity(n)) for ms, n in market.steps.items()},
        calls=dict(venue.calls),
    )
