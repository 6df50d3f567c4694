"""The controller: every event in, records and commands out; the one place where machines meet.

An event is taken in, reconciliation looks at it, the schedule under way goes on, margin and what
rests on the venue follow, and the decision is asked. No order leaves on a position that is not
freshly confirmed or while trading is halted, whoever asked for it. Page: docs/trading.md.
"""

import math
from typing import Literal

from counterpoise.config import Settings
from counterpoise.decision.moment import (
    STATE_MINUTE,
    STATE_MOVED,
    STATE_SPENT,
    STATE_WEIGHTS,
    Reason,
)
from counterpoise.execution.commands import Alarm, Cancel, QueryAccount
from counterpoise.execution.events import (
    Event,
    Exposure,
    Fill,
    Funding,
    Link,
    Mark,
    Operator,
    OrderUpdate,
    Quote,
    Signals,
    Snapshot,
)
from counterpoise.execution.judge import Judge, Verdict
from counterpoise.execution.margining import ASKS, Margining
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.plan import Filters
from counterpoise.execution.protection import Protection
from counterpoise.execution.pursuit import HALF, Pursuit
from counterpoise.execution.reconcile import Reconciler
from counterpoise.execution.records import (
    AlertRaised,
    Decision,
    FillBooked,
    FundingBooked,
    Mode,
    Moved,
    OrderSent,
)
from counterpoise.execution.remembered import Remembered
from counterpoise.execution.strangers import VENUES_OWN
from counterpoise.execution.twap import Twap
from counterpoise.units import NS_PER_HOUR, NS_PER_MS, NS_PER_S
from counterpoise.venues.contract import Contract

#: What led to a decision. A mark or an exposure is acted on with the next quote or bar.
Cause = Literal["bar", "quote", "position", "order"]
#: A quote this shortly before a full hour is the close, and the bar decides on it.
CLOSE_NS = NS_PER_MS
#: A short up to this many times what the equity seen carries counts as funded: prices moved since.
FUNDED = 1.02
#: After a full hour, until settled funding was surely told.
SETTLING_NS = 300 * NS_PER_S
#: Collateral that came or went without us is noticed from here on, USD.
NOTICED_USD = 1.0
_HALTED = int(Reason.HALTED)
_CAUSES: dict[type, Cause] = {
    Signals: "bar",
    Quote: "quote",
    Snapshot: "position",
    Fill: "order",
    OrderUpdate: "order",
}


