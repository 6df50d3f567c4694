"""The transport against a server that refuses, hangs, lies and recovers; and its budget."""

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.endpoints import SourceSettings
from counterpoise.errors import RejectData, RetryLater
from counterpoise.sources.transport import FIRST_WAIT_S, LONGEST_WAIT_S, RETRIED, Transport
from tests.sources.server import Answer, Asked, Fault, Server, json_answer

SECRET = "0123456789abcdef-my-key"
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that only sleeping moves.

    Attributes
    ----------
    now : float
    slept : list of float
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Seconds since the test began."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.slept.append(seconds)
        self.now += seconds


def transport(clock, *, attempts=3, timeout_s=5.0, per_minute=1e9, secret=False):
    return Transport(
        SourceSettings(attempts=attempts, timeout_s=timeout_s),
        per_minute=per_minute,
        setting="sources.fred.api_url",
        secret=secret,
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )


def echo(asked: Asked) -> Answer:
    return json_answer({"method": asked.method, "query": asked.query, "body": asked.body.decode()})


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def running():
    with Server(echo) as one:
        yield one


@pytest.fixture
def server(running):
    running.answer = echo
    running.asked.clear()
    yield running
    running._faults.clear()


def date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def test_queries_and_documents_arrive_as_they_were_given(server, clock):
    asking = transport(clock)
    got = asking.get(f"{server.url}/a", {"symbol": "ETH&USDT", "limit": 5}).json("a")
    assert got == {"method": "GET", "query": {"symbol": "ETH&USDT", "limit": "5"}, "body": ""}
    sent = asking.post(f"{server.url}/a", [{"id": 1}]).json("a")
    assert sent["method"] == "POST"
    assert sent["body"] in ('[{"id":1}]', '[{"id": 1}]')
    assert clock.slept == []


@pytest.mark.parametrize("status", [408, 418, 425, 429, 500, 502, 503, 504, 520, 599])
def test_what_may_pass_is_tried_again(server, clock, status):
    assert status in RETRIED
    server.fault("/", Answer(status), Answer(status))
    assert transport(clock).get(f"{server.url}/a").status == 200
    assert len(server.asked) == 3
    first, second = clock.slept
    assert 0.75 * FIRST_WAIT_S <= first <= 1.25 * FIRST_WAIT_S
    assert 1.5 * FIRST_WAIT_S <= second <= 2.5 * FIRST_WAIT_S


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 451])
def test_what_is_an_answer_is_returned_at_once(server, clock, status):
    server.fault("/", Answer(status, b"" if status == 204 else b"told"))
    assert transport(clock).get(f"{server.url}/a").status == status
    assert (len(server.asked), clock.slept) == (1, [])


@pytest.mark.parametrize("status", [418, 429, 503])
def test_a_wait_asked_for_in_seconds_is_kept(server, clock, status):
    server.fault("/", Answer(status, headers={"Retry-After": "17"}))
    assert transport(clock).get(f"{server.url}/a").status == 200
    assert clock.slept == [17.0]


def test_a_wait_asked_for_by_a_date_counts_by_the_server_s_own_clock(server, clock):
    headers = {"Date": date(NOW), "Retry-After": date(NOW + timedelta(seconds=41))}
    server.fault("/", Answer(429, headers=headers))
    transport(clock).get(f"{server.url}/a")
    assert clock.slept == [41.0]


@pytest.mark.parametrize(
    "asked",
    [
        "soon",
        "-5",
        "nan",
        "0",
        "",
        date(NOW - timedelta(days=1)),
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    ],
)
def test_a_wait_that_makes_no_sense_is_the_usual_one(server, clock, asked):
    server.fault("/", Answer(429, headers={"Date": date(NOW), "Retry-After": asked}))
    assert transport(clock).get(f"{server.url}/a").status == 200
    (wait,) = clock.slept
    assert 0.75 * FIRST_WAIT_S <= wait <= 1.25 * FIRST_WAIT_S


