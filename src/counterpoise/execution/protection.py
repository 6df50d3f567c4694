"""What rests on the venue so that it protects when we are gone: stops and the countdown.

A buy stop just below the liquidation price buys back enough of the short that the rest survives; a
sell stop may raise the short to a full hedge when the market falls; a countdown has the venue
cancel orders that nobody watches any more. Both stops are triggered by the mark price.
Specification: docs/protection.md.
"""

import math
from collections.abc import Container

from counterpoise.execution.commands import Alarm, Countdown, QueryAccount, WakeAt
from counterpoise.execution.events import (
    Event,
    Exposure,
    Fill,
    Link,
    Mark,
    OrderUpdate,
    Snapshot,
    Wake,
)
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import OrderSent
from counterpoise.execution.resting_stop import RestingStop, Stop
from counterpoise.risk.protective_stop import Short, margin_behind, stop_size
from counterpoise.run_settings import ProtectionSettings, RunSettings
from counterpoise.venues.contract import Contract, stack

#: Name of the moment at which the countdown is refreshed.
WAKE = "countdown"
#: Refreshes within one countdown: one may be lost.
REFRESHES = 3
#: A stop is placed for this much more than it takes, and stays until it is off by more than that.
PAD, OVERSIZE = 0.05, 0.15
_DUST = 1e-9


