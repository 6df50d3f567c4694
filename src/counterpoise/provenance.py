"""Where settings came from, so that a refusal can say which place to mend, and in plain words.

It reads the settings file and knows the validator's error types; the settings themselves, and
which keys there are, belong to ``config``.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from counterpoise.contradictions import Contradiction
from counterpoise.errors import ContradictorySettings, FixConfig

#: A settings file is a page of text; what is larger is another file.
MOST_BYTES = 1 << 20
_MOMENT = "a moment such as 2024-01-31 or 2024-01-31T08:00:00Z"
#: What the validator's own words mean to a person who edits a settings file.
_WORDS = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "string_type": "text",
    "path_type": "a path",
    "tuple_type": "a list",
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "missing": "a value",
}
_LEADS = ("Value error, ", "Input should be ", "Value should have ", "Tuple should have ")


def read_file(path: Path) -> dict[str, Any]:
    """Nested settings of a TOML file.

    Raises
    ------
    FixConfig
        No file, one that cannot be read, or no TOML.
    """
    fix = "check the path"
    try:
        if not path.is_file():
            there = "an existing file" if not path.exists() else "a file, not a folder or device"
            raise FixConfig("--config", str(path), there, fix)
        if path.stat().st_size > MOST_BYTES:
            raise FixConfig("--config", str(path), f"a file of at most {MOST_BYTES:,} bytes", fix)
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as refused:
        expected = f"a readable file ({refused.strerror})"
        raise FixConfig("--config", str(path), expected, fix) from None
    except RecursionError:
        raise FixConfig("--config", str(path), "TOML of few levels", "mend the file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        expected = f"valid TOML ({broken})"
        raise FixConfig("--config", str(path), expected, "mend that line") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """What an unknown key should have been."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else "see docs/configuration.md"
    return f"a known setting; {hint}"


def _holds(settings: Mapping[str, Any], key: str) -> bool:
    """Whether nested settings have a value at a dotted key."""
    inner: object = settings
    for part in key.split("."):
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return True


def _in_words(error: Mapping[str, Any]) -> str:
    """What one validation error expected, without the validator's idiom."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "too_short":
        least = context["min_length"]
        return f"at least {least} item" + ("s" if least > 1 else "")
    if kind in _WORDS:
        return _WORDS[kind]
    message = str(error["msg"])
    for lead in _LEADS:
        message = message.removeprefix(lead)
    return message


@dataclass(frozen=True)
class Sources:
    """Where the settings of one run came from.

    Attributes
    ----------
    command_line : mapping
        Nested settings of the command line.
    environment : mapping of str to str
        Variable by dotted key.
    file : Path or None
    in_file : mapping
        Nested settings of the file.
    known : sequence of str
        Every dotted key there is.
    """

    command_line: Mapping[str, Any]
    environment: Mapping[str, str]
    file: Path | None
    in_file: Mapping[str, Any]
    known: Sequence[str]

    def of(self, key: str) -> str:
        """Where the value of a key came from, in a word or two."""
        if _holds(self.command_line, key):
            return "command line"
        if key in self.environment:
            return self.environment[key]
        return str(self.file) if _holds(self.in_file, key) else "default"

    def mend(self, key: str) -> str | None:
        """Next step for a wrong value of a key; None where it is the default's."""
        source = self.of(key)
        if source == "command line":
            return f"change {key} on the command line"
        if key in self.environment:
            return f"change {source} in the environment"
        return f"edit {source}" if source != "default" else None

    def _steps(self, keys: Iterable[str]) -> str:
        return " or ".join(dict.fromkeys(step for key in keys if (step := self.mend(key))))

    def contradiction(self, given: Mapping[str, object], expected: str) -> ContradictorySettings:
        """Return the refusal of settings that do not go together.

        Parameters
        ----------
        given : mapping of str to object
            Value by dotted key.
        expected : str
            What would agree.
        """
        return ContradictorySettings(
            [(key, value, self.of(key)) for key, value in given.items()],
            expected,
            self._steps(given) or "change one of them",
        )

    def refusal(self, error: ValidationError, tables: Mapping[str, Sequence[str]]) -> FixConfig:
        """Return the refusal of the first wrong setting.

        Parameters
        ----------
        error : ValidationError
        tables : mapping of str to sequence of str
            Dotted keys whose value is a list of tables, and the keys such a table has.
        """
        found = error.errors()
        # A misspelt key of a table is the reason why the right one is missing.
        first = min(found, key=lambda one: one["type"] == "missing")
        told = first.get("ctx", {}).get("error")
        if isinstance(told, Contradiction):
            return self.contradiction(told.given, told.expected)
        key = ".".join(str(part) for part in first["loc"])
        # A place inside a list (venue.names.0) is told by the name of the list.
        key = next((known for known in self.known if key.startswith(f"{known}.")), key)
        inside = first["loc"][key.count(".") + 1 :]
        value, expected = first["input"], _in_words(first)
        involved = [key]
        if key in tables and inside:
            # The tables of this list have keys of their own: exposure.holdings[0].amount.
            key += ".".join((f"[{inside[0]}]", *(str(part) for part in inside[1:])))
            if first["type"] == "extra_forbidden":
                expected = nearest(str(inside[-1]), tables[involved[0]])
            elif first["type"] == "missing":
                value = "nothing"
            elif isinstance(value, dict):
                value = "this table"
        elif first["type"] == "extra_forbidden":
            expected = nearest(key, self.known)
        elif first["type"] == "model_type":
            expected = f"a table of settings, [{key}]"
        elif first["type"] == "value_error" and isinstance(value, dict):
            involved = [known for known in self.known if known in expected]
            value = "these settings together"
        return FixConfig(key, value, expected, self._steps(involved) or f"change {key}")
