"""How many configurations were tried on the data a study looks at.

A p-value means little without this count. Every attempt is entered here by hand when it is made,
whether it helped or not; docs/trials.md tells them in words.
"""

from dataclasses import dataclass


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
)


def trials_before() -> int:
    """Configurations tried before this study."""
    return sum(entry.count for entry in LEDGER)
