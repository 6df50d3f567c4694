"""A paper account is on the disk before anybody is told, and is the same in the next process."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import RejectData, RetryLater
from counterpoise.rehearsal import paper_account
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import Settlement, Trade
from counterpoise.rehearsal.filters import rules_of
from counterpoise.rehearsal.orders import Refused
from counterpoise.rehearsal.paper_account import PaperAccount
from counterpoise.venues import venues
from tests.rehearsal.conftest import SYMBOL, T0, D, depth, mark, order, stop

RULES = rules_of(venues["binance"][-1])
PRICES = st.sampled_from(["2997", "2999", "3000", "3001", "3003"])
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from(["BUY", "SELL"]), st.none() | PRICES),
        st.tuples(st.just("stop"), st.sampled_from(["3005", "3010"])),
        st.tuples(st.just("mark"), st.sampled_from(["2990", "3000", "3006", "3011"])),
        st.tuples(st.just("trade"), PRICES, st.sampled_from(["BUY", "SELL"])),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("countdown"), st.sampled_from([0, 1500])),
        st.tuples(st.just("leverage"), st.sampled_from([5, 10])),
        st.tuples(st.just("settle")),
        st.tuples(st.just("transfer"), st.sampled_from(["500", "-50"])),
    ),
    max_size=12,
)


def opened(file: Path, usd: str = "15000") -> PaperAccount:
    return PaperAccount(file, RULES, D(usd), T0)


def show(exchange: Exchange, now_ms: int) -> None:
    """The market of the fixture ``exchange``."""
    exchange.on(mark("3000", now_ms))
    bids, asks = [("2999", "5"), ("2998", "10")], [("3000", "5"), ("3001", "10")]
    exchange.on(depth(bids, asks, now_ms, fresh=True))


def act(exchange: Exchange, action: tuple, now_ms: int) -> None:
    match action:
        case ("order", side, price):
            exchange.place(order(side, "0.5", price), now_ms)
        case ("stop", trigger):
            exchange.algos.place(stop(trigger, quantity=D("0.5")), now_ms)
        case ("mark", price):
            exchange.on(mark(price, now_ms))
        case ("trade", price, taker):
            ticks = RULES.ticks(D(price))
            exchange.on(Trade(now_ms, SYMBOL, now_ms, ticks, 300, taker))
        case ("cancel", place):
            standing = exchange.open_orders(SYMBOL)
            if place < len(standing):
                exchange.cancel(SYMBOL, now_ms, order_id=standing[place].order_id)
        case ("countdown", ms):
            exchange.countdown(SYMBOL, ms, now_ms)
        case ("leverage", leverage):
            exchange.account.set_leverage(SYMBOL, leverage, now_ms)
        case ("settle",):
            exchange.on(Settlement(now_ms, SYMBOL, D("0.0001"), D("3000")))
        case ("transfer", usd):
            exchange.account.transfer(D(usd), now_ms)


def told_of(exchange: Exchange) -> dict[str, object]:
    """Everything the owner of an account can ask."""
    account = exchange.account
    return {
        "balance": replace(account.balance(), update_ms=0),
        "positions": [replace(one, update_ms=0) for one in account.positions()],
        "orders": exchange.all_orders(),
        "open": sorted(one.order_id for one in exchange.open_orders()),
        "algos": exchange.algos.all(),
        "waiting": exchange.algos.open(),
        "trades": account.trades,
        "incomes": account.incomes,
        "countdowns": exchange.countdowns,
        "leverage": account.leverage,
    }


@settings(max_examples=60, deadline=None)
@given(before=ACTIONS, after=ACTIONS)
def test_the_next_process_finds_the_account_as_it_was(tmp_path_factory, before, after) -> None:
    file = tmp_path_factory.mktemp("paper") / "paper.sqlite"
    now_ms = T0
    shown, last = None, D("3000")
    for actions in (before, after, ()):
        with opened(file) as kept:
            exchange = kept.exchange
            if shown is None:
                exchange.account.transfer(D("10000"), now_ms)
            # Marks come first in a process: what is worth something is worth it at a mark.
            exchange.account.marks[SYMBOL] = last
            if shown is not None:
                assert told_of(exchange) == shown
            show(exchange, now_ms)
            kept.save(exchange.drain())
            for action in actions:
                now_ms += 1000
                with suppress(Refused):
                    act(exchange, action, now_ms)
                kept.save(exchange.drain())
            shown, last = told_of(exchange), exchange.account.marks[SYMBOL]


def test_a_restored_order_stands_at_the_end_of_its_queue(tmp_path) -> None:
    with opened(tmp_path / "p.sqlite") as kept:
        kept.exchange.account.transfer(D("10000"), T0)
        show(kept.exchange, T0)
        kept.exchange.place(order("SELL", "1", "3001"), T0)
        kept.save(kept.exchange.drain())
    with opened(tmp_path / "p.sqlite") as kept:
        exchange = kept.exchange
        show(exchange, T0 + 1)  # 10 ETH stand at 3001
        ticks = RULES.ticks(D("3001"))
        exchange.on(Trade(T0 + 2, SYMBOL, 1, ticks, 10_000, "BUY"))
        assert exchange.account.position(SYMBOL).amount == 0
        exchange.on(Trade(T0 + 3, SYMBOL, 2, ticks, 400, "BUY"))
        assert exchange.account.position(SYMBOL).amount == D("-0.4")


def test_a_restored_stop_triggers_and_its_order_belongs_to_it(tmp_path) -> None:
    with opened(tmp_path / "p.sqlite") as kept:
        kept.exchange.account.transfer(D("10000"), T0)
        show(kept.exchange, T0)
        kept.exchange.place(order("SELL", "1"), T0)
        kept.exchange.algos.place(stop("3005"), T0)
        kept.save(kept.exchange.drain())
    with opened(tmp_path / "p.sqlite") as kept:
        show(kept.exchange, T0 + 1)
        kept.exchange.on(mark("3006", T0 + 2))
        assert kept.exchange.account.position(SYMBOL).amount == 0
        (algo,) = kept.exchange.algos.all()
        assert algo.status == "FINISHED"
        ids = [one.order_id for one in kept.exchange.all_orders()]
        assert len(ids) == len(set(ids)) == 2


def test_money_of_a_new_account_only(tmp_path) -> None:
    with opened(tmp_path / "p.sqlite", "100") as kept:
        key = kept.holding.key
    with opened(tmp_path / "p.sqlite", "999") as kept:
        assert kept.exchange.account.outside == 100
        assert kept.holding.key == key
    assert (tmp_path / "p.sqlite").stat().st_mode & 0o077 == 0


def test_two_processes_cannot_have_one_account(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(paper_account, "WAIT_S", 0.1)
    with opened(tmp_path / "p.sqlite"), pytest.raises(RetryLater, match="end the run that has it"):
        opened(tmp_path / "p.sqlite")


def test_what_is_no_account_is_refused(tmp_path) -> None:
    other = tmp_path / "other.sqlite"
    other.write_text("not a database, but long enough to be taken for one " * 50)
    with pytest.raises(RejectData, match="a paper account"):
        opened(other)
    with opened(tmp_path / "p.sqlite"):
        pass
    with sqlite3.connect(tmp_path / "p.sqlite") as db:
        db.execute("UPDATE kept SET body = '{}'")
    db.close()
    with pytest.raises(RejectData, match="holding 1"):
        opened(tmp_path / "p.sqlite")
    with sqlite3.connect(tmp_path / "p.sqlite") as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(RejectData, match="layout 1"):
        opened(tmp_path / "p.sqlite")


_TRADER = """
import sys
from tests.rehearsal.test_paper_account import *
with opened(Path(sys.argv[1])) as kept:
    kept.exchange.account.transfer(D("10000"), T0)
    for turn in range(100_000):
        show(kept.exchange, T0 + turn)
        side = "SELL" if turn % 2 == 0 else "BUY"
        done = kept.exchange.place(order(side, "1", client_id=f"turn-{turn}"), T0 + turn)
        kept.save(kept.exchange.drain())
        print(done.client_id, done.executed, kept.exchange.account.wallet, flush=True)
"""


def test_what_was_told_before_a_kill_is_kept(tmp_path) -> None:
    file = tmp_path / "p.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", _TRADER, str(file)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    told = [child.stdout.readline().split() for _ in range(40)]
    child.send_signal(signal.SIGKILL)
    told += [line.split() for line in child.stdout if line.endswith("\n")]
    child.stdout.close()
    child.wait()
    name, executed, wallet = told[-1]
    with opened(file) as kept:
        orders = {one.client_id: one for one in kept.exchange.all_orders()}
        assert orders[name].executed == D(executed)
        # At most the turn that was under way is kept and was not told.
        turns = len(orders) - 1 - int(name.removeprefix("turn-"))
        assert turns in (0, 1)
        assert turns or kept.exchange.account.wallet == D(wallet)
        booked = sum((one.usd for one in kept.exchange.account.incomes), start=Decimal(0))
        assert kept.exchange.account.wallet == booked
        assert len(kept.exchange.account.trades) == len(orders)
