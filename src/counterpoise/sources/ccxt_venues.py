"""Bybit, OKX and Hyperliquid through ccxt: bars, funding and, where there is one, the mark price.

ccxt knows the addresses and formats of the venues; patience, budget and paging are ours. Its rows
are kept as it gives them, numbers as text. OKX keeps some three months of funding, and Hyperliquid
the newest 5,000 bars of an interval: older windows come back empty, and a note says so.
"""

import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import Any

import polars as pl

from counterpoise.endpoints import CcxtSource, SourceSettings
from counterpoise.errors import FixConfig, RejectData, RetryLater, printable
from counterpoise.market.assemble import base_asset
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.row_checks import SETTLEMENT_JITTER_MS
from counterpoise.market.tables import interval_ms
from counterpoise.sources.contract import SOURCES, Read, Request, Unit
from counterpoise.sources.pages import AGAIN, moment_ms, settlement_times, windows
from counterpoise.sources.transport import FIRST_WAIT_S, LONGEST_WAIT_S, Budget
from counterpoise.units import DAY_MS, HOUR_MS, stamp

#: A venue may be down or late for hours: what is older does not change any more.
SETTLED_AFTER_MS = DAY_MS
#: What ccxt stumbles over when a reply is not what it expects.
_MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class _Venue:
    """What differs between the venues.

    Attributes
    ----------
    name, quote, symbol : str
        Of ccxt, its quote and settlement asset, and the ending of the lake's symbol.
    markets : str
        What ``fetchMarkets`` has to load.
    funding : str
        Nominal interval of settlements.
    bars_page, funding_page : int
        Rows of one page.
    marked : bool
        Has bars of the mark price.
    newest_first : bool
        Which end of a window a full page holds.
    rows : tuple of str
        Keys under which a reply has its rows.
    """

    name: str
    quote: str
    symbol: str
    markets: str
    funding: str
    bars_page: int
    funding_page: int
    marked: bool
    newest_first: bool
    rows: tuple[str, ...]


VENUES = (
    _Venue("bybit", "USDT", "USDT", "linear", "8h", 1000, 200, True, True, ("result", "list")),
    _Venue("okx", "USDT", "USDT", "swap", "8h", 100, 100, True, True, ("data",)),
    _Venue("hyperliquid", "USDC", "USD", "swap", "1h", 500, 500, False, False, ()),
)

_KINDS = {
    "klines": "bars of the perpetual",
    "funding": "settled funding",
    "mark": "bars of the mark price",
}


