"""Reading single columns of foreign tables: moments with a zone, numbers, text.

Bad places are collected over all columns so that the earliest row is the one that is named.
Nothing here knows which table a column belongs to.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from counterpoise.errors import RejectData
from counterpoise.market.releases import FIRST_HOLIDAY_YEAR, LAST_HOLIDAY_YEAR
from counterpoise.units import to_ms

#: Stored type of every moment.
TS = pl.Datetime("ms", "UTC")

#: Years any table may speak of: those whose US holidays, and so release days, are known.
_FIRST_MS = to_ms(datetime(FIRST_HOLIDAY_YEAR, 1, 1, tzinfo=UTC))
_END_MS = to_ms(datetime(LAST_HOLIDAY_YEAR + 1, 1, 1, tzinfo=UTC))
_YEARS = f"between {FIRST_HOLIDAY_YEAR} and {LAST_HOLIDAY_YEAR}"
#: No price, amount or rate of any market is larger; a number that is has the wrong unit.
LARGEST = 1e24
#: Stamps of each unit beyond which a time has no date that could be shown (the year 9,000 or so).
_CALENDAR = {"ms": 220 * 10**12, "us": 220 * 10**15, "ns": 220 * 10**18}
#: The parser alone would take a sign before the year and blanks for digits.
_ISO = r"^\d{4}-\d\d-\d\d[T ]\d\d:[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$"
_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
_NO_ZONE = "a time with its zone"
_ADD_MIDNIGHT = "write midnights: in polars, cast(pl.Datetime('ms')).dt.replace_time_zone('UTC')"
_ADD_ZONE = "write UTC times with +00:00 or Z; in polars: dt.replace_time_zone('UTC')"


@dataclass(frozen=True)
class _Defect:
    row: int
    column: str
    value: object
    expected: str
    next_step: str
    rows: int


class Defects:
    """Bad places of one file; :meth:`refuse` names the earliest and counts the rest."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[_Defect] = []

    def add(
        self, bad: pl.Series, column: str, values: pl.Series, expected: str, next_step: str
    ) -> None:
        """Note the rows where ``bad`` is true (null is not bad)."""
        rows = bad.fill_null(False).arg_true()
        if len(rows):
            row = int(rows[0])
            shown = _shown(values, row)
            self._found.append(_Defect(row, column, shown, expected, next_step, len(rows)))

    def refuse(self) -> None:
        """Raise for the earliest bad place, if there is any."""
        if not self._found:
            return
        first = min(self._found, key=lambda defect: defect.row)
        others = sum(defect.rows for defect in self._found) - 1
        more = f" ({others} more bad values in this file)" if others else ""
        raise RejectData(
            self.file,
            f"row {first.row}, column {first.column}",
            first.value,
            first.expected + more,
            first.next_step,
        )


def _shown(values: pl.Series, row: int) -> str | int | float:
    """A value as a message shows it."""
    if isinstance(values.dtype, pl.Datetime):
        stamp = values.to_physical()[row]
        if stamp is not None and abs(stamp) > _CALENDAR[values.dtype.time_unit]:
            return f"{stamp} {values.dtype}"
    value = values[row]
    if value is None:
        return "nothing (null)"
    return value if isinstance(value, str | int | float) else str(value)


def read_moments(values: pl.Series, file: str) -> pl.Series:
    """Parse moments to UTC milliseconds.

    Parameters
    ----------
    values : Series (N,)
        Zoned datetimes, epoch integers in milliseconds, or ISO 8601 text with a zone.
    file : str
        Name for messages.

    Raises
    ------
    RejectData
        No zone, wrong magnitude, unreadable or missing, naming the first row.
    """
    name, dtype = values.name, values.dtype
    defects = Defects(file)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is None:
            raise RejectData(file, f"column {name}", str(dtype), _NO_ZONE, _ADD_ZONE)
        _refuse_other_times(values, values.dt.epoch("ms"), defects)
        parsed = values.dt.convert_time_zone("UTC").cast(TS)
    elif isinstance(dtype, pl.String):
        text = values.str.strip_chars()
        if text.str.contains(r"^-?\d+$").fill_null(True).all() and text.is_not_null().any():
            return _from_epochs(text, defects)
        zoned = text.str.contains(_ZONE)
        defects.add(
            ~zoned & (text != ""), name, text, _NO_ZONE + " (2024-01-31T08:00:00Z)", _ADD_ZONE
        )
        defects.refuse()
        plain = text.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
        parsed = _parse(plain, "%Y-%m-%d %H:%M:%S%.f%:z").fill_null(
            _parse(plain, "%Y-%m-%d %H:%M%:z")
        )
        parsed = parsed.set(~text.str.contains(_ISO).fill_null(False), None)
        defects.add(
            parsed.is_null() & (text != ""), name, text, "an ISO 8601 time", "mend the time"
        )
        _refuse_other_times(text, parsed.dt.epoch("ms"), defects)
    elif dtype.is_integer():
        return _from_epochs(values, defects)
    elif isinstance(dtype, pl.Date):
        raise RejectData(file, f"column {name}", "days without a time", _NO_ZONE, _ADD_MIDNIGHT)
    else:
        raise RejectData(
            file, f"column {name}", str(dtype), "a time with zone, or epoch ms", _ADD_ZONE
        )
    defects.add(parsed.is_null(), name, values, "a time in every row", "mend or remove the row")
    defects.refuse()
    return parsed.alias(name)


