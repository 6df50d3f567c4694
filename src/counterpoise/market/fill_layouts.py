"""Shapes in which venues and libraries hand out a trader's own fills, recognised by their columns.

This room knows headings, zones and symbols; ``fills`` reads the values. It guesses nothing: a file
of another shape is refused with the columns it has and the shapes that are known.
"""

import re
from dataclasses import dataclass

from counterpoise.errors import RejectData


@dataclass(frozen=True)
class FillLayout:
    """One shape of fills; column names are headings as :func:`plain` writes them.

    Attributes
    ----------
    name : str
        What it is, in words.
    venue : str
        Registered name of the venue the fills are from.
    symbol : str
        Spelling of the ETH perpetual in this shape.
    time, side, price, size, fee, market : str
        Columns every file of this shape has.
    marks : frozenset of str
        Further columns by which it is told from others.
    fee_coin, fill_id, total : str
        Columns it may have: coin of the fee, id of the fill, price × size.
    fee_in : str
        Coin of the fee where no column and no value says so; empty = it has to be said.
    local_time : bool
        Whether stamps are written without a zone, which the heading or the file's name then has to
        say (``Time(UTC)``, ``…(UTC+3)….csv``).
    """

    name: str
    venue: str
    symbol: str
    time: str
    market: str
    side: str
    price: str
    size: str
    fee: str
    marks: frozenset[str] = frozenset()
    fee_coin: str = ""
    fill_id: str = ""
    total: str = ""
    fee_in: str = ""
    local_time: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """Columns without which a file is not of this shape."""
        return self.marks | {
            self.time,
            self.market,
            self.side,
            self.price,
            self.size,
            self.fee,
        }


#: A spot export has every column of this one but the realised profit.
_BINANCE_WEB = FillLayout(
    "Binance USD-M trade history",
    "binance",
    "ETHUSDT",
    time="time",
    market="symbol",
    side="side",
    price="price",
    size="quantity",
    fee="fee",
    marks=frozenset({"realized profit"}),
    fee_coin="fee coin",
    fill_id="trade id",
    total="amount",
    local_time=True,
)

LAYOUTS = (
    _BINANCE_WEB,
    FillLayout(
        "Binance /fapi/v1/userTrades",
        "binance",
        "ETHUSDT",
        time="time",
        market="symbol",
        side="side",
        price="price",
        size="qty",
        fee="commission",
        marks=frozenset({"id", "commissionasset"}),
        fee_coin="commissionasset",
        fill_id="id",
        total="quoteqty",
    ),
    FillLayout(
        "dYdX v4 indexer /v4/fills",
        "dydx",
        "ETH-USD",
        time="createdat",
        market="market",
        side="side",
        price="price",
        size="size",
        fee="fee",
        marks=frozenset({"id"}),
        fill_id="id",
        fee_in="USDC",
    ),
    FillLayout(
        "dYdX v4 web trades.csv",
        "dydx",
        "ETH-USD",
        time="time",
        market="market",
        side="side",
        price="price",
        size="amount",
        fee="fee",
        marks=frozenset({"total", "liquidity"}),
        total="total",
        fee_in="USDC",
    ),
    FillLayout(
        "ccxt trades of Binance USD-M",
        "binance",
        "ETH/USDT:USDT",
        time="timestamp",
        market="symbol",
        side="side",
        price="price",
        size="amount",
        fee="fee.cost",
        marks=frozenset({"fee.currency"}),
        fee_coin="fee.currency",
        fill_id="id",
        total="cost",
    ),
)

_ZONE = re.compile(r"\(\s*utc\s*([+-]{0,2})(\d{1,2})?(?::(\d{2}))?\s*\)", re.IGNORECASE)
_SPOT = re.compile(r"ETH/[A-Z]+")
_INVERSE = re.compile(r"ETHUSD([_ ].*)?|ETH/USD:ETH\S*")
_OTHER_ETH = re.compile(r"ETH(USDT|USDC|BUSD|FDUSD|TUSD|BTC)([_ ].*)?|ETH/\S+")


def plain(heading: str) -> str:
    """Heading in lower case, without a zone and outer blanks; a date is a time.

    Examples
    --------
    >>> plain(" Date(UTC) "), plain("Trade ID"), plain("createdAt")
    ('time', 'trade id', 'createdat')
    """
    bare = _ZONE.sub("", heading).strip().lower()
    return "time" if bare == "date" else bare


def utc_offset(text: str) -> str | None:
    """Offset that a heading or a file's name states, as ``+03:00``; None where it states none.

    Examples
    --------
    >>> utc_offset("Time(UTC)"), utc_offset("history-202601(UTC+3)-part1.csv"), utc_offset("Time")
    ('+00:00', '+03:00', None)
    >>> utc_offset("Binance-Futures-Trade-History-202603230520(UTC--6).csv")  # its own spelling
    '-06:00'
    """
    found = _ZONE.search(text)
    if found is None:
        return None
    sign = "-" if "-" in found[1] else "+"
    return f"{sign}{int(found[2] or 0):02d}:{found[3] or '00'}"


def layout_of(columns: list[str], file: str) -> FillLayout:
    """Recognise a file by its columns.

    Parameters
    ----------
    columns : list of str
        Headings as the file has them.
    file : str
        Name for messages.

    Raises
    ------
    RejectData
        No layout fits, naming the columns found and the layouts known; a spot export by its name.
    """
    have = {plain(column) for column in columns}
    for layout in LAYOUTS:
        if layout.needs <= have:
            return layout
    shown = ", ".join(columns) or "no columns"
    if _BINANCE_WEB.needs - _BINANCE_WEB.marks <= have or {"pair", "executed"} <= have:
        raise RejectData(
            file,
            "columns",
            shown,
            "fills of a perpetual; a trade history without Realized Profit is one of spot",
            "export the trade history of USD-M futures",
        )
    known = "; ".join(f"{layout.name} ({', '.join(sorted(layout.needs))})" for layout in LAYOUTS)
    raise RejectData(
        file,
        "columns",
        shown,
        f"the columns of one of these layouts: {known}",
        "export the fills again in one of them, or rename the columns to it",
    )


def is_hedged_contract(symbol: str, layout: FillLayout) -> bool | str:
    """Whether a symbol is the ETH perpetual of its venue, or what is wrong with using the file.

    Returns
    -------
    bool or str
        True for the perpetual, False for a market of another coin, and for another market of ETH
        what it is: leaving its fills out would misstate the hedge.

    Examples
    --------
    >>> [is_hedged_contract(name, LAYOUTS[0]) for name in ("ETHUSDT", "BTCUSDT", "ETHFIUSDT")]
    [True, False, False]
    >>> is_hedged_contract("ETHUSD_PERP", LAYOUTS[0])
    'a coin-margined contract'
    """
    if symbol == layout.symbol:
        return True
    if _INVERSE.fullmatch(symbol):
        return "a coin-margined contract"
    if _SPOT.fullmatch(symbol):
        return "a spot market"
    return "another contract on ETH" if _OTHER_ETH.fullmatch(symbol) else False
