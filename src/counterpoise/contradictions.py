"""Settings that contradict each other: which pairs can, and what would agree.

Each rule names the keys it looks at, so that a refusal can say every value and where it came from.
What needs the rules of a venue or the user's files is refused where those are read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterpoise.config import Settings

#: 1 - 0.7 is more than 0.3 by a bit.
_ROUNDING = 1e-9
#: Where the holdout begins unless a setting says otherwise.
HOLDOUT_START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Rule:
    """Settings of which not all values go together.

    Attributes
    ----------
    keys : tuple of str
        Dotted keys the rule looks at.
    broken : callable
        Whether the settings break it.
    expected : str
        What would agree.
    """

    keys: tuple[str, ...]
    broken: Callable[["Settings"], bool]
    expected: str


class Contradiction(ValueError):
    """A broken rule and the values that break it; loading adds where each came from."""

    def __init__(self, rule: Rule, settings: "Settings") -> None:
        super().__init__(rule.expected)
        self.expected = rule.expected
        self.given = {key: value_at(settings, key) for key in rule.keys}


def value_at(settings: "Settings", key: str) -> object:
    """Value of a dotted key.

    Examples
    --------
    >>> from counterpoise.config import Settings
    >>> value_at(Settings(), "hedge.max_ratio")
    1.0
    """
    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _never_trades(settings: "Settings") -> bool:
    """Whether the band around the base ratio covers every ratio there is."""
    hedge = settings.hedge
    inside = hedge.base_ratio - hedge.band <= 0 and hedge.base_ratio + hedge.band >= hedge.max_ratio
    return inside and hedge.band > 0


def _holdout_after_end(settings: "Settings") -> bool:
    """Whether a holdout that was asked for has no day; the default one may lie ahead."""
    begins, end = settings.study.holdout_start, settings.study.end
    return end is not None and begins != HOLDOUT_START and begins >= end


RULES = (
    Rule(
        ("hedge.base_ratio", "hedge.max_ratio"),
        lambda s: s.hedge.base_ratio > s.hedge.max_ratio,
        "base_ratio at most max_ratio",
    ),
    Rule(
        ("hedge.max_unhedged", "hedge.max_ratio"),
        lambda s: s.hedge.max_unhedged + s.hedge.max_ratio < 1.0 - _ROUNDING,
        "max_unhedged at least 1 - max_ratio: a volatility rule never hedges less than "
        "1 - max_unhedged",
    ),
    Rule(
        ("hedge.band", "hedge.base_ratio", "hedge.max_ratio"),
        _never_trades,
        "a band around base_ratio that leaves out 0 or max_ratio: this one never trades",
    ),
    Rule(
        ("capital.leverage", "capital.leverage_max"),
        lambda s: s.capital.leverage >= s.capital.leverage_max,
        "leverage below leverage_max, at which collateral is topped up",
    ),
    Rule(
        ("study.start", "study.end"),
        lambda s: bool(s.study.start and s.study.end and s.study.start >= s.study.end),
        "a span: study.start must be before study.end",
    ),
    Rule(
        ("study.holdout_start", "study.end"),
        _holdout_after_end,
        "holdout_start before the end, or the holdout has no day",
    ),
)


#: Rules of forecasts trained on the lake; settings made in code may come with other forecasts.
TRAINING_RULES = (
    Rule(
        ("signals.rho_window_days", "signals.min_train_days"),
        lambda s: s.signals.rho_window_days > s.signals.min_train_days,
        "rho_window_days at most min_train_days, so that the first forecasts see a whole window",
    ),
    Rule(
        ("study.burn_in_days", "signals.min_train_days"),
        lambda s: s.study.start is None and s.study.burn_in_days < s.signals.min_train_days,
        "burn_in_days at least min_train_days: there is no forecast before",
    ),
)


def refuse_contradictions(settings: "Settings", rules: Sequence[Rule] = RULES) -> None:
    """Raise for the first rule that settings break.

    Raises
    ------
    Contradiction
    """
    for rule in rules:
        if rule.broken(settings):
            raise Contradiction(rule, settings)
