"""Small market tables written by hand, for tests that need to know every number."""

from datetime import UTC, datetime, timedelta

import polars as pl

MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)


def bars(closes, start=MIDNIGHT, step=timedelta(hours=1), volume=10.0):
    """Return bars of the given closes, one USD tall on both sides."""
    return pl.DataFrame(
        {
            "ts": pl.Series([start + step * n for n in range(len(closes))]).cast(
                pl.Datetime("ms", "UTC")
            ),
            "open": [float(close) for close in closes],
            "high": [close + 1.0 for close in closes],
            "low": [close - 1.0 for close in closes],
            "close": [float(close) for close in closes],
            "volume": [volume] * len(closes),
        }
    )


def settlements(rates, start=MIDNIGHT, step=timedelta(hours=8)):
    """Return funding of the given rates."""
    return pl.DataFrame(
        {
            "ts": pl.Series([start + step * n for n in range(len(rates))]).cast(
                pl.Datetime("ms", "UTC")
            ),
            "funding_rate": [float(rate) for rate in rates],
        }
    )


def contents(folder):
    """Every file and folder below a folder, and the bytes of the files; nothing where it is not."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