def _refuse_other_times(given: pl.Series, epoch_ms: pl.Series, defects: Defects) -> None:
    """Refuse times of years no table speaks of: stamps of one unit read as another land there."""
    outside = (epoch_ms < _FIRST_MS) | (epoch_ms >= _END_MS)
    fix = "check the unit the times were written in"
    defects.add(outside, given.name, given, f"a time {_YEARS}", fix)
    defects.refuse()


def _from_epochs(given: pl.Series, defects: Defects) -> pl.Series:
    """Moments of milliseconds since 1970, as integers or as their text."""
    stamps = given.cast(pl.Int64, strict=False)
    outside = given.is_not_null() & ~stamps.is_between(_FIRST_MS, _END_MS, "left").fill_null(False)
    defects.add(
        outside,
        given.name,
        given,
        f"milliseconds since 1970 {_YEARS} (13 digits; 10 are seconds, 16 microseconds, "
        "19 nanoseconds)",
        "convert the column to milliseconds",
    )
    missing = given.is_null()
    defects.add(missing, given.name, given, "a time in every row", "mend or remove the row")
    defects.refuse()
    return stamps.cast(TS).alias(given.name)


def _parse(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, time_unit="ms", time_zone="UTC", strict=False)


def read_values(
    values: pl.Series, dtype: pl.DataType, kind: str, nullable: bool, defects: Defects
) -> pl.Series:
    """Parse a number or text column and note every value that breaks its rule.

    Parameters
    ----------
    values : Series (N,)
        Numbers, or text as a CSV file has it.
    dtype : DataType
        Stored type.
    kind : {"price", "amount", "number", "text"}
        Positive, not negative, finite, or non-empty text.
    nullable : bool
        Whether a row may have no value.
    defects : Defects
        Where bad rows are noted.

    Raises
    ------
    RejectData
        When the column's type is neither.
    """
    name = values.name
    fix = "mend the value at its source, or remove the row"
    if isinstance(values.dtype, pl.String):
        stripped = values.str.strip_chars()
        values = stripped.set(stripped == "", None)
    if isinstance(values.dtype, pl.Null):
        parsed = pl.Series(name, [None] * len(values), dtype=dtype)
    elif kind == "text":
        if not isinstance(values.dtype, pl.String):
            _refuse_type(name, values.dtype, "text", defects)
        parsed = values
    else:
        parsed = _numbers(values, name, defects)
        bound = {"price": parsed <= 0, "amount": parsed < 0}.get(kind)
        if bound is not None:
            expected = "more than 0" if kind == "price" else "0 or more"
            defects.add(bound, name, parsed, expected, fix)
        defects.add(~parsed.is_finite(), name, parsed, "a finite number", fix)
        vast = parsed.is_finite() & (parsed.abs() > LARGEST)
        defects.add(vast, name, parsed, f"at most {LARGEST:g} in size: check its unit", fix)
        if dtype.is_integer():
            whole = parsed.round() == parsed
            defects.add(~whole & parsed.is_finite(), name, parsed, "a whole number", fix)
        parsed = parsed.cast(dtype, strict=False)
    if not nullable:
        defects.add(values.is_null(), name, values, "a value in every row", fix)
    return parsed


def _numbers(values: pl.Series, name: str, defects: Defects) -> pl.Series:
    if isinstance(values.dtype, pl.String):
        parsed = values.cast(pl.Float64, strict=False)
        unread = parsed.is_null() & values.is_not_null()
        defects.add(unread, name, values, "a number", "mend the value, or leave the field empty")
        return parsed
    if not (values.dtype.is_numeric() or isinstance(values.dtype, pl.Decimal)):
        _refuse_type(name, values.dtype, "numbers", defects)
    return values.cast(pl.Float64)


def _refuse_type(name: str, dtype: pl.DataType, expected: str, defects: Defects) -> None:
    raise RejectData(
        defects.file, f"column {name}", str(dtype), expected, f"store {name} as {expected}"
    )
