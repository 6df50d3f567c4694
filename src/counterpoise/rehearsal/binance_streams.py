"""Binance's WebSocket streams: who listens to what, on which route, and one encoding for all.

A stream is encoded only when somebody listens to it. On the wrong route a subscription is
acknowledged and nothing comes, as at the venue. A listener who does not read is cut off.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from aiohttp import web

Route = Literal["public", "market", "private", ""]
#: Kinds of stream on ``/public``; every other one is on ``/market``.
PUBLIC = ("depth", "bookTicker", "trade", "rpiDepth")
#: Messages that wait for one listener before it is cut off.
MOST_WAITING = 10_000
#: Seconds between two pings of the venue.
HEARTBEAT_S = 180.0

Message = dict[str, Any]


def encoded(message: Any) -> str:
    """JSON without blanks."""
    return json.dumps(message, separators=(",", ":"))


def route_of(stream: str) -> Route:
    """The route on which a stream comes; a name that is no market's is a listen key.

    Examples
    --------
    >>> route_of("ethusdt@depth5@100ms"), route_of("ethusdt@markPrice@1s"), route_of("!bookTicker")
    ('public', 'market', 'public')
    >>> route_of("pqia91ma19a5s61cv6a81va65sdf19v8")
    'private'
    """
    if "@" not in stream and not stream.startswith("!"):
        return "private"
    kind = stream if stream.startswith("!") else stream.split("@")[1]
    return "public" if kind.lstrip("!").rstrip("0123456789") in PUBLIC else "market"


class Listener:
    """One connection: what it hears, and what waits to be sent to it.

    Attributes
    ----------
    route : Route
        Empty is the old address without routes, where everything comes.
    combined : bool
        Whether messages are wrapped with the name of their stream.
    streams : set of str
        Subscribed, listen keys included.
    """

    def __init__(
        self,
        socket: "web.WebSocketResponse",
        transport: asyncio.Transport | None,
        route: Route,
        *,
        combined: bool,
    ) -> None:
        self.route, self.combined = route, combined
        self.streams: set[str] = set()
        self._socket, self._transport = socket, transport
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)

    def send(self, text: str) -> None:
        """Queue a message; who has too many waiting is cut off."""
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.abort()

    async def write(self) -> None:
        """Send what is queued until the connection ends."""
        while not self._socket.closed:
            text = await self._waiting.get()
            try:
                await self._socket.send_str(text)
            except ConnectionError:
                return

    def abort(self) -> None:
        """End the connection without a farewell."""
        if self._transport is not None:
            self._transport.abort()

    def hears(self, stream: str) -> bool:
        """Whether a stream comes on this connection's route."""
        return self.route in ("", route_of(stream))


class Streams:
    """All listeners.

    Attributes
    ----------
    listeners : set of Listener
    """

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self._of: defaultdict[str, set[Listener]] = defaultdict(set)

    def add(self, listener: Listener) -> None:
        """Begin."""
        self.listeners.add(listener)

    def remove(self, listener: Listener) -> None:
        """End."""
        self.listeners.discard(listener)
        self.unsubscribe(listener, set(listener.streams))

    def subscribe(self, listener: Listener, streams: Iterable[str]) -> None:
        """Let a connection hear streams, or acknowledge those that do not come on its route."""
        for stream in streams:
            listener.streams.add(stream)
            if listener.hears(stream):
                self._of[stream].add(listener)

    def unsubscribe(self, listener: Listener, streams: Iterable[str]) -> None:
        """Let it hear them no more."""
        for stream in streams:
            listener.streams.discard(stream)
            if stream in self._of:
                self._of[stream].discard(listener)
                if not self._of[stream]:
                    del self._of[stream]

    def heard(self, stream: str) -> bool:
        """Whether somebody hears a stream."""
        return stream in self._of

    def forget(self, stream: str) -> None:
        """Let nobody hear a stream any more."""
        for listener in self._of.pop(stream, set()):
            listener.streams.discard(stream)

    def wanted(self, prefix: str) -> list[str]:
        """Names of the streams with listeners that begin with something."""
        return [name for name in self._of if name.startswith(prefix)]

    def publish(self, stream: str, make: Callable[..., Any], *of: Any) -> None:
        """Send ``make(*of)`` to those who hear a stream; it is made only for somebody."""
        listeners = self._of.get(stream)
        if not listeners:
            return
        text, wrapped = encoded(make(*of)), ""
        for listener in listeners:
            if listener.combined:
                wrapped = wrapped or f'{{"stream":"{stream}","data":{text}}}'
                listener.send(wrapped)
            else:
                listener.send(text)

    def answer(self, listener: Listener, text: str) -> None:
        """Do what a client's message asks, and tell it."""
        try:
            asked = json.loads(text)
            method, params = asked["method"], list(asked.get("params") or [])
        except (ValueError, KeyError, TypeError, AttributeError):
            listener.send(encoded({"error": {"code": 3, "msg": "Invalid JSON"}}))
            return
        reply: Message = {"result": None, "id": asked.get("id")}
        if method == "SUBSCRIBE":
            self.subscribe(listener, filter(None, map(str, params)))
        elif method == "UNSUBSCRIBE":
            self.unsubscribe(listener, map(str, params))
        elif method == "LIST_SUBSCRIPTIONS":
            reply["result"] = sorted(listener.streams)
        elif method == "GET_PROPERTY":
            reply["result"] = listener.combined
        elif method == "SET_PROPERTY" and len(params) == 2:
            listener.combined = bool(params[1])
        else:
            error = {"code": 2, "msg": f"Invalid request: unknown method {str(method)[:40]}"}
            reply = {"error": error, "id": asked.get("id")}
        listener.send(encoded(reply))
