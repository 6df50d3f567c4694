"""Kill the live run at random moments over the real wire, and look at what venue and journal say.

``python -m tests.rehearsal.killing 200 7`` does it 200 times from seed 7 and says what was found.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from counterpoise.credentials import Credentials, Secret
from counterpoise.execution.events import Snapshot
from counterpoise.execution.records import (
    AlertRaised,
    Decision,
    FillBooked,
    FundingBooked,
    OrderSent,
    OrderState,
)
from counterpoise.journal.chain import verify
from counterpoise.journal.reading import Reader
from counterpoise.journal.restart import remembered
from counterpoise.journal.tables import Run
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.rehearsal.at_venue import VenueTrade
from counterpoise.rehearsal.faults import Kind
from counterpoise.rehearsal.stage import Script, Stage
from counterpoise.trading.binance_account import BinanceAccount
from counterpoise.trading.binance_rest import BinanceRest, Endpoints
from counterpoise.units import HOUR_MS, to_ms
from tests.rehearsal.lone_run import EXPOSURE_ETH, GIVEN, ROW_MS, ratio_at

START = datetime(2024, 1, 1, tzinfo=UTC)
SPEED = 30.0
STEP = 0.001
#: A buy or sell below this many ETH is no order of its own.
LEAST_ETH = 20.0 / 1_000.0
#: Seconds in which a run that lives must have everything in order.
SETTLED_S = 120.0
#: Seconds after a start that the venue refused because it was asked too often.
BUSY_S = 15.0
STRANGER = "web-stop"
#: Share of the kills before which a request that changes something is to go wrong, and how.
FAULTY = 0.4
FAULTS: tuple[Kind, ...] = ("timeout", "unavailable", "cut", "lost")
ROOT = Path(__file__).parents[2]


class Killing:
    """A venue that lives, and a run that is killed again and again.

    Parameters
    ----------
    stage : Stage
    script : Script
    state : Path
    """

    def __init__(self, stage: Stage, script: Script, state: Path) -> None:
        self.stage, self.script, self.state = stage, script, state
        self.journal = state / "journal.sqlite"
        self.phases: Counter[str] = Counter()
        self.process: subprocess.Popen[str] | None = None
        self._begun_s = stage.begin()
        self.said, self.errors = state.parent / "said.txt", state.parent / "errors.txt"
        self._runs = 0
        asyncio.run(self._ask(_place_stranger))

    async def _ask(self, what: Any) -> Any:
        url = self.stage.url_http
        keys = Credentials(Secret(self.script.key), Secret(self.script.secret), "of the stage")
        rest = BinanceRest(Endpoints(url, url, self.stage.url_ws), keys)
        try:
            now_ms = self.stage.clock.market_ms
            return await what(
                BinanceAccount(rest, "ETHUSDT", lambda: now_ms(time.time()) * 1_000_000)
            )
        finally:
            await rest.close()

    def snapshot(self) -> Snapshot:
        """The account as anybody with the key sees it."""
        found: Snapshot = asyncio.run(self._ask(lambda account: account.snapshot()))
        return found

    def begin(self) -> None:
        """Start the run."""
        given = {
            "http": self.stage.url_http,
            "stream": self.stage.url_ws,
            "origin_ms": self.script.first_ms,
            "begun_s": self._begun_s,
            "speed": SPEED,
            "key": self.script.key,
            "secret": self.script.secret,
            "state": str(self.state),
        }
        with self.said.open("w") as said, self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.rehearsal.lone_run"],
                cwd=ROOT,
                env=os.environ | {GIVEN: json.dumps(given)},
                stdout=said,
                stderr=errors,
                text=True,
            )

    def _lives(self) -> bool:
        """Whether the run goes on; what the venue refuses after many starts is tried again."""
        assert self.process is not None
        if self.process.poll() is None:
            return True
        told = self.errors.read_text()
        assert "weight of this minute" in told or "too many requests" in told, told
        return False

    def says(self, word: str, within_s: float = 90.0) -> None:
        """Wait until the run says a word."""
        until = time.monotonic() + within_s
        while word not in self.said.read_text():
            if not self._lives():
                time.sleep(BUSY_S)
                self.begin()
            assert time.monotonic() < until, f"the run did not say {word!r}"
            time.sleep(0.02)

    def wait_for_swing(self) -> None:
        """Sleep until the bar clock wants another ratio."""
        left_ms = ROW_MS - self.stage.clock.market_ms(time.time()) % ROW_MS
        time.sleep(left_ms / 1000.0 / SPEED)

    def kill(self) -> str:
        """SIGKILL; the phase it fell into, by what is left."""
        assert self.process is not None
        phase = "refused" if not self._lives() else ""
        self.process.kill()
        self.process.wait()
        phase = phase or self._phase()
        self.phases[phase] += 1
        self.check()
        return phase

    def _phase(self) -> str:
        said = self.said.read_text()
        if "imported" not in said:
            return "before start"
        if not self.journal.exists():
            return "before the journal"
        with Reader(self.journal) as reader:
            runs = len(reader.records(Run))
            if runs == self._runs:
                return "before the journal"
            self._runs = runs
            if "Trading" not in said:
                return "connecting"
            known = remembered(reader, self.stage.clock.market_ms(time.time()) * 1_000_000)
            told = {state.client_id for state in reader.records(OrderState)}
            loose = reader.unsettled_orders()
        if known.moving is not None:
            return "mid transfer"
        stops = [order for order in loose if order.trigger > 0.0]
        if len(stops) > 1 or any(order.client_id not in told for order in stops):
            return "mid stop"
        orders = [order for order in loose if order.trigger == 0.0]
        if orders:
            return "resting" if orders[-1].client_id in told else "mid order"
        return "between slices" if known.plan is not None else "idle"

    def check(self, *, whole: bool = False) -> None:
        """What holds at any moment; ``whole`` reads every row of the journal."""
        account = self.stage.account()
        # A stop that was triggered is an order as well, under the same name.
        names = [name for name, _ in account.orders if _ours(name) and "stop" not in name]
        names += [name for name, _ in account.stops if _ours(name)]
        assert len(names) == len(set(names)), "an order reached the venue twice"
        if not self.journal.exists():
            assert names == []
            return
        with Reader(self.journal) as reader:
            sent = {order.client_id for order in reader.records(OrderSent)}
            assert set(names) <= sent, "the venue has an order that the journal does not know"
            booked, traded = _filled(reader.records(FillBooked)), _filled(account.trades)
            for name, size in booked.items():
                assert size <= traded[name] + 1e-9, f"{name} was booked twice"
            numbers = [one.decision_id for one in reader.records(Decision)]
            assert numbers == list(range(1, len(numbers) + 1))
            mode = reader.mode()
            assert mode is None or mode.mode == "resumed", mode
            if whole:
                with reader.snapshot() as connection:
                    assert verify(connection).findings == ()

    def settled(self) -> None:
        """The run lives: wait until everything is in order between two swings."""
        until = time.monotonic() + SETTLED_S
        while (why := self._unsettled()) and time.monotonic() < until:
            if not self._lives():
                time.sleep(BUSY_S)
                self.begin()
            time.sleep(0.3)
        assert not why, why
        self.check(whole=True)

    def _unsettled(self) -> str:
        """What is not in order now; empty if nothing."""
        if not self.journal.exists():
            return "no journal yet"
        wanted = ratio_at(self.stage.clock.market_ms(time.time())) * EXPOSURE_ETH
        with Reader(self.journal) as reader:
            plans, loose = reader.working_plans(), reader.unsettled_orders()
            counted, decision = reader.counted_short(), reader.last_decision()
            booked = _filled(reader.records(FillBooked))
            funded = [(one.ts_ns, one.usd) for one in reader.records(FundingBooked)]
        account = self.stage.account()
        short, traded = account.short_eth, _filled(account.trades)
        if plans or any(order.trigger == 0.0 for order in loose) or decision is None:
            return f"at work: {plans}, {loose}"
        if booked != traded:
            return f"fills of the venue that the journal lacks: {traded} and {booked}"
        if abs(short - wanted) > LEAST_ETH or abs(short - decision.target_eth) > LEAST_ETH:
            return f"a short of {short}; wanted {wanted}, decided {decision.target_eth}"
        if counted is None or abs(counted - short) > 1e-9:
            return f"a short of {short}, counted {counted}"
        paid = asyncio.run(self._ask(lambda asked: asked.funding(self.script.first_ms)))
        if funded != [(one.ts_ns, one.usd) for one in paid]:
            return f"funding of the venue that the journal lacks: {paid} and {funded}"
        seen = self.snapshot()
        names = [stop.client_id for stop in seen.stops]
        if STRANGER not in names:
            raise AssertionError("the stranger's order is gone")
        ours = [name for name in names if name != STRANGER]
        if seen.open_orders or len(ours) != (1 if short >= STEP else 0):
            return f"resting are {ours} and {seen.open_orders} over a short of {short}"
        return ""

    def trade_by_hand(self) -> None:
        """Somebody raises the short from the venue's own page."""
        order = {"symbol": "ETHUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.5"}
        order |= {"newClientOrderId": "web-hand"}
        asyncio.run(self._ask(lambda account: account.rest.call("POST", "/fapi/v1/order", order)))

    def halted(self) -> str:
        """Wait until the run halted itself; why."""
        until = time.monotonic() + SETTLED_S
        while time.monotonic() < until:
            with Reader(self.journal) as reader:
                mode = reader.mode()
            if mode is not None and mode.mode == "halted":
                return mode.why
            time.sleep(0.1)
        raise AssertionError("the run did not halt")

    def orders_sent(self) -> int:
        """How many, stops aside."""
        with Reader(self.journal) as reader:
            return sum(order.trigger == 0.0 for order in reader.records(OrderSent))

    def alerts(self) -> Counter[str]:
        """Alerts so far, by what they are about."""
        with Reader(self.journal) as reader:
            return Counter(f"{a.severity} {a.key}" for a in reader.records(AlertRaised))


