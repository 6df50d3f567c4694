"""The calendar as a source: what is shipped and the user's own, brought into the lake as a table.

Nothing is asked of the network. An event of the lake whose announcement or class was edited is a
contradiction, and refused until it is to replace the stored one.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import polars as pl

from counterpoise.endpoints import SourceSettings
from counterpoise.market.calendar import load_calendar
from counterpoise.market.columns import TS
from counterpoise.market.layouts import EVENTS
from counterpoise.market.manifest import sha256
from counterpoise.sources.contract import SOURCES, Read, Request, Unit

_MOMENTS = ("ts", "announced_at", "withdrawn_at")


class Events:
    """The source ``events``; the parameter is the settings."""

    kinds: Mapping[str, str] = MappingProxyType(
        {"calendar": "network upgrades, regulatory and macro dates, with when they were announced"}
    )
    default_kinds = ("calendar",)
    revises = False

    def __init__(self, settings: SourceSettings) -> None:
        self._own = settings.events.file

    def now_ms(self) -> int:
        """Return the time of this machine, the only clock there is."""
        return round(time.time() * 1000)

    def plan(self, request: Request, now_ms: int) -> list[Unit]:
        """The whole calendar as one unit, whatever the span."""
        digest = sha256(self._content())[:16]
        table = load_calendar(self._own)["ts"].dt.epoch("ms").to_numpy()
        return [
            Unit(
                f"events/calendar-{digest}.json",
                EVENTS,
                int(table.min()),
                int(table.max()) + 1,
                final=False,
            )
        ]

    def _content(self) -> bytes:
        table = load_calendar(self._own).with_columns(pl.col(_MOMENTS).dt.epoch("ms"))
        return json.dumps(table.to_dict(as_series=False), ensure_ascii=False).encode()

    def download(self, unit: Unit) -> bytes:
        """Return the calendar as JSON."""
        return self._content()

    def instead(self, unit: Unit) -> Sequence[Unit]:
        """Nothing."""
        return ()

    def published(self, unit: Unit) -> None:
        """Nothing."""

    def read(self, unit: Unit, content: bytes) -> Read:
        """Rows of the calendar that were announced by now."""
        table = pl.DataFrame(json.loads(content)).with_columns(
            pl.col(_MOMENTS).cast(pl.Int64).cast(TS)
        )
        return Read(table)


_make: Callable[[SourceSettings], Events] = Events
SOURCES.add("events", _make)
