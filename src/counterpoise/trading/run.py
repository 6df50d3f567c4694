"""A run: journal, account, controller and node put together, from the start to an orderly end.

The same run trades a rehearsal, paper, testnet and live; only where it connects differs. Where it
cannot remember what it does, it stops.
"""

import asyncio
import logging
import signal
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Protocol

from counterpoise.config import Settings
from counterpoise.credentials import Credentials
from counterpoise.errors import RetryLater
from counterpoise.execution.controller import Controller
from counterpoise.execution.events import Link, Operator
from counterpoise.execution.records import FundingBooked, Record
from counterpoise.execution.remembered import Remembered
from counterpoise.journal.place import place_in
from counterpoise.journal.reading import Reader
from counterpoise.journal.restart import remembered
from counterpoise.journal.store import Journal
from counterpoise.journal.tables import Run
from counterpoise.sealed import digest
from counterpoise.trading.beat import beat_of
from counterpoise.trading.binance_account import BinanceAccount
from counterpoise.trading.binance_rest import BinanceRest, Endpoints
from counterpoise.trading.hour_desk import Hour
from counterpoise.trading.instrument import instrument_id_of
from counterpoise.trading.live_feed import FIRST_DEADLINE_S, Clock, LiveFeed, Past, WallClock
from counterpoise.trading.live_link import LiveLink
from counterpoise.trading.native_stderr import native_stderr
from counterpoise.trading.node import Wires, node_of
from counterpoise.trading.shell import Shell
from counterpoise.trading.stretched import stretched
from counterpoise.units import HOUR_MS, NS_PER_MS, NS_PER_S
from counterpoise.venues import contract_at
from counterpoise.watch.alerts import Alerts, alert_addresses
from counterpoise.watch.heartbeat import write_heartbeat
from counterpoise.watch.kill_switch import KillSwitch, Standing, obey_signals

log = logging.getLogger(__name__)
#: Seconds between two looks at the kill switch, and two heartbeats.
LOOK_S, BEAT_S = 0.5, 1.0
#: Seconds that a run waits on leaving for the ends of its orders.
LEAVE_S = 5.0
#: Seconds that the first decision waits for prices.
PRICES_S = 20.0
#: What NautilusTrader would write to the terminal, in the state folder; its log has it in order.
NATIVE_LOG = "nautilus-stderr.log"
#: Seconds in which NautilusTrader has to connect: its own timeouts, and some.
CONNECT_S = 60.0
#: Market seconds after an hour at which settled funding is asked for.
FUNDING_AFTER_S = 30.0


class MarketTime(Clock, Protocol):
    """The market's clock with its way back to the wall, for timers."""

    def wall_ns(self, market_ns: int) -> int:
        """Wall time at which the market reaches a moment."""


@dataclass(frozen=True)
class Where:
    """Where a run trades.

    Attributes
    ----------
    endpoints : Endpoints
        Of the account's own API.
    wires : Wires
        Of NautilusTrader.
    clock : MarketTime or None
        Of a rehearsal; the wall's otherwise.
    past : Past or None
        The lake of a rehearsal.
    """

    endpoints: Endpoints
    wires: Wires
    clock: MarketTime | None = None
    past: Past | None = None


