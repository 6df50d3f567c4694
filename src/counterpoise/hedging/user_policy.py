"""A policy from the user's own Python file, run with care: refused where it looks ahead.

The file is executed as it is, with the rights of whoever runs it; nothing of it is registered or
kept. A function gets whole arrays, so it can read the future by mistake: each is built again on
history cut short, and an answer that changes is refused. That finds what acts on these cuts; it
is no proof.
"""

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.hedging.intent import Intent
from counterpoise.hedging.policy import Policy, Situation
from counterpoise.own_file import (
    line_in,
    read_own_file,
    refuse_label,
    refuse_name,
    run_own_file,
)
from counterpoise.units import stamp

EXAMPLE = "docs/examples/my_policy.py"
#: Cuts spread over history, right after the policy changed its mind, and inside gaps.
CUTS_SPREAD, CUTS_AT_CHANGES, CUTS_IN_GAPS = 6, 6, 4
#: No cut leaves less than this share of the history.
EARLIEST_CUT = 0.3

_COLUMNS = ("lo", "hi", "to_lo", "to_hi", "urgency", "target", "weights")


def _cuts(situation: Situation, intent: Intent) -> list[int]:
    """Lengths of history to build again, shortest first.

    Some are spread out, over different hours of the day. A policy that acts on a coming event shows
    it where it acts, so some end with a tick that changes the band; one that fills a gap from
    behind shows it there, so some end inside a gap.
    """
    ticks = situation.ticks
    earliest = max(1, int(EARLIEST_CUT * ticks))

    def some(rows: NDArray[np.int64], count: int) -> list[int]:
        inside = rows[(rows >= earliest) & (rows < ticks - 1)]
        picked = np.linspace(0, len(inside) - 1, min(count, len(inside))).astype(np.int64)
        return [int(row) + 1 for row in inside[picked]]

    spread = np.linspace(earliest, ticks - 2, CUTS_SPREAD).astype(np.int64) - np.arange(CUTS_SPREAD)
    edges = np.nan_to_num(np.stack([intent.lo, intent.hi]), nan=-1.0)
    changed = np.flatnonzero(np.any(np.diff(edges), axis=0)) + 1
    gaps = np.flatnonzero(np.isnan(situation.timeline.spot.close))
    cuts = {
        *some(spread, CUTS_SPREAD),
        *some(changed, CUTS_AT_CHANGES),
        *some(gaps, CUTS_IN_GAPS),
    }
    return sorted(cuts)


def _refuse_wrong(place: str, intent: object, situation: Situation) -> Intent:
    """Return what a function returned, if it is an intent for every tick and venue."""

    def refuse(value: object, expected: str) -> FixConfig:
        return FixConfig(place, value, expected, f"return situation.around(...), as in {EXAMPLE}")

    ticks, venues = situation.ticks, len(situation.timeline.venues)
    if not isinstance(intent, Intent):
        raise refuse(type(intent).__name__, "the function to return an Intent")
    for column in _COLUMNS:
        values = getattr(intent, column)
        shape = (ticks, venues) if column == "weights" else (ticks,)
        if values.dtype != np.float64 or values.shape != shape:
            raise refuse(
                f"{column}: {values.dtype} of shape {values.shape}",
                f"float64 of shape {shape}, one row per tick",
            )
    weights, sums = intent.weights, intent.weights.sum(axis=1)
    if not (np.all(weights >= 0.0) and np.allclose(sums, 1.0, rtol=0.0, atol=1e-9)):
        row = int(np.flatnonzero(~((weights >= 0.0).all(axis=1) & (np.abs(sums - 1.0) < 1e-9)))[0])
        raise refuse(f"weights at tick {row}: {weights[row].tolist()}", "shares >= 0 that sum to 1")
    if np.any((intent.urgency < 0.0) | (intent.urgency > 1.0)):
        raise refuse("urgency", "shares from 0 to 1")
    for column in ("lo", "hi", "to_lo", "to_hi"):
        values = getattr(intent, column)
        if np.any((values < 0.0) | np.isinf(values)):
            row = int(np.flatnonzero((values < 0.0) | np.isinf(values))[0])
            raise refuse(
                f"{column} at tick {row}: {values[row]:g}", "a ratio >= 0, NaN where unknown"
            )
    return intent


