"""Binance: its public archive of daily and monthly files, and REST for what is newer.

Complete months come as one file each, the days after them as daily files, and today from REST. A
file the archive lacks is asked of REST where that has the same history. How a span is cut is in
``binance_units``; how content is read, in ``binance_files``, ``trade_bars`` and ``quote_bars``.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from counterpoise.endpoints import SourceSettings
from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.manifest import sha256
from counterpoise.market.tables import interval_ms
from counterpoise.sources import binance_files as files
from counterpoise.sources.binance_units import (
    INTERVALS,
    KINDS,
    VENUE,
    Market,
    Where,
    file_unit,
    kind_of,
    units_of,
    window_unit,
)
from counterpoise.sources.contract import SOURCES, Read, RefusedContent, Request, Unit
from counterpoise.sources.pages import moment_ms, on_one_line
from counterpoise.sources.quote_bars import read_book_ticker
from counterpoise.sources.trade_bars import read_agg_trades
from counterpoise.sources.transport import Reply, Transport
from counterpoise.units import DAY_MS

#: A month that is over for so long and has no file will not get one.
NEVER_PUBLISHED_MS = 45 * DAY_MS
#: Rows a page, and what it costs, by REST path.
_PAGES = {"/fapi/v1/fundingRate": (1000, 3.0), "/api/v3/klines": (1000, 2.0)}
_BAR_PAGE = (1500, 10.0)
_CHECKSUM = re.compile(rb"\s*([0-9a-fA-F]{64})\s+\*?(\S+)\s*")


class Binance:
    """The source ``binance``; parameters are the settings and, for tests, a transport."""

    kinds: Mapping[str, str] = MappingProxyType({name: kind.says for name, kind in KINDS.items()})
    default_kinds = ("klines", "spot", "mark", "premium", "funding")
    revises = False

    def __init__(self, settings: SourceSettings, transport: Transport | None = None) -> None:
        mine = settings.binance
        self._archive_url, self._futures_url = mine.archive_url, mine.futures_url
        self._spot_url = mine.spot_url

        def asking(setting: str) -> Transport:
            return transport or Transport(
                settings,
                per_minute=mine.weight_per_minute,
                setting=f"sources.binance.{setting}",
            )

        self._archive = asking("archive_url")
        self._futures, self._spot = asking("futures_url"), asking("spot_url")

    def now_ms(self) -> int:
        """Return the time of the venue's clock."""
        reply = self._ask("futures/um", "/fapi/v1/time", {}, 1.0)
        what = "the time of Binance"
        told = reply.json(what)
        if not isinstance(told, dict) or "serverTime" not in told:
            raise _other_shape(what, told, "an object with serverTime in ms")
        return moment_ms(told["serverTime"], "serverTime", what)

    def plan(self, request: Request, now_ms: int) -> list[Unit]:
        """Months, then days, then what is newer than the newest whole day."""
        symbol = request.symbol.upper()
        kinds = {name: kind_of(name) for name in request.kinds}
        if request.interval not in INTERVALS:
            raise FixConfig(
                "interval", request.interval, f"one of {', '.join(INTERVALS)}", "choose one of them"
            )
        units: list[Unit] = []
        listed = {
            market: self._listed_ms(market, symbol)
            for market in dict.fromkeys(kind.market for kind in kinds.values())
        }
        for name, kind in kinds.items():
            key = DatasetKey(kind.table, VENUE, symbol, kind.interval or request.interval)
            first = max(request.first_ms, listed[kind.market])
            units += units_of(name, kind, key, first, min(request.last_ms, now_ms), now_ms)
        return units

    def download(self, unit: Unit) -> bytes | None:
        """Content of a file or of the pages of a window."""
        where = Where.of(unit)
        if where.window:
            return self._pages(unit, where)
        return self._file(unit, where)

    def instead(self, unit: Unit) -> list[Unit]:
        """Days of a month without a file, or the same span from REST."""
        where = Where.of(unit)
        kind = where.kind
        if where.window:
            return []
        month = len(where.date) == len("2024-05")
        fresh = self.now_ms() - unit.last_ms < NEVER_PUBLISHED_MS
        if month and kind.daily and (fresh or kind.rest is None):
            return [
                file_unit(where.name, unit.key, day, "%Y-%m-%d", day + DAY_MS)
                for day in range(unit.first_ms, unit.last_ms, DAY_MS)
            ]
        if kind.rest is None:
            return []
        return [window_unit(where.name, unit.key, unit.first_ms, unit.last_ms, final=True)]

    def published(self, unit: Unit) -> str | None:
        """Return the checksum beside an archive file; None for windows."""
        where = Where.of(unit)
        return None if where.window else self._checksum(unit, where)

    def read(self, unit: Unit, content: bytes) -> Read:
        """Rows of a file or of pages."""
        where = Where.of(unit)
        kind, step_ms = where.kind, interval_ms(unit.key.interval)
        if where.window:
            if kind.table == "funding":
                return files.read_funding_pages(content, unit.name, unit.key.symbol)
            return files.read_kline_pages(content, unit.name, step_ms, volumes=kind.volumes)
        files.refuse_other_symbol(content, unit.name, unit.key.symbol)
        if kind.archive == "aggTrades":
            return read_agg_trades(content, unit.name, unit.first_ms, unit.last_ms)
        if kind.archive == "bookTicker":
            return read_book_ticker(content, unit.name, unit.first_ms, unit.last_ms)
        if kind.archive == "metrics":
            return files.read_metrics(content, unit.name, step_ms, unit.key.symbol)
        if kind.archive == "bookDepth":
            return files.read_depth(content, unit.name)
        if kind.archive == "fundingRate":
            return files.read_funding(content, unit.name)
        return files.read_klines(content, unit.name, step_ms, volumes=kind.volumes)

    def _listed_ms(self, market: Market, symbol: str) -> int:
        """When a symbol was listed; 0 where the venue does not say."""
        if market == "spot":
            self._ask(market, "/api/v3/exchangeInfo", {"symbol": symbol}, 20.0)
            return 0
        reply = self._ask(market, "/fapi/v1/exchangeInfo", {}, 1.0)
        what = "the symbols of Binance"
        told = reply.json(what)
        try:
            found = {str(one["symbol"]): one.get("onboardDate") for one in told["symbols"]}
            listed = moment_ms(found.get(symbol) or 0, f"onboardDate of {symbol}", what)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _other_shape(what, told, "an object with symbols and when each began") from None
        if symbol not in found:
            raise _unknown_symbol(symbol, list(found))
        return listed // DAY_MS * DAY_MS

    def _ask(self, market: Market, path: str, params: dict[str, str | int], weight: float) -> Reply:
        base = self._spot_url if market == "spot" else self._futures_url
        transport = self._spot if market == "spot" else self._futures
        reply = transport.get(f"{base}{path}", params, weight=weight)
        if reply.status == 200:
            return reply
        raise _refusal(reply, f"{base}{path}", str(params.get("symbol", "")))

    def _pages(self, unit: Unit, where: Where) -> bytes:
        """Every page of a window, one a line."""
        kind = where.kind
        assert kind.rest is not None
        limit, weight = _PAGES.get(kind.rest, _BAR_PAGE)
        params: dict[str, str | int] = {"symbol": unit.key.symbol, "limit": limit}
        if kind.table != "funding":
            params["interval"] = unit.key.interval
        lines = []
        begin = unit.first_ms
        # A page that has the last bar is the last one; when the last settlement is, nobody knows.
        step = 1 if kind.table == "funding" else interval_ms(unit.key.interval)
        while begin + step - 1 < unit.last_ms:
            reply = self._ask(
                kind.market,
                kind.rest,
                params | {"startTime": begin, "endTime": unit.last_ms - 1},
                weight,
            )
            rows = reply.json(unit.name)
            if not isinstance(rows, list):
                raise RefusedContent(
                    reply.content,
                    unit.name,
                    "page",
                    type(rows).__name__,
                    "a JSON list",
                    "run again",
                )
            lines.append(on_one_line(reply.content))
            newest = max((_row_ms(row, unit.name) for row in rows), default=begin)
            # Settlements of one stamp may be split by a page: the next one begins at it.
            following = newest if kind.table == "funding" else newest + 1
            # A page shorter than asked for is no end: a mirror may give fewer rows at a time.
            if not rows or following <= begin:
                break
            begin = following
        return b"\n".join(lines)

    def _file(self, unit: Unit, where: Where) -> bytes | None:
        """An archive file that has the checksum published beside it."""
        published: str | None = ""
        found = ""
        content = b""
        for _ in range(2):
            # Asked again beside the file: between the two it may have been published anew.
            published = self._checksum(unit, where)
            if published is None:
                return None
            reply = self._archive.get(self._url(unit, where))
            if reply.status == 404:
                return None
            if reply.status != 200:
                raise _refusal(reply, self._url(unit, where), unit.key.symbol)
            content, found = reply.content, sha256(reply.content)
            if found == published:
                return content
        raise RefusedContent(
            content,
            unit.name,
            "whole file",
            f"SHA-256 {found}",
            f"{published}, which is published beside it",
            "run again later: the archive may be publishing it anew",
        )

    def _checksum(self, unit: Unit, where: Where) -> str | None:
        url = f"{self._url(unit, where)}.CHECKSUM"
        reply = self._archive.get(url)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise _refusal(reply, url, unit.key.symbol)
        match = _CHECKSUM.fullmatch(reply.content)
        wanted = self._url(unit, where).rpartition("/")[2]
        if match is None or match[2].decode("utf-8", "replace") != wanted:
            shown = reply.content[:90].decode("utf-8", "replace")
            expected = f"64 hexadecimal digits and {wanted}"
            raise RejectData(f"{unit.name}.CHECKSUM", "first line", shown, expected, "run again")
        return match[1].decode().lower()

    def _url(self, unit: Unit, where: Where) -> str:
        kind, symbol = where.kind, unit.key.symbol
        period = "monthly" if len(where.date) == len("2024-05") else "daily"
        bars = kind.interval is None
        folder = f"{symbol}/{unit.key.interval}" if bars else symbol
        what = unit.key.interval if bars else kind.archive
        return (
            f"{self._archive_url}/data/{kind.market}/{period}/{kind.archive}/{folder}/"
            f"{symbol}-{what}-{where.date}.zip"
        )


