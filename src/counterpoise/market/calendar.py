"""The calendar of scheduled events: the one that is shipped, and the user's own in TOML beside it.

An event says when it takes effect and since when that date was known. A date that was given up says
so with ``withdrawn_at`` and stays, because until then it was believed.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import polars as pl
from pydantic import Field, ValidationError

from counterpoise.errors import RejectData
from counterpoise.market.columns import TS
from counterpoise.provenance import nearest
from counterpoise.sections import Moment, Section

#: What kind of event; each has features of its own.
EventClass = Literal["network-upgrade", "regulatory", "macro"]
CLASSES: tuple[str, ...] = get_args(EventClass)
#: A calendar is some pages of text; what is larger is another file.
MOST_BYTES = 1 << 20
SHIPPED = "the shipped calendar"


class Event(Section):
    """One scheduled event."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    class_: Annotated[EventClass, Field(alias="class")]
    announced_at: Moment
    effective_at: Moment
    source: Annotated[str, Field(min_length=1, max_length=300)]
    withdrawn_at: Moment | None = None


def load_calendar(own: Path | None = None) -> pl.DataFrame:
    """Every event of the shipped calendar and of the user's file.

    Parameters
    ----------
    own : Path, optional
        TOML with ``[[event]]`` tables of the same keys.

    Returns
    -------
    DataFrame (N, 6)
        Columns of the table ``events``, in order of ``ts``, the moment an event takes effect.

    Raises
    ------
    RejectData
        A file that is no calendar, naming event, key and value; or one event twice.
    """
    shipped = files("counterpoise.market").joinpath("calendar.toml").read_bytes()
    found = _events(shipped, SHIPPED)
    if own is not None:
        found += _events(_bytes_of(own), str(own))
    held: dict[tuple[str, Any], str] = {}
    for event, where in found:
        identity = (event.name, event.effective_at)
        if identity in held:
            raise RejectData(
                where,
                f"event {event.name!r}",
                event.effective_at.isoformat(),
                f"each event once; it is in {held[identity]} already",
                "remove it, or give it another name",
            )
        held[identity] = where
    events = sorted((event for event, _ in found), key=lambda one: (one.effective_at, one.name))
    return pl.DataFrame(
        {
            "ts": pl.Series([event.effective_at for event in events], dtype=TS),
            "name": [event.name for event in events],
            "class": [event.class_ for event in events],
            "announced_at": pl.Series([event.announced_at for event in events], dtype=TS),
            "source": [event.source for event in events],
            "withdrawn_at": pl.Series([event.withdrawn_at for event in events], dtype=TS),
        }
    )


def _bytes_of(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as refused:
        expected, fix = "a readable file", "check sources.events.file"
        raise RejectData(str(file), "whole file", refused.strerror, expected, fix) from None
    if len(content) > MOST_BYTES:
        size = f"more than {MOST_BYTES:,} bytes"
        raise RejectData(str(file), "whole file", size, "a calendar", "name another file")
    return content


def _events(content: bytes, where: str) -> list[tuple[Event, str]]:
    example = "[[event]] tables with name, class, announced_at, effective_at and source"
    try:
        raw = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise RejectData(where, "whole file", str(broken), "TOML", "mend the file") from None
    tables = raw.get("event")
    if set(raw) != {"event"} or not isinstance(tables, list) or not tables:
        shown = ", ".join(raw) or "nothing"
        raise RejectData(where, "whole file", shown, example, "write them so, and nothing else")
    return [(_event(table, number, where), where) for number, table in enumerate(tables, 1)]


def _event(raw: Any, number: int, where: str) -> Event:
    named = raw.get("name") if isinstance(raw, dict) else None
    place = f"event {number} ({named!r})" if named else f"event {number}"
    if not isinstance(raw, dict):
        raise RejectData(where, place, raw, "a table", "write [[event]] above its keys")
    known = [field.alias or name for name, field in Event.model_fields.items()]
    for key in raw:
        if key not in known:
            raise RejectData(where, place, key, nearest(key, known), "rename or remove the key")
    try:
        event = Event(**raw)
    except ValidationError as refused:
        first = refused.errors()[0]
        key = ".".join(map(str, first["loc"]))
        told = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        given = "nothing" if first["type"] == "missing" else first["input"]
        told = "a value" if first["type"] == "missing" else told
        raise RejectData(where, f"{place}, key {key}", given, told, "mend the event") from None
    for key, moment, bound, name in (
        ("effective_at", event.effective_at, event.announced_at, "announced_at"),
        ("withdrawn_at", event.withdrawn_at, event.announced_at, "announced_at"),
    ):
        if moment is not None and moment < bound:
            raise RejectData(
                where,
                f"{place}, key {key}",
                moment.isoformat(),
                f"not before {name} = {bound.isoformat()}",
                "a surprise is announced when it takes effect: make the two equal",
            )
    if event.withdrawn_at is not None and event.withdrawn_at > event.effective_at:
        raise RejectData(
            where,
            f"{place}, key withdrawn_at",
            event.withdrawn_at.isoformat(),
            f"not after effective_at = {event.effective_at.isoformat()}",
            "what took place was not withdrawn",
        )
    return event
