"""From a target to a schedule: the goal that was decided on, and the one schedule that works on it.

It never has two schedules at work: a new goal is netted into the one under way, or waits for its
end. Whether an order may leave at all is the controller's business.
"""

from counterpoise.config import Settings
from counterpoise.decision.fast_band import FastRule, timing
from counterpoise.execution.events import Quote, Side, Signals
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.plan import Filters, plan_schedule
from counterpoise.execution.twap import Twap
from counterpoise.features.fast import Fast
from counterpoise.units import NS_PER_MS, NS_PER_S

#: After a schedule that could not be finished, so many waits for an unknown order until another.
RETRY_WAITS = 3
#: Daily volatility and volume of a market that no bar has told of: livelier and thinner than it is.
UNKNOWN_SIGMA_DAY, UNKNOWN_VOLUME_ETH = 0.05, 500_000.0
#: Parts of a size step below which a size is rounding.
HALF = 0.5


class Pursuit:
    """The goal of one hedge.

    Parameters
    ----------
    settings : Settings
    filters : Filters
    prefix : str
        Begins every client id.

    Attributes
    ----------
    goal_eth : float
        Short that was last decided on.
    twap : Twap or None
        The last schedule.
    schedule_id : int
        Number of the last schedule of this journal.
    """

    def __init__(self, settings: Settings, filters: Filters, prefix: str) -> None:
        self.goal_eth = 0.0
        self.twap: Twap | None = None
        self.schedule_id = 0
        self._settings, self._filters, self._prefix = settings.twap, filters, prefix
        self._retry_wait_ns = RETRY_WAITS * settings.run.unknown_wait_ms * NS_PER_MS
        self._retry_ns = self._wanted_ns = 0
        self._sigma_day, self._volume_day_eth = UNKNOWN_SIGMA_DAY, UNKNOWN_VOLUME_ETH

    @property
    def working(self) -> bool:
        """Whether a schedule is under way."""
        return self.twap is not None and self.twap.working

    def see(self, row: Signals) -> None:
        """Take in what a bar tells of volatility and volume."""
        if row.sigma_day > 0.0 and row.volume_day_eth > 0.0:
            self._sigma_day, self._volume_day_eth = row.sigma_day, row.volume_day_eth

    def leftover(self, short_eth: float, price: float) -> bool:
        """Whether the goal is still a whole step away, and large enough for an order."""
        away = self.goal_eth - short_eth
        if abs(away) <= HALF * self._filters.step_eth:
            return False
        return away < 0.0 or not away * price < self._filters.min_notional_usd

    def go_to(
        self, target_eth: float, *, urgent: bool, short_eth: float, now_ns: int, out: Outbox
    ) -> None:
        """Make a target the goal; a schedule under way is netted into it, or ends."""
        self.goal_eth, self._retry_ns = target_eth, 0
        twap = self.twap
        if twap is None or not twap.working:
            return
        sign = 1.0 if twap.side == "sell" else -1.0
        total = twap.filled_eth + sign * (self.goal_eth - short_eth)
        if total > twap.filled_eth + HALF * self._filters.step_eth:
            twap.replan(total, now_ns, out)
            if urgent:
                twap.hurry(out)
        else:
            twap.stop(out)

    def stop(self, goal_eth: float, out: Outbox) -> None:
        """End the schedule under way; what is held, or nothing, is the goal from now on."""
        self.goal_eth = goal_eth
        if self.twap is not None:
            self.twap.stop(out)

    def due(self, short_eth: float, price: float, now_ns: int) -> bool:
        """Whether a schedule is to begin; one that ended short of its goal is tried again later."""
        if self.working:
            return False
        left = self.leftover(short_eth, price)
        if self.twap is not None:
            self.twap = None
            if left:
                self._retry_ns = now_ns + self._retry_wait_ns
        return left and now_ns >= self._retry_ns

    def begin(
        self,
        quote: Quote,
        decision_id: int,
        *,
        short_eth: float,
        now_ns: int,
        urgency: float,
        urgent: bool,
        fast: Fast | None,
        rule: FastRule,
        out: Outbox,
    ) -> None:
        """Begin a schedule to the goal, unless fast numbers let it wait a moment.

        Parameters
        ----------
        quote : Quote
            Its mid is the arrival price.
        decision_id : int
            That led to it.
        short_eth : float
        now_ns : int
        urgency : float
            0 to 1.
        urgent : bool
            The guard asks, or a person: it crosses at once.
        fast : Fast or None
            None where fast numbers may do nothing.
        rule : FastRule
        out : Outbox
        """
        away = self.goal_eth - short_eth
        side: Side = "sell" if away > 0.0 else "buy"
        if fast is not None:
            self._wanted_ns = self._wanted_ns or now_ns
            when = timing(
                side,
                flow=fast.flow,
                microprice_usd=fast.microprice_usd,
                waited_s=(now_ns - self._wanted_ns) / NS_PER_S,
                forced=urgent,
                rule=rule,
            )
            if when.wait:
                return
            urgency = 1.0 if when.hurry else urgency
        self._wanted_ns = 0
        self.schedule_id += 1
        plan = plan_schedule(
            self.schedule_id,
            decision_id,
            side,
            abs(away),
            quote,
            now_ns,
            urgency=urgency,
            sigma_day=self._sigma_day,
            volume_day_eth=self._volume_day_eth,
            filters=self._filters,
            settings=self._settings,
            seed=self.schedule_id,
            at_once=urgent,
        )
        self.twap = Twap(plan, self._filters, self._settings, self._prefix)
        out.records.append(plan)
        self.twap.handle(quote, out)
