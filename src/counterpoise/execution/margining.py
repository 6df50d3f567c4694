"""Dynamic leverage live: the leverage set on the venue, and the collateral behind the short.

The decision says how much margin equity to hold; this machine moves USDT into and out of the
futures wallet, one transfer at a time and none twice, or tells a person how much and until when. A
transfer whose outcome is unknown is never repeated. What a decision should ask for is not decided
here.
"""

import math

from counterpoise.decision.moment import Reason
from counterpoise.execution.commands import Alarm, SetLeverage, Transfer
from counterpoise.execution.count import SKEW_NS
from counterpoise.execution.events import Event, Operator, Signals, Snapshot, TransferDone
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import Decision, Moved
from counterpoise.risk.margin import maintenance_margin, tier_of
from counterpoise.run_settings import ProtectionSettings, RunSettings
from counterpoise.venues.contract import Contract, Tier, stack

#: The venue's own leverage leaves this much room above ours: initial margin takes half the equity.
ROOM = 2.0
#: Growth of the notional, by price or by size, that must not need another leverage at once.
GROWTH = 1.25
#: A leverage that was asked for and is not in force is asked for again after this.
REPEAT_NS = 60_000_000_000
#: A transfer without an answer after this is a person's business.
OVERDUE_NS = 600_000_000_000
#: 99 % quantile of the highest point of a random walk over one unit of its deviation.
WORST_RISE = 2.576
#: Below this many hours collateral is missed at once.
URGENT_H = 24.0
#: A person is asked again after an hour, or when the amount moved by a fifth.
REMIND_NS, CHANGED = 3_600_000_000_000, 0.2

#: Reasons of a decision that asks for collateral.
ASKS = int(Reason.TOP_UP | Reason.UNFUNDED)
_OUT = int(Reason.RELEASE)


def hours_until(equity_usd: float, notional_usd: float, least: float, sigma_day: float) -> float:
    """Hours in which a bad market takes equity ÷ notional of a short down to a share.

    Parameters
    ----------
    equity_usd, notional_usd : float
        Now; the notional > 0.
    least : float
        The share at which the short is cut.
    sigma_day : float
        Daily volatility, a fraction, > 0.

    Returns
    -------
    float
        0 where it is there already; NaN where something is unknown.

    Notes
    -----
    A rise r leaves (E - n·r) ÷ (n·(1 + r)) = ``least``, so r = (E/n - least) ÷ (1 + least). The
    highest point of a random walk over h hours is below 2.576·σ·√(h/24) in 99 of 100 cases
    (reflection principle): the result is the h at which that is r.

    Examples
    --------
    At 3× and 4 % a day, 5 % are left after a rise of 27 %:

    >>> round(hours_until(100_000.0, 300_000.0, 0.05, 0.04), 1)
    164.6
    """
    rise = (equity_usd / notional_usd - least) / (1.0 + least)
    return 24.0 * (max(rise, 0.0) / (WORST_RISE * sigma_day)) ** 2


