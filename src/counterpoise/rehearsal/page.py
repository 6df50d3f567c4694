"""The page a rehearsal ends with: how closely the hedge was kept, by what orders, at what cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise.journal.reading import Reader
from counterpoise.rehearsal.stage import Script


@dataclass(frozen=True)
class Summary:
    """Numbers of a rehearsal; see the page's own words."""

    decisions: int
    fills: int

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"decisions": self.decisions, "fills": self.fills}

    def lines(self) -> list[str]:
        """For a terminal."""
        return [f"decisions    {self.decisions}", f"fills        {self.fills}"]


def summary_of(reader: Reader, account: dict[str, Any], script: Script) -> Summary:
    """Numbers from the journal and the venue."""
    return Summary(len(reader.decisions(0)), len(reader.fills(0)))


def write_page(reader: Reader, told: Summary, out: Path) -> Path:
    """Write the page."""
    out.write_text(str(told), encoding="utf-8")
    return out
