"""Why the hedge of a finished run was what it was at a moment: files in, a chain of reasons out.

It reads ``results.json`` and a path of a study; it simulates nothing.
"""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from counterpoise.decision.explanation import Link, chain_of, sentence
from counterpoise.decision.moment import CHAIN, Reason
from counterpoise.errors import FixConfig, RejectData
from counterpoise.provenance import nearest
from counterpoise.units import to_ms

_AGAIN = "run the study again with --out"


@dataclass(frozen=True)
class Explained:
    """One decision of a run.

    Attributes
    ----------
    policy : str
    ts_ms : int
        Tick of the decision: the last one at or before the moment asked for.
    held, target : float
        Hedge ratio before and after it.
    traded_eth : float
    links : tuple of Link
        What was asked for, then each thing that bound, and at which number.
    sentence : str
    """

    policy: str
    ts_ms: int
    held: float
    target: float
    traded_eth: float
    links: tuple[Link, ...]
    sentence: str


def explain(run: Path, at: str, policy: str | None = None) -> Explained:
    """Explain the decision of a run at a moment.

    Parameters
    ----------
    run : Path
        Folder that a study was written to.
    at : str
        Moment as ISO 8601; UTC where it names no zone.
    policy : str, optional
        Default: the policy acted on.

    Raises
    ------
    FixConfig
        A folder that holds no study, an unknown policy, a moment that is none or outside of the
        run.
    RejectData
        Files of the run that are damaged or of an earlier version.
    """
    moment_ms = _moment(at)
    results = _results(run)
    name = str(results.get("acted_on")) if policy is None else policy
    known = sorted(path.stem for path in (run / "paths").glob("*.parquet"))
    if name not in known:
        expected = nearest(name, known).replace("known setting; ", "policy of this run; ")
        expected = expected.replace("see docs/configuration.md", ", ".join(known) or "it has none")
        raise FixConfig("--policy", name, expected, "name one of the run's paths")
    file = run / "paths" / f"{name}.parquet"
    row, before = _rows(file, moment_ms, at)
    if row["reasons"] is None or any(row[f"chain_{link}"] is None for link in CHAIN):
        raise RejectData(str(file), "chain", "empty", "numbers behind the decision", _AGAIN)
    flags = Reason(0)
    for word in filter(None, row["reasons"].split("|")):
        if word not in Reason.__members__:
            raise RejectData(str(file), "reasons", word, "a known reason", _AGAIN)
        flags |= Reason[word]
    numbers = {link: float(row[f"chain_{link}"]) for link in CHAIN}
    decided = bool(flags) and Reason.CLOSED not in flags
    target = float(row["hedge_ratio"])
    held = numbers["held"] if decided else before
    held = target if math.isnan(held) else held
    links = chain_of(flags, numbers, results["settings"]) if flags else ()
    fee = -float(row["liquidation_usd"])
    if fee > 0.0 or (before > 0.0 and held == 0.0):
        # Nothing else takes a short away between two decisions.
        taken = f"the venue had liquidated the {100 * before:.1f} % that were hedged, for a fee of "
        links = (Link("LIQUIDATED", fee, f"{taken}{fee:,.0f} USD"), *links)
    traded = float(row["traded_eth"])
    told = sentence(links, held=held, target=target, traded_eth=traded)
    return Explained(name, int(row["ts_ms"]), held, target, traded, links, told)


def _moment(at: str) -> int:
    try:
        moment = datetime.fromisoformat(at.strip())
    except ValueError:
        raise FixConfig(
            "--at", at, "a moment such as 2022-06-13T10:00", "give day and hour, UTC"
        ) from None
    return to_ms(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)


def _results(run: Path) -> dict[str, Any]:
    file = run / "results.json"
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise FixConfig(
            "RUN", str(run), "the folder of a study, with results.json", "counterpoise study --out"
        ) from None
    except ValueError:
        raise RejectData(str(file), "JSON", "unreadable", "results of a study", _AGAIN) from None
    if not isinstance(results, dict) or not isinstance(results.get("settings"), dict):
        raise RejectData(str(file), "settings", "missing", "settings of the run", _AGAIN)
    return results


def _rows(file: Path, moment_ms: int, at: str) -> tuple[dict[str, Any], float]:
    """Row of the last tick at or before a moment, and the hedge ratio of the row before."""
    try:
        table = pl.read_parquet(file)
    except (PolarsError, OSError) as damaged:
        raise RejectData(
            str(file), "file", str(damaged).splitlines()[0], "a path of a study", _AGAIN
        ) from None
    needed = {"ts", "hedge_ratio", "traded_eth", "reasons", "liquidation_usd"}
    needed |= {f"chain_{link}" for link in CHAIN}
    if missing := sorted(needed - set(table.columns)):
        raise RejectData(
            str(file), "columns", f"without {missing[0]}", "a path of this version", _AGAIN
        )
    if table["chain_goal"].is_nan().all():
        raise FixConfig(
            "--policy",
            file.stem,
            "a policy that decided: this path is what was done, or it never had a price",
            "name another path of the run",
        )
    stamps = table["ts"].dt.epoch("ms")
    first, last = int(stamps[0]), int(stamps[-1])
    if not first <= moment_ms <= last + 3_600_000:
        begin, end = table["ts"][0], table["ts"][-1]
        raise FixConfig(
            "--at",
            at,
            f"a moment of the run, {begin:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} UTC",
            "give one inside",
        )
    place = int(stamps.search_sorted(moment_ms, side="right")) - 1
    row = table.row(place, named=True) | {"ts_ms": int(stamps[place])}
    before = float(table["hedge_ratio"][place - 1]) if place else math.nan
    return row, before