class Margining:
    """Keeps leverage and collateral on the venue at what the decisions ask for.

    Parameters
    ----------
    prefix : str
        What the client ids of this run begin with; transfers are ``{prefix}move-{n}``.
    contract : Contract
        Linear, margined in USDT.
    settings : ProtectionSettings
    run : RunSettings
    keep_alive : float
        Equity ÷ notional at which the guard cuts the short; deadlines are counted to it, or to the
        venue's maintenance where that is more.

    Notes
    -----
    Under isolated margin the venue's leverage is the decision's, so that an order posts what is
    asked for; more is put behind a position by hand.
    """

    def __init__(
        self,
        prefix: str,
        contract: Contract,
        settings: ProtectionSettings,
        run: RunSettings,
        keep_alive: float,
    ) -> None:
        self._prefix, self._contract, self._keep_alive = prefix, contract, keep_alive
        rules = stack([contract])
        self._tiers = (rules.tier_cap[0], rules.tier_rate[0], rules.tier_amount[0])
        self._isolated = run.margin == "isolated"
        self._automatic = settings.transfers == "automatic" and not self._isolated
        self._least_usd = settings.transfer_min_usd
        self._cooldown_ns = settings.transfer_cooldown_s * 1_000_000_000
        self._last = 0
        self._moving: Moved | None = None
        self._overdue = False
        self._moved_for = self._settled_ns = self._next_out_ns = self._next_try_ns = 0
        self._told_usd, self._told_ns = 0.0, 0
        self._leverage_ns, self._leverage_asked = 0, 0
        self._signals: Signals | None = None
        self._decision: Decision | None = None
        self._snapshot: Snapshot | None = None

    @property
    def on_way_usd(self) -> float:
        """USDT on its way into the venue."""
        return max(self._moving.usd, 0.0) if self._moving is not None else 0.0

    @property
    def largest_short_eth(self) -> float:
        """Short that the equity seen last carries at the leverage of the signals; 0 if unknown."""
        if self._snapshot is None or self._signals is None or self._snapshot.mark <= 0.0:
            return 0.0
        most = max(self._snapshot.equity_usd, 0.0) * self._signals.leverage_max
        return most / self._snapshot.mark if math.isfinite(most) else 0.0

    def start(self, moved: Moved | None, last: int) -> None:
        """Go on after a restart.

        Parameters
        ----------
        moved : Moved or None
            The last transfer, if it was asked for and not answered.
        last : int
            Largest n of a ``…move-{n}`` ever asked for; 0 without one.
        """
        self._moving, self._last = moved, last

    def decided(self, decision: Decision, out: Outbox) -> None:
        """Take a decision: margin equity to hold, and the short it is for."""
        self._decision = decision
        self._act(decision.ts_ns, out)

    def handle(self, event: Event, out: Outbox) -> None:
        """Take an event."""
        match event:
            case Signals():
                self._signals = event
            case Snapshot():
                self._snapshot = event
                self._act(event.ts_ns, out)
            case TransferDone():
                self._answered(event, out)
            case Operator(order="resume") if self._overdue and self._moving is not None:
                self._end(event.ts_ns, "abandoned", "an operator looked after it", out)

    def _act(self, now_ns: int, out: Outbox) -> None:
        if self._decision is None or self._snapshot is None or self._signals is None:
            return
        if self._moving is not None:
            self._wait(self._moving, now_ns, out)
        elif self._snapshot.ts_ns > self._settled_ns + SKEW_NS:
            self._fund(self._decision, self._snapshot, self._signals, now_ns, out)
        self._set_leverage(self._decision, self._snapshot, self._signals, now_ns, out)

    def _fund(
        self, decision: Decision, snapshot: Snapshot, signals: Signals, now_ns: int, out: Outbox
    ) -> None:
        """Move what a decision asked to move, once, or ask a person for it."""
        if decision.decision_id == self._moved_for:
            return
        missing = decision.collateral_usd - snapshot.equity_usd
        if decision.reasons & ASKS and missing >= self._least_usd:
            usd = float(math.ceil(missing))
            if self._automatic and now_ns >= self._next_try_ns:
                self._move(decision, usd, now_ns, out)
            else:
                self._ask_for(usd, snapshot, signals, now_ns, out)
            return
        closed = decision.target_eth == 0.0 and decision.collateral_usd == 0.0
        if not self._automatic or not (decision.reasons & _OUT or closed):
            return
        carried = snapshot.short_eth * snapshot.mark / signals.leverage
        spare = snapshot.equity_usd - max(decision.collateral_usd, carried)
        usd = float(math.floor(min(spare, snapshot.available_usd)))
        if usd >= self._least_usd and now_ns >= max(self._next_out_ns, self._next_try_ns):
            self._move(decision, -usd, now_ns, out)

    def _move(self, decision: Decision, usd: float, now_ns: int, out: Outbox) -> None:
        self._last += 1
        self._moved_for = decision.decision_id
        self._overdue = False
        self._moving = Moved(now_ns, f"{self._prefix}move-{self._last}", usd, "asked", "")
        out.records.append(self._moving)
        out.commands.append(Transfer(self._moving.client_id, usd))

    def _answered(self, event: TransferDone, out: Outbox) -> None:
        if self._moving is None or event.client_id != self._moving.client_id:
            return
        if event.ok:
            self._end(event.ts_ns, "done", event.reason, out)
            return
        self._moved_for = 0
        self._next_try_ns = event.ts_ns + self._cooldown_ns
        what = "into" if self._moving.usd > 0.0 else "out of"
        out.commands.append(
            Alarm(
                "critical" if self._moving.usd > 0.0 else "warning",
                "transfer-refused",
                f"The transfer of {abs(self._moving.usd):,.0f} USDT {what} the futures wallet was "
                f"refused: {event.reason or 'no reason given'}.",
                "move it by hand, or let the key transfer between wallets",
            )
        )
        self._end(event.ts_ns, "refused", event.reason, out)

    def _end(self, now_ns: int, status: str, reason: str, out: Outbox) -> None:
        """Write down what became of the transfer on its way."""
        if self._moving is None:
            return
        moving, self._moving = self._moving, None
        self._settled_ns = now_ns
        self._next_out_ns = now_ns + self._cooldown_ns
        out.records.append(Moved(now_ns, moving.client_id, moving.usd, status, reason))

    def _wait(self, moving: Moved, now_ns: int, out: Outbox) -> None:
        """Say once that a transfer has no answer; it is not repeated."""
        if self._overdue or now_ns - moving.ts_ns < OVERDUE_NS:
            return
        self._overdue = True
        out.commands.append(
            Alarm(
                "critical",
                "transfer-unknown",
                f"What became of the transfer of {moving.usd:+,.0f} USDT ({moving.client_id}) is "
                f"unknown; no other is made meanwhile.",
                "look at the transfer history of the venue, then resume",
            )
        )

    def _ask_for(
        self, usd: float, snapshot: Snapshot, signals: Signals, now_ns: int, out: Outbox
    ) -> None:
        """Ask a person for collateral, and say until when; again when the amount moved."""
        moved = abs(usd - self._told_usd) > CHANGED * self._told_usd
        if not moved and now_ns - self._told_ns < REMIND_NS:
            return
        self._told_usd, self._told_ns = usd, now_ns
        notional = snapshot.short_eth * snapshot.mark
        if notional <= 0.0:
            hours, until = math.inf, "before the short can be opened"
        else:
            maintenance = maintenance_margin(notional, *self._tiers) / notional
            least = max(self._keep_alive, maintenance)
            hours = hours_until(snapshot.equity_usd, notional, least, signals.sigma_day)
            until = (
                f"within {hours:.0f} h: in one market of a hundred {least:.1%} of margin is then "
                f"all that is left"
            )
        where = "the margin of the position" if self._isolated else "the futures wallet"
        out.commands.append(
            Alarm(
                "warning" if hours >= URGENT_H else "critical",
                "collateral",
                f"Margin is {snapshot.equity_usd:,.0f} USDT behind {notional:,.0f} USD: "
                f"{usd:,.0f} USDT are missing.",
                f"add {usd:,.0f} USDT to {where} {until}",
            )
        )

    def _set_leverage(
        self, decision: Decision, snapshot: Snapshot, signals: Signals, now_ns: int, out: Outbox
    ) -> None:
        """Set a leverage whose initial margin never blocks what our own rule allows."""
        if not (signals.leverage_max >= 1.0 and signals.leverage >= 1.0):
            return
        flat = snapshot.short_eth < self._contract.step_eth and not snapshot.open_orders
        notional = GROWTH * max(decision.target_eth, snapshot.short_eth) * snapshot.mark
        allowed = math.floor(self._tier(notional).max_leverage)
        if self._isolated:
            wanted = min(max(math.floor(signals.leverage), 1), allowed)
            fits = snapshot.leverage == wanted or (not flat and snapshot.leverage <= allowed)
        else:
            wanted = min(math.ceil(ROOM * signals.leverage_max), allowed)
            lowest = min(math.ceil(signals.leverage_max), allowed)
            fits = lowest <= snapshot.leverage <= allowed
        right_type = snapshot.isolated == self._isolated
        if fits and (right_type or not flat):
            self._leverage_asked = 0
            return
        if now_ns - self._leverage_ns < REPEAT_NS:
            return
        self._leverage_ns = now_ns
        self._leverage_asked += 1
        out.commands.append(SetLeverage(wanted, self._isolated if flat else snapshot.isolated))
        if self._leverage_asked > 1:
            out.commands.append(
                Alarm(
                    "warning",
                    "leverage",
                    f"The venue still has a leverage of {snapshot.leverage:g}× where {wanted}× was "
                    f"set.",
                    "set leverage and margin type by hand; see the venue's refusal in the log",
                )
            )

    def _tier(self, notional: float) -> Tier:
        """Tier of a notional."""
        return self._contract.tiers[tier_of(notional, self._tiers[0])]
