"""Words for time, rates and margin that every house shares.

Time in tables is UTC; inside arrays it is ``int64`` milliseconds since the epoch. Annual figures
use 365 days because ETH trades every day.
"""

import math
from datetime import UTC, datetime
from typing import Any, Literal

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3_600 * NS_PER_S
HOURS_PER_DAY = 24
HOURS_PER_YEAR = 365 * 24
DAYS_PER_YEAR = 365
BPS = 1e-4

#: What margins a short: USDT, ETH in a multi-asset account, or ETH under an inverse contract.
Collateral = Literal["usdt", "eth", "coin-margined"]


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of a time-zone-aware moment.

    Examples
    --------
    >>> to_ms(datetime(2020, 1, 1, tzinfo=UTC))
    1577836800000
    """
    return round(moment.timestamp() * 1000)


def from_ms(ts_ms: int) -> datetime:
    """Moment in UTC of milliseconds since the epoch.

    Examples
    --------
    >>> from_ms(1577836800000).isoformat()
    '2020-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)


def stamp(ts_ms: int) -> str:
    """Short UTC text of a moment, for messages (``2020-01-01 00:00``).

    Examples
    --------
    >>> stamp(1577836800000)
    '2020-01-01 00:00'
    """
    return from_ms(ts_ms).strftime("%Y-%m-%d %H:%M")


def json_ready(value: Any) -> Any:
    """Same value with NaN and infinities as null and -0 as 0, which JSON can say.

    Examples
    --------
    >>> json_ready({"a": (1.0, float("nan"), -0.0)})
    {'a': [1.0, None, 0.0]}
    """
    if isinstance(value, dict):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float):
        return float(value) + 0.0 if math.isfinite(value) else None
    return value
