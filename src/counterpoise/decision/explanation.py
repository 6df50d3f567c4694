"""The chain of a decision in words: what the intent asked for, what bound at which number, the end.

It reads flags and numbers that ``decision.step`` left; it looks nothing up and decides nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from counterpoise.decision.moment import Reason
from counterpoise.market.calendar import CLASSES
from counterpoise.risk.guard_rules import TOO_EXPENSIVE

#: Stops in the order of ``risk.guard``: their key, and what they watch.
_STOPS = (
    ("portfolio", "equity"),
    ("spot", "spot"),
    ("short", "the mark"),
    ("short_equity", "the P&L of the short"),
)

_FALLBACK, _HELD = int(Reason.FALLBACK), int(Reason.HELD)
_UNDECIDED = int(Reason.CLOSED | Reason.HALTED)
#: Numbers behind a decision by the names of ``moment.CHAIN``.
Numbers = Mapping[str, float]
#: Settings of the run: sections ``hedge``, ``safety``, ``capital`` and ``risk`` as nested tables.
Sections = Mapping[str, object]


@dataclass(frozen=True)
class Link:
    """One thing that shaped a decision.

    Attributes
    ----------
    guard : str
        Name of the reason; ``INTENT`` for what the policy asked for.
    at : float
        The number it bound at: a ratio, USD or a fraction; NaN where it has none.
    says : str
        A clause.
    """

    guard: str
    at: float
    says: str


def value(sections: Sections, key: str) -> float:
    """A number of the settings by its dotted key; infinite where it is not set.

    Examples
    --------
    >>> value({"risk": {"orders": {"collar": 0.1, "order_usd": None}}}, "risk.orders.collar")
    0.1
    """
    found: object = sections
    for part in key.split("."):
        found = found[part] if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else math.inf


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"


def _usd(amount: float) -> str:
    return f"{amount:,.0f} USD"


def _intent(flags: int, numbers: Numbers, sections: Sections) -> Link:
    """What was asked for before anything bound."""
    asked = numbers["asked"]
    to = "left it there" if asked == numbers["held"] else f"asked for {_percent(asked)}"
    if flags & _FALLBACK:
        base, grace = value(sections, "hedge.base_ratio"), value(sections, "safety.signal_grace_h")
        says = f"no signal was there for more than {grace:.0f} h, or none yet, so the static "
        says += f"{_percent(base)} is the floor, which {to}"
    elif flags & _HELD:
        says = f"a signal was missing, so the last intent was held, which {to}"
    else:
        says = f"the intent {to}"
    return Link("INTENT", asked, says)


def _floor(what: str, key: str) -> Callable[[Numbers, Sections], tuple[float, str]]:
    def link(numbers: Numbers, sections: Sections) -> tuple[float, str]:
        limit = value(sections, key)
        kept, equity = _usd(numbers["kept_usd"]), _usd(numbers["guarded_usd"])
        return numbers["floor"], (
            f"equity is {equity} and {kept} are to be kept ({what} of {_percent(limit)}), which "
            f"makes {_percent(numbers['floor'])} the floor"
        )

    return link


def _stop(numbers: Numbers, sections: Sections) -> tuple[float, str]:
    key, watches = _STOPS[int(numbers["stop"])]
    distance = _percent(value(sections, f"risk.stops.{key}.distance"))
    return numbers["forced"], (
        f"the {key} stop ({distance}), fired with {watches} at {numbers['stop_level']:,.2f} USD, "
        f"holds {_percent(numbers['forced'])} for another {numbers['stop_hours']:.0f} h"
    )


def _funding(numbers: Numbers, sections: Sections) -> tuple[float, str]:
    hours, cost = value(sections, "risk.funding.horizon_h"), numbers["funding_cost"]
    if numbers["funding_why"] == TOO_EXPENSIVE:
        limit = value(sections, "risk.funding.limit")
        low = limit * value(sections, "risk.funding.release")
        why = (
            f"staying short is expected to cost {100 * cost:.2f} % over {hours:.0f} h (limit "
            f"{100 * limit:.2f} %, until it is below {100 * low:.2f} %)"
        )
    else:
        keep = _percent(value(sections, "risk.funding.keep"))
        why = f"less than {keep} of the most funding earned is left, and staying short costs"
    if numbers["venue"] >= 0.0:
        return cost, f"{why}, so the short is asked to be on venue {int(numbers['venue']) + 1}"
    return cost, f"{why}, so no more than the low edge of the band is asked for"


def _event(numbers: Numbers, sections: Sections) -> tuple[float, str]:
    kind = CLASSES[int(numbers["event_class"])]
    floor = numbers["event_floor"]
    return floor, f"a window around {kind} events makes {_percent(floor)} the floor"


def _limits(sections: Sections, keys: tuple[str, str]) -> tuple[float, str]:
    """Smallest of two limits that are set, and both in words."""
    limits = {key: value(sections, f"risk.orders.{key}") for key in keys}
    told = " and ".join(f"{key} {_usd(most)}" for key, most in limits.items() if most < math.inf)
    return min(limits.values()), told


def _order_cap(numbers: Numbers, sections: Sections) -> tuple[float, str]:
    most, told = _limits(sections, ("order_usd", "minute_usd"))
    return most, f"the order was cut ({told})"


def _venue_cap(numbers: Numbers, sections: Sections) -> tuple[float, str]:
    most, told = _limits(sections, ("venue_usd", "total_usd"))
    return most, f"the short is capped ({told})"


def _waits(numbers: Numbers, sections: Sections) -> tuple[float, str]:
    if numbers["quiet"] > 0.0:
        return math.nan, "an event window lets only the guard move the hedge"
    between = value(sections, "risk.orders.min_interval_s")
    return between, f"the last move was less than {between:,.0f} s ago"


def _setting(key: str, says: str) -> Callable[[Numbers, Sections], tuple[float, str]]:
    def link(_numbers: Numbers, sections: Sections) -> tuple[float, str]:
        number = value(sections, key)
        return number, says.format(number).replace("%", " %")

    return link


def _number(name: str, says: str) -> Callable[[Numbers, Sections], tuple[float, str]]:
    def link(numbers: Numbers, _sections: Sections) -> tuple[float, str]:
        return numbers[name], says.format(numbers[name]).replace("%", " %")

    return link


def _plain(says: str) -> Callable[[Numbers, Sections], tuple[float, str]]:
    return lambda _numbers, _sections: (math.nan, says)


#: Clause of each reason, in the order in which they act; moves themselves are told by the target.
_CLAUSES: dict[Reason, Callable[[Numbers, Sections], tuple[float, str]]] = {
    Reason.NO_POSITION: _plain("the position is not confirmed"),
    Reason.STALE_MARK: _setting("risk.mark_max_age_s", "a price is missing or over {:.0f} s old"),
    Reason.CLOCK_BACK: _plain("the clock jumped back"),
    Reason.BAD_INPUT: _plain("a leverage, weight or filter was no usable number"),
    Reason.HALTED: _plain("so no order may leave"),
    Reason.CLOSED: _plain("the venue was down, so nothing could be decided"),
    Reason.REARMED: _setting("risk.drawdown.rerisk_h", "the guard looked anew after {:.0f} h"),
    Reason.DRAWDOWN: _floor("drawdown limit", "risk.drawdown.limit"),
    Reason.LOCK: _floor("profit lock", "risk.profit_lock.keep"),
    Reason.EVENT: _event,
    Reason.STOP: _stop,
    Reason.FUNDING_COST: _funding,
    Reason.CAPPED: _setting("hedge.max_ratio", "the cap is {:.1%}"),
    Reason.WAIT: _waits,
    Reason.SWITCH: _plain("the venues' shares were off, so the short was moved between them"),
    Reason.BELOW_MINIMUM: _plain("an order was below the venue's minimum"),
    Reason.VENUE_CAP: _venue_cap,
    Reason.COLLAR: _number("distance", "a perpetual was {:.1%} from the index: no order there"),
    Reason.FAT_FINGER: _setting(
        "risk.orders.fat_finger", "an order of over {:.2f} times the exposure was not sent"
    ),
    Reason.ORDER_CAP: _order_cap,
    Reason.TOP_UP: _number(
        "leverage_max", "margin was asked for, as notional was over {:.2f} × it"
    ),
    Reason.RELEASE: _plain("margin that was not needed was taken back"),
    Reason.UNFUNDED: _plain("there was not enough left to post"),
    Reason.AWAITING: _plain("margin is on its way, and only what has arrived carries"),
    Reason.KEPT_ALIVE: _setting(
        "risk.keep_alive", "margin fell below {:.1%} of notional, so the short was cut to keep it"
    ),
}

#: The same by plain numbers: a driver of events asks before an order leaves.
_BITS = tuple((int(reason), reason.name or "", clause) for reason, clause in _CLAUSES.items())


def chain_of(flags: int, numbers: Numbers, sections: Sections) -> tuple[Link, ...]:
    """Everything that shaped a decision, in the order in which it acted.

    Parameters
    ----------
    flags : int
        Of ``Reason``, or-ed.
    numbers : mapping of str to float
        By the names of ``moment.CHAIN``.
    sections : mapping
        Settings of the run, with the sections ``hedge``, ``safety`` and ``risk``.

    Returns
    -------
    tuple of Link
        What the intent asked for first; empty where no decision was taken and no venue was down.
    """
    links = []
    if math.isfinite(numbers["asked"]) and not flags & _UNDECIDED:
        links.append(_intent(flags, numbers, sections))
    for bit, name, clause in _BITS:
        if flags & bit:
            at, says = clause(numbers, sections)
            links.append(Link(name, at, says))
    return tuple(links)


def sentence(links: tuple[Link, ...], *, held: float, target: float, traded_eth: float) -> str:
    """The chain as one sentence.

    Parameters
    ----------
    links : tuple of Link
    held, target : float
        Hedge ratio before and after the decision.
    traded_eth : float
        Size of its orders, not negative.
    """
    if not links:
        return f"No price arrived, so nothing was decided; the hedge stayed at {_percent(target)}."
    told = "; ".join(link.says for link in links)
    if traded_eth == 0.0:
        end = f"the short stayed as it was, at {_percent(target)}"
    elif abs(target - held) <= 1e-9:
        end = f"{traded_eth:,.3f} ETH were traded between venues, at {_percent(target)}"
    else:
        verb = "sold" if target > held else "bought back"
        end = f"{traded_eth:,.3f} ETH were {verb}, to {_percent(target)}"
    return f"{_percent(held)} was hedged; {told}; {end}."
