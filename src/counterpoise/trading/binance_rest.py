"""Signed requests to Binance: one attempt each, and exactly three ways to fail.

``VenueRefused``: it did nothing, and the venue's code says why. ``RetryLater``: it did nothing, and
may succeed later. ``UnknownFate``: it may have been executed; ask before anything else is sent.
"""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

import httpx

from counterpoise.credentials import Credentials, RedactingFilter, redact
from counterpoise.errors import CounterpoiseError, FixConfig, RejectData, RetryLater, printable

Params = Mapping[str, str | int | bool]

#: A clock that is off by more than this is told; from the second on nothing is signed any more.
CLOCK_WARN_MS, CLOCK_FAIL_MS = 1_000.0, 2_000.0
RECV_WINDOW_MS = 5_000
#: Calls of the wallet have another address, and a budget of their own.
_WALLET = "/sapi/"
#: Weight a minute that the venue allows, and the share of it that queries may use up.
WEIGHT_LIMIT, WEIGHT_SHARE = 2_400, 0.9

Kind = Literal[
    "key",
    "clock",
    "margin",
    "missing",
    "duplicate",
    "would_take",
    "reduce_only",
    "filter",
    "mode",
    "unchanged",
    "other",
]
#: What a code means for us; the class or the words of an error are never looked at.
KINDS: dict[int, Kind] = {
    **dict.fromkeys((-1002, -1022, -2008, -2014, -2015), "key"),
    **dict.fromkeys((-1021,), "clock"),
    **dict.fromkeys((-2018, -2019, -2027, -2028, -4050, -4051), "margin"),
    **dict.fromkeys((-2011, -2013), "missing"),
    **dict.fromkeys((-2012, -4015, -4111, -4116), "duplicate"),
    **dict.fromkeys((-5022,), "would_take"),
    **dict.fromkeys((-2022, -4118), "reduce_only"),
    **dict.fromkeys(
        (-1013, -1111, -4001, -4003, -4005, -4014, -4016, -4023, -4024, -4131, -4164), "filter"
    ),
    **dict.fromkeys((-4060, -4061, -4067, -4068), "mode"),
    **dict.fromkeys((-4046, -4059), "unchanged"),
}
_NEXT: dict[Kind, str] = {
    "key": "counterpoise doctor says what is wrong with the key",
    "clock": "set the clock of this machine (timedatectl set-ntp true)",
    "margin": "send more collateral to the futures wallet, or lower the hedge",
    "mode": "switch the account to one-way mode on the venue's page",
}
#: Codes after which an order may or may not have been executed.
_UNKNOWN = frozenset({-1000, -1001, -1006, -1007})
#: The venue threw the request away before looking at it.
_THROWN_AWAY = frozenset({-1003, -1008, -1015})
#: How the HTTP library says that nothing left this machine.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)


class VenueRefused(CounterpoiseError):
    """The venue answered no: nothing was done.

    Attributes
    ----------
    code, status : int
        The venue's and HTTP's.
    kind : str
        What the code means, as in :data:`KINDS`.
    reason : str
        The venue's own words.
    """

    def __init__(self, what: str, code: int, status: int, reason: str) -> None:
        self.code, self.status, self.reason = code, status, printable(reason)
        self.kind: Kind = KINDS.get(code, "other")
        step = _NEXT.get(self.kind, "see the venue's list of error codes")
        super().__init__(
            f"{what} was refused with code {code} (status {status}): {self.reason.rstrip('.')}. "
            f"Next: {step}."
        )


