"""What a source of data is to the one engine that fetches: a plan, downloads, and a reader.

A source knows addresses and formats. It does not store, retry, count or report: the engine
(``fetch``) does, the same way for all of them, over the source's ``Transport``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from counterpoise.endpoints import SourceSettings
from counterpoise.errors import RejectData
from counterpoise.market.layouts import DatasetKey
from counterpoise.registry import Registry


@dataclass(frozen=True)
class Request:
    """What is wanted of a source.

    Attributes
    ----------
    symbol : str
        As the lake writes it (``ETHUSDT``, ``ETH-USD``); sources of no market ignore it.
    kinds : tuple of str
        Keys of the source's ``kinds``.
    interval : str
        Length of bars, for kinds of bars.
    first_ms, last_ms : int
        Span of ``ts``, half open. Planners never ask beyond the source's own present.
    """

    symbol: str
    kinds: tuple[str, ...]
    interval: str
    first_ms: int
    last_ms: int


@dataclass(frozen=True)
class Unit:
    """The smallest thing that is fetched whole: a file of an archive, or a window of a series.

    Attributes
    ----------
    name : str
        Unique and stable, with ``/`` between its parts and nothing a file system minds
        (``binance/klines/ETHUSDT/1h/2024-05.zip``). A window that is not final has its end in it.
    key : DatasetKey
        Where its rows belong.
    first_ms, last_ms : int
        Span of ``ts`` it can hold, half open.
    final : bool
        Nothing will be added to it at the source, so that it is fetched once.
    checksum : bool
        The source publishes a SHA-256 of its content, by which a file published anew is noticed.
    """

    name: str
    key: DatasetKey
    first_ms: int
    last_ms: int
    final: bool
    checksum: bool = False


@dataclass(frozen=True)
class Read:
    """Rows of one unit, and what was found on the way.

    Attributes
    ----------
    table : DataFrame (N, ...)
        Columns as ``market.tables.validate`` takes them; N = 0 where the unit holds nothing.
    notes : tuple of str
        Plain sentences on what the format itself obliged: repeated rows left out, rows sorted.
    """

    table: pl.DataFrame
    notes: tuple[str, ...] = ()


class RefusedContent(RejectData):
    """A download that was refused before it was read; it goes into quarantine as it came.

    Parameters
    ----------
    content : bytes
    file, place, value, expected, next_step
        As of ``RejectData``.
    """

    def __init__(
        self, content: bytes, file: str, place: str, value: object, expected: str, next_step: str
    ) -> None:
        super().__init__(file, place, value, expected, next_step)
        self.content = content


class Source(Protocol):
    """One source of data.

    Every method may raise ``RetryLater`` (the service does not answer), ``FixConfig`` (an
    address, symbol or kind that cannot be) and, for content, ``RejectData`` with its place.
    """

    @property
    def kinds(self) -> Mapping[str, str]:
        """What can be fetched: name and a sentence."""

    @property
    def default_kinds(self) -> Sequence[str]:
        """Kinds that are fetched where none are named."""

    @property
    def revises(self) -> bool:
        """Whether values change after they were published: then the one stored first is kept."""

    def now_ms(self) -> int:
        """Return the present by the source's own clock."""

    def plan(self, request: Request, now_ms: int) -> Sequence[Unit]:
        """Units that together cover the request up to ``now_ms``, in order of time.

        Raises
        ------
        FixConfig
            Unknown kind, symbol or interval.
        """

    def download(self, unit: Unit) -> bytes | None:
        """Content of a unit, verified against the checksum published beside it, if there is one.

        Returns
        -------
        bytes or None
            None where the source has no such unit (a file that was never published).
        """

    def instead(self, unit: Unit) -> Sequence[Unit]:
        """Units that cover the same span where the source has no such unit; none if nothing can."""

    def published(self, unit: Unit) -> str | None:
        """Return the checksum published for a unit now; None where none is published."""

    def read(self, unit: Unit, content: bytes) -> Read:
        """Parse what :meth:`download` returned; touches nothing outside."""


#: Makes a source from the settings; the room of each source adds itself.
SOURCES = Registry[Callable[[SourceSettings], Source]]("source")
