"""Alerts to people: Telegram, Slack, mail and whatever else Apprise reaches.

Trading never waits for it: :meth:`Alerts.send` puts an alert in a queue, and threads do the rest.
What repeats is held back and told as a number later; what cannot be delivered is logged and shown.
"""

import contextlib
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoise.credentials import RedactingFilter, Secret, find, redact
from counterpoise.errors import FixConfig
from counterpoise.execution.commands import Alarm
from counterpoise.run_settings import AlertSettings

if TYPE_CHECKING:
    from apprise import Apprise

VARIABLE = "ALERT_URLS"
SEVERITIES = ("info", "warning", "critical")
#: Messages that wait for one address; more are lost, and counted.
MOST_WAITING = 200
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: one line of title, and a body that ends with what to do next."""

    severity: str
    title: str
    body: str


@dataclass(slots=True)
class _Quiet:
    """An alert of one key that was sent not long ago."""

    alarm: Alarm
    since_s: float
    ends_s: float
    held: int = 0


class Repetitions:
    """What of many alerts is sent; it has no clock of its own.

    The first of a key at once, then a count at the end of its quiet period, and at once again what
    got more severe.

    Parameters
    ----------
    least : str
        Least severity that is sent.
    quiet_s : float
    """

    def __init__(self, least: str, quiet_s: float) -> None:
        self._least = SEVERITIES.index(least)
        self._quiet_s = quiet_s
        self._open: dict[str, _Quiet] = {}

    def admit(self, alarm: Alarm, now_s: float) -> Message | None:
        """What to send for an alert at once, if anything."""
        rank = SEVERITIES.index(alarm.severity)
        if rank < self._least:
            return None
        known = self._open.get(alarm.key)
        if known is not None and rank <= SEVERITIES.index(known.alarm.severity):
            known.held += 1
            known.alarm = alarm if rank == SEVERITIES.index(known.alarm.severity) else known.alarm
            return None
        held = 0 if known is None else known.held
        self._open[alarm.key] = _Quiet(alarm, now_s, now_s + self._quiet_s, held)
        return _message(alarm, alarm.text)

    def due(self, now_s: float) -> list[Message]:
        """Summaries of what was held back in quiet periods that have ended."""
        ended = [key for key, one in self._open.items() if one.ends_s <= now_s]
        told = []
        for key in ended:
            one = self._open.pop(key)
            if one.held:
                minutes = (now_s - one.since_s) / 60.0
                times = "once more" if one.held == 1 else f"{one.held} times more"
                text = f"still so, {times} in the last {minutes:.0f} min: {one.alarm.text}"
                told.append(_message(one.alarm, text))
                # It may go on: the next one is held back again.
                self._open[key] = _Quiet(one.alarm, now_s, now_s + self._quiet_s)
        return told

    def next_s(self) -> float | None:
        """When the next quiet period ends; None without one."""
        return min((one.ends_s for one in self._open.values()), default=None)


def _message(alarm: Alarm, text: str) -> Message:
    return Message(
        alarm.severity,
        f"counterpoise {alarm.severity.upper()}: {alarm.key}",
        f"{text}\nNext: {alarm.next_step}",
    )


def alert_addresses() -> list[Secret]:
    """Addresses of ``ALERT_URLS``, from the environment or the keyring; none is allowed.

    Raises
    ------
    FixConfig
        As :func:`counterpoise.credentials.find`.
    """
    found = find(VARIABLE)
    return [] if found is None else [Secret(url) for url in found.text.reveal().split()]


class Alerts:
    """Sends alerts from threads of its own.

    Parameters
    ----------
    addresses : sequence of Secret
        Apprise URLs; without any, alerts are only logged.
    settings : AlertSettings
    first_wait_s : float
        Before the second try; each further one waits twice as long.

    Raises
    ------
    FixConfig
        No Apprise, or an address it does not know; the address is not shown.
    """

    def __init__(
        self,
        addresses: Sequence[Secret],
        settings: AlertSettings,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._repetitions = Repetitions(settings.severity, settings.quiet_s)
        self._incoming: queue.SimpleQueue[Alarm | None] = queue.SimpleQueue()
        self._channels = [
            _Channel(number, address, settings.attempts, first_wait_s)
            for number, address in enumerate(addresses, start=1)
        ]
        self.last = ""
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._thread.start()

    def send(self, alarm: Alarm) -> None:
        """Take an alert; returns at once."""
        self._incoming.put(alarm)

    @property
    def failure(self) -> str:
        """The last message that could not be delivered and why; empty once one arrives again."""
        return "; ".join(one.failure for one in self._channels if one.failure)

    @property
    def delivered(self) -> int:
        """Messages that arrived, all addresses together."""
        return sum(one.delivered for one in self._channels)

    def close(self, within_s: float = 5.0) -> None:
        """Deliver what waits, for at most so long, then end."""
        ends = time.monotonic() + within_s
        self._incoming.put(None)
        self._thread.join(within_s)
        for channel in self._channels:
            channel.close(max(0.0, ends - time.monotonic()))

    def _work(self) -> None:
        while True:
            ends = self._repetitions.next_s()
            wait = None if ends is None else max(0.0, ends - time.monotonic())
            try:
                alarm = self._incoming.get(timeout=wait)
            except queue.Empty:
                self._tell(self._repetitions.due(time.monotonic()))
                continue
            if alarm is None:
                return
            now = time.monotonic()
            self._tell(self._repetitions.due(now))
            message = self._repetitions.admit(alarm, now)
            self._tell([] if message is None else [message])

    def _tell(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.last = f"{message.title}: {message.body.splitlines()[0]}"
            level = logging.CRITICAL if message.severity == "critical" else logging.WARNING
            _log.log(level, "%s: %s", message.title, " ".join(message.body.splitlines()))
            for channel in self._channels:
                channel.put(message)


class _Channel:
    """One address: a thread that tries, waits and tries again, so that none delays another."""

    def __init__(self, number: int, address: Secret, attempts: int, first_wait_s: float) -> None:
        self._deliver, self._shown = _delivery(number, address)
        self._attempts = attempts
        self._first_wait_s = first_wait_s
        self._waiting: queue.Queue[Message | None] = queue.Queue(MOST_WAITING)
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self.failure = ""
        self.delivered = 0
        self._thread = threading.Thread(target=self._work, name=f"alerts-{number}", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Queue a message; a full queue loses it and says so."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._failed(message, f"{MOST_WAITING} others wait")

    def close(self, within_s: float) -> None:
        """Send what waits, for at most so long; what fails is not tried again."""
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(within_s)
        self._given_up.set()

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None and not self._given_up.is_set():
            wait = self._first_wait_s
            for attempt in range(self._attempts):
                reason = self._deliver(message)
                if reason is None:
                    self.delivered += 1
                    self.failure = ""
                    break
                last = attempt + 1 == self._attempts
                if last or self._closing.wait(min(wait, LONGEST_WAIT_S)):
                    self._failed(message, reason)
                    break
                wait *= 2.0

    def _failed(self, message: Message, reason: str) -> None:
        self.failure = f"{self._shown} did not take '{message.title}': {reason}"
        _log.error("%s. Next: check that address of %s", self.failure, VARIABLE)


def _delivery(number: int, address: Secret) -> tuple[Callable[[Message], str | None], str]:
    """How to deliver to an address, returning why it failed; and the address as it may be shown."""
    try:
        import apprise
    except ImportError:
        raise FixConfig(
            VARIABLE,
            "(not shown)",
            "Apprise, which sends alerts",
            "pip install 'counterpoise[trading]', or unset it",
        ) from None
    parts = [Secret(part) for part in re.split(r"[/:@?&=]+", address.reveal())]
    _quieten(parts)
    sender: Apprise = apprise.Apprise()
    if not sender.add(address.reveal()):
        raise FixConfig(
            VARIABLE,
            f"address {number} (not shown)",
            "an address Apprise knows, such as tgram://TOKEN/CHAT or json://HOST/PATH",
            "mend it: docs/operations.md",
        )
    kinds: dict[str, Any] = {
        "info": apprise.NotifyType.INFO,
        "warning": apprise.NotifyType.WARNING,
        "critical": apprise.NotifyType.FAILURE,
    }

    def deliver(message: Message) -> str | None:
        try:
            taken = sender.notify(
                body=message.body, title=message.title, notify_type=kinds[message.severity]
            )
        except Exception as broken:
            return redact(f"{type(broken).__name__}: {broken}", parts)
        return None if taken else "it was refused, or nobody answers"

    kind = address.reveal().partition(":")[0]
    return deliver, f"address {number} ({kind})"


def _quieten(parts: Sequence[Secret]) -> None:
    """Let Apprise log only warnings, and keep the tokens of this address out of every log."""
    logging.getLogger("apprise").setLevel(logging.WARNING)
    for name in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(RedactingFilter(parts))
