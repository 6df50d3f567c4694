"""Alerts arrive over a real connection, once, with what to do; trading never waits for them."""

import json
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.credentials import Secret
from counterpoise.errors import FixConfig
from counterpoise.execution.commands import Alarm
from counterpoise.run_settings import AlertSettings
from counterpoise.watch.alerts import SEVERITIES, Alerts, Repetitions, alert_addresses

TOKEN = "t0ken-that-is-secret"


class Receiver:
    """A web hook on this machine: answers with the given statuses, then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[dict] = []
        self.open = threading.Event()
        self.open.set()
        self.arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.open.wait(10)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                self.end_headers()
                with receiver.arrived:
                    receiver.got.append(body | {"status": status, "path": self.path})
                    receiver.arrived.notify_all()

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = Secret(f"json://127.0.0.1:{self.server.server_port}/{TOKEN}")
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def wait_for(self, count: int) -> list[dict]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, 10), self.got
            return list(self.got)


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.open.set()
    one.server.shutdown()
    one.server.server_close()


def alarm(severity="critical", key="margin", text="Margin is thin.") -> Alarm:
    return Alarm(severity, key, text, "send 5,000 USDT to the futures wallet")


def settings(**changes) -> AlertSettings:
    return AlertSettings(**{"quiet_s": 600, "attempts": 3} | changes)


def test_an_alert_arrives_with_what_to_do_next(receiver):
    alerts = Alerts([receiver.address], settings())
    alerts.send(alarm())
    (got,) = receiver.wait_for(1)
    alerts.close()
    assert got["title"] == "counterpoise CRITICAL: margin"
    assert got["message"] == "Margin is thin.\nNext: send 5,000 USDT to the futures wallet"
    assert got["type"] == "failure"
    assert got["path"] == f"/{TOKEN}"
    assert alerts.delivered == 1
    assert alerts.last == "counterpoise CRITICAL: margin: Margin is thin."
    assert alerts.failure == ""


def test_what_repeats_is_told_once_and_then_as_a_number(receiver):
    alerts = Alerts([receiver.address], settings(quiet_s=1))
    for _ in range(5):
        alerts.send(alarm())
    alerts.send(alarm(key="clock", text="The clock is off."))
    got = receiver.wait_for(3)
    alerts.close()
    assert [one["message"].splitlines()[0] for one in got] == [
        "Margin is thin.",
        "The clock is off.",
        "still so, 4 times more in the last 0 min: Margin is thin.",
    ]
    assert "send 5,000 USDT" in got[2]["message"]


def test_what_is_less_severe_than_the_threshold_is_not_sent(receiver):
    alerts = Alerts([receiver.address], settings(severity="critical"))
    alerts.send(alarm("info"))
    alerts.send(alarm("warning"))
    alerts.send(alarm("critical"))
    alerts.close()
    assert [one["title"] for one in receiver.got] == ["counterpoise CRITICAL: margin"]


def test_a_refused_message_is_tried_again(receiver):
    receiver.statuses = [500, 503]
    alerts = Alerts([receiver.address], settings(), first_wait_s=0.01)
    alerts.send(alarm())
    assert [one["status"] for one in receiver.wait_for(3)] == [500, 503, 200]
    alerts.close()
    assert alerts.delivered == 1
    assert alerts.failure == ""


def test_what_cannot_be_delivered_is_logged_and_shown_without_the_address(receiver, caplog):
    receiver.statuses = [500, 500, 500]
    with caplog.at_level(logging.DEBUG):
        alerts = Alerts([receiver.address], settings(), first_wait_s=0.01)
        alerts.send(alarm())
        receiver.wait_for(3)
        alerts.close()
    assert "address 1 (json) did not take 'counterpoise CRITICAL: margin'" in alerts.failure
    assert alerts.failure in caplog.text
    assert "Next: check that address of ALERT_URLS" in caplog.text
    assert TOKEN not in caplog.text + alerts.failure
    assert alerts.delivered == 0


def test_a_failure_is_over_once_a_message_arrives(receiver):
    receiver.statuses = [500]
    alerts = Alerts([receiver.address], settings(attempts=1))
    alerts.send(alarm())
    alerts.send(alarm(key="clock"))
    receiver.wait_for(2)
    alerts.close()
    assert alerts.delivered == 1
    assert alerts.failure == ""


def test_a_dead_address_does_not_delay_another_one(receiver):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Secret(f"json://127.0.0.1:{taken.getsockname()[1]}/{TOKEN}")
        alerts = Alerts([nobody, receiver.address], settings(), first_wait_s=30)
        alerts.send(alarm())
        receiver.wait_for(1)
        alerts.close()
    assert "address 1 (json)" in alerts.failure
    assert alerts.delivered == 1


def test_sending_does_not_wait_for_a_slow_receiver(receiver):
    receiver.open.clear()
    alerts = Alerts([receiver.address], settings())
    begun = time.perf_counter()
    for number in range(150):
        alerts.send(alarm(key=f"key {number}"))
    taken = time.perf_counter() - begun
    assert receiver.got == []
    assert taken < 0.5
    receiver.open.set()
    alerts.close(0.0)


def test_without_an_address_an_alert_is_only_logged(caplog):
    alerts = Alerts([], settings())
    with caplog.at_level(logging.WARNING):
        alerts.send(alarm())
        alerts.close()
    assert "Margin is thin. Next: send 5,000 USDT" in caplog.text


def test_addresses_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("ALERT_URLS", "json://localhost/a\nmailto://me@example.org")
    assert [one.reveal() for one in alert_addresses()] == [
        "json://localhost/a",
        "mailto://me@example.org",
    ]
    monkeypatch.delenv("ALERT_URLS")
    assert alert_addresses() == []


def test_an_address_nobody_knows_is_refused_without_being_shown():
    with pytest.raises(FixConfig, match="address 1") as refused:
        Alerts([Secret(f"carrier-pigeon://{TOKEN}")], settings())
    assert TOKEN not in str(refused.value)


steps = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]), st.sampled_from(SEVERITIES), st.floats(0, 400, width=32)
    ),
    max_size=60,
)


@given(steps, st.sampled_from(SEVERITIES))
def test_every_alert_is_either_sent_or_counted(history, least):
    """What was admitted, plus what summaries counted or still hold, is all that came."""
    repetitions = Repetitions(least, 300.0)
    now, came, sent, counted = 0.0, 0, 0, 0
    last: dict[str, float] = {}
    for key, severity, after in history:
        now += after
        for summary in repetitions.due(now):
            words = summary.body.split(",")[1].split()
            counted += 1 if words[0] == "once" else int(words[0])
            last[summary.title.split(": ")[1]] = now
        if SEVERITIES.index(severity) >= SEVERITIES.index(least):
            came += 1
        message = repetitions.admit(Alarm(severity, key, "text", "act"), now)
        if message is not None:
            sent += 1
            quiet = now - last.get(key, -1e9) >= 300.0
            assert quiet or severity != "info"
            last[key] = now
    held = sum(one.held for one in repetitions._open.values())
    assert sent + counted + held == came
