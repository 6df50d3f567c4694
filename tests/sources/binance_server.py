"""Binance's archive and REST on 127.0.0.1, both made from one truth.

The truth is a function of time, so that any span of any kind can be asked for and compared.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from counterpoise.market.tables import interval_ms
from counterpoise.units import HOUR_MS, from_ms, to_ms
from tests.sources.server import Answer, Asked, Server, json_answer, not_there

EIGHT_HOURS = 8 * HOUR_MS
#: From here on the archive's spot files count in microseconds, as the real ones do.
MICROSECONDS_FROM = to_ms(datetime(2025, 1, 1, tzinfo=UTC))
TYPES = {
    "klines": "klines",
    "markPriceKlines": "mark",
    "premiumIndexKlines": "premium",
}


def bar(kind: str, ts_ms: int, step_ms: int) -> list[object]:
    """Return the kline that opens at a time, with numbers as the venue writes them."""
    n = ts_ms // step_ms
    level = 3000 + n % 97 + {"spot": 0.25, "klines": 0.5, "mark": 0.4, "premium": 0.0}[kind]
    if kind == "premium":
        values = [f"{(n % 13 - 6) * 1e-5:.8f}"] * 4
        values[1], values[2] = f"{8e-5:.8f}", f"{-7e-5:.8f}"
    else:
        values = [f"{level:.2f}", f"{level + 3:.2f}", f"{level - 4:.2f}", f"{level + 1:.2f}"]
    volume = 0 if kind in ("mark", "premium") else 100 + n % 11
    return [
        ts_ms,
        *values,
        f"{volume:.3f}",
        ts_ms + step_ms - 1,
        f"{volume * level:.5f}",
        60 + n % 5,
        f"{volume / 4:.3f}",
        f"{volume * level / 4:.5f}",
        "0",
    ]


def settlement(ts_ms: int) -> tuple[int, str]:
    """Return stamp, some ms late, and rate of a settlement."""
    n = ts_ms // EIGHT_HOURS
    return ts_ms + n % 7, f"{(n % 9 - 3) * 1e-5:.8f}"


@dataclass
class Venue:
    """State of the venue: its clock, and what its archive lacks, repeats or has published anew.

    Attributes
    ----------
    now_ms : int
    first_ms : int
        When the symbol was listed.
    absent : set of str
        File names the archive does not have.
    changed : dict of str to bytes
        Content of files that is not the truth's.
    """

    now_ms: int
    first_ms: int = to_ms(datetime(2024, 1, 1, tzinfo=UTC))
    absent: set[str] = field(default_factory=set)
    changed: dict[str, bytes] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    page_rows: int = 1500
    headed: bool = True

    def server(self) -> Server:
        """Return a server of this venue, to be entered."""
        return Server(self.answer)

    def answer(self, asked: Asked) -> Answer:
        """Answer REST and archive requests."""
        if asked.path.startswith("/data/"):
            return self._archive(asked.path)
        if asked.path == "/fapi/v1/time":
            return json_answer({"serverTime": self.now_ms})
        if asked.path == "/fapi/v1/exchangeInfo":
            symbols = [{"symbol": "ETHUSDT", "onboardDate": self.first_ms}, {"symbol": "BTCUSDT"}]
            return json_answer({"symbols": symbols})
        symbol = asked.query.get("symbol")
        spot = asked.path.startswith("/api/")
        if symbol != "ETHUSDT" and not (spot and symbol == "BTCUSDT"):
            return json_answer({"code": -1121, "msg": "Invalid symbol."}, 400)
        if asked.path == "/api/v3/exchangeInfo":
            return json_answer({"symbols": [{"symbol": symbol}]})
        first, last = int(asked.query["startTime"]), int(asked.query["endTime"])
        limit = min(int(asked.query["limit"]), self.page_rows)
        if asked.path == "/fapi/v1/fundingRate":
            return json_answer(self._settlements(first, last)[:limit])
        kind = {
            "/fapi/v1/klines": "klines",
            "/fapi/v1/markPriceKlines": "mark",
            "/fapi/v1/premiumIndexKlines": "premium",
            "/api/v3/klines": "spot",
        }.get(asked.path)
        if kind is None:
            return not_there()
        step = interval_ms(asked.query["interval"])
        begin = max(-(-first // step) * step, self.first_ms)
        rows = [bar(kind, at, step) for at in range(begin, min(last, self.now_ms) + 1, step)]
        return json_answer(rows[:limit])

    def _settlements(self, first: int, last: int) -> list[dict[str, object]]:
        begin = max(first // EIGHT_HOURS * EIGHT_HOURS, self.first_ms)
        found = []
        for at in range(begin, min(last, self.now_ms) + 1, EIGHT_HOURS):
            stamp, rate = settlement(at)
            if first <= stamp <= min(last, self.now_ms):
                row = {"symbol": "ETHUSDT", "fundingTime": stamp, "fundingRate": rate}
                found.append(row | {"markPrice": f"{3000 + at % 89}.12345678"})
        return found

    def _archive(self, path: str) -> Answer:
        name = path.rpartition("/")[2].removesuffix(".CHECKSUM")
        content = self.changed.get(name) or self._file(path.removesuffix(".CHECKSUM"))
        if content is None or name in self.absent:
            return not_there()
        if path.endswith(".CHECKSUM"):
            digest = self.checksums.get(name) or hashlib.sha256(content).hexdigest()
            return Answer(200, f"{digest}  {name}\n".encode())
        return Answer(200, content)

    def _file(self, path: str) -> bytes | None:
        parts = path.strip("/").split("/")
        spot = parts[1] == "spot"
        symbols = ("ETHUSDT", "BTCUSDT") if spot else ("ETHUSDT",)
        period, kind = parts[-5 if parts[-2] not in symbols else -4], parts[-4]
        if parts[-2] in symbols:
            period, kind = parts[-4], parts[-3]
        name = parts[-1].removesuffix(".zip")
        if not name.startswith(symbols):
            return None
        date = name[-7:] if period == "monthly" else name[-10:]
        form = "%Y-%m" if period == "monthly" else "%Y-%m-%d"
        start = datetime.strptime(date, form).replace(tzinfo=UTC)
        end = start + timedelta(days=1)
        if period == "monthly":
            end = (start.replace(day=28) + timedelta(days=4)).replace(day=1)
        first, last = max(to_ms(start), self.first_ms), to_ms(end)
        # A file appears some hours after its day or month is over.
        if first >= last or last + 6 * HOUR_MS > self.now_ms:
            return None
        lines = self._lines(kind, parts[-2], spot, first, last)
        return None if lines is None else zipped(f"{name}.csv", lines)

    def _lines(self, kind: str, folder: str, spot: bool, first: int, last: int) -> list[str] | None:
        if kind in TYPES:
            step = interval_ms(folder)
            unit = 1000 if spot and first >= MICROSECONDS_FROM else 1
            rows = [
                bar("spot" if spot else TYPES[kind], at, step) for at in range(first, last, step)
            ]
            for row in rows:
                # The close is the last instant of the bar, in either unit.
                row[0], row[6] = int(row[0]) * unit, (int(row[6]) + 1) * unit - 1
            head = (
                "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
                "taker_buy_volume,taker_buy_quote_volume,ignore"
            )
            body = [",".join(map(str, row)) for row in rows]
            return [head, *body] if self.headed and not spot else body
        if kind == "fundingRate":
            pairs = [settlement(at) for at in range(first, last, EIGHT_HOURS)]
            head = ["calc_time,funding_interval_hours,last_funding_rate"] if self.headed else []
            return head + [f"{stamp},8,{rate}" for stamp, rate in pairs]
        if kind == "metrics":
            head = (
                "create_time,symbol,sum_open_interest,sum_open_interest_value,"
                "count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,"
                "count_long_short_ratio,sum_taker_long_short_vol_ratio"
            )
            step = 5 * 60_000
            rows = [
                f"{from_ms(at):%Y-%m-%d %H:%M:%S},ETHUSDT,{1_600_000 + at // step % 1000}.5,"
                f"{4_800_000_000 + at // step % 1000}.25,1.1,1.2,1.3,"
                for at in range(first + step, last + step, step)
            ]
            # Unsorted, and one row twice, as the real files are.
            return [head, *rows[5:], *rows[:5], rows[7]]
        if kind == "bookDepth":
            rows = [
                f"{from_ms(at):%Y-%m-%d %H:%M:%S},{band},{500 * abs(band)}.5,{1_500 * abs(band)}e3"
                for at in range(first + 7_000, last, HOUR_MS)
                for band in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
            ]
            return ["timestamp,percentage,depth,notional", *rows]
        return None


def zipped(name: str, lines: list[str]) -> bytes:
    """Return a zip of one text file, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
        archive.writestr(entry, "\n".join(lines) + "\n", zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def settings_of(url: str, lake: str) -> str:
    """Return a settings file that points at the server and tries twice."""
    text = json.dumps(url)
    return (
        f"lake = {json.dumps(lake)}\n[sources]\nattempts = 3\ntimeout_s = 5.0\n"
        f"[sources.binance]\narchive_url = {text}\nfutures_url = {text}\nspot_url = {text}\n"
        "weight_per_minute = 100000.0\n"
    )