def _row_ms(row: Any, name: str) -> int:
    try:
        return int(row["fundingTime"] if isinstance(row, dict) else row[0])
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        raise RejectData(
            name, "a row of a page", row, "a row that begins with its time", "run again"
        ) from None


def _other_shape(what: str, told: object, expected: str) -> RejectData:
    return RejectData(
        what,
        "whole reply",
        str(told)[:60],
        expected,
        "look at the addresses under sources.binance: one may be another service",
    )


def _refusal(reply: Reply, url: str, symbol: str) -> Exception:
    """The error for an answer that is none, by the venue's own code."""
    try:
        told = json.loads(reply.content)
        code, words = int(told["code"]), str(told["msg"])
    except (ValueError, KeyError, TypeError):
        code, words = 0, reply.content[:80].decode("utf-8", "replace")
    if code == -1121:
        return _unknown_symbol(symbol, [])
    if reply.status in (403, 451):
        return FixConfig(
            "sources.binance",
            url,
            f"an address that may be asked from here (status {reply.status})",
            "name one that may, such as a mirror, in sources.binance",
        )
    if code == -1003:
        return RetryLater(f"{url}: {words}. Next: run this again in some minutes.")
    return RejectData(
        url, "whole reply", f"status {reply.status}: {words}", "status 200", "run again"
    )


def _unknown_symbol(symbol: str, known: Sequence[str]) -> FixConfig:
    near = difflib.get_close_matches(symbol, known, n=1)
    return FixConfig(
        "symbol",
        symbol,
        "a symbol that Binance lists",
        f"did you mean {near[0]}?" if near else "spell it as Binance does, such as ETHUSDT",
    )


_make: Callable[[SourceSettings], Binance] = Binance
SOURCES.add("binance", _make)
