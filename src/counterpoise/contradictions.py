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
#: Names of the stops, and of the classes of events as keys.
STOPS = ("portfolio", "spot", "short", "short_equity")
EVENTS = ("network_upgrade", "regulatory", "macro")


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


def _stop_rules(name: str) -> tuple["Rule", ...]:
    """Rules of one stop."""
    key = f"risk.stops.{name}"

    def cut(settings: "Settings") -> bool:
        stop = getattr(settings.risk.stops, name)
        return bool((stop.action == "cut") != (stop.to_ratio is not None))

    def beyond(settings: "Settings") -> bool:
        ratio = getattr(settings.risk.stops, name).to_ratio
        return ratio is not None and ratio > settings.hedge.max_ratio

    def unarmed(settings: "Settings") -> bool:
        stop = getattr(settings.risk.stops, name)
        return stop.distance is None and bool(stop != type(stop)())

    return (
        Rule(
            tuple(f"{key}.{part}" for part in ("distance", "action", "follow", "cooldown_h")),
            unarmed,
            "a distance beside them: without one the stop is off",
        ),
        Rule(
            (f"{key}.action", f"{key}.to_ratio"), cut, "to_ratio with action = 'cut', and only then"
        ),
        Rule((f"{key}.to_ratio", "hedge.max_ratio"), beyond, "to_ratio at most max_ratio"),
    )


def _event_rules(name: str) -> tuple["Rule", ...]:
    """Rules of one class of events."""
    key = f"risk.events.{name}"

    def beyond(settings: "Settings") -> bool:
        floor: float = getattr(settings.risk.events, name).hedge_floor
        return floor > settings.hedge.max_ratio

    def above(settings: "Settings") -> bool:
        return _above(settings, f"{key}.leverage_cap", "capital.leverage_max")

    def below(settings: "Settings") -> bool:
        cap = getattr(settings.risk.events, name).leverage_cap
        return cap is not None and bool(cap < settings.capital.leverage_min)

    return (
        Rule((f"{key}.hedge_floor", "hedge.max_ratio"), beyond, "hedge_floor at most max_ratio"),
        Rule(
            (f"{key}.leverage_cap", "capital.leverage_max"),
            above,
            "leverage_cap at most leverage_max, or it caps nothing",
        ),
        Rule(
            (f"{key}.leverage_cap", "capital.leverage_min"),
            below,
            "leverage_cap at least leverage_min",
        ),
    )


def _above(settings: "Settings", key: str, other: str) -> bool:
    """Whether one limit exceeds another; a limit that is not set exceeds nothing."""
    one, two = value_at(settings, key), value_at(settings, other)
    return isinstance(one, int | float) and isinstance(two, int | float) and one > two


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
        ("capital.leverage_min", "capital.leverage_max"),
        lambda s: s.capital.leverage_min >= s.capital.leverage_max,
        "leverage_min below leverage_max",
    ),
    Rule(
        (
            "capital.leverage_mode",
            "capital.leverage_min",
            "capital.headroom",
            "capital.leverage_max",
        ),
        lambda s: (
            s.capital.leverage_mode == "dynamic"
            and s.capital.leverage_min * s.capital.headroom > s.capital.leverage_max
        ),
        "leverage_min × headroom at most leverage_max",
    ),
    Rule(
        ("risk.keep_alive", "capital.leverage_max"),
        lambda s: s.risk.keep_alive * s.capital.leverage_max >= 1.0,
        "keep_alive below 1 / leverage_max: a short is topped up before it is cut",
    ),
    Rule(
        ("risk.drawdown.reserve", "risk.drawdown.limit"),
        lambda s: (
            s.risk.drawdown.limit is not None and s.risk.drawdown.reserve >= s.risk.drawdown.limit
        ),
        "reserve below limit, or there is no cushion",
    ),
    Rule(
        ("risk.drawdown.limit", "hedge.max_ratio"),
        lambda s: s.risk.drawdown.limit is not None and s.hedge.max_ratio < 1.0,
        "max_ratio of at least 1: less than a full hedge cannot keep a drawdown limit",
    ),
    Rule(
        ("risk.profit_lock.step", "hedge.max_ratio"),
        lambda s: s.risk.profit_lock.step is not None and s.hedge.max_ratio < 1.0,
        "max_ratio of at least 1: less than a full hedge cannot lock a gain",
    ),
    Rule(
        ("risk.profit_lock.keep", "risk.profit_lock.step"),
        lambda s: s.risk.profit_lock.step is None and s.risk.profit_lock.keep != 0.5,
        "a step beside keep: without one the lock is off",
    ),
    Rule(
        ("risk.orders.fat_finger", "hedge.max_ratio", "risk.orders.order_usd"),
        lambda s: (
            s.risk.orders.order_usd is None
            and s.risk.orders.minute_usd is None
            and s.risk.orders.fat_finger < s.hedge.max_ratio
        ),
        "fat_finger at least max_ratio, or order_usd that cuts orders before they are looked at: "
        "the guard may go to a full hedge at once",
    ),
    Rule(
        ("risk.stops.portfolio.distance", "risk.drawdown.limit"),
        lambda s: (
            s.risk.drawdown.limit is not None
            and s.risk.stops.portfolio.distance is not None
            and s.risk.stops.portfolio.distance >= s.risk.drawdown.limit
        ),
        "a stop on equity nearer than the drawdown limit: at the limit the hedge is full already",
    ),
    *(rule for name in STOPS for rule in _stop_rules(name)),
    *(rule for name in EVENTS for rule in _event_rules(name)),
    Rule(
        ("risk.orders.venue_usd", "risk.orders.total_usd"),
        lambda s: _above(s, "risk.orders.venue_usd", "risk.orders.total_usd"),
        "venue_usd at most total_usd",
    ),
    Rule(
        ("risk.orders.order_usd", "risk.orders.minute_usd"),
        lambda s: _above(s, "risk.orders.order_usd", "risk.orders.minute_usd"),
        "order_usd at most minute_usd",
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
