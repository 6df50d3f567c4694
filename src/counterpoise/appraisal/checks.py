"""What a check found, in a number and a word, and what several come to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["PASS", "FAIL", "NOT EVALUATED"]


@dataclass(frozen=True)
class Check:
    """One question put to one feature or model.

    Attributes
    ----------
    subject : str
        Name of the feature or model.
    name : str
        The question, in a word or two (``look-ahead``).
    verdict : str
        ``PASS``, ``FAIL``, or ``NOT EVALUATED`` with the reason in ``finding``.
    value : float
        What was measured; NaN where nothing was.
    unit : str
        What the value is (``values changed``).
    limit : float
        Where PASS ends; NaN where there is no such number.
    finding : str
        The same in a plain sentence, without a full stop.
    """

    subject: str
    name: str
    verdict: Verdict
    value: float
    unit: str
    limit: float
    finding: str


def not_evaluated(subject: str, name: str, reason: str) -> Check:
    """A check that could not be made, and why."""
    return Check(subject, name, "NOT EVALUATED", float("nan"), "", float("nan"), reason)


@dataclass(frozen=True)
class Audit:
    """Every check of one audit.

    Attributes
    ----------
    checks : tuple of Check
    """

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """FAIL if one check fails, PASS if one passes and none fails."""
        found = {check.verdict for check in self.checks}
        return "FAIL" if "FAIL" in found else "PASS" if "PASS" in found else "NOT EVALUATED"

    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "FAIL")

    def of(self, subject: str, name: str) -> Check:
        """One check by its subject and name.

        Raises
        ------
        KeyError
            There is none.
        """
        for check in self.checks:
            if (check.subject, check.name) == (subject, name):
                return check
        raise KeyError(f"no check {name!r} of {subject!r}")

    def as_dict(self) -> dict[str, Any]:
        """Plain types, ready for JSON."""
        return {"verdict": self.verdict, "checks": [asdict(check) for check in self.checks]}


def joined(audits: Sequence[Audit]) -> Audit:
    """Several audits as one."""
    return Audit(tuple(check for audit in audits for check in audit.checks))
