"""Settings of where data is fetched from: one base URL a service, and how hard each is asked.

Every URL can point at a mirror, a proxy or a server of one's own. Keys are no settings: FRED's is
read from ``FRED_API_KEY``. What is spoken at these addresses is the house ``sources``.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from counterpoise.sections import Section, UserFile


def _base(url: str, schemes: tuple[str, str] = ("http", "https")) -> str:
    """Take an address of one of two schemes without its closing slash."""
    scheme, found, rest = url.strip().partition("://")
    if scheme not in schemes or not found or not rest.strip("/"):
        raise ValueError(f"an address such as {schemes[1]}://api.example.org")
    if any(letter.isspace() for letter in rest) or "?" in rest or "#" in rest:
        raise ValueError("an address without spaces, ? or #")
    return url.strip().rstrip("/")


def _stream_base(url: str) -> str:
    return _base(url, ("ws", "wss"))


Url = Annotated[str, AfterValidator(_base)]
StreamUrl = Annotated[str, AfterValidator(_stream_base)]
#: Requests, or the service's own weights, a minute.
Budget = Annotated[float, Field(gt=0, le=100_000)]


class BinanceSource(Section):
    """Binance: the public archive of files, and the REST interfaces for what is newer."""

    archive_url: Url = "https://data.binance.vision"
    futures_url: Url = "https://fapi.binance.com"
    spot_url: Url = "https://api.binance.com"
    stream_url: StreamUrl = Field(
        "wss://fstream.binance.com", description="of the market that is traded on paper"
    )
    weight_per_minute: Budget = Field(1200.0, description="half of what the venue allows")


class DydxSource(Section):
    """The dYdX v4 indexer."""

    indexer_url: Url = "https://indexer.dydx.trade"
    requests_per_minute: Budget = Field(300.0, description="half of what the indexer allows")


class CcxtSource(Section):
    """A venue that is read through ccxt."""

    url: Url | None = Field(None, description="default: the addresses ccxt knows")
    requests_per_minute: Budget = 120.0


class EthereumSource(Section):
    """An Ethereum execution node (JSON-RPC) and a beacon node; nothing is asked without one."""

    rpc_url: Url | None = None
    beacon_url: Url | None = None
    chain_id: Annotated[int, Field(ge=1)] = Field(1, description="1 is the main net")
    requests_per_minute: Budget = 600.0


class FredSource(Section):
    """FRED's CSV files, and ALFRED's vintages where a key is given."""

    csv_url: Url = "https://fred.stlouisfed.org"
    api_url: Url = "https://api.stlouisfed.org"
    requests_per_minute: Budget = 60.0


class EventSource(Section):
    """The calendar of events: the one that is shipped, and the user's own beside it."""

    file: UserFile | None = Field(None, description="TOML with [[event]] tables")


class SourceSettings(Section):
    """Where data is fetched from (docs/data.md)."""

    parallel: Annotated[int, Field(ge=1, le=32)] = Field(
        4, description="downloads at the same time"
    )
    attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        6, description="tries of one request before it is given up"
    )
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    binance: BinanceSource = BinanceSource()
    dydx: DydxSource = DydxSource()
    bybit: CcxtSource = CcxtSource()
    okx: CcxtSource = CcxtSource()
    hyperliquid: CcxtSource = CcxtSource()
    ethereum: EthereumSource = EthereumSource()
    fred: FredSource = FredSource()
    events: EventSource = EventSource()