class Protection:
    """Keeps stops resting in step with the position, and the countdown refreshed while healthy.

    Parameters
    ----------
    prefix : str
        What the client ids of this run begin with; stops are ``{prefix}stop-{n}``.
    contract : Contract
        Linear.
    settings : ProtectionSettings
    run : RunSettings
    ours : container of str
        Client ids of all our orders, stops of earlier runs included: ``Reconciler.orders``.

    Notes
    -----
    Promised as of each account snapshot: the buy stop triggers below the liquidation price, and
    what is left after it is liquidated at least ``stop_further`` beyond it. A stop that was
    confirmed is cancelled only when its replacement is.
    """

    def __init__(
        self,
        prefix: str,
        contract: Contract,
        settings: ProtectionSettings,
        run: RunSettings,
        ours: Container[str],
    ) -> None:
        rules = stack([contract])
        self._tiers = (rules.tier_cap[0], rules.tier_rate[0], rules.tier_amount[0])
        self._contract, self._settings, self._ours = contract, settings, ours
        self._max_age_ns = run.position_max_age_ms * 1_000_000
        self._prefix, self._last = prefix, 0
        lost_ns = run.unknown_wait_ms * 1_000_000
        self._rise = RestingStop(
            "The stop below the liquidation price", "buy", True, self._next_id, lost_ns
        )
        self._fall = RestingStop("The stop under the market", "sell", False, self._next_id, lost_ns)
        self._exposure = self._highest = 0.0
        self._asked_ns = -self._max_age_ns
        self._down: set[str] = set()
        self._strangers = False
        self._armed_ns: int | None = None

    @property
    def liquidation_stop(self) -> Stop | None:
        """Buy stop that is known to rest."""
        return self._rise.current

    @property
    def full_hedge_stop(self) -> Stop | None:
        """Sell stop that is known to rest."""
        return self._fall.current

    def start(
        self, sent: tuple[OrderSent, ...], last_stop: int, snapshot: Snapshot, out: Outbox
    ) -> None:
        """Go on with the stops of an earlier run.

        Parameters
        ----------
        sent : tuple of OrderSent
            Orders of the journal that may rest.
        last_stop : int
            Largest n of a ``…stop-{n}`` ever sent; 0 without one.
        snapshot : Snapshot
        out : Outbox
        """
        self._last = last_stop
        for order in sent:
            if order.trigger > 0.0:
                self._rise.know(order)
                self._fall.know(order)
        fall = self._settings.spot_stop
        for stop in snapshot.stops:
            if fall is not None and stop.client_id in self._fall:
                self._highest = max(self._highest, stop.trigger / (1.0 - fall))
        self.handle(snapshot, out)
        if self._settings.countdown_s:
            self._refresh(snapshot.ts_ns, out)

    def handle(self, event: Event, out: Outbox, *, halted: bool = False) -> None:
        """Take an event.

        Parameters
        ----------
        event : Event
        out : Outbox
        halted : bool
            No risk may be added: the sell stop goes, the buy stop stays.
        """
        match event:
            case Snapshot() if event.ts_ns >= self._asked_ns:
                self._asked_ns = event.ts_ns
                self._highest = max(self._highest, event.mark)
                self._keep_rise(event, out)
                self._keep_fall(event, out, halted=halted)
                self._see_strangers(event, out)
            case Mark():
                self._highest = max(self._highest, event.mark)
            case Exposure():
                self._exposure = event.exposure_eth
            case OrderUpdate() | Fill():
                self._stop_news(event, out)
            case Link():
                (self._down.discard if event.up else self._down.add)(event.what)
            case Wake(name=name) if name == WAKE:
                self._refresh(event.ts_ns, out)

    def end(self, out: Outbox) -> None:
        """End the countdown on an orderly exit: it would cancel what others place later."""
        if self._armed_ns is not None:
            self._armed_ns = None
            out.commands.append(Countdown(0))

    def _next_id(self) -> str:
        self._last += 1
        return f"{self._prefix}stop-{self._last}"

    def _stop_news(self, event: OrderUpdate | Fill, out: Outbox) -> None:
        for stop in (self._rise, self._fall):
            before = stop.current
            if isinstance(event, Fill):
                stop.filled(event.client_id, event.ts_ns, out)
            else:
                stop.update(event, out)
            if stop is self._fall and before is not None and stop.current is None:
                self._highest = 0.0  # armed again from the market as it is then

    def _keep_rise(self, snapshot: Snapshot, out: Outbox) -> None:
        """Keep the buy stop in step."""
        if snapshot.short_eth < self._contract.step_eth:
            self._rise.keep(None, _never, snapshot, out)
            return
        margin = margin_behind(
            snapshot.short_eth,
            snapshot.mark,
            snapshot.equity_usd,
            snapshot.liquidation,
            self._tiers,
        )
        short = Short(snapshot.short_eth, snapshot.mark, margin, self._tiers)
        liquidation = short.liquidation
        if not math.isfinite(liquidation):
            self._rise.keep(None, _never, snapshot, out)
            return
        want = self._settings
        tick, step = self._contract.tick_usd, self._contract.step_eth
        trigger = _down_to(liquidation * (1.0 - want.stop_inside), tick)
        near = trigger <= snapshot.mark
        if near:
            out.commands.append(
                Alarm(
                    "critical",
                    "near-liquidation",
                    f"The mark {snapshot.mark:,.2f} is within {want.stop_inside:.1%} of the "
                    f"liquidation price {liquidation:,.2f}.",
                    "add margin or reduce the short now",
                )
            )
            trigger = _down_to(0.5 * (snapshot.mark + liquidation), tick)
            if trigger <= snapshot.mark:
                self._rise.watch(snapshot, out)
                return
        survive = liquidation * (1.0 + want.stop_further)
        needed = stop_size(short, trigger, survive, want.stop_slippage, step)
        size = min(_up_to(needed * (1.0 + PAD), step), short.size_eth)
        off = want.stop_tolerance * want.stop_inside * liquidation

        def good(stop: Stop) -> bool:
            if stop.trigger <= snapshot.mark:
                return True  # it is being triggered
            in_place = stop.trigger < liquidation and (near or abs(stop.trigger - trigger) <= off)
            fits = stop.size <= min(size * (1.0 + OVERSIZE) + step, short.size_eth + _DUST)
            left = short.after_stop(stop.trigger, stop.size, want.stop_slippage)
            return in_place and fits and left >= survive

        self._rise.keep(Stop(size, trigger), good, snapshot, out)

    def _keep_fall(self, snapshot: Snapshot, out: Outbox, *, halted: bool) -> None:
        """Keep the sell stop in step; none where it is off, halted, hedged or not carried."""
        fall = self._settings.spot_stop
        wanted = None if fall is None or halted else self._full_hedge(snapshot, fall)
        if wanted is None:
            self._fall.keep(None, _never, snapshot, out)
            return
        off = self._settings.stop_tolerance * self._settings.stop_inside * wanted.trigger

        def good(stop: Stop) -> bool:
            fits = wanted.size * (1.0 - OVERSIZE) <= stop.size <= wanted.size + _DUST
            return fits and abs(stop.trigger - wanted.trigger) <= off

        self._fall.keep(wanted, good, snapshot, out)

    def _full_hedge(self, snapshot: Snapshot, fall: float) -> Stop | None:
        """Sell stop that raises the short to the exposure, as far as the margin carries it."""
        step, short = self._contract.step_eth, max(snapshot.short_eth, 0.0)
        trigger = _down_to(self._highest * (1.0 - fall), self._contract.tick_usd)
        if trigger <= 0.0 or trigger >= snapshot.mark:
            return None
        equity = snapshot.equity_usd + short * (snapshot.mark - trigger)
        carried = max(equity, 0.0) * snapshot.leverage / trigger
        size = _down_to(min(self._exposure, carried) - short, step)
        if size * trigger < self._contract.min_notional_usd:
            return None
        return Stop(size, trigger)

    def _see_strangers(self, snapshot: Snapshot, out: Outbox) -> None:
        """Do without the countdown while it would cancel orders that are not ours."""
        before = self._strangers
        self._strangers = any(order.client_id not in self._ours for order in snapshot.open_orders)
        if self._strangers and not before and self._settings.countdown_s:
            self._armed_ns = None
            # An earlier run may have armed it.
            out.commands.append(Countdown(0))
            out.commands.append(
                Alarm(
                    "warning",
                    "no-countdown",
                    "Orders that are not ours rest on this symbol: the venue's countdown would "
                    "cancel them too and is off.",
                    "trade by hand on another account, or cancel these orders",
                )
            )

    def _refresh(self, now_ns: int, out: Outbox) -> None:
        """Refresh the countdown while we see and are seen; silence lets it end."""
        countdown_ns = self._settings.countdown_s * 1_000_000_000
        out.commands.append(WakeAt(now_ns + countdown_ns // REFRESHES, WAKE))
        seen = now_ns - self._asked_ns <= self._max_age_ns
        if self._strangers:
            out.commands.append(Countdown(0))  # the one before may be lost
        if self._down or self._strangers or not seen:
            return
        if self._armed_ns is not None and now_ns - self._armed_ns >= countdown_ns:
            out.commands.append(QueryAccount("the countdown may have cancelled orders"))
        self._armed_ns = now_ns
        out.commands.append(Countdown(countdown_ns // 1_000_000))


def _never(stop: Stop) -> bool:
    return False


def _down_to(value: float, grid: float) -> float:
    return round(math.floor(value / grid + _DUST) * grid, 9)


def _up_to(value: float, grid: float) -> float:
    return round(math.ceil(value / grid - _DUST) * grid, 9)
