"""What Binance has, and how a span of it is cut into units: months, days, and what is newer.

Nothing is asked here; the addresses and answers are in ``binance``.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from counterpoise.errors import FixConfig
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.tables import interval_ms
from counterpoise.sources.contract import Unit
from counterpoise.units import DAY_MS, MINUTE_MS, from_ms, to_ms

VENUE = "binance"
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
#: The archive's readings of a day end with that of the next midnight.
_METRICS_STEP_MS = 5 * MINUTE_MS

Market = Literal["futures/um", "spot"]


@dataclass(frozen=True)
class Kind:
    """Where one kind of data lies and what becomes of it.

    Attributes
    ----------
    says : str
        A sentence for people.
    table : str
        Of the lake.
    market : {"futures/um", "spot"}
    archive : str
        Name of the type in the archive.
    interval : str or None
        Where it is not that of the request.
    monthly, daily : bool
        Which files the archive has.
    rest : str or None
        Path of the same history at the REST interface.
    volumes : bool
        Whether its bars have volumes.
    """

    says: str
    table: str
    market: Market
    archive: str
    interval: str | None = None
    monthly: bool = True
    daily: bool = True
    rest: str | None = None
    volumes: bool = True


KINDS = {
    "klines": Kind(
        "bars of the perpetual", "perp_bars", "futures/um", "klines", rest="/fapi/v1/klines"
    ),
    "spot": Kind("bars of spot", "spot_bars", "spot", "klines", rest="/api/v3/klines"),
    "mark": Kind(
        "bars of the mark price",
        "mark_bars",
        "futures/um",
        "markPriceKlines",
        rest="/fapi/v1/markPriceKlines",
        volumes=False,
    ),
    "premium": Kind(
        "bars of the premium index, from which funding is made",
        "premium_bars",
        "futures/um",
        "premiumIndexKlines",
        rest="/fapi/v1/premiumIndexKlines",
        volumes=False,
    ),
    "funding": Kind(
        "settled funding",
        "funding",
        "futures/um",
        "fundingRate",
        interval="8h",
        daily=False,
        rest="/fapi/v1/fundingRate",
    ),
    "metrics": Kind(
        "open interest and long/short ratios every 5 minutes; up to yesterday",
        "futures_metrics",
        "futures/um",
        "metrics",
        interval="5m",
        monthly=False,
    ),
    "depth": Kind(
        "depth of the book within bands around the mid; up to yesterday",
        "book_depth",
        "futures/um",
        "bookDepth",
        interval="1m",
        monthly=False,
    ),
    "trades": Kind(
        "bars of a second from every trade of the perpetual; up to yesterday",
        "perp_bars",
        "futures/um",
        "aggTrades",
        interval="1s",
        monthly=False,
    ),
    "spot-trades": Kind(
        "bars of a second from every trade of spot; up to yesterday",
        "spot_bars",
        "spot",
        "aggTrades",
        interval="1s",
        monthly=False,
    ),
    "quotes": Kind(
        "last best bid and ask of each second; until the archive stopped in 2024-03",
        "quote_bars",
        "futures/um",
        "bookTicker",
        interval="1s",
        monthly=False,
    ),
}


@dataclass(frozen=True)
class Where:
    """What the name of a unit says: its kind, and the date of its file or that it is a window."""

    name: str
    kind: Kind
    date: str
    window: bool

    @classmethod
    def of(cls, unit: Unit) -> "Where":
        """Read the name of a unit."""
        _, name, _, _, date = unit.name.split("/")
        return cls(name, kind_of(name), date, window=date.startswith("rest-"))


def kind_of(name: str) -> Kind:
    """Return the kind of a name.

    Raises
    ------
    FixConfig
        There is none; the message names a near one.
    """
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "choose some of them"
        raise FixConfig("kinds", name, f"some of {', '.join(KINDS)}", hint)
    return KINDS[name]


def _unit_name(name: str, key: DatasetKey, date: str) -> str:
    return f"{VENUE}/{name}/{key.symbol}/{key.interval}/{date}"


def file_unit(name: str, key: DatasetKey, first_ms: int, form: str, last_ms: int) -> Unit:
    """A file of the archive: the days or months whose date ``form`` writes."""
    date = from_ms(first_ms).strftime(form)
    more = _METRICS_STEP_MS if key.table == "futures_metrics" else 0
    unit_name = _unit_name(name, key, date)
    return Unit(unit_name, key, first_ms, last_ms + more, final=True, checksum=True)


def window_unit(name: str, key: DatasetKey, first_ms: int, last_ms: int, *, final: bool) -> Unit:
    """A span that is asked of REST."""

    def text(ms: int) -> str:
        return from_ms(ms).strftime("%Y%m%dT%H%M%S")

    date = f"rest-{text(first_ms)}-{text(last_ms)}"
    return Unit(_unit_name(name, key, date), key, first_ms, last_ms, final=final)


def _month_after(first_ms: int) -> int:
    first = from_ms(first_ms)
    year, month = divmod(first.year * 12 + first.month, 12)
    return to_ms(datetime(year, month + 1, 1, tzinfo=UTC))


def units_of(
    name: str, kind: Kind, key: DatasetKey, first_ms: int, last_ms: int, now_ms: int
) -> Iterator[Unit]:
    """Units of one kind: whole months, whole days, and a window up to the last complete bar.

    Parameters
    ----------
    name : str
        Of the kind.
    kind : Kind
    key : DatasetKey
    first_ms, last_ms : int
        Span that is wanted, half open, not beyond the present.
    now_ms : int
    """
    today = now_ms // DAY_MS * DAY_MS
    at = first_ms // DAY_MS * DAY_MS
    if not kind.daily:
        at = to_ms(from_ms(at).replace(day=1))
    while at < min(last_ms, today):
        month = to_ms(from_ms(at).replace(day=1))
        after = _month_after(month)
        # A month's file is worth its size where most of the month is wanted.
        whole = at == month and (after <= last_ms or not kind.daily) and after <= today
        if kind.monthly and whole:
            yield file_unit(name, key, month, "%Y-%m", after)
            at = after
        elif kind.daily:
            yield file_unit(name, key, at, "%Y-%m-%d", at + DAY_MS)
            at += DAY_MS
        else:
            break
    if kind.rest is None or at >= last_ms:
        return
    step = MINUTE_MS if kind.table == "funding" else interval_ms(key.interval)
    complete = last_ms // step * step
    if complete > at:
        yield window_unit(name, key, at, complete, final=False)
