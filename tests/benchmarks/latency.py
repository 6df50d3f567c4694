"""From a quote that moves the band to the order at the venue, against an idle strategy.

A venue in a process of its own sends a falling market over a websocket and notes when; it notes
when each order arrives. Ours runs the controller, commits decision, schedule and order to a durable
journal and submits; the peer commits one row to a durable SQLite file and submits. Both are the
same node, in processes of their own, one after the other and again, in the same run.
"""

import asyncio
import json
import multiprocessing
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import ROOT, Entry

#: Quotes a second, of which every so many is a fall, and falls of one round.
PER_S, EVERY, FALLS = 50, 10, 300
#: Rounds of each side, taken in turn.
ROUNDS = 3
FIRST_USD, FALL_SHARE = 3000.0, 0.001
KEY, SECRET = "bench-key", "bench-secret"
#: Quotes for which the market goes on being still once a node is ready.
STILL = 2 * PER_S


class Falling:
    """Quotes that stay until a node is ready, then fall every so often; marks follow."""

    def __init__(self, first_ms: int) -> None:
        self.first_ms, self.ready = first_ms, False

    def __iter__(self) -> Iterator[Any]:
        from counterpoise.rehearsal.feed import BookTicker, Depth, MarkPrice

        symbol, number, k, left = "ETHUSDT", 1, 0, STILL + FALLS * EVERY + PER_S
        price = round(FIRST_USD * 100)
        bids: tuple[tuple[int, int], ...] = ()
        asks: tuple[tuple[int, int], ...] = ()
        while left:
            ts_ms = self.first_ms + k * 1000 // PER_S
            k += 1
            left -= self.ready
            step = FALLS * EVERY + PER_S - left
            if step >= 0 and left >= PER_S and step % EVERY == 0:
                price = round(price * (1 - FALL_SHARE))
            size = 100_000 + k
            gone_bids = tuple((level, 0) for level, _ in bids if level != price)
            gone_asks = tuple((level, 0) for level, _ in asks if level != price + 1)
            bids, asks = ((price, size),), ((price + 1, size),)
            ids = number, number + 1, number - 1
            yield Depth(ts_ms, symbol, *ids, gone_bids + bids, gone_asks + asks, True)
            if k % PER_S == 1:
                usd = Decimal(price) / 100
                next_ms = ts_ms + 8 * 3_600_000
                yield MarkPrice(ts_ms, symbol, usd, usd, Decimal("0.0001"), next_ms)
            yield BookTicker(ts_ms, symbol, number + 1, price, size, price + 1, size)
            number += 2


def _serve(pipe: Connection) -> None:
    asyncio.run(_venue(pipe))


async def _venue(pipe: Connection) -> None:
    from counterpoise.rehearsal.binance_signing import ApiKey
    from counterpoise.rehearsal.binance_venue import Venue
    from counterpoise.rehearsal.clock import MarketClock
    from counterpoise.rehearsal.exchange import Exchange
    from counterpoise.rehearsal.feed import BookTicker
    from counterpoise.rehearsal.filters import rules_of
    from counterpoise.rehearsal.history import History
    from counterpoise.venues import contract_at

    sent: list[int] = []
    arrived: list[int] = []

    class Noting(Venue):
        last = round(FIRST_USD * 100)

        def take(self, event: Any) -> None:
            if isinstance(event, BookTicker) and event.bid < self.last:
                self.last = event.bid
                sent.append(time.time_ns())
            super().take(event)

        def answer(self, endpoint: Any, params: Any, key: Any) -> Any:
            if "newClientOrderId" in params:
                arrived.append(time.time_ns())
            return super().answer(endpoint, params, key)

    now_ms = time.time_ns() // 1_000_000
    contract = contract_at("binance", now_ms)
    exchange = Exchange([rules_of(contract)], Decimal(5_000_000))
    clock = MarketClock(now_ms, time.time(), 1.0)
    market = Falling(now_ms)
    async with Noting(
        exchange, market, clock, contract, [ApiKey(KEY, SECRET)], History({})
    ) as venue:
        pipe.send((venue.url_http, venue.url_ws))
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        market.ready = True
        await venue.finished()
        await asyncio.sleep(0.5)
        pipe.send((sent, arrived))


def _waits_ms(sent: list[int], arrived: list[int]) -> list[float]:
    """From each fall to the first order after it and before the next, ms."""
    found, place = [], 0
    for k, at in enumerate(sent):
        until = sent[k + 1] if k + 1 < len(sent) else at + 10**9
        while place < len(arrived) and arrived[place] < at:
            place += 1
        if place < len(arrived) and arrived[place] < until:
            found.append((arrived[place] - at) / 1e6)
    return found