class Controller:
    """Keeps one hedge on one venue.

    Parameters
    ----------
    settings : Settings
    contract : Contract
    prefix : str
        Begins every client id of this journal, so that ours are told from strangers'.
    exposure_eth, price : float
        At the beginning: long ETH, and perpetual price in USD.

    Attributes
    ----------
    pursuit : Pursuit
        What was last decided on, and the schedule that works on it.
    mode : {"trading", "halted", "flattening"}
    why : str
        Why nothing is trading; empty while it may.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        prefix: str,
        *,
        exposure_eth: float,
        price: float,
    ) -> None:
        self.settings = settings
        self.filters = Filters.of(contract)
        self.judge = Judge(settings, contract, exposure_eth=exposure_eth, price=price)
        self.reconciler = Reconciler(prefix, contract.step_eth, settings.run)
        guards = settings.protection, settings.run
        self.protection = Protection(prefix, contract, *guards, self.reconciler.orders)
        self.margining = Margining(prefix, contract, *guards, self.judge.keep_alive)
        self.prefix = prefix
        self.pursuit = Pursuit(settings, self.filters, prefix)
        self.mode: Literal["trading", "halted", "flattening"] = "trading"
        self.why = ""
        self.verdict: Verdict | None = None
        self.because = ""
        self.now_ns = 0
        self.quote: Quote | None = None
        self.decision_id = 0
        self._ending = False
        self._halted_flags, self._asked = -1, False
        self._moved_usd = 0.0
        self._taken_over: set[str] = set()

    @property
    def short_eth(self) -> float:
        """Short as we count it."""
        return self.judge.account.short_eth

    @property
    def committed_eth(self) -> float:
        """Short that is held when everything under way is done."""
        return self.pursuit.goal_eth if self._leftover() else self.short_eth

    def handle(self, event: Event) -> Outbox:
        """Take in an event.

        Returns
        -------
        Outbox
            Records to commit in one go, then commands to send in their order.
        """
        out = Outbox()
        self.now_ns = max(self.now_ns, event.ts_ns)
        self._take_in(event, out)
        self.reconciler.handle(event, out)
        self._count(event, out)
        if self.pursuit.twap is not None:
            if self.mode != "flattening" and self.halted_why:
                self.pursuit.twap.stop(out)
            self.pursuit.twap.handle(event, out, may_place=not self.blocked())
        if self._ending:
            # What becomes of orders is still written down; nothing new begins.
            out.commands = [told for told in out.commands if isinstance(told, Cancel | Alarm)]
            self._remember(out)
            return out
        self.margining.handle(event, out)
        self.protection.handle(event, out, halted=bool(self.halted_why))
        cause = _CAUSES.get(type(event))
        if cause is not None:
            self._consider(cause, out)
        self._pursue(out)
        self._remember(out)
        return out

    def start(self, known: Remembered, snapshot: Snapshot) -> Outbox:
        """Begin from what the journal remembers and what the venue has; before any event.

        Returns
        -------
        Outbox
            As :meth:`handle`.
        """
        out = Outbox()
        self.now_ns = snapshot.ts_ns
        account, decision = self.judge.account, known.decision
        if decision is not None:
            self.judge.resume(decision.state, decision.memory, decision.inputs, decision.short_eth)
            account = self.judge.account
            for fill in known.fills:
                account.book(fill)
            for funding in known.fundings:
                account.settle(Funding(funding.ts_ns, funding.usd, funding.rate))
            for move in known.moves:
                account.follow(move)
                if move.status == "asked":
                    account.charged_usd += self.settings.capital.transfer_usd
            self.decision_id, self.because = decision.decision_id, decision.because
        self.pursuit.schedule_id = known.schedule_id
        self.reconciler.start(known.orders, snapshot, out)
        for record in out.records:
            if isinstance(record, FillBooked):
                account.book(record)
        # Nothing was decided yet, or not since a person had the venue's position taken as true.
        undecided = decision is None or account.short_eth != self.reconciler.counted_eth
        if undecided:
            account.adopt(snapshot)
        if known.halted:
            self.mode, self.why = "halted", known.halted
        self.pursuit.goal_eth = account.short_eth
        if decision is not None and not undecided and not self.halted_why:
            self.pursuit.goal_eth = decision.target_eth
        if known.plan is not None:
            self.pursuit.twap = Twap.resume(
                known.plan,
                known.sent,
                known.states,
                (*known.booked, *(r for r in out.records if isinstance(r, FillBooked))),
                filters=self.filters,
                settings=self.settings.twap,
                client_id_prefix=self.prefix,
            )
        self.margining.start(known.moving, known.last_move)
        self.margining.handle(snapshot, out)
        self.protection.start(known.orders.sent, known.last_stop, snapshot, out)
        self._remember(out)
        return out

    def end(self) -> Outbox:
        """Leave in order: what rests of a schedule is cancelled, stops stay, the countdown ends.

        Events that come after it are written down, and nothing new begins.
        """
        out = Outbox()
        self._ending = True
        for client_id, order in self.reconciler.orders.items():
            if order.in_the_air and not order.stop:
                out.commands.append(Cancel(client_id))
        self.protection.end(out)
        return out

    def _take_in(self, event: Event, out: Outbox) -> None:
        """Prices, account and the operator."""
        judge = self.judge
        match event:
            case Quote():
                self.quote = event
                judge.see_quote(event)
            case Mark():
                judge.see_mark(event)
            case Signals():
                judge.signals = event
                self.pursuit.see(event)
            case Exposure():
                judge.exposure_eth = event.exposure_eth
            case Fill() if event.client_id.startswith(tuple(VENUES_OWN)):
                # Reconciliation halts on it; what it cost is known all the same.
                if event.trade_id not in self._taken_over:
                    self._taken_over.add(event.trade_id)
                    judge.account.book(event)
            case Funding():
                judge.account.settle(event)
                out.records.append(FundingBooked(event.ts_ns, event.usd, event.rate))
            case Operator():
                self._obey(event, out)
            case Link(up=False):
                out.commands.append(
                    Alarm(
                        "warning",
                        f"link:{event.what}",
                        f"The {event.what} connection is lost: {event.why}.",
                        "nothing if it comes back by itself; otherwise check the network and the "
                        "venue's status page",
                    )
                )

    def _count(self, event: Event, out: Outbox) -> None:
        """Count fills that were booked, and collateral that moved without us."""
        account = self.judge.account
        for record in out.records:
            if isinstance(record, FillBooked):
                account.book(record)
        if not isinstance(event, Snapshot):
            return
        if self.reconciler.counted_eth != account.short_eth:
            # A person had the venue's position taken as true.
            account.adopt(event)
            self.pursuit.goal_eth = 0.0 if self.mode == "flattening" else account.short_eth
        elif (
            self.reconciler.fresh(self.now_ns)
            and not self.pursuit.working
            # What settles at a full hour is told as funding a moment later.
            and self.now_ns % NS_PER_HOUR > SETTLING_NS
        ):
            moved = event.wallet_usd + event.short_eth * event.entry - account.cash_usd
            if abs(moved) > NOTICED_USD and abs(moved - self._moved_usd) < NOTICED_USD:
                account.adopt(event)
            self._moved_usd = moved

    def _obey(self, asked: Operator, out: Outbox) -> None:
        """Halt, resume or flatten."""
        if asked.order == "resume":
            self.mode, self.why = "trading", ""
            self.pursuit.goal_eth = self.short_eth
        else:
            self.mode = "halted" if asked.order == "halt" else "flattening"
            self.why = f"{asked.order} asked for by the operator: {asked.why or 'no reason given'}"
            self.pursuit.stop(self.short_eth if asked.order == "halt" else 0.0, out)
            if asked.order == "flatten" and self.reconciler.halted is not None:
                # Whoever wants everything closed takes the venue's position as what there is.
                self.reconciler.handle(Operator(asked.ts_ns, "resume", asked.why), out)
        out.records.append(Mode(asked.ts_ns, self.mode, "operator", asked.why))

    @property
    def halted_why(self) -> str:
        """Why trading is halted until a person resumes; empty while it is not."""
        return self.why or self.reconciler.halted or ""

    def blocked(self) -> str:
        """Why no order may leave now; empty where one may."""
        if self._ending:
            return "the run is ending"
        if self.halted_why and self.mode != "flattening":
            return self.halted_why
        if not self.reconciler.ready:
            return "what became of orders sent before the start is not known yet"
        if not self.reconciler.fresh(self.now_ns):
            return "the position is not confirmed"
        if self.quote is None:
            return "no quote has arrived yet"
        age_s = (self.now_ns - self.quote.ts_ns) / NS_PER_S
        if age_s > self.settings.risk.mark_max_age_s:
            return f"the last quote is {age_s:.0f} s old"
        if self.judge.signals is None and self.mode != "flattening":
            return "no hour has been told yet"
        return ""

    def _consider(self, cause: Cause, out: Outbox) -> None:
        """Ask for a decision, and make its target the goal where it may be."""
        if self.mode == "flattening" or (cause == "order" and self._leftover()):
            return
        if cause != "bar" and 0 < -self.now_ns % NS_PER_HOUR <= CLOSE_NS:
            return
        committed, bar = self.committed_eth, cause == "bar"
        state = self.judge.desk.state.copy()
        verdict = self.judge.decide(self.now_ns, committed, bar=bar)
        if verdict is None:
            return
        moves = abs(verdict.target_eth - committed) > HALF * self.filters.step_eth
        halted = verdict.reasons & _HALTED
        asks = bool(verdict.reasons & ASKS)
        # What was asked for may have been refused, or prices have moved since.
        waits = asks and not self._asked and self._unfunded and not self.pursuit.working
        if not (bar or moves or waits or halted != self._halted_flags):
            self.verdict = verdict
            return
        blocked = self.blocked() if moves else ""
        if blocked:
            # No order follows now, so none was made as far as the next decision is concerned.
            for place in (STATE_MOVED, STATE_MINUTE, STATE_SPENT, STATE_WEIGHTS + 1):
                self.judge.desk.state[place] = state[place]
            if cause != "position" and not self.reconciler.fresh(self.now_ns):
                out.commands.append(QueryAccount("a decision waits for the position"))
            if not bar:
                return
        self._halted_flags, self._asked = halted, asks
        self.verdict = verdict
        self.because = self.judge.because(verdict, committed)
        self._journal(cause, verdict, committed, out)
        if moves and not blocked:
            self.pursuit.go_to(
                verdict.target_eth,
                urgent=verdict.urgent,
                short_eth=self.short_eth,
                now_ns=self.now_ns,
                out=out,
            )

    def _journal(self, cause: Cause, verdict: Verdict, committed_eth: float, out: Outbox) -> None:
        self.decision_id += 1
        state, memory = self.judge.remembered()
        row = self.judge.signals
        assert row is not None, "a decision needs a row of the bar clock"
        decision = Decision(
            ts_ns=self.now_ns,
            decision_id=self.decision_id,
            cause=cause,
            tick=row.tick,
            exposure_eth=self.judge.exposure_eth,
            short_eth=self.short_eth,
            target_eth=verdict.target_eth,
            collateral_usd=verdict.collateral_usd,
            lo=verdict.lo,
            hi=verdict.hi,
            reasons=verdict.reasons,
            because=self.because,
            chain=self.judge.numbers(),
            state=state,
            memory=memory,
            inputs=self.judge.carried() | {"committed_eth": committed_eth},
        )
        out.records.append(decision)
        self.margining.decided(decision, out)

    def _leftover(self) -> bool:
        """Whether what was decided on is not held yet."""
        return self.pursuit.leftover(self.short_eth, self.judge.price)

    @property
    def _unfunded(self) -> bool:
        """Whether a larger short waits for collateral that is not seen at the venue yet."""
        return self.pursuit.goal_eth > max(
            self.short_eth, FUNDED * self.margining.largest_short_eth
        )

    def _pursue(self, out: Outbox) -> None:
        """Begin a schedule where the goal is not held, none is under way and orders may leave."""
        if not self.pursuit.due(self.short_eth, self.judge.price, self.now_ns):
            return
        if self.blocked() or self._unfunded:
            return
        quote, row, verdict = self.quote, self.judge.signals, self.verdict
        assert quote is not None, "blocked() asks for a quote"
        self.pursuit.begin(
            quote,
            self.decision_id,
            short_eth=self.short_eth,
            now_ns=self.now_ns,
            urgency=0.0 if row is None or math.isnan(row.urgency) else row.urgency,
            urgent=self.mode == "flattening" or (verdict is not None and verdict.urgent),
            fast=self.judge.fast,
            rule=self.judge.fast_rule,
            out=out,
        )

    def _remember(self, out: Outbox) -> None:
        """Orders are known to reconciliation, alarms to the journal, transfers are counted."""
        for record in out.records:
            if isinstance(record, OrderSent):
                self.reconciler.sent(record)
            elif isinstance(record, Moved):
                self.judge.account.follow(record)
                if record.status == "asked":
                    self.judge.account.charged_usd += self.settings.capital.transfer_usd
        out.records += [
            AlertRaised(self.now_ns, told.severity, told.key, told.text, told.next_step)
            for told in out.commands
            if isinstance(told, Alarm)
        ]
