"""How many configurations were tried on the data a study looks at.

A p-value means little without this count. Every attempt of ours is entered here by hand when it is
made, whether it helped or not; docs/trials.md tells them in words. A user's own policies are
remembered beside the lake they looked at.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: File in the lake with one line for each own policy whose holdout was looked at.
OWN_TRIALS = "own_trials.txt"


@dataclass(frozen=True)
class Trials:
    """A batch of configurations tried together.

    Attributes
    ----------
    what : str
    count : int
    data_until : str
        Last day the choice could see.
    """

    what: str
    count: int
    data_until: str


LEDGER: tuple[Trials, ...] = (
    Trials("design research: policies, forecasts and rules", 260, "2025-06-30"),
    Trials("recipes of the direction, hedge-value and volatility models", 30, "2023-12-31"),
    Trials("reference and band of volatility timing, decided hourly", 48, "2023-12-31"),
    Trials("reference and destination of volatility timing, decided daily", 6, "2023-12-31"),
    Trials("volatility timing, hourly: the holdout opened for a review", 1, "2025-06-30"),
    Trials("scales of the worst rise that margin must outlast", 48, "2023-12-31"),
    Trials("scale of the worst rise, the chosen one", 1, "2025-06-30"),
    Trials("dynamic leverage: three quantiles, two times of transfer", 6, "2025-06-30"),
    Trials("widths of the windows around events", 4, "2025-06-30"),
    Trials("a study under drawdown limit, lock, stop, funding and event rules", 1, "2025-06-30"),
    Trials("programme: inputs, horizons and recipes of the direction", 50, "2023-12-31"),
    Trials("programme: linear and boosted volatility over 4 h, 24 h and 7 d", 33, "2023-12-31"),
    Trials("programme: funding of the next settlement, a day and a week", 74, "2023-12-31"),
    Trials("programme: quantiles of the worst rise", 24, "2023-12-31"),
    Trials("programme: rates of the adaptive bounds and maps of calibration", 84, "2023-12-31"),
    Trials("programme: recipes of the network", 11, "2023-12-31"),
    Trials("recipes proposed by the machine search", 14, "2023-12-31"),
    Trials("programme: age of rows, Bitcoin and older years for the direction", 14, "2023-12-31"),
    Trials("programme: raised means, members and priors of the blends", 41, "2023-12-31"),
    Trials("programme: every target over the whole window, first choice", 11, "2025-06-30"),
    Trials("volatility timing on the programme's forecast", 1, "2025-06-30"),
    Trials("programme: every target over the whole window, present choice", 11, "2025-06-30"),
)


def trials_before() -> int:
    """Configurations tried before this study."""
    return sum(entry.count for entry in LEDGER)


class Tried(Protocol):
    """A policy or a model of the user's, by what tells two versions apart."""

    @property
    def meaning(self) -> str:
        """Text without comments and layout."""
        ...


def _digest(policy: Tried) -> str:
    return hashlib.sha256(policy.meaning.encode()).hexdigest()


def own_tried(lake: Path) -> frozenset[str]:
    """Digests of the own policies that looked at the holdout of a lake before."""
    try:
        return frozenset((lake / OWN_TRIALS).read_text(encoding="ascii").split())
    except FileNotFoundError:
        return frozenset()


def own_tried_before(lake: Path, own: Iterable[Tried]) -> int:
    """How many own policies other than these looked at the holdout of a lake before."""
    return len(own_tried(lake) - {_digest(policy) for policy in own})


def remember_own(lake: Path, own: Iterable[Tried]) -> None:
    """Remember that these looked at the holdout of a lake; twice the same counts once.

    What counts as the same is ``Policy.meaning``: a rule under another name is, a threshold moved
    by a hair is not.
    """
    known = own_tried(lake)
    new = [digest for digest in dict.fromkeys(map(_digest, own)) if digest not in known]
    if new:
        with (lake / OWN_TRIALS).open("a", encoding="ascii") as file:
            file.write("".join(f"{digest}\n" for digest in new))