class UnknownFate(CounterpoiseError):
    """The request may have been executed: ask the venue, do not send it again."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}; it may have been executed. Next: query it.")


@dataclass(frozen=True)
class Endpoints:
    """Addresses of one venue.

    Attributes
    ----------
    rest : str
        Futures.
    wallet : str or None
        Keys and transfers; None where there are none.
    stream : str
        Websockets, without the route.
    """

    rest: str
    wallet: str | None
    stream: str


ENDPOINTS: dict[Literal["testnet", "live"], Endpoints] = {
    "live": Endpoints(
        "https://fapi.binance.com", "https://api.binance.com", "wss://fstream.binance.com"
    ),
    "testnet": Endpoints("https://demo-fapi.binance.com", None, "wss://stream.binancefuture.com"),
}


def signer(credentials: Credentials) -> Callable[[str], str]:
    """How a payload is signed: HMAC-SHA256 in hex; Ed25519 or RSA (PKCS1v15, SHA256) in base64."""
    secret = credentials.secret.reveal().encode()
    if not credentials.private:
        return lambda payload: hmac.new(secret, payload.encode(), hashlib.sha256).hexdigest()
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Any = load_pem_private_key(secret, None)

    def sign(payload: str) -> str:
        given = payload.encode()
        if isinstance(key, ed25519.Ed25519PrivateKey):
            raw = key.sign(given)
        else:
            raw = key.sign(given, padding.PKCS1v15(), SHA256())
        return base64.b64encode(raw).decode("ascii")

    return sign


class BinanceRest:
    """Requests of one account; all of one event loop.

    Parameters
    ----------
    endpoints : Endpoints
    credentials : Credentials or None
        None for public calls only.
    timeout_s : float
        Of one request.
    now_s : callable
        This machine's clock, seconds since 1970.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        credentials: Credentials | None,
        timeout_s: float = 10.0,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._endpoints = endpoints
        self._key = None if credentials is None else credentials.api_key
        self._sign = None if credentials is None else signer(credentials)
        self._secrets = () if credentials is None else credentials.secrets
        self._now_s = now_s
        self._correction_ms = 0.0
        #: Monotonic time until which futures and wallet (True) want to hear nothing.
        self._silent_until = {False: 0.0, True: 0.0}
        self._minute, self.used_weight = 0, 0
        _keep_out_of_logs(credentials)
        self._client = httpx.AsyncClient(
            timeout=timeout_s, headers={"User-Agent": "counterpoise"}, follow_redirects=False
        )

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    @property
    def has_wallet(self) -> bool:
        """Whether there is an address for keys and transfers."""
        return self._endpoints.wallet is not None

    async def clock_skew_ms(self, samples: int = 5) -> float:
        """How far this machine's clock is ahead of the venue's, by the quickest of some replies.

        Raises
        ------
        RetryLater, VenueRefused
        """
        best = (float("inf"), 0.0)
        for _ in range(samples):
            asked = self._now_s() * 1000.0
            begun = time.monotonic()
            reply = await self.call("GET", "/fapi/v1/time", signed=False)
            took_ms = (time.monotonic() - begun) * 1000.0
            best = min(best, (took_ms, asked + took_ms / 2.0 - float(reply["serverTime"])))
        return best[1]

    async def correct_clock(self) -> float:
        """Sign with the venue's time from now on; the skew that was found, ms.

        Raises
        ------
        FixConfig
            The clock is off by so much that it must be set: other timestamps are wrong too.
        """
        skew = await self.clock_skew_ms()
        if abs(skew) >= CLOCK_FAIL_MS:
            raise FixConfig(
                "clock of this machine",
                f"{abs(skew) / 1000:.1f} s {'ahead of' if skew > 0 else 'behind'} the venue's",
                f"less than {CLOCK_FAIL_MS / 1000:g} s off",
                "set it (timedatectl set-ntp true, or chronyc makestep)",
            )
        self._correction_ms = -skew
        return skew

    async def call(
        self,
        method: Literal["GET", "POST", "PUT", "DELETE"],
        path: str,
        params: Params | None = None,
        *,
        signed: bool = True,
    ) -> Any:
        """One request; the reply as JSON.

        Raises
        ------
        VenueRefused, RetryLater
            Nothing was done.
        UnknownFate
            Only of a request that changes something.
        RejectData
            A query was answered with something that is no JSON.
        """
        try:
            return await self._once(method, path, dict(params or {}), signed)
        except VenueRefused as refused:
            if refused.kind != "clock" or not signed:
                raise
        # The venue threw it away unread: with the right time it is another request.
        await self.correct_clock()
        return await self._once(method, path, dict(params or {}), signed)

    async def _once(
        self, method: str, path: str, params: dict[str, str | int | bool], signed: bool
    ) -> Any:
        what = f"{method} {path}"
        changes, wallet = method != "GET", path.startswith(_WALLET)
        self._refuse_while_busy(what, changes, wallet)
        failed, sent = "", False
        try:
            reply = await self._client.send(self._request(method, path, params, signed))
        except _NOT_SENT as error:
            failed = f"no connection ({type(error).__name__})"
        except httpx.HTTPError as error:
            failed, sent = f"no answer ({type(error).__name__})", True
        if failed:
            # Outside of the handler: the failure holds the signed address.
            if changes and sent:
                raise UnknownFate(what, failed)
            raise RetryLater(f"{what}: {failed}. Next: check the network, then try again.")
        return self._answer(what, changes, wallet, reply)

    def _request(
        self, method: str, path: str, params: dict[str, str | int | bool], signed: bool
    ) -> httpx.Request:
        base = self._endpoints.rest
        if path.startswith(_WALLET):
            if self._endpoints.wallet is None:
                raise FixConfig(
                    "run.mode", "testnet", "a venue with a wallet", "leave transfers to its page"
                )
            base = self._endpoints.wallet
        plain = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in params.items()
        }
        headers = {}
        if signed:
            if self._sign is None or self._key is None:
                raise FixConfig(
                    "BINANCE_API_KEY", "nothing", "a key for calls of the account", "set it"
                )
            headers["X-MBX-APIKEY"] = self._key.reveal()
            now_ms = self._now_s() * 1000.0 + self._correction_ms
            plain |= {"recvWindow": str(RECV_WINDOW_MS), "timestamp": str(int(now_ms))}
        payload = urlencode(plain)
        if signed and self._sign is not None:
            payload += f"&signature={quote(self._sign(payload), safe='')}"
        return self._client.build_request(
            method, f"{base}{path}?{payload}" if payload else f"{base}{path}", headers=headers
        )

    def _refuse_while_busy(self, what: str, changes: bool, wallet: bool) -> None:
        """Keep from asking while the venue bans us, or while queries have used the minute up."""
        wait = self._silent_until[wallet] - time.monotonic()
        if wait > 0:
            raise RetryLater(
                f"{what}: not sent, the venue asked for silence. Next: wait {wait:.0f} s."
            )
        now_s = self._now_s() + self._correction_ms / 1000.0
        if int(now_s // 60) != self._minute:
            self._minute, self.used_weight = int(now_s // 60), 0
        if not changes and not wallet and self.used_weight >= WEIGHT_SHARE * WEIGHT_LIMIT:
            raise RetryLater(
                f"{what}: not sent, {self.used_weight} of {WEIGHT_LIMIT} weight of this minute is "
                f"used and the rest is kept for orders. Next: wait {60 - now_s % 60:.0f} s."
            )

    def _answer(self, what: str, changes: bool, wallet: bool, reply: httpx.Response) -> Any:
        used = reply.headers.get("x-mbx-used-weight-1m", "")
        if used.isdigit() and not wallet:
            self.used_weight = int(used)
        try:
            found: Any = json.loads(reply.content)
        except (ValueError, RecursionError):
            found = None
        status = reply.status_code
        if status < 300 and found is not None:
            return found
        told = found if isinstance(found, dict) else {}
        code, reason = _whole(told.get("code")), redact(str(told.get("msg", "")), self._secrets)
        if status in (418, 429):
            wait = _whole(reply.headers.get("retry-after"), 60)
            self._silent_until[wallet] = time.monotonic() + wait
            raise RetryLater(f"{what}: too many requests (status {status}). Next: wait {wait} s.")
        if code in _THROWN_AWAY or status == 403:
            raise RetryLater(f"{what}: not taken (status {status}, code {code}). Next: try later.")
        if status < 300 or status == 408 or status >= 500 or code in _UNKNOWN:
            if changes:
                raise UnknownFate(what, f"status {status}, code {code}")
            if status < 300:
                raise RejectData(what, "reply", reply.text[:60], "JSON", "check the address")
            raise RetryLater(f"{what}: status {status}, code {code}. Next: try again later.")
        raise VenueRefused(what, code, status, reason or "no reason given")


def _whole(given: Any, otherwise: int = 0) -> int:
    """A whole number of the venue's; another one where it sent none."""
    try:
        return int(given)
    except (TypeError, ValueError):
        return otherwise


def _keep_out_of_logs(credentials: Credentials | None) -> None:
    """Let the HTTP library log no key and no signature, at any level."""
    hide = RedactingFilter(() if credentials is None else credentials.secrets)
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2"):
        logging.getLogger(name).addFilter(hide)