class CcxtVenue:
    """A source that ccxt speaks to.

    Parameters
    ----------
    venue : _Venue
    settings : SourceSettings

    Raises
    ------
    FixConfig
        ccxt is not installed.
    """

    default_kinds: Sequence[str]
    revises = False

    def __init__(self, venue: _Venue, settings: SourceSettings) -> None:
        try:
            import ccxt
        except ImportError:
            raise FixConfig(
                "source",
                venue.name,
                "the package ccxt, which reads this venue",
                "pip install 'counterpoise[ccxt]'",
            ) from None
        self._venue, self._ccxt, self._attempts = venue, ccxt, settings.attempts
        mine: CcxtSource = getattr(settings, venue.name)
        self._client = getattr(ccxt, venue.name)(
            {
                "enableRateLimit": False,
                "enableLastJsonResponse": True,
                "timeout": round(settings.timeout_s * 1000),
                "options": {"fetchMarkets": {"types": [venue.markets]}, "fetchCurrencies": False},
            }
        )
        self._client.number = str
        self._client.has["fetchCurrencies"] = False
        # They would drop rows whose time or market ccxt cannot read; here such rows are refused.
        self._client.filter_by_since_limit = _every_row
        self._client.filter_by_symbol_since_limit = _every_row
        if mine.url is not None:
            self._client.urls["api"] = _at(mine.url, self._client.urls["api"])
        self._budget = Budget(mine.requests_per_minute, time.monotonic, time.sleep)
        # The client keeps state between a request and its reply.
        self._lock = Lock()
        names = [name for name in _KINDS if name != "mark" or venue.marked]
        self.kinds: Mapping[str, str] = MappingProxyType({name: _KINDS[name] for name in names})
        self.default_kinds = tuple(names)

    def now_ms(self) -> int:
        """Return the time of the venue's clock."""
        return moment_ms(self._ask(self._client.fetch_time), "time", self._venue.name)

    def plan(self, request: Request, now_ms: int) -> list[Unit]:
        """Windows of some pages on a fixed grid, from the listing of the market on."""
        venue = self._venue
        base = base_asset(request.symbol)
        name = f"{base}/{venue.quote}:{venue.quote}"
        markets = self._ask(self._client.load_markets)
        if not markets:
            raise RejectData(venue.name, "markets", "none", "its perpetuals", AGAIN)
        if name not in markets:
            raise FixConfig(
                "symbol",
                request.symbol,
                f"a perpetual of {venue.name} ({name} is none)",
                "spell it as the lake does, such as ETHUSDT",
            )
        if request.interval not in self._client.timeframes:
            listed = ", ".join(self._client.timeframes)
            raise FixConfig("interval", request.interval, f"one of {listed}", "choose one of them")
        listed_ms = int(markets[name].get("created") or 0) // DAY_MS * DAY_MS
        first = max(request.first_ms, listed_ms)
        units: list[Unit] = []
        for kind in request.kinds:
            if kind not in self.kinds:
                listed = ", ".join(self.kinds)
                raise FixConfig("kinds", kind, f"some of {listed}", "choose among them")
            table, interval = {
                "klines": ("perp_bars", request.interval),
                "mark": ("mark_bars", request.interval),
                "funding": ("funding", venue.funding),
            }[kind]
            symbol = f"{base}{venue.symbol}"
            key = DatasetKey(table, venue.name, symbol, interval)
            step = interval_ms(interval)
            funding = kind == "funding"
            page = venue.funding_page if funding else venue.bars_page
            # A settlement of the hour that just began is known at once; a running bar is not.
            last = now_ms // HOUR_MS * HOUR_MS + 1 if funding else now_ms // step * step
            units += windows(
                f"{venue.name}/{kind}/{symbol}/{interval}",
                key,
                first,
                min(request.last_ms, last),
                page * step,
                now_ms - SETTLED_AFTER_MS,
            )
        return units

    def download(self, unit: Unit) -> bytes:
        """Rows of a window as ccxt gives them, one a line and page after page."""
        venue, kind = self._venue, unit.name.split("/")[1]
        name = f"{base_asset(unit.key.symbol)}/{venue.quote}:{venue.quote}"
        step, first, until = interval_ms(unit.key.interval), unit.first_ms, unit.last_ms - 1
        if kind == "funding":
            # Settlements are never closer than an hour; their stamps may be late.
            step, until = HOUR_MS, until + SETTLEMENT_JITTER_MS
        kept: dict[str, int] = {}
        # A page shorter than asked for is no end: a mirror may give fewer rows at a time.
        while first <= until and first < unit.last_ms:
            rows = self._ask(partial(self._page, kind, name, unit, first, until))
            stamps = [_stamp(row, "a row of a page", unit.name) for row in rows]
            fresh = {
                json.dumps(row, sort_keys=True): at
                for row, at in zip(rows, stamps, strict=True)
                if first <= at <= until
            }
            if not fresh:
                if any(at > until if venue.newest_first else at < first for at in stamps):
                    seen = f"{len(stamps)} rows, none between {stamp(first)} and {stamp(until)}"
                    raise RejectData(unit.name, "page", seen, "rows not seen before", AGAIN)
                break
            kept |= fresh
            if venue.newest_first:
                until = min(fresh.values()) // step * step - 1
            else:
                first = max(fresh.values()) // step * step + step
        return "\n".join(kept).encode()

    def _page(self, kind: str, name: str, unit: Unit, first: int, until: int) -> list[Any]:
        """Rows of one page, none left out."""
        client, venue = self._client, self._venue
        # OKX excludes the bound, and names that of settlements as its own interface does.
        bound = until + 1 if venue.name == "okx" else until
        if kind == "funding":
            word = "after" if venue.name == "okx" else "until"
            found = client.fetch_funding_rate_history(
                name, first, venue.funding_page, {word: bound}
            )
        else:
            more = {"until": bound} | ({"price": "mark"} if kind == "mark" else {})
            found = client.fetch_ohlcv(name, unit.key.interval, first, venue.bars_page, more)
        told = client.last_json_response
        for key in venue.rows:
            told = told.get(key) if isinstance(told, dict) else None
        if not isinstance(told, list):
            # ccxt takes an answer of another shape, a web page say, for one without rows.
            shown = str(client.last_http_response)[:60]
            raise RejectData(unit.name, "whole reply", shown, "a list of rows", AGAIN)
        for row in found:
            if isinstance(row, dict) and row.get("symbol") != name:
                raise RejectData(unit.name, "a row's market", row.get("symbol"), name, AGAIN)
        return list(found)

    def instead(self, unit: Unit) -> Sequence[Unit]:
        """Nothing: the interface is all there is."""
        return ()

    def published(self, unit: Unit) -> None:
        """Nothing: no checksums are published."""

    def read(self, unit: Unit, content: bytes) -> Read:
        """Rows of a window in order of time, each once, and none from outside it."""
        rows: dict[int, Any] = {}
        for number, line in enumerate(content.splitlines()):
            row = _parsed(line, f"line {number}", unit.name)
            at = _stamp(row, f"line {number}", unit.name)
            if at in rows and rows[at] != row:
                expected = f"one row of {stamp(at)}"
                raise RejectData(unit.name, f"line {number}", str(row)[:80], expected, AGAIN)
            rows[at] = row
        notes = () if rows else (f"{self._venue.name} has no rows of this window",)
        table = self._funding(unit, rows) if unit.key.table == "funding" else _bars(unit, rows)
        inside = pl.col("ts").is_between(unit.first_ms, unit.last_ms, "left")
        return Read(table.filter(inside), notes)

    def _funding(self, unit: Unit, rows: Mapping[int, Any]) -> pl.DataFrame:
        ordered = sorted(rows)
        rates = [_text(rows[at], "fundingRate", at, unit.name) for at in ordered]
        stamps = settlement_times(pl.Series("ts", ordered, pl.Int64), unit.name)
        table = pl.DataFrame({"ts": stamps, "funding_rate": rates})
        if self._venue.name == "hyperliquid":
            told = [str(rows[at].get("info", {}).get("premium", "")) or None for at in ordered]
            table = table.with_columns(pl.Series("premium", told, pl.String))
        return table

    def _ask(self, call: Callable[[], Any]) -> Any:
        """Call the client, again after a failure that may pass.

        Raises
        ------
        RetryLater
            The venue does not answer.
        FixConfig
            It does not know the market.
        RejectData
            It refuses, or its answer is none of its format.
        """
        name = self._venue.name
        told = ""
        for attempt in range(self._attempts):
            self._budget.spend(1.0)
            try:
                with self._lock:
                    return call()
            except self._ccxt.BadSymbol as unknown:
                raise FixConfig(
                    "symbol", _told(unknown), f"a perpetual of {name}", "check its name"
                ) from None
            except self._ccxt.NetworkError as failed:
                told = _told(failed)
            except (self._ccxt.BaseError, *_MALFORMED) as refused:
                raise RejectData(name, "whole reply", _told(refused), "rows", AGAIN) from None
            if attempt + 1 < self._attempts:
                wait = FIRST_WAIT_S * 2**attempt * random.uniform(0.75, 1.25)
                time.sleep(min(wait, LONGEST_WAIT_S))
        tries = f"{self._attempts} {'try' if self._attempts == 1 else 'tries'}"
        raise RetryLater(
            f"{name}: {told} ({tries}). Next: run this again later, or check the network and "
            f"sources.{name}.url."
        )