def _first_difference(whole: Intent, part: Intent, ticks: int) -> tuple[int, str] | None:
    """First row, and its column, in which two intents differ among the first ``ticks``."""
    found: list[tuple[int, str]] = []
    for column in _COLUMNS:
        a, b = getattr(whole, column)[:ticks], getattr(part, column)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        rows = np.flatnonzero(~same.reshape(ticks, -1).all(axis=1))
        found += [(int(rows[0]), column)] if len(rows) else []
    return min(found) if found else None


def refuse_look_ahead(
    place: str, build: Callable[[Situation], Intent], situation: Situation, whole: Intent
) -> None:
    """Refuse a function whose answer for a tick depends on what came after it.

    Parameters
    ----------
    place : str
        File and line, for the message.
    build : callable
        The user's function.
    situation : Situation
    whole : Intent
        What it gave on all of it.

    Raises
    ------
    FixConfig
        Built again on the same history it gives another answer, or on history cut at some tick
        another answer for a row before the cut. The row and the two answers are named.
    """
    ticks = situation.ticks
    for cut in (ticks, *_cuts(situation, whole)):
        part = build(situation.until(cut))
        found = _first_difference(whole, part, cut)
        if found is None:
            continue
        row, column = found
        then, now = getattr(part, column)[row], getattr(whole, column)[row]
        moment = stamp(int(situation.timeline.ts_ms[row]))
        if cut == ticks:
            raise FixConfig(
                place,
                f"{column} at tick {row} ({moment}) is {now} at first and {then} the next time",
                "the same answer to the same history",
                "fix the seed of random numbers and keep nothing between calls",
            )
        raise FixConfig(
            place,
            f"{column} at tick {row} ({moment}) is {then} as known at tick {cut - 1} and {now} "
            "once later hours are there",
            "no look-ahead: row t from rows up to t only, to the last bit",
            "look back only: trailing windows, earlier rows, no mean or FFT over the whole history",
        )


def _checked(policy: Policy, file: Path, place: str) -> Callable[[Situation], Intent]:
    """Build of a policy that refuses exceptions, wrong answers and look-ahead."""

    def build_once(situation: Situation) -> Intent:
        try:
            intent: object = policy.build(situation)
        except Exception as error:
            raise FixConfig(
                f"{file} line {line_in(file, error)}",
                error,
                f"{policy.name} to answer for {situation.ticks} hours of history, any gaps in "
                "them NaN",
                "mend that line",
            ) from error
        return _refuse_wrong(place, intent, situation)

    def build(situation: Situation) -> Intent:
        whole = build_once(situation.until(situation.ticks))
        refuse_look_ahead(place, build_once, situation, whole)
        return whole

    return build


def load_policies(file: Path) -> tuple[Policy, ...]:
    """Policies of a Python file, in its order; family ``own``, in no registry.

    Parameters
    ----------
    file : Path
        A file with functions under ``@own_policy(name, label)``. It is run once.

    Returns
    -------
    tuple of Policy
        Their ``build`` gets read-only arrays, checks what comes back, and refuses look-ahead; it
        calls the function up to 18 times.

    Raises
    ------
    FixConfig
        The file cannot be read or run, has no policy, or one with a wrong name or label; the file
        and line are named. ``build`` raises it too.
    """
    text = read_own_file("--policy", file, "a Python file")
    found = dict.fromkeys(
        value for value in run_own_file(file, text).values() if isinstance(value, Policy)
    )
    if not found:
        raise FixConfig(
            "--policy",
            str(file),
            "a file with a function under @own_policy(name, label)",
            f"decorate it as in {EXAMPLE}",
        )
    loaded = []
    for item in found:
        code = getattr(item.build, "__code__", None)
        line = code.co_firstlineno if code is not None else 1
        place = f"{file} line {line}"
        refuse_name(f"{place}: name", item.name, "rename it there")
        refuse_label(f"{place}: label", item.label, "change it there")
        loaded.append(
            replace(
                item,
                family="own",
                build=_checked(item, file, place),
                source=text,
                meaning=f"{item.name} of {ast.dump(ast.parse(text))}",
                place=place,
            )
        )
    return tuple(loaded)