@pytest.mark.parametrize("asked", ["301", "86400", "inf", date(NOW + timedelta(hours=2))])
def test_a_wait_beyond_patience_is_given_up_at_once(server, clock, asked):
    server.fault("/", *[Answer(418, headers={"Date": date(NOW), "Retry-After": asked})] * 3)
    with pytest.raises(RetryLater, match=r"status 418, to be tried again in [\d,inf]+ s \(1 try\)"):
        transport(clock).get(f"{server.url}/a")
    assert (len(server.asked), clock.slept) == (1, [])


def test_waits_grow_to_a_limit_and_no_further(server, clock):
    server.fault("/", *[Answer(500)] * 13)
    transport(clock, attempts=14).get(f"{server.url}/a")
    assert max(clock.slept) == LONGEST_WAIT_S
    assert clock.slept[-1] == LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("close"), "a broken answer"),
        (Fault("truncate"), "a broken answer"),
        (Answer(200, b"no gzip", {"Content-Encoding": "gzip"}), "incorrect header"),
        (Answer(500), "status 500"),
    ],
)
def test_a_broken_answer_is_tried_again_and_in_the_end_given_up(server, clock, fault, says):
    server.fault("/", fault)
    assert transport(clock).get(f"{server.url}/a?key=x").json("a")["method"] == "GET"
    server.fault("/", *[fault] * 3)
    with pytest.raises(RetryLater, match=says) as refused:
        transport(clock).get(f"{server.url}/a", {"page": 3})
    assert refused.value.exit_code == 6
    assert str(refused.value).startswith(f"{server.url}/a: ")
    assert "(3 tries). Next: run this again later" in str(refused.value)
    assert str(refused.value).endswith("check the network and sources.fred.api_url.")
    assert len(server.asked) == 5


def test_a_server_that_hangs_is_left_and_asked_again(server, clock):
    server.fault("/", Fault("hang"))
    asking = transport(clock, timeout_s=0.2)
    assert asking.get(f"{server.url}/a").status == 200
    server.fault("/", *[Fault("hang")] * 3)
    with pytest.raises(RetryLater, match=r"no answer within 0\.2 s \(3 tries\)"):
        asking.get(f"{server.url}/a")


def test_nobody_there_is_said_so(clock):
    with Server(echo) as gone:
        pass
    with pytest.raises(RetryLater, match=r"no connection \(.*\) \(3 tries\)"):
        transport(clock).get(f"{gone.url}/a")


@pytest.mark.parametrize("host", ["[::1", "a" * 300 + ".com", "xn--", "a\0b"])
def test_an_address_that_cannot_be_is_not_tried_again(clock, host):
    for secret in (False, True):
        with pytest.raises(RetryLater, match=r"an address that cannot be \(1 try\)") as refused:
            transport(clock, secret=secret).get(f"http://{host}/{SECRET if secret else ''}")
        assert SECRET not in str(refused.value)
    assert clock.slept == []


def test_a_redirect_is_followed_and_a_circle_is_left(server, clock):
    server.fault("/old", Answer(302, headers={"Location": "/new?x=1"}))
    got = transport(clock).get(f"{server.url}/old")
    assert got.json("a")["query"] == {"x": "1"}
    assert server.paths() == ["/old", "/new"]
    server.answer = lambda _: Answer(302, headers={"Location": "/old"})
    with pytest.raises(RetryLater, match="redirects"):
        transport(clock, attempts=1).get(f"{server.url}/old")


@pytest.mark.parametrize(
    ("fault", "to"),
    [
        (Answer(429), "{url}"),
        (Answer(418, headers={"Retry-After": "9999"}), "{url}"),
        (Fault("close"), "{url}"),
        (Fault("truncate"), "{url}"),
        (Fault("hang"), "{url}"),
        (Answer(302, headers={"Location": f"/{SECRET}"}), "{url}"),
        (Answer(302, headers={"Location": f"ftp://{SECRET}/"}), "{url}"),
        (Answer(200, b"no gzip", {"Content-Encoding": "gzip"}), "{url}"),
        (Answer(500), "http://127.0.0.1:1"),
        (Answer(500), "http://127.0.0.1:99999999"),
        (Answer(500), f"http://127.0.0.1:port-{SECRET}"),
        (Answer(500), f"http://user:{SECRET}@127.0.0.1:1"),
    ],
)
def test_a_key_in_an_address_is_in_no_message(server, clock, fault, to):
    server.answer = lambda _: fault
    server.fault("/", *[fault] * 100)
    asking = transport(clock, timeout_s=0.2, secret=True, attempts=1)
    with pytest.raises(RetryLater) as refused:
        asking.get(f"{to.format(url=server.url)}/v3/{SECRET}", {"api_key": SECRET})
    assert SECRET not in str(refused.value)
    assert "http://127.0.0.1" in str(refused.value)
    assert "sources.fred.api_url" in str(refused.value)