async def run(
    settings: Settings,
    credentials: Credentials,
    where: Where,
    *,
    tell: Callable[[str], None],
    until: asyncio.Event,
    begin: Callable[[], object] | None = None,
    watch: Callable[[Sequence[Record]], None] | None = None,
) -> None:
    """Keep the hedge until told to end.

    Parameters
    ----------
    settings : Settings
    credentials : Credentials
    where : Where
    tell : callable
        Told in plain lines what happens.
    until : asyncio.Event
        Set when the run is to end.
    begin : callable, optional
        Called when everything is connected: a rehearsal lets its market go on.
    watch : callable, optional
        Told what was committed, after each event that led to something.

    Raises
    ------
    FixConfig, RetryLater, RejectData
        What the journal, the venue or the settings refuse; nothing was sent.
    """
    clock, symbol = where.clock, settings.venue.symbol

    def now_ns() -> int:
        return time.time_ns() if clock is None else clock.now_ms() * NS_PER_MS

    settings.run.state.mkdir(parents=True, exist_ok=True)
    switch = KillSwitch(settings.run.state)
    async with AsyncExitStack() as held:
        this = Run(
            ts_ns=now_ns(),
            run_id=uuid.uuid4().hex[:12],
            mode=settings.run.mode,
            venue=settings.venue.names[0],
            symbol=symbol,
            account=digest(credentials.api_key.reveal()),
            version=version("counterpoise"),
            settings=digest(settings.model_dump_json()),
        )
        place = place_in(settings)
        journal = held.enter_context(Journal.open(place, run=this))
        rest = BinanceRest(where.endpoints, credentials)
        held.push_async_callback(rest.close)
        account = BinanceAccount(rest, symbol, now_ns)
        if clock is None:
            await rest.correct_clock()
        alerts = Alerts(alert_addresses(), settings.alerts)
        held.callback(alerts.close)
        feed = LiveFeed(settings, past=where.past)
        held.callback(feed.close)
        tell("Working out the first hour; a new lake or model takes some minutes.")
        hour = await feed.hour(now_ns() // NS_PER_MS // HOUR_MS * HOUR_MS, FIRST_DEADLINE_S)
        with Reader(place) as reader:
            known = remembered(reader, now_ns())
            first = reader.records(Run)[0]
            prefix = f"cp{first.run_id[:6]}-"
            booked = reader.records(FundingBooked, newest=1)
        funded_ns = booked[0].ts_ns if booked else first.ts_ns
        funded_ms = funded_ns // NS_PER_MS + 1
        standing = switch.standing()
        if known.orders.halted is None:
            switch.resumed()  # a halt to come is another matter
        if standing is not None:
            known = replace(known, halted=str(standing))
        controller = Controller(
            settings if clock is None else stretched(settings, clock.speed),
            contract_at(settings.venue.names[0], now_ns() // NS_PER_MS),
            prefix,
            exposure_eth=_exposure(hour, known, settings),
            price=hour.signals.perp,
        )
        snapshot = await account.snapshot()
        begins = controller.start(known, snapshot)
        link = LiveLink(account, alerts)
        link.seen = snapshot
        shell = Shell(
            instrument_id_of(contract_at(settings.venue.names[0], now_ns() // NS_PER_MS)),
            controller,
            journal.commit,
            link,
            begins,
            now_ns=now_ns,
            wall_ns=(lambda at_ns: at_ns) if clock is None else clock.wall_ns,
        )
        link.shell = shell
        shell.failed = until.set
        held.enter_context(native_stderr(settings.run.state / NATIVE_LOG))
        if watch is not None:
            shell.watch = lambda _event, records, _commands: watch(records)
        node = node_of(shell, shell.instrument_id, credentials, where.wires, settings.run.state)
        _end_on_signals(until)
        running = asyncio.create_task(node.run_async())
        held.push_async_callback(_end, node, running)
        await _started(shell, running, until)
        if not shell.started.is_set():
            return
        if known.moving is not None:
            link.follow(known.moving)
        tell(f"Trading {symbol} on {this.venue} ({this.mode}); run {this.run_id}.")
        if begin is not None:
            begin()
        loop = asyncio.get_running_loop()

        def obey(found: Standing) -> None:
            loop.call_soon_threadsafe(
                lambda: shell.deliver(Operator(now_ns(), found.order, str(found)))
            )

        obey_signals(switch, obey)

        def beat() -> None:
            told = beat_of(
                this,
                shell.controller,
                now_ns(),
                seen=link.seen,
                last_alert=link.last_alarm,
                alert_failure=alerts.failure,
                latencies_ms=shell.latencies_ms(),
                failure="" if shell.failure is None else str(shell.failure),
            )
            try:
                write_heartbeat(settings.run.state, told)
            except OSError as refused:
                log.warning("the heartbeat could not be written: %s", refused)

        work = [
            asyncio.create_task(part)
            for part in (
                _hours(feed, where, shell, hour),
                _watch_switch(switch, shell, standing, now_ns),
                _listen(shell, now_ns),
                _beats(beat),
                _fundings(link, clock, now_ns, funded_ms),
            )
        ]
        ended = asyncio.create_task(until.wait())
        try:
            await asyncio.wait([*work, ended, running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*work, ended):
                task.cancel()
            over = await asyncio.gather(*work, return_exceptions=True)
            shell.leave()
            await _known_ends(shell)
            await link.book_funding(funded_ms)
            await link.close()
            beat()
        for broken in (shell.failure, *over):
            if isinstance(broken, Exception):
                raise broken
        if not until.is_set():
            raise RetryLater("NautilusTrader ended by itself. Next: read its log, start again.")


async def _known_ends(shell: Shell) -> None:
    """Wait a moment for what became of the orders that were cancelled on leaving."""
    until = time.monotonic() + LEAVE_S
    while shell.failure is None and time.monotonic() < until:
        orders = shell.controller.reconciler.orders.values()
        if not any(order.in_the_air and not order.stop for order in orders):
            return
        await asyncio.sleep(0.02)


def _end_on_signals(until: asyncio.Event) -> None:
    """End in order when asked to by the system; NautilusTrader has set handlers of its own."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What is ignored stays ignored: that is what nohup is for.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, until.set)


async def _started(shell: Shell, running: "asyncio.Task[None]", until: asyncio.Event) -> None:
    """Wait until the node is connected and the shell subscribed.

    Raises
    ------
    RetryLater
        It did not connect.
    """
    waits = [asyncio.create_task(event.wait()) for event in (shell.started, until)]
    await asyncio.wait([*waits, running], timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if not shell.started.is_set() and not until.is_set():
        raise RetryLater(
            f"NautilusTrader did not connect within {CONNECT_S:g} s; nothing was sent. Next: read "
            "nautilus.log in the state folder, check the network, start again."
        )


async def _end(node: object, running: "asyncio.Task[None]") -> None:
    """Stop the node and wait for its end."""
    await node.stop_async()  # type: ignore[attr-defined]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def _exposure(hour: Hour, known: Remembered, settings: Settings) -> float:
    """Exposure at the start: of this hour, of the last decision, or the plain setting."""
    if hour.exposure is not None:
        return hour.exposure.exposure_eth
    if known.decision is not None:
        return known.decision.exposure_eth
    assert settings.exposure.eth is not None, "an exposure of holdings is known with the hour"
    return settings.exposure.eth


async def _hours(feed: LiveFeed, where: Where, shell: Shell, first: Hour) -> None:
    """Tell the hours as they come; the first one was worked out before the start."""
    told = first
    clock = where.clock or WallClock()
    with suppress(TimeoutError):
        # The first decision is made on prices; without them it is made, and says why it holds.
        await asyncio.wait_for(shell.priced.wait(), PRICES_S)
    _tell_hour(shell, told)
    async for hour in feed.hours(clock):
        if hour.signals.ts_ns > told.signals.ts_ns:
            told = hour
            _tell_hour(shell, hour)


def _tell_hour(shell: Shell, hour: Hour) -> None:
    for note in hour.notes:
        log.info("%s", note)
    if hour.exposure is not None:
        shell.deliver(hour.exposure)
    shell.deliver(hour.signals)


async def _watch_switch(
    switch: KillSwitch, shell: Shell, known: Standing | None, now_ns: Callable[[], int]
) -> None:
    """Obey the files of the kill switch, set or taken back."""
    if known is not None and known.order == "flatten":
        shell.deliver(Operator(now_ns(), "flatten", str(known)))
    resuming = False
    while True:
        if not switch.asked_to_resume():
            resuming = False
        elif not shell.controller.halted_why:
            switch.resumed()
        elif not resuming:
            resuming = True
            shell.deliver(Operator(now_ns(), "resume", "the venue's position was accepted"))
        standing = switch.standing()
        if (standing is None) != (known is None) or (
            standing is not None and known is not None and standing.order != known.order
        ):
            order = "resume" if standing is None else standing.order
            why = "the kill switch was taken back" if standing is None else str(standing)
            shell.deliver(Operator(now_ns(), order, why))
            known = standing
        await asyncio.sleep(LOOK_S)


async def _listen(shell: Shell, now_ns: Callable[[], int]) -> None:
    """Say when the market falls silent, and when it is heard again."""
    quiet_s, heard = shell.controller.settings.risk.mark_max_age_s, True
    while True:
        quote = shell.controller.quote
        if quote is not None:
            silent_s = (now_ns() - quote.ts_ns) / NS_PER_S
            if heard != (silent_s <= quiet_s):
                heard = not heard
                why = "" if heard else f"no quote for {silent_s:.0f} s"
                shell.deliver(Link(now_ns(), "market", heard, why))
        await asyncio.sleep(LOOK_S)


async def _beats(beat: Callable[[], None]) -> None:
    """Write the heartbeat."""
    while True:
        beat()
        await asyncio.sleep(BEAT_S)


async def _fundings(
    link: LiveLink, clock: MarketTime | None, now_ns: Callable[[], int], since_ms: int
) -> None:
    """Book what was settled since the last time, and from then on shortly after each hour."""
    speed = 1.0 if clock is None else clock.speed
    while True:
        await link.book_funding(since_ms)
        next_ms = (now_ns() // NS_PER_MS // HOUR_MS + 1) * HOUR_MS + FUNDING_AFTER_S * 1000.0
        await asyncio.sleep((next_ms - now_ns() / NS_PER_MS) / 1000.0 / speed)
