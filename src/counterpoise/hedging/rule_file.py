"""The TOML file of a rule: its keys, their ranges, and what is refused (docs/rules.md).

Nothing is guessed: an unknown key is refused with the nearest known one, a value out of range or
one that contradicts another with what was expected. What a rule means is ``rule``.
"""

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from counterpoise.config import Settings
from counterpoise.errors import FixConfig
from counterpoise.hedging.policy import Policy
from counterpoise.hedging.rule import (
    QUANTITIES,
    WEEKDAYS,
    Case,
    Condition,
    Destination,
    Every,
    Quantity,
    Rebalance,
    Rule,
    Unit,
)
from counterpoise.own_file import read_own_file, refuse_label, refuse_name

_EVERY = ("hourly", "daily", "weekly", "monthly")
#: Keys of the calendar, and the only ``every`` each goes with.
_CALENDAR = {"weekday": "weekly", "day_of_month": "monthly"}
LONGEST_WINDOW_DAYS = 730
LARGEST_BAND = 0.5


@dataclass(frozen=True)
class _Table:
    """One table of the file, with the place of its keys for messages."""

    file: Path
    place: str
    values: Mapping[str, Any]

    def at(self, key: str) -> str:
        """Key as the message names it, ``mine.toml: when[1].hold``."""
        return f"{self.file}: {self.place}{key}"

    def refuse(self, key: str, expected: str, next_step: str | None = None) -> FixConfig:
        """Refusal of the value of a key."""
        return FixConfig(
            self.at(key), self.values.get(key), expected, next_step or f"edit {self.file}"
        )

    def known(self, keys: Sequence[str]) -> None:
        """Refuse a key that is not among those."""
        for key in self.values:
            if key not in keys:
                close = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
                close += [one for one in keys if one.startswith(f"{key}_")]
                hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(keys)}"
                raise self.refuse(key, f"a known key; {hint}")

    def number(self, key: str, low: float, high: float, what: str) -> float:
        """A finite number in [low, high]; whole numbers are numbers, true and false are not."""
        value = self.values[key]
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not (math.isfinite(value) and low <= value <= high)
        ):
            raise self.refuse(key, f"{what} from {low:g} to {high:g}")
        return float(value)

    def whole(self, key: str, low: int, high: int, what: str) -> int:
        """A whole number in [low, high]."""
        value = self.number(key, low, high, what)
        if value != int(value):
            raise self.refuse(key, f"{what}, a whole number")
        return int(value)

    def choice(self, key: str, among: Sequence[str]) -> str:
        """One of some words."""
        value = self.values[key]
        if value not in among:
            close = difflib.get_close_matches(str(value), among, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise self.refuse(key, " or ".join(map(repr, among)) + hint)
        return str(value)

    def table(self, key: str, example: str) -> "_Table":
        """A table below this one."""
        value = self.values[key]
        if not isinstance(value, dict):
            raise self.refuse(key, f"a table such as {example}")
        return _Table(self.file, f"{self.place}{key}.", value)


def _hold(table: _Table, cap: float) -> float:
    if "hold" not in table.values:
        raise FixConfig(
            table.at("hold"), None, "short ÷ exposure, such as 0.8", f"add it to {table.file}"
        )
    what = f"short ÷ exposure (hedge.max_ratio = {cap:g} is the cap)"
    return table.number("hold", 0.0, cap, what)


def _hours(table: _Table, quantity: Quantity) -> int:
    """Window of a condition, from ``hours`` or ``days``."""
    given = [key for key in ("hours", "days") if key in table.values]
    if len(given) != 1:
        raise FixConfig(
            f"{table.file}: {table.place.removesuffix('.')}",
            " and ".join(given) or "no window",
            "exactly one of hours and days: the window it is measured over",
            f"edit {table.file}",
        )
    key, unit = given[0], 24 if given == ["days"] else 1
    fewest = quantity.shortest_h / unit
    what = f"{key} ({quantity.name} needs {quantity.shortest_h} h or more)"
    hours = table.number(key, fewest, LONGEST_WINDOW_DAYS * 24 / unit, what) * unit
    if hours != int(hours):
        raise table.refuse(key, "a window of whole hours")
    return int(hours)


def _condition(table: _Table, quantity: Quantity) -> Condition:
    above, below = f"above_{quantity.unit}", f"below_{quantity.unit}"
    table.known(("hours", "days", above, below))
    hours = _hours(table, quantity)
    if above not in table.values and below not in table.values:
        raise FixConfig(
            f"{table.file}: {table.place.removesuffix('.')}",
            "no threshold",
            f"{above} or {below}, or both for a range",
            f"edit {table.file}",
        )
    limits = {
        key: table.number(key, quantity.low, quantity.high, quantity.words)
        for key in (above, below)
        if key in table.values
    }
    low, high = limits.get(above, -math.inf), limits.get(below, math.inf)
    if low >= high:
        raise table.refuse(
            above,
            f"less than {below} = {high:g}, as nothing is above the one and below the other",
            f"swap or mend the two in {table.file}",
        )
    for key, edge in ((above, quantity.high), (below, quantity.low)):
        if limits.get(key) == edge:
            raise table.refuse(key, f"a threshold that {quantity.name} can pass")
    return Condition(quantity, hours, low, high)


def _case(table: _Table, cap: float) -> Case:
    table.known(("hold", *QUANTITIES))
    conditions = tuple(
        _condition(table.table(name, f"{{ days = 7, above_{quantity.unit} = ... }}"), quantity)
        for name, quantity in QUANTITIES.items()
        if name in table.values
    )
    if not conditions:
        raise FixConfig(
            f"{table.file}: {table.place.removesuffix('.')}",
            "no condition",
            f"at least one of {', '.join(QUANTITIES)}",
            f"edit {table.file}",
        )
    return Case(_hold(table, cap), conditions)


def _cases(top: _Table, cap: float) -> tuple[Case, ...]:
    listed = top.values.get("when", [])
    if not (isinstance(listed, list) and all(isinstance(one, dict) for one in listed)):
        raise top.refuse("when", "a list of tables, each under [[when]]")
    tables = [_Table(top.file, f"when[{i}].", one) for i, one in enumerate(listed, start=1)]
    cases = [_case(table, cap) for table in tables]
    for later, case in enumerate(cases):
        for earlier in range(later):
            if case.implies(cases[earlier]):
                raise FixConfig(
                    f"{top.file}: when[{later + 1}]",
                    " and ".join(map(str, case.conditions)),
                    f"something that when[{earlier + 1}] does not already catch, as the first "
                    "match wins",
                    f"put the narrower one first in {top.file}, or remove one",
                )
    return tuple(cases)


def _rebalance(table: _Table) -> Rebalance:
    table.known(("every", "at_hour_utc", *_CALENDAR, "band", "to"))
    values = table.values
    if "every" not in values and "band" not in values:
        raise FixConfig(
            table.at("every"), None, f"one of {', '.join(_EVERY)}, or a band", f"edit {table.file}"
        )
    every = cast(Every, table.choice("every", _EVERY)) if "every" in values else "hourly"
    if "at_hour_utc" in values and every == "hourly":
        raise table.refuse("at_hour_utc", 'no hour with every = "hourly"')
    for key, needs in _CALENDAR.items():
        if key in values and every != needs:
            raise table.refuse(key, f'{key} only with every = "{needs}" (it is "{every}")')
    if "to" in values and "band" not in values:
        raise table.refuse("to", "a band to come back from: to goes with band")
    found = Rebalance(every)
    return Rebalance(
        every=every,
        at_hour_utc=table.whole("at_hour_utc", 0, 23, "an hour of the day, UTC")
        if "at_hour_utc" in values
        else found.at_hour_utc,
        weekday=WEEKDAYS.index(table.choice("weekday", WEEKDAYS))
        if "weekday" in values
        else found.weekday,
        day_of_month=table.whole("day_of_month", 1, 28, "a day every month has")
        if "day_of_month" in values
        else found.day_of_month,
        band=table.number("band", 0.0, LARGEST_BAND, "half-width of the band, S/L,")
        if "band" in values
        else found.band,
        to=cast(Destination, table.choice("to", ("target", "edge")))
        if "to" in values
        else found.to,
    )


def parse_rule(text: str, file: Path, cap: float) -> tuple[Rule, str]:
    """Rule and label of a file's text.

    Parameters
    ----------
    text : str
    file : Path
        Where it came from, for messages; its stem is the name of a rule without one.
    cap : float
        Largest S/L the settings allow, ``hedge.max_ratio``.

    Raises
    ------
    FixConfig
        Broken TOML, an unknown key, a missing or wrong value, or keys that contradict each other,
        naming file, key, value and what was expected.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as broken:
        raise FixConfig("--rule", str(file), f"valid TOML ({broken})", "mend that line") from None
    top = _Table(file, "", values)
    top.known(("name", "label", "hold", "hold_in", "rebalance", "when"))
    name = values.get("name", file.stem)
    refuse_name(
        top.at("name"),
        name,
        f"edit {file}" if "name" in values else f"add a name to {file}, or rename the file",
    )
    hold = _hold(top, cap)
    hold_in = cast(Unit, top.choice("hold_in", ("eth", "usd"))) if "hold_in" in values else "eth"
    cases = _cases(top, cap)
    rebalance = Rebalance()
    if "rebalance" in values:
        rebalance = _rebalance(top.table("rebalance", '[rebalance] with every = "daily"'))
    elif cases or hold_in == "usd":
        moves = "[[when]]" if cases else 'hold_in = "usd"'
        raise FixConfig(
            top.at("rebalance"),
            None,
            f"a [rebalance] table, as {moves} makes the target move: every, band, or both",
            f"add it to {file}",
        )
    rule = Rule(name, hold, hold_in, cases, rebalance)
    label = values.get("label", str(rule))
    refuse_label(top.at("label"), label, f"edit {file}")
    return rule, label


def load_rule(file: Path, settings: Settings) -> Policy:
    """Policy of a rule file; family ``own``, in no registry.

    Raises
    ------
    FixConfig
        The file cannot be read, or as :func:`parse_rule`.
    """
    text = read_own_file("--rule", file, "a TOML file")
    rule, label = parse_rule(text, file, settings.hedge.max_ratio)
    meaning = repr(replace(rule, name=""))
    return Policy(rule.name, label, "own", rule.intent, text, meaning, str(file))
