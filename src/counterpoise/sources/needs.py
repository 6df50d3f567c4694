"""Which feeds a configuration needs, from which source, and how old their newest row may be."""

from collections.abc import Iterator
from dataclasses import dataclass

from counterpoise.config import Settings
from counterpoise.market.assemble import SPOT_VENUE, base_asset, reference_bars
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import BLOCKS, EVENTS, GAS, MACRO, ONCHAIN, VALIDATORS, DatasetKey
from counterpoise.units import DAY_MS, HOUR_MS

#: Bars that decisions are made on.
INTERVAL = "1h"
#: A row of an hour is there within the next one; archives of days come a day later.
HOURLY_MS, ARCHIVED_MS = 2 * HOUR_MS, 3 * DAY_MS
#: Markets and releases rest on weekends and holidays.
MACRO_MS = 5 * DAY_MS


@dataclass(frozen=True)
class Feed:
    """One dataset and where it comes from.

    Attributes
    ----------
    key : DatasetKey
    source, kinds : str, tuple of str
        As ``data fetch`` takes them; empty where no source brings it.
    symbol : str
        As the source takes it.
    fresh_ms : int
        Age of the newest row's ``known_at`` up to which the feed is fresh.
    why : str
        Why it is wanted, or why nothing brings it.
    """

    key: DatasetKey
    source: str
    kinds: tuple[str, ...]
    symbol: str
    fresh_ms: int
    why: str


def feeds(settings: Settings, lake: Lake) -> list[Feed]:
    """Feeds that a configuration needs, and those of its sources that the lake holds already.

    Parameters
    ----------
    settings : Settings
    lake : Lake
        What was fetched once, such as depth or metrics, is kept up to date too.
    """
    needed = {feed.key: feed for feed in _needed(settings)}
    held = lake.datasets()
    for feed in _optional(settings):
        if feed.key in held:
            needed.setdefault(feed.key, feed)
    return list(needed.values())


def _needed(settings: Settings) -> Iterator[Feed]:
    base = base_asset(settings.venue.symbol)
    tether = f"{base}USDT"
    key = DatasetKey("spot_bars", SPOT_VENUE, tether, INTERVAL)
    yield Feed(key, SPOT_VENUE, ("spot",), tether, HOURLY_MS, "what is held is valued at spot")
    key = reference_bars(tether)
    yield Feed(key, SPOT_VENUE, ("spot",), key.symbol, HOURLY_MS, "features on bitcoin")
    for venue in settings.venue.names:
        yield from _venue(venue, base)
    yield Feed(MACRO, "fred", (), "US", MACRO_MS, "inputs of the models")
    yield Feed(EVENTS, "events", (), base, -1, "the calendar of events")
    node = settings.sources.ethereum
    if node.rpc_url:
        yield Feed(GAS, "ethereum", ("gas",), base, 3 * HOUR_MS, "base fee")
    if node.beacon_url:
        yield Feed(
            VALIDATORS, "ethereum", ("validators",), base, ARCHIVED_MS, "inputs of the models"
        )
    else:
        yield Feed(
            VALIDATORS, "", (), base, ARCHIVED_MS, "set sources.ethereum.beacon_url to fetch it"
        )
    yield Feed(ONCHAIN, "", (), base, ARCHIVED_MS, "no source brings it yet: import it")


def _venue(venue: str, base: str) -> Iterator[Feed]:
    """Feeds of the perpetual of one venue, under the symbol it has there."""
    symbol, funding_h, marked = {
        "binance": (f"{base}USDT", 8, True),
        "bybit": (f"{base}USDT", 8, True),
        "okx": (f"{base}USDT", 8, True),
        "dydx": (f"{base}-USD", 1, False),
        "hyperliquid": (f"{base}USD", 1, False),
    }.get(venue, (f"{base}USDT", 8, False))
    known = venue in ("binance", "bybit", "okx", "dydx", "hyperliquid")
    source = venue if known else ""
    why = "the short is held there" if known else f"no source brings {venue}: import it"
    kinds = [("perp_bars", "klines", INTERVAL, HOURLY_MS)]
    kinds.append(("funding", "funding", f"{funding_h}h", (funding_h + 1) * HOUR_MS))
    if marked:
        kinds.append(("mark_bars", "mark", INTERVAL, HOURLY_MS))
    if venue == "binance":
        kinds.append(("premium_bars", "premium", INTERVAL, HOURLY_MS))
    for table, kind, interval, fresh_ms in kinds:
        key = DatasetKey(table, venue, symbol, interval)
        yield Feed(key, source, (kind,) if known else (), symbol, fresh_ms, why)


def _optional(settings: Settings) -> Iterator[Feed]:
    """Feeds that are kept up to date once they were fetched."""
    symbol = f"{base_asset(settings.venue.symbol)}USDT"
    for table, kind, interval in (
        ("futures_metrics", "metrics", "5m"),
        ("book_depth", "depth", "1m"),
        ("perp_bars", "trades", "1s"),
        ("spot_bars", "spot-trades", "1s"),
    ):
        key = DatasetKey(table, SPOT_VENUE, symbol, interval)
        yield Feed(key, SPOT_VENUE, (kind,), symbol, ARCHIVED_MS, "the lake holds it")
    if settings.sources.ethereum.rpc_url:
        yield Feed(BLOCKS, "ethereum", ("blocks",), "ETH", 3 * HOUR_MS, "the lake holds it")
