"""What a fetch did, in plain values: what came, what is missing, refused or left for later."""

from dataclasses import dataclass, field

from counterpoise.market.layouts import DatasetKey


@dataclass(frozen=True)
class Missing:
    """A span the source has nothing for."""

    key: DatasetKey
    first_ms: int
    last_ms: int
    unit: str


@dataclass(frozen=True)
class Refused:
    """A unit that was set aside: where its bytes are, and why."""

    unit: str
    path: str
    reason: str


@dataclass(frozen=True)
class Later:
    """A unit that has to be tried again, and why."""

    unit: str
    reason: str


@dataclass
class Brought:
    """What a fetch did to one dataset."""

    key: DatasetKey
    units: int = 0
    bytes: int = 0
    rows_new: int = 0
    rows_merged: int = 0
    rows_unchanged: int = 0
    rows_revised: int = 0
    first_ms: int | None = None
    last_ms: int | None = None


@dataclass
class FetchReport:
    """What a fetch did.

    Attributes
    ----------
    source : str
    now_ms : int
        The present by the source's clock.
    skew_ms : int
        How far this machine's clock is ahead of it.
    datasets : list of Brought
    known : int
        Units the ledger had, which were not asked for again.
    missing, refused, later : list
    notes : list of str
    """

    source: str
    now_ms: int
    skew_ms: int
    datasets: list[Brought] = field(default_factory=list)
    known: int = 0
    missing: list[Missing] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    later: list[Later] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
