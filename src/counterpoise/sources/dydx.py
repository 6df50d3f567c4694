"""The dYdX v4 indexer: candles, hourly funding and trades, which come newest first.

Its symbols are tickers such as ETH-USD. Candles of hours without a trade do not exist. Their open
interest and mid prices are left out: no table of the lake has a place for them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from counterpoise.endpoints import SourceSettings
from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.assemble import base_asset
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.row_checks import SETTLEMENT_JITTER_MS
from counterpoise.market.tables import interval_ms
from counterpoise.sources.contract import SOURCES, Read, Request, Unit
from counterpoise.sources.pages import (
    AGAIN,
    documents,
    field_of,
    moment_ms,
    on_one_line,
    rows_of,
    windows,
)
from counterpoise.sources.trade_bars import bars_of_trades
from counterpoise.sources.transport import Reply, Transport
from counterpoise.units import DAY_MS, HOUR_MS, from_ms, to_ms

VENUE = "dydx"
RESOLUTIONS = {
    "1m": "1MIN",
    "5m": "5MINS",
    "15m": "15MINS",
    "30m": "30MINS",
    "1h": "1HOUR",
    "4h": "4HOURS",
    "1d": "1DAY",
}
#: Most rows the indexer gives at once.
LIMIT = 1000
#: The indexer may halt or lag behind its chain for hours: what is older does not change any more.
SETTLED_AFTER_MS = DAY_MS

_CANDLE = {
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "baseTokenVolume": "volume",
    "usdVolume": "quote_volume",
    "trades": "trades",
}
_TRADE = ("id", "side", "size", "price", "createdAt")


class Dydx:
    """The source ``dydx``; parameters are the settings and, for tests, a transport."""

    kinds: Mapping[str, str] = MappingProxyType(
        {
            "klines": "candles of the perpetual",
            "funding": "funding of every hour, with the oracle price it was paid at",
            "trades": "bars of a second from every trade",
        }
    )
    default_kinds = ("klines", "funding")
    revises = False

    def __init__(self, settings: SourceSettings, transport: Transport | None = None) -> None:
        self._url = settings.dydx.indexer_url
        self._transport = transport or Transport(
            settings,
            per_minute=settings.dydx.requests_per_minute,
            setting="sources.dydx.indexer_url",
        )

    def now_ms(self) -> int:
        """Return the time of the indexer's clock."""
        what = "the time of dYdX"
        told = field_of(self._ask("/v4/time", {}).json(what), "epoch", what)
        try:
            return moment_ms(float(told) * 1000, "epoch", what)
        except (TypeError, ValueError):
            raise RejectData(what, "epoch", told, "seconds since 1970", AGAIN) from None

    def plan(self, request: Request, now_ms: int) -> list[Unit]:
        """Windows of a thousand bars or settlements, or a day of trades, on a fixed grid."""
        ticker = f"{base_asset(request.symbol)}-USD"
        known, what = self._ask("/v4/perpetualMarkets", {"ticker": ticker}), "the markets of dYdX"
        markets = field_of(known.json(what), "markets", what) if known.status == 200 else {}
        if not isinstance(markets, dict) or ticker not in markets:
            raise FixConfig(
                "symbol",
                request.symbol,
                "a market of dYdX",
                "spell it as dYdX does, such as ETH-USD",
            )
        if request.interval not in RESOLUTIONS:
            listed = ", ".join(RESOLUTIONS)
            raise FixConfig("interval", request.interval, f"one of {listed}", "choose one of them")
        units: list[Unit] = []
        for kind in request.kinds:
            if kind not in self.kinds:
                listed = ", ".join(self.kinds)
                raise FixConfig("kinds", kind, f"some of {listed}", "choose among them")
            table, interval = {
                "klines": ("perp_bars", request.interval),
                "funding": ("funding", "1h"),
                "trades": ("perp_bars", "1s"),
            }[kind]
            key = DatasetKey(table, VENUE, ticker, interval)
            step = HOUR_MS if kind == "funding" else interval_ms(interval)
            # A settlement of the hour that just began is known at once; a running bar is not.
            last = min(request.last_ms, now_ms // step * step + (1 if kind == "funding" else 0))
            length = DAY_MS if kind == "trades" else LIMIT * step
            prefix = f"{VENUE}/{kind}/{ticker}/{interval}"
            settled = now_ms - SETTLED_AFTER_MS
            units += windows(prefix, key, request.first_ms, last, length, settled)
        return units

    def download(self, unit: Unit) -> bytes:
        """Every page of a window, newest first."""
        kind = unit.name.split("/")[1]
        path, field, stamp = {
            "klines": (f"/v4/candles/perpetualMarkets/{unit.key.symbol}", "candles", "startedAt"),
            "funding": (
                f"/v4/historicalFunding/{unit.key.symbol}",
                "historicalFunding",
                "effectiveAt",
            ),
            "trades": (f"/v4/trades/perpetualMarket/{unit.key.symbol}", "trades", "createdAt"),
        }[kind]
        lines: list[bytes] = []
        seen: set[str] = set()
        # An indexer may give fewer rows at a time than it is asked for.
        fullest = 1
        until = unit.last_ms + (SETTLEMENT_JITTER_MS if kind == "funding" else 0)
        while True:
            reply = self._ask(path, self._query(kind, unit, until))
            if reply.status != 200:
                told = reply.content[:120].decode("utf-8", "replace")
                raise RejectData(unit.name, "page", f"status {reply.status}: {told}", "rows", AGAIN)
            rows = rows_of(reply.json(unit.name), field, [stamp], unit.name)
            identities = {str(row.get("id") or row[stamp]) for row in rows}
            if not identities - seen:
                # Nothing new: the end, or a page that only repeats what is known.
                oldest = min((_ms(row[stamp], unit.name) for row in rows), default=0)
                full = len(rows) >= LIMIT
                if not full and oldest > unit.first_ms and len(rows) >= fullest:
                    before = self._ask(path, self._query(kind, unit, oldest - 1)).json(unit.name)
                    full = bool(rows_of(before, field, [stamp], unit.name))
                if oldest > unit.first_ms and full:
                    raise RejectData(
                        unit.name,
                        f"page up to {from_ms(until).isoformat()}",
                        f"{len(rows)} rows that were seen before",
                        "older rows",
                        "more rows share one moment than a page holds: fetch a narrower span",
                    )
                return b"\n".join(lines)
            seen |= identities
            fullest = max(fullest, len(rows))
            lines.append(on_one_line(reply.content))
            oldest = min(_ms(row[stamp], unit.name) for row in rows)
            if oldest < unit.first_ms:
                return b"\n".join(lines)
            until = oldest

    def _query(self, kind: str, unit: Unit, until_ms: int) -> dict[str, str | int]:
        until = _iso(until_ms)
        if kind == "klines":
            # The end is exclusive at the indexer; a candle that comes twice is counted once.
            return {
                "resolution": RESOLUTIONS[unit.key.interval],
                "fromISO": _iso(unit.first_ms),
                "toISO": until,
                "limit": LIMIT,
            }
        if kind == "funding":
            return {"effectiveBeforeOrAt": until, "limit": LIMIT}
        return {"createdBeforeOrAt": until, "limit": LIMIT}

    def instead(self, unit: Unit) -> Sequence[Unit]:
        """Nothing: the indexer is all there is."""
        return ()

    def published(self, unit: Unit) -> None:
        """Nothing: the indexer publishes no checksums."""

    def read(self, unit: Unit, content: bytes) -> Read:
        """Rows of a window in order of time, each once, and none from outside it."""
        kind = unit.name.split("/")[1]
        pages = documents(content, unit.name)
        if kind == "klines":
            return self._candles(unit, pages)
        if kind == "funding":
            return self._funding(unit, pages)
        return self._trades(unit, pages)

    def _candles(self, unit: Unit, pages: Iterator[Any]) -> Read:
        rows: dict[int, dict[str, Any]] = {}
        for page in pages:
            for row in rows_of(page, "candles", ["startedAt", "resolution", *_CANDLE], unit.name):
                if row["resolution"] != RESOLUTIONS[unit.key.interval]:
                    expected = RESOLUTIONS[unit.key.interval]
                    raise RejectData(unit.name, "resolution", row["resolution"], expected, AGAIN)
                _keep(rows, _ms(row["startedAt"], unit.name), row, unit.name)
        ordered = _within(rows, unit)
        columns = {
            ours: [str(rows[at][theirs]) for at in ordered] for theirs, ours in _CANDLE.items()
        }
        return Read(pl.DataFrame({"ts": ordered} | columns))

    def _funding(self, unit: Unit, pages: Iterator[Any]) -> Read:
        rows: dict[int, dict[str, Any]] = {}
        for page in pages:
            wanted = ["effectiveAt", "rate", "price"]
            for row in rows_of(page, "historicalFunding", wanted, unit.name):
                at = _ms(row["effectiveAt"], unit.name)
                # Booked by the first block after the hour; a halted chain books later.
                late = at % HOUR_MS
                _keep(rows, at - late if late <= SETTLEMENT_JITTER_MS else at, row, unit.name)
        ordered = _within(rows, unit)
        table = {
            "ts": ordered,
            "funding_rate": [str(rows[at]["rate"]) for at in ordered],
            "interval_h": [1.0] * len(ordered),
            "mark_price": [str(rows[at]["price"]) for at in ordered],
        }
        return Read(pl.DataFrame(table))

    def _trades(self, unit: Unit, pages: Iterator[Any]) -> Read:
        rows: dict[str, tuple[int, dict[str, Any]]] = {}
        for page in pages:
            for row in rows_of(page, "trades", _TRADE, unit.name):
                rows.setdefault(str(row["id"]), (_ms(row["createdAt"], unit.name), row))
        # Newest first and, within one block, in the reverse of its order.
        inside = [one for one in rows.values() if unit.first_ms <= one[0] < unit.last_ms][::-1]
        inside.sort(key=lambda one: one[0])
        sides = [str(row["side"]) for _, row in inside]
        for side in set(sides) - {"BUY", "SELL"}:
            raise RejectData(unit.name, "side", side, "BUY or SELL, of the taker", AGAIN)
        return Read(
            bars_of_trades(
                np.array([at for at, _ in inside], np.int64),
                _numbers([row["price"] for _, row in inside], "price", unit.name),
                _numbers([row["size"] for _, row in inside], "size", unit.name),
                np.array([side == "BUY" for side in sides], np.bool_),
            )
        )

    def _ask(self, path: str, params: dict[str, str | int]) -> Reply:
        return self._transport.get(f"{self._url}{path}", params)


def _iso(ms: int) -> str:
    return from_ms(ms).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def _ms(text: object, name: str) -> int:
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            raise ValueError
        return to_ms(moment)
    except ValueError:
        expected = "a moment such as 2024-01-31T08:00:00.000Z"
        raise RejectData(name, "a time", text, expected, AGAIN) from None


def _keep(rows: dict[int, dict[str, Any]], at: int, row: dict[str, Any], name: str) -> None:
    """Keep a row, which may come again, as it was, on the page after."""
    if rows.setdefault(at, row) != row:
        expected = f"what another row of {from_ms(at).isoformat()} says"
        raise RejectData(name, "a row of a page", str(row)[:80], expected, AGAIN)


def _within(rows: Mapping[int, Any], unit: Unit) -> list[int]:
    return sorted(at for at in rows if unit.first_ms <= at < unit.last_ms)


def _numbers(texts: list[object], column: str, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    for row, text in enumerate(texts):
        try:
            if float(str(text)) > 0:
                continue
        except ValueError:
            pass
        raise RejectData(name, f"row {row}, column {column}", text, "a number above 0", AGAIN)
    return np.array([float(str(text)) for text in texts], np.float64)


_make: Callable[[SourceSettings], Dydx] = Dydx
SOURCES.add("dydx", _make)
