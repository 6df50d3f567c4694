"""A server on 127.0.0.1 that answers as a test scripts it, faults included.

Real sockets and real HTTP: what a client makes of a short body or a hanging peer is what it would
make of it anywhere.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """One reply."""

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A reply that is none: the peer closes, sends half of the true answer, or hangs."""

    kind: Literal["close", "truncate", "hang"]


def json_answer(content: Any, status: int = 200) -> Answer:
    """Answer with a JSON document."""
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


def not_there() -> Answer:
    """Answer that there is no such thing."""
    return Answer(404, b"not found")


class Server:
    """Serves ``answer`` until the block ends.

    Attributes
    ----------
    url : str
    asked : list of Asked
        Every request, in the order they came.
    """

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self._faults: list[tuple[str, Answer | Fault]] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def fault(self, prefix: str, *instead: Answer | Fault) -> None:
        """Let the next requests whose path begins with ``prefix`` get these, one each."""
        with self._lock:
            self._faults += [(prefix, one) for one in instead]

    def paths(self) -> list[str]:
        """Paths of every request so far."""
        return [one.path for one in self.asked]

    def _reply(self, asked: Asked) -> tuple[Answer | Fault, Answer | None]:
        with self._lock:
            self.asked.append(asked)
            for place, (prefix, instead) in enumerate(self._faults):
                if asked.path.startswith(prefix):
                    del self._faults[place]
                    whole = isinstance(instead, Fault) and instead.kind == "truncate"
                    return instead, self.answer(asked) if whole else None
        return self.answer(asked), None

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = dict(parse_qsl(parts.query, keep_blank_values=True))
                reply, whole = outer._reply(
                    Asked(self.command, parts.path, query, dict(self.headers), body)
                )
                if isinstance(reply, Fault):
                    self.close_connection = True
                    if reply.kind == "hang":
                        outer._stopped.wait(30)
                    elif whole is not None:
                        self._write(whole, len(whole.content) // 2)
                    return
                self._write(reply, len(reply.content))

            def _write(self, reply: Answer, sent: int) -> None:
                self.send_response_only(reply.status)
                if "Date" not in reply.headers:
                    self.send_header("Date", self.date_time_string())
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in reply.headers:
                    self.send_header("Content-Length", str(len(reply.content)))
                self.end_headers()
                self.wfile.write(reply.content[:sent])

            do_GET = do_POST = _serve  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Keep the tests' output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