def _ours(client_id: str) -> bool:
    return not client_id.startswith("web")


def _filled(fills: Iterable[FillBooked | VenueTrade]) -> dict[str, float]:
    """ETH by order of ours."""
    sums: dict[str, float] = {}
    for fill in fills:
        if _ours(fill.client_id):
            sums[fill.client_id] = round(sums.get(fill.client_id, 0.0) + fill.size, 6)
    return sums


async def _place_stranger(account: BinanceAccount) -> None:
    """A stop of somebody else that never triggers."""
    given = {"symbol": "ETHUSDT", "side": "BUY", "algoType": "CONDITIONAL", "type": "STOP_MARKET"}
    given |= {"triggerPrice": "50000", "quantity": "1", "reduceOnly": "true"}
    await account.rest.call("POST", "/fapi/v1/algoOrder", given | {"clientAlgoId": STRANGER})


@contextmanager
def killing(folder: Path) -> Iterator[Killing]:
    """A stage of its own, in a folder."""
    Lake(folder / "lake").write(
        generate(3, START, 31, with_gaps=False), synthetic=True, replace=True
    )
    first_ms = to_ms(START) + 120 * HOUR_MS
    script = Script(
        lake=folder / "lake",
        recording=None,
        first_ms=first_ms,
        last_ms=first_ms + 500 * HOUR_MS,
        speed=SPEED,
        wallet_usd=0.0,
        outside_usd=1_000_000.0,
        symbol="ETHUSDT",
        every_s=10,
        half_spread_bps=0.5,
    )
    stage = Stage(script)
    one = None
    try:
        one = Killing(stage, script, folder / "state")
        yield one
    finally:
        if one is not None and one.process is not None:
            one.process.kill()
            one.process.wait()
        stage.close()


def main(kills: int, seed: int) -> None:
    """Kill, look, and say what was found."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, killing(Path(folder)) as one:
        for number in range(1, kills + 1):
            if rng.random() < FAULTY:
                kind, path = rng.choice(FAULTS), rng.choice(("/order", "/algoOrder", "/transfer"))
                one.stage.arm(kind, path, method="POST")
            one.begin()
            drawn = rng.random()
            if drawn < 0.25:
                where, wait_s = "after its begin", rng.uniform(0.0, 6.0)
            elif drawn < 0.55:
                where, wait_s = "after its start", rng.uniform(0.0, 6.0)
                one.says("Trading")
            else:
                where, wait_s = "after a swing", rng.uniform(0.0, 4.0)
                one.says("Trading")
                one.wait_for_swing()
            time.sleep(wait_s)
            print(f"{number:4d}  {wait_s:4.1f} s {where}: {one.kill()}")
            if number % 20 == 0 or number == kills:
                one.begin()
                one.settled()
                print(f"      in order; {dict(one.phases)}", flush=True)
                one.kill()
        print(f"{one.phases.total()} kills: {dict(one.phases.most_common())}")
        print(f"alerts: {dict(one.alerts().most_common())}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
