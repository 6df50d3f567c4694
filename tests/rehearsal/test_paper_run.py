"""Paper trading on the market of now, end to end: the command, the venue's process, and their ends.

A second venue, in a process of its own, stands in for the real market.
"""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from counterpoise.config import Settings, load_settings
from counterpoise.errors import FixConfig, NotEnoughData, RetryLater
from counterpoise.execution.records import FillBooked
from counterpoise.journal.reading import Reader
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.rehearsal.paper import PaperVenue, paper_of
from counterpoise.rehearsal.paper_account import PAPER_FILE
from counterpoise.trading.binance_account import BinanceAccount
from counterpoise.trading.binance_rest import BinanceRest, Endpoints
from tests.rehearsal.now_market import lake_of_now

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


class Source:
    """The market that is listened to."""

    def __init__(self, process: "subprocess.Popen[str]", known: Path) -> None:
        self._process, self.known = process, known
        self.port = int(self._read())

    def order(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Iterator[Source]:
    folder = tmp_path_factory.mktemp("now")
    whole, known = lake_of_now(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.rehearsal.now_market", str(whole.path), "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    with process:
        yield Source(process, known.path)
        process.kill()


def config_of(folder: Path, port: int, lake: Path) -> Path:
    http, stream = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    text = f"""
lake = "{lake}"
exposure.eth = 20.0
hedge.policy = "static_eth"
run.state = "{folder / "state"}"
twap.slice_s = 2.0
twap.patience = 0
[sources.binance]
futures_url = "{http}"
spot_url = "{http}"
archive_url = "{http}"
stream_url = "{stream}"
"""
    file = folder / "counterpoise.toml"
    file.write_text(text)
    return file


def settings_of(folder: Path, source: Source) -> Settings:
    return load_settings(config_of(folder, source.port, source.known), {})


@contextmanager
def venue_of(settings: Settings, usd: float | None = None) -> Iterator[PaperVenue]:
    venue = PaperVenue(paper_of(settings, 20.0, usd))
    try:
        yield venue
    finally:
        venue.close()


def asked(venue: PaperVenue, question: Callable[[BinanceAccount, BinanceRest], object]) -> object:
    """Ask the account over the wire, as a run does."""

    async def ask() -> object:
        rest = BinanceRest(Endpoints(venue.url_http, venue.url_http, venue.url_ws),
                           venue.credentials)  # fmt: skip
        try:
            return await question(BinanceAccount(rest, "ETHUSDT", time.time_ns), rest)
        finally:
            await rest.close()

    return asyncio.run(ask())


def test_a_killed_venue_has_its_account_in_the_next_process(tmp_path, source) -> None:
    settings = settings_of(tmp_path, source)
    with venue_of(settings, 50_000.0) as venue:
        assert venue.account()["outside_usd"] == 50_000.0

        async def trade(account: BinanceAccount, rest: BinanceRest) -> object:
            await account.transfer("t-1", 20_000.0)
            sell = {"symbol": "ETHUSDT", "side": "SELL", "type": "MARKET", "quantity": "2"}
            async with asyncio.timeout(10):
                while not (await rest.call("GET", "/fapi/v1/depth", {"symbol": "ETHUSDT"}))["bids"]:
                    await asyncio.sleep(0.05)
            done = await rest.call("POST", "/fapi/v1/order", sell, signed=True)
            far = {"timeInForce": "GTC", "price": "1800", "type": "LIMIT", "newClientOrderId": "r"}
            await rest.call("POST", "/fapi/v1/order", sell | far, signed=True)
            return done["orderId"], await account.snapshot()

        order_id, before = asked(venue, trade)
        assert before.short_eth == 2.0
        key = venue.credentials.api_key.reveal()
        os.kill(venue.process.pid, signal.SIGKILL)
        venue.process.join(10)
        with pytest.raises(RetryLater, match="its account is kept"):
            venue.refuse_end()

    async def look(account: BinanceAccount, rest: BinanceRest) -> object:
        query = {"symbol": "ETHUSDT", "orderId": order_id}
        order = await rest.call("GET", "/fapi/v1/order", query, signed=True)
        return order["executedQty"], await account.snapshot()

    with venue_of(settings) as venue:
        filled, after = asked(venue, look)
        assert venue.credentials.api_key.reveal() == key
    assert float(filled) == 2.0
    assert (after.short_eth, after.wallet_usd) == (2.0, before.wallet_usd)
    assert [one.client_id for one in after.open_orders] == ["r"]
    with pytest.raises(FixConfig, match="has a paper account already"):
        paper_of(settings, 20.0, 1.0)


def test_the_journal_of_another_account_is_no_place_for_a_new_one(tmp_path, source) -> None:
    settings = settings_of(tmp_path, source)
    settings.run.state.mkdir()
    (settings.run.state / "journal.sqlite").touch()
    with pytest.raises(FixConfig, match="name a new folder with --state"):
        paper_of(settings, 20.0, None)


def test_a_lake_that_the_real_market_cannot_bring_up_to_date_is_refused(tmp_path, source) -> None:
    settings = settings_of(tmp_path, source)
    none = settings.model_copy(update={"lake": tmp_path / "none"})
    with pytest.raises(NotEnoughData, match="counterpoise update"):
        paper_of(none, 20.0, None)
    Lake(none.lake).write(generate(1, days=2), synthetic=True)
    with pytest.raises(FixConfig, match="a lake of the real market"):
        paper_of(none, 20.0, None)


def counterpoise(*arguments: str) -> "subprocess.Popen[str]":
    program = "from counterpoise.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def test_a_market_that_cannot_be_reached_is_one_line_and_nothing_is_written(
    tmp_path, source
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config = config_of(tmp_path, taken.getsockname()[1], source.known)
        with counterpoise("--market", "live", "--config", str(config)) as run:
            _, said = run.communicate(timeout=60)
    assert run.returncode == 6
    assert re.fullmatch(r"error: the live market at .* cannot be reached: .* Next: .*\.\n", said)
    assert [path.name for path in tmp_path.iterdir()] == ["counterpoise.toml"]


def events_until(run: "subprocess.Popen[str]", wanted: str) -> list[dict[str, object]]:
    """Lines of a run up to an event."""
    assert run.stdout is not None
    found = []
    for line in run.stdout:
        found.append(json.loads(line))
        if found[-1]["event"] == wanted:
            return found
    raise AssertionError((found, run.stderr and run.stderr.read()))


def fills_in(state: Path) -> list[FillBooked]:
    with Reader(state / "journal.sqlite") as reader:
        return reader.fills(0)


def test_a_killed_run_goes_on_where_it_was_and_ends_in_order(tmp_path, source) -> None:
    """A schedule under way survives a gap, cut sockets, SIGKILL, and a SIGTERM at the end."""
    state = tmp_path / "state"
    options = ("--market", "live", "--json", "--config")
    config = str(config_of(tmp_path, source.port, source.known))
    with counterpoise(*options, config) as run:
        told = events_until(run, "decision")
        assert told[-1]["target_eth"] == 16.0
        source.order("gap")
        source.order("abort")
        deadline = time.monotonic() + 60
        while not fills_in(state):
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.05)
        run.kill()
        run.communicate()
    with counterpoise(*options, config) as run:
        told = events_until(run, "note")
        told += events_until(run, "note")
        kept = sum(one.size for one in fills_in(state))
        short = re.search(r"short ([\d.]+) ETH", str(told[-1]["text"]))
        # What was told last may not have been booked: the start books it.
        assert short
        assert float(short[1]) >= round(kept, 3) > 0.0
        seen = len(fills_in(state))
        deadline = time.monotonic() + 60
        while len(fills_in(state)) <= seen:
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        said, failed = run.communicate(timeout=60)
    assert (run.returncode, failed) == (0, "")
    summary = json.loads(said.splitlines()[-1])
    assert summary["event"] == "summary"
    fills = fills_in(state)
    assert len({one.trade_id for one in fills}) == len(fills)
    booked = sum(one.size if one.side == "sell" else -one.size for one in fills)
    assert summary["venue"]["short_eth"] == pytest.approx(booked)
    assert (state / PAPER_FILE).exists()
