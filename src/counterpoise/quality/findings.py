"""What a check says about a dataset, and which rows it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterpoise.market.layouts import DatasetKey

Severity = Literal["info", "warning", "error"]

#: Rows a finding lists; its count has all of them.
MOST_ROWS = 100


@dataclass(frozen=True)
class Finding:
    """Something an operator should know about one dataset.

    Attributes
    ----------
    table, venue, symbol, interval : str
    kind : str
        One of those in docs/quality.md.
    severity : {"info", "warning", "error"}
        Something to know; something a conclusion should not rest on; something that must not be
        used.
    first_ms, last_ms : int
        Span, by ``ts``.
    rows : int
        Rows concerned; for gaps and settlements, rows missing.
    text : str
        What was seen.
    treatment : str
        What the product does about it.
    at_ms : tuple of int
        ``ts`` of the rows concerned, or that the missing ones would have; the first hundred.
    """

    table: str
    venue: str
    symbol: str
    interval: str
    kind: str
    severity: Severity
    first_ms: int
    last_ms: int
    rows: int
    text: str
    treatment: str
    at_ms: tuple[int, ...]

    @property
    def key(self) -> DatasetKey:
        """The dataset it is about."""
        return DatasetKey(self.table, self.venue, self.symbol, self.interval)


def finding(
    key: DatasetKey,
    kind: str,
    severity: Severity,
    at_ms: Sequence[int] | NDArray[np.int64],
    text: str,
    treatment: str,
    *,
    rows: int | None = None,
    span: tuple[int, int] | None = None,
) -> Finding:
    """Make a finding about rows in order of time; span and count are theirs if not given."""
    first, last = span or (int(at_ms[0]), int(at_ms[-1]))
    return Finding(
        key.table,
        key.venue,
        key.symbol,
        key.interval,
        kind,
        severity,
        first,
        last,
        len(at_ms) if rows is None else rows,
        text,
        treatment,
        tuple(int(at) for at in at_ms[:MOST_ROWS]),
    )
