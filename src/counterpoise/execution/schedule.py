"""The plan in force: which slice it is, how much is to be filled by when, and how that changes."""

from bisect import bisect_right
from dataclasses import replace
from typing import Any

from counterpoise.execution.plan import Filters, slices
from counterpoise.execution.records import Plan
from counterpoise.run_settings import TwapSettings


class Schedule:
    """The latest plan of a schedule; sizes in whole steps.

    Parameters
    ----------
    plan : Plan
    filters : Filters
    """

    def __init__(self, plan: Plan, filters: Filters) -> None:
        self.plan = plan
        self.size = filters.steps(plan.size)
        self._filters = filters
        self._ends_ns: list[int] = plan.plan["ends_ns"]
        self._until: list[int] = plan.plan["until"]

    @property
    def working(self) -> bool:
        """Something is still to be sent."""
        return self.plan.status == "working" and self.plan.plan["ending"] is None

    @property
    def reduce_only(self) -> bool:
        """A buy only ever reduces the short."""
        return self.plan.side == "buy"

    @property
    def hurry(self) -> int | None:
        """Orders that had been sent when an emergency began; None without one."""
        count: int | None = self.plan.plan["hurry"]
        return count

    def slice(self, now_ns: int) -> int:
        """Number of the slice over all plans of the schedule."""
        first: int = self.plan.plan["first"]
        return first + self._place(now_ns)

    def sliced(self, now_ns: int) -> bool:
        """A slice is running: not all of them are over."""
        return now_ns < self._ends_ns[-1]

    def over(self, now_ns: int) -> bool:
        """What is left is given up now; an emergency goes on."""
        return bool(now_ns >= self.plan.plan["over_ns"]) and self.hurry is None

    def due(self, now_ns: int, slices_ago: int = 0) -> int:
        """Steps to be filled by the end of the running slice, or of an earlier one."""
        place = min(self._place(now_ns), len(self._until) - 1) - slices_ago
        return self._until[place] if place >= 0 else 0

    def next_ns(self, now_ns: int) -> int:
        """When the next thing happens by itself: the end of a slice, or of everything."""
        over: int = self.plan.plan["over_ns"]
        return self._ends_ns[self._place(now_ns)] if self.sliced(now_ns) else over

    def _place(self, now_ns: int) -> int:
        return bisect_right(self._ends_ns, now_ns)

    def change(self, now_ns: int, status: str = "working", **changes: Any) -> Plan:
        """Put other values into force; returns the plan to be journalled."""
        memory = {**self.plan.plan, **changes}
        self.plan = replace(
            self.plan,
            ts_ns=now_ns,
            size=self._filters.eth(self.size),
            end_ns=memory["ends_ns"][-1],
            status=status,
            plan=memory,
        )
        self._ends_ns, self._until = memory["ends_ns"], memory["until"]
        return self.plan

    def resize(
        self, steps: int, done: int, first: int, mid: float, now_ns: int, settings: TwapSettings
    ) -> Plan:
        """Spread what is left of another size anew; returns the plan to be journalled.

        Parameters
        ----------
        steps, done : int
            To be filled in all, and filled so far.
        first : int
            Number of the first slice, at least.
        mid : float
            USD.
        now_ns : int
        settings : TwapSettings
        """
        self.size = steps
        first = max(first, self.slice(now_ns) + 1)
        memory = self.plan.plan
        anew = slices(
            done, steps, mid, now_ns, self.reduce_only, memory, first, self._filters, settings
        )
        return self.change(now_ns, **anew)
