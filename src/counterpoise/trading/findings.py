"""A finding of the doctor: what was looked at, what was found, and what mends it."""

from dataclasses import dataclass
from typing import Literal

from counterpoise.trading.facts import Unknown

KEYS_PAGE = "https://www.binance.com/en/my/settings/api-management"
FUTURES_PAGE = "https://www.binance.com/en/futures/ETHUSDT (Preferences)"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes
    ----------
    check : str
    status : {"OK", "WARN", "FAIL"}
    found, expected : str
    fix : str
        An exact command, setting or page; empty where nothing is wrong.
    """

    check: str
    status: Literal["OK", "WARN", "FAIL"]
    found: str
    expected: str
    fix: str = ""


def ok(check: str, found: str, expected: str = "") -> Finding:
    """All is well."""
    return Finding(check, "OK", found, expected)


def warn(check: str, found: str, expected: str, fix: str) -> Finding:
    """It can trade like this, but somebody should know."""
    return Finding(check, "WARN", found, expected, fix)


def fail(check: str, found: str, expected: str, fix: str) -> Finding:
    """It must not trade like this."""
    return Finding(check, "FAIL", found, expected, fix)


def unknown(check: str, fact: Unknown, expected: str) -> Finding:
    """It could not be looked at, and what is not known is not fit."""
    found, _, step = fact.why.partition(" Next: ")
    return fail(check, found, expected, step.rstrip(".") or "see above")