async def _idle(http: str, stream: str, folder: Path) -> None:
    """The peer: one row, then the order."""
    from nautilus_trader.model.enums import OrderSide, TimeInForce
    from nautilus_trader.model.identifiers import InstrumentId
    from nautilus_trader.trading.strategy import Strategy

    from counterpoise.credentials import Credentials, Secret
    from counterpoise.trading.node import Wires, node_of

    instrument_id = InstrumentId.from_str("ETHUSDT-PERP.BINANCE")
    rows = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
    rows.execute("PRAGMA journal_mode=WAL")
    rows.execute("PRAGMA synchronous=FULL")
    rows.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, price REAL)")

    class Idle(Strategy):  # type: ignore[misc]
        last, told = FIRST_USD, False

        def on_start(self) -> None:
            self.instrument = self.cache.instrument(instrument_id)
            self.subscribe_quote_ticks(instrument_id)

        def on_quote_tick(self, tick: Any) -> None:
            bid = tick.bid_price.as_double()
            if not self.told:
                self.told = True
                print("ready", flush=True)
            if bid >= self.last:
                return
            self.last = bid
            rows.execute("BEGIN IMMEDIATE")
            rows.execute("INSERT INTO row (price) VALUES (?)", (bid,))
            rows.execute("COMMIT")
            self.submit_order(
                self.order_factory.limit(
                    instrument_id,
                    OrderSide.SELL,
                    self.instrument.make_qty(1.0),
                    self.instrument.make_price(bid * 0.999),
                    time_in_force=TimeInForce.IOC,
                )
            )

    strategy = Idle()
    key = Credentials(Secret(KEY), Secret(SECRET), "bench")
    wires = Wires(False, http, stream, f"{stream}/ws-fapi/v1")
    node = node_of(strategy, instrument_id, key, wires, folder)
    await node.run_async()


async def _ours(http: str, stream: str, folder: Path) -> None:
    """The controller behind the shell, with journal, account queries and everything it keeps."""
    from counterpoise.config import settings_without_file
    from counterpoise.credentials import Credentials, Secret
    from counterpoise.execution.controller import Controller
    from counterpoise.execution.events import Signals
    from counterpoise.execution.remembered import Remembered
    from counterpoise.journal.store import Journal
    from counterpoise.journal.tables import Run
    from counterpoise.trading.binance_account import BinanceAccount
    from counterpoise.trading.binance_rest import BinanceRest, Endpoints
    from counterpoise.trading.instrument import instrument_id_of
    from counterpoise.trading.live_link import LiveLink
    from counterpoise.trading.node import Wires, node_of
    from counterpoise.trading.shell import Shell
    from counterpoise.venues import contract_at
    from counterpoise.watch.alerts import Alerts

    settings = settings_without_file(
        {
            "run": {"state": folder},
            "risk": {"drawdown": {"limit": 0.16, "gap": 0.15}},
            "capital": {"transfer_h": 0},
        }
    )
    key = Credentials(Secret(KEY), Secret(SECRET), "bench")
    rest = BinanceRest(Endpoints(http, http, stream), key)
    account = BinanceAccount(rest, "ETHUSDT")
    contract = contract_at("binance", time.time_ns() // 1_000_000)
    this = Run(time.time_ns(), "bench", "paper", "binance", "ETHUSDT", "0" * 16, "0", "0" * 16)
    journal = Journal.open(folder / "journal.sqlite", run=this)
    controller = Controller(settings, contract, "cpbench-", exposure_eth=1000.0, price=FIRST_USD)
    first = controller.start(Remembered(), await account.snapshot())
    link = LiveLink(account, Alerts([], settings.alerts))
    shell = Shell(
        instrument_id_of(contract),
        controller,
        journal.commit,
        link,
        first,
        now_ns=time.time_ns,
        wall_ns=lambda at_ns: at_ns,
    )
    link.shell = shell
    wires = Wires(False, http, stream, f"{stream}/ws-fapi/v1")
    node = node_of(shell, shell.instrument_id, key, wires, folder)
    running = asyncio.create_task(node.run_async())
    await shell.priced.wait()
    hour_ns = 3_600_000_000_000
    now_ns = time.time_ns()
    shell.deliver(
        Signals(
            ts_ns=now_ns,
            tick=now_ns // hour_ns,
            lo=0.0,
            hi=1.0,
            to_lo=0.0,
            to_hi=1.0,
            urgency=0.0,
            target=0.0,
            spot=FIRST_USD,
            perp=FIRST_USD,
            sigma_day=0.04,
            volume_day_eth=2e6,
            leverage=2.0,
            leverage_max=3.0,
            event_floor=0.0,
            event_class=float("nan"),
            quiet=False,
            funding_cost=0.0,
        )
    )
    print("ready", flush=True)
    await running


def _round(side: str) -> list[float]:
    """Latencies of one round, ms."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    venue = context.Process(target=_serve, args=(theirs,), daemon=True)
    venue.start()
    http, stream = mine.recv()
    with tempfile.TemporaryDirectory() as folder:
        node = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.latency", side, http, stream, folder],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert node.stdout is not None
        for line in node.stdout:
            if line.strip() == "ready":
                break
        mine.send("begin")
        sent, arrived = mine.recv()
        node.kill()
        node.wait()
    venue.join(10.0)
    found = _waits_ms(sent, arrived)
    if len(found) < FALLS * 0.9:
        raise SystemExit(f"{side}: {len(found)} of {len(sent)} falls were answered by an order")
    return found


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]


def latency() -> dict[str, Entry]:
    """Median and 99 % from the quote to the order, and both over the peer's."""
    found: dict[str, list[float]] = {"idle": [], "ours": []}
    for _ in range(ROUNDS):
        for side in found:
            found[side] += _round(side)
    peer = "idle NautilusTrader strategy that commits one row and submits"
    entries = {}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours, idle = (_quantile(found[side], share) for side in ("ours", "idle"))
        entries[f"quote_to_order_{name}_ms"] = Entry(ours, "ms", peer, idle / ours)
        entries[f"quote_to_order_{name}_vs_idle"] = Entry(ours / idle, "×", peer, idle / ours)
    return entries


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(json.dumps({name: vars(entry) for name, entry in latency().items()}, indent=1))
    else:
        chosen = {"idle": _idle, "ours": _ours}[sys.argv[1]]
        asyncio.run(chosen(sys.argv[2], sys.argv[3], Path(sys.argv[4])))
