"""HTTP with a budget and patience: what every source asks through.

It keeps within a rate, tries again what may succeed later, and says plainly when it gives up. What
a reply means, and what a status of 400 or 404 is, the source that asked decides.
"""

import json
import random
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from counterpoise.endpoints import SourceSettings
from counterpoise.errors import RejectData, RetryLater, printable
from counterpoise.units import to_ms

#: Replies that may be another one later; 418 is Binance's for a client that ignored 429.
RETRIED = frozenset({408, 418, 425, 429}) | frozenset(range(500, 600))
FIRST_WAIT_S = 0.5
#: Longest wait before one more try; a server that asks for longer is given up at once.
LONGEST_WAIT_S = 300.0
#: Largest body: the largest file of the archives is a few hundred MB.
MOST_BYTES = 2 << 30

Params = Mapping[str, str | int]


@dataclass(frozen=True)
class Reply:
    """What a server answered.

    Attributes
    ----------
    status : int
        2xx, or a 4xx that is an answer.
    headers : mapping of str to str
        Names in any case.
    content : bytes
        The whole body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self, what: str) -> Any:
        """Body as JSON, numbers with a point as the text they were sent as.

        Raises
        ------
        RejectData
            When it is none, naming ``what`` was asked for.
        """
        try:
            return json.loads(self.content, parse_float=str)
        except (ValueError, RecursionError):
            raise RejectData(
                what,
                "whole reply",
                self.content[:60].decode("utf-8", "replace"),
                "a JSON document",
                "look the address up in the settings under sources: it may be another service",
            ) from None

    @property
    def date_ms(self) -> int | None:
        """The server's clock as of the reply, to the second; None where it does not say."""
        return _date_ms(self.headers.get("date", ""))


class Budget:
    """A bucket of weight that fills steadily; a request waits until its weight is in it."""

    def __init__(
        self, per_minute: float, monotonic: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._rate = per_minute / 60.0
        # A burst of a tenth of a minute, so that windows of any service's counting are kept.
        self._size = per_minute / 10.0
        self._held = self._size
        self._at = monotonic()
        self._monotonic, self._sleep = monotonic, sleep
        self._lock = threading.Lock()

    def spend(self, weight: float) -> None:
        """Wait until the bucket holds a weight, and take it out."""
        with self._lock:
            now = self._monotonic()
            self._held = min(self._size, self._held + (now - self._at) * self._rate)
            self._at = now
            # May go below zero: who comes next waits for this one too.
            self._held -= weight
            wait = max(0.0, -self._held / self._rate)
        if wait > 0.0:
            self._sleep(wait)


@cache
def _trusted() -> ssl.SSLContext:
    """Certificates that are trusted, read once: it takes longer than a request."""
    return httpx.create_ssl_context()


class Transport:
    """Requests to one service; shared by all threads that ask it.

    Parameters
    ----------
    settings : SourceSettings
        Tries and timeout.
    per_minute : float
        Weight that may be spent a minute.
    setting : str
        The key that holds the base URL, for messages (``sources.binance.archive_url``).
    secret : bool
        The URL may hold a key: messages show no more than scheme and host.
    monotonic, sleep : callable
        The clock, for tests.
    """

    def __init__(
        self,
        settings: SourceSettings,
        *,
        per_minute: float,
        setting: str,
        secret: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._setting = setting
        self._secret = secret
        self._sleep = sleep
        self._budget = Budget(per_minute, monotonic, sleep)
        self._random = random.Random()
        self._client = httpx.Client(
            verify=_trusted(),
            timeout=settings.timeout_s,
            follow_redirects=True,
            headers={"User-Agent": "counterpoise", "Accept-Encoding": "gzip"},
        )
        weakref.finalize(self, self._client.close)

    def get(self, url: str, params: Params | None = None, *, weight: float = 1.0) -> Reply:
        """Ask for a page or a file.

        Parameters
        ----------
        url : str
        params : mapping, optional
            Query.
        weight : float
            What the request costs of the budget.

        Raises
        ------
        RetryLater
            The service did not answer, or refused every try for a reason that may pass.
        """
        return self._patiently("GET", url, dict(params or {}), None, weight)

    def post(self, url: str, body: Any, *, weight: float = 1.0) -> Reply:
        """Send a JSON document, and return the reply; errors as :meth:`get`."""
        return self._patiently("POST", url, {}, body, weight)

    def shown(self, url: str) -> str:
        """A URL as messages may show it."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            return f"{url.partition(':')[0]}://…"
        if self._secret:
            return f"{parts.scheme}://{host}"
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _patiently(
        self, method: str, url: str, params: dict[str, str | int], body: Any, weight: float
    ) -> Reply:
        told = "no answer"
        for attempt in range(self._settings.attempts):
            self._budget.spend(weight)
            asked_wait = None
            try:
                reply = self._once(method, url, params, body)
            except (httpx.InvalidURL, UnicodeError):
                told = "an address that cannot be"
                break
            except httpx.RequestError as failed:
                told = self._told(failed)
            else:
                if reply.status not in RETRIED:
                    return reply
                told = f"status {reply.status}"
                asked_wait = _retry_after_s(reply)
            if attempt + 1 == self._settings.attempts:
                break
            wait = FIRST_WAIT_S * 2**attempt * self._random.uniform(0.75, 1.25)
            if asked_wait is not None:
                if asked_wait > LONGEST_WAIT_S:
                    told += f", to be tried again in {asked_wait:,.0f} s"
                    break
                wait = max(wait, asked_wait)
            self._sleep(min(wait, LONGEST_WAIT_S))
        tries = attempt + 1
        raise RetryLater(
            f"{self.shown(url)}: {told} ({tries} {'try' if tries == 1 else 'tries'}). Next: run "
            f"this again later, or check the network and {self._setting}."
        )

    def _once(self, method: str, url: str, params: dict[str, str | int], body: Any) -> Reply:
        given: dict[str, Any] = {"json": body} if method == "POST" else {}
        if params:
            given["params"] = params
        with self._client.stream(method, url, **given) as response:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise RejectData(
                        self.shown(url),
                        "whole reply",
                        f"more than {MOST_BYTES:,} bytes",
                        "a file of a market's data",
                        f"check {self._setting}",
                    )
            return Reply(response.status_code, response.headers, bytes(content))

    def _told(self, failed: httpx.RequestError) -> str:
        """What went wrong, without the address, which may hold a key."""
        words = type(failed).__name__ if self._secret else str(failed) or type(failed).__name__
        kinds = {
            httpx.TimeoutException: f"no answer within {self._settings.timeout_s:g} s",
            httpx.ConnectError: f"no connection ({words})",
            httpx.RemoteProtocolError: f"a broken answer ({words})",
        }
        return next(
            (text for kind, text in kinds.items() if isinstance(failed, kind)), printable(words)
        )


def _retry_after_s(reply: Reply) -> float | None:
    """Seconds the server asks to wait for: a number, or until a date of its own clock."""
    given = reply.headers.get("retry-after", "").strip()
    if not given:
        return None
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    until = _date_ms(given)
    if until is None:
        return None
    now = reply.date_ms
    return max(0.0, (until - (now if now is not None else round(time.time() * 1000))) / 1000)


def _date_ms(text: str) -> int | None:
    """Moment of an HTTP date, which is always of Greenwich; None where it is no date."""
    try:
        return to_ms(parsedate_to_datetime(text).replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None