def test_keys_in_queries_and_passwords_are_not_shown_even_where_nothing_is_secret(server, clock):
    address = server.url.replace("//", f"//me:{SECRET}@")
    server.fault("/", Answer(500))
    with pytest.raises(RetryLater, match=f"^{server.url}/a: status 500") as refused:
        transport(clock, attempts=1).get(f"{address}/a?api_key={SECRET}")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff\xfe", b"{", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_json_is_refused_under_the_name_of_what_was_asked(server, clock, body):
    server.fault("/", Answer(200, body))
    reply = transport(clock).get(f"{server.url}/a")
    with pytest.raises(RejectData, match=r"the hours of ETH: whole reply.*a JSON document"):
        reply.json("the hours of ETH")


def test_no_digit_of_a_price_is_lost(server, clock):
    server.fault("/", Answer(200, b'{"price": 3000.10000000000000001, "id": 12345678901234567890}'))
    told = transport(clock).get(f"{server.url}/a").json("a")
    assert told == {"price": "3000.10000000000000001", "id": 12345678901234567890}


def test_the_clock_of_the_server_is_read_from_its_reply(server, clock):
    for header, expected in ((date(NOW), round(NOW.timestamp() * 1000)), ("yesterday", None)):
        server.fault("/", Answer(200, headers={"Date": header}))
        assert transport(clock).get(f"{server.url}/a").date_ms == expected


Spending = st.lists(
    st.tuples(st.floats(0.1, 400), st.one_of(st.just(0.0), st.floats(0.0, 90.0))),
    min_size=1,
    max_size=60,
)


class Silent:
    """Answers without a network, so that only the budget takes time; notes when it was asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.at: list[float] = []

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.at.append(self.clock.now)
        return httpx.Response(200)


@settings(max_examples=50)
@given(spending=Spending, per_minute=st.floats(60, 5000))
def test_no_minute_holds_more_than_the_budget_and_a_burst(spending, per_minute):
    clock = Clock()
    asking = transport(clock, per_minute=per_minute)
    peer = Silent(clock)
    asking._client = httpx.Client(transport=httpx.MockTransport(peer))
    for weight, pause in spending:
        asking.get("http://127.0.0.1/a", weight=weight)
        clock.now += pause
    asking._client.close()
    weights = [weight for weight, _ in spending]
    for begin, first in enumerate(peer.at):
        within = sum(
            weight
            for weight, at in zip(weights[begin:], peer.at[begin:], strict=True)
            if at < first + 60.0
        )
        burst = max(per_minute / 10.0, *weights)
        assert within <= (per_minute + burst) * (1 + 1e-9)


def test_a_budget_that_is_not_used_up_costs_no_time_and_one_that_is_costs_what_it_must(clock):
    with Server(echo) as server:
        asking = transport(clock, per_minute=600.0)
        for _ in range(6):
            asking.get(f"{server.url}/a", weight=10.0)
        assert clock.slept == []
        asking.get(f"{server.url}/a", weight=30.0)
        assert clock.slept == [pytest.approx(3.0)]
        server.fault("/", Answer(500))
        asking.get(f"{server.url}/a", weight=30.0)
        assert len(clock.slept) == 4, "a second try is paid for as well"


def test_threads_share_one_budget(server):
    clock = Clock()
    lock = threading.Lock()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        with lock:
            waits.append(seconds)

    asking = Transport(
        SourceSettings(attempts=1),
        per_minute=60.0,
        setting="sources.fred.api_url",
        monotonic=clock.monotonic,
        sleep=sleep,
    )
    threads = [threading.Thread(target=asking.get, args=(f"{server.url}/a",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Six are the burst; each of the ten others waits for those before it too.
    assert sorted(waits) == [pytest.approx(float(n)) for n in range(1, 11)]