def _at(url: str, known: Any) -> Any:
    """Addresses with another scheme and host, however they are nested."""
    if isinstance(known, str):
        return re.sub(r"^https?://[^/]+", lambda _: url, known)
    return {name: _at(url, address) for name, address in known.items()}


def _told(failed: Exception) -> str:
    """What ccxt says went wrong, on one line."""
    return printable(" ".join(str(failed).split()), most=160)


def _every_row(rows: Any, *_: Any, **__: Any) -> list[Any]:
    return list(rows)


def _parsed(line: bytes, place: str, name: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        shown = line[:60].decode("utf-8", "replace")
        raise RejectData(name, place, shown, "a JSON document", AGAIN) from None


def _stamp(row: Any, place: str, name: str) -> int:
    at = row.get("timestamp") if isinstance(row, dict) else row[0]
    return moment_ms(at, f"{place}: the time of {str(row)[:80]}", name)


def _text(row: Any, column: str, at: int, name: str) -> str:
    value = row.get(column) if isinstance(row, dict) else None
    if value is None:
        raise RejectData(name, f"row of {stamp(at)}, {column}", value, "a number", AGAIN)
    return str(value)


def _bars(unit: Unit, rows: Mapping[int, Any]) -> pl.DataFrame:
    columns = ["open", "high", "low", "close"]
    if unit.key.table == "perp_bars":
        columns.append("volume")
    ordered = sorted(rows)
    table: dict[str, Any] = {"ts": pl.Series(ordered, dtype=pl.Int64)}
    for place, name in enumerate(columns, start=1):
        values = []
        for at in ordered:
            row = rows[at]
            if not isinstance(row, list) or len(row) <= place or row[place] is None:
                where = f"row of {stamp(at)}, {name}"
                raise RejectData(unit.name, where, str(row)[:80], "a number", AGAIN)
            values.append(str(row[place]))
        table[name] = pl.Series(values, dtype=pl.String)
    return pl.DataFrame(table)


for _one in VENUES:
    SOURCES.add(_one.name, partial(CcxtVenue, _one))
