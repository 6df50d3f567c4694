"""Reading single columns of foreign tables: moments with a zone, numbers, text.

Bad places are collected over all columns so that the earliest row is the one that is named.
Nothing here knows which table a column belongs to.
"""

from dataclasses import dataclass

import polars as pl

from counterpoise.errors import RejectData

#: Stored type of every moment.
TS = pl.Datetime("ms", "UTC")

_MS_2009, _MS_2100 = 1_230_768_000_000, 4_102_444_800_000
_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
_NO_ZONE = "a time with its zone"
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
            value = values[row]
            shown = "nothing (null)" if value is None else value
            if not isinstance(shown, str | int | float):
                shown = str(shown)
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
    name = values.name
    defects = Defects(file)
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is None:
            raise RejectData(file, f"column {name}", str(dtype), _NO_ZONE, _ADD_ZONE)
        parsed = values.dt.convert_time_zone("UTC").cast(TS)
    elif isinstance(dtype, pl.String):
        text = values.str.strip_chars()
        if text.str.contains(r"^-?\d+$").fill_null(True).all() and text.is_not_null().any():
            return read_moments(text.cast(pl.Int64, strict=False).alias(name), file)
        zoned = text.str.contains(_ZONE)
        defects.add(
            ~zoned & (text != ""), name, text, _NO_ZONE + " (2024-01-31T08:00:00Z)", _ADD_ZONE
        )
        defects.refuse()
        plain = text.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
        parsed = _parse(plain, "%Y-%m-%d %H:%M:%S%.f%:z").fill_null(
            _parse(plain, "%Y-%m-%d %H:%M%:z")
        )
        defects.add(
            parsed.is_null() & (text != ""), name, text, "an ISO 8601 time", "mend the time"
        )
    elif dtype.is_integer():
        stamps = values.cast(pl.Int64)
        outside = (stamps < _MS_2009) | (stamps > _MS_2100)
        defects.add(
            outside,
            name,
            stamps,
            "milliseconds since 1970 between 2009 and 2100 (10 digits are seconds, 16 are µs)",
            "convert the column to milliseconds",
        )
        parsed = stamps.cast(TS)
    else:
        raise RejectData(
            file, f"column {name}", str(dtype), "a time with zone, or epoch ms", _ADD_ZONE
        )
    defects.add(parsed.is_null(), name, values, "a time in every row", "mend or remove the row")
    defects.refuse()
    return parsed.alias(name)


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
