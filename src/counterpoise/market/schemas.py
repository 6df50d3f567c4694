"""Schemas of the lake's tables: their columns, and when a row of each becomes known.

What makes a file's rows right is in ``tables``; nothing here reads data.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from counterpoise.market.columns import TS
from counterpoise.units import HOUR_MS, MINUTE_MS

Kind = Literal["price", "amount", "number", "text", "moment"]
Known = Literal[
    "after interval", "at settlement", "at once", "after the day", "at release", "announced"
]


@dataclass(frozen=True)
class Column:
    """One column: name, stored type, rule of its values, whether it may be empty or absent."""

    name: str
    kind: Kind
    nullable: bool = False
    integer: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def dtype(self) -> pl.DataType:
        """Stored polars type."""
        if self.kind == "text":
            return pl.String()
        if self.kind == "moment":
            return TS
        return pl.Int64() if self.integer else pl.Float64()


@dataclass(frozen=True)
class TableSpec:
    """Contract of one table.

    Attributes
    ----------
    name : str
    columns : tuple of Column
        All but ``ts`` and ``known_at``.
    known : str
        When a row becomes known: at the end of its interval or day, at its own ``ts`` (a
        settlement, a reading that is public at once), at its release, or when announced.
    delay_ms : int
        Added to that moment, for what takes time to reach a reader.
    series : str or None
        Column that, with ``ts``, identifies a row; None where ``ts`` alone does.
    regular : bool
        True when rows sit on a grid of their interval.
    """

    name: str
    columns: tuple[Column, ...]
    known: Known
    delay_ms: int = 0
    series: str | None = None
    regular: bool = True

    @property
    def key(self) -> list[str]:
        """Columns that identify a row, in sort order."""
        return ["ts"] if self.series is None else ["ts", self.series]

    @property
    def stored(self) -> list[str]:
        """Stored columns in their order."""
        return ["ts", "known_at", *(column.name for column in self.columns)]


_OHLC = tuple(Column(name, "price") for name in ("open", "high", "low", "close"))
_RATES = tuple(Column(name, "number") for name in ("open", "high", "low", "close"))
_FLOW = (
    Column("volume", "amount"),
    Column("quote_volume", "amount", nullable=True),
    Column("trades", "amount", nullable=True, integer=True),
    Column("taker_buy_base", "amount", nullable=True),
    Column("taker_buy_quote", "amount", nullable=True),
)

#: Every table of the lake, by name.
SPECS: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        TableSpec("spot_bars", _OHLC + _FLOW, "after interval"),
        TableSpec("perp_bars", _OHLC + _FLOW, "after interval"),
        TableSpec("mark_bars", _OHLC, "after interval"),
        TableSpec("premium_bars", _RATES, "after interval"),
        TableSpec(
            "quote_bars",
            (
                Column("bid", "price"),
                Column("bid_eth", "amount"),
                Column("ask", "price"),
                Column("ask_eth", "amount"),
                Column("updates", "amount", integer=True),
            ),
            "after interval",
        ),
        TableSpec(
            "book_depth",
            (
                Column("band_pct", "number"),
                Column("depth_eth", "amount"),
                Column("notional_usd", "amount"),
            ),
            "at once",
            series="band_pct",
            regular=False,
        ),
        TableSpec(
            "futures_metrics",
            (
                Column("open_interest_eth", "amount"),
                Column("open_interest_usd", "amount"),
                Column("top_accounts_ratio", "amount", nullable=True),
                Column("top_positions_ratio", "amount", nullable=True),
                Column("accounts_ratio", "amount", nullable=True),
                Column("taker_ratio", "amount", nullable=True),
            ),
            "after interval",
        ),
        TableSpec(
            "funding",
            (
                Column("funding_rate", "number"),
                Column("interval_h", "price", nullable=True),
                Column("mark_price", "price", nullable=True),
                Column("premium", "number", nullable=True),
            ),
            "at settlement",
            regular=False,
        ),
        TableSpec(
            "gas_hourly",
            (
                Column("base_fee_first_wei", "amount"),
                Column("base_fee_mean_wei", "amount"),
                Column("base_fee_max_wei", "amount"),
                Column("base_fee_last_wei", "amount"),
                Column("gas_used_ratio", "amount"),
                Column("priority_fee_p10_wei", "amount", nullable=True),
                Column("priority_fee_p50_wei", "amount", nullable=True),
                Column("priority_fee_p90_wei", "amount", nullable=True),
                Column("blocks", "amount", integer=True),
            ),
            "after interval",
            delay_ms=MINUTE_MS,
        ),
        TableSpec(
            "blocks",
            (
                Column("number", "amount", integer=True),
                Column("gas_used", "amount"),
                Column("gas_limit", "amount"),
                Column("base_fee_wei", "amount", nullable=True),
                Column("tx_count", "amount", integer=True),
            ),
            "at once",
            delay_ms=12_000,
            regular=False,
        ),
        TableSpec(
            "onchain_daily",
            (
                Column("gas_used", "amount"),
                Column("avg_gas_price_wei", "amount"),
                Column("gas_limit_avg", "amount"),
                Column("tx_count", "amount"),
                Column("ether_price_usd", "amount", nullable=True),
            ),
            "after the day",
            delay_ms=HOUR_MS,
        ),
        TableSpec(
            "validators_daily",
            (
                Column("active_validators", "amount"),
                Column("staked_eth", "amount", nullable=True, aliases=("staked_eth_approx",)),
                Column("entry_queue_eth", "amount", nullable=True),
                Column("exit_queue_eth", "amount", nullable=True),
                Column("staking_apr_pct", "amount", nullable=True, aliases=("apr_pct",)),
            ),
            "after the day",
        ),
        TableSpec(
            "macro_daily",
            (Column("series", "text"), Column("value", "number")),
            "at release",
            series="series",
        ),
        TableSpec(
            "events",
            (
                Column("name", "text"),
                Column("class", "text"),
                Column("announced_at", "moment"),
                Column("source", "text"),
                Column("withdrawn_at", "moment", nullable=True),
            ),
            "announced",
            series="name",
            regular=False,
        ),
    )
}
