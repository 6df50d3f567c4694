"""The controller by hand: what each event leads to, in records and in commands."""

import math
from dataclasses import replace

import pytest

from counterpoise.config import settings_without_file
from counterpoise.execution.commands import Alarm, Cancel, Place, QueryAccount
from counterpoise.execution.controller import Controller
from counterpoise.execution.events import (
    Exposure,
    Fill,
    Funding,
    Mark,
    Operator,
    OrderUpdate,
    Quote,
    Signals,
    Snapshot,
)
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import Decision, Mode, OrderSent, Plan
from counterpoise.execution.remembered import Remembered
from counterpoise.units import NS_PER_HOUR, NS_PER_S
from counterpoise.venues import contract_at

T0 = 480_000 * NS_PER_HOUR
PRICE = 2000.0


class Desk:
    """A controller and a venue that fills what crosses, at once and at its price."""

    def __init__(self, wallet_usd: float = 1_000_000.0, **settings: object) -> None:
        self.now_ns = T0
        self.wallet_usd, self.short_eth, self.entry, self.trades = wallet_usd, 0.0, 0.0, 0
        self.price = PRICE
        self.orders: dict[str, Place] = {}
        self.controller = Controller(
            settings_without_file(settings),
            contract_at("binance", T0 // 1_000_000),
            "cpt-",
            exposure_eth=1000.0,
            price=PRICE,
        )
        self.controller.start(Remembered(), self.snapshot())

    def snapshot(self) -> Snapshot:
        equity = self.wallet_usd + self.short_eth * (self.entry - self.price)
        return Snapshot(
            self.now_ns,
            self.short_eth,
            self.entry,
            self.price,
            0.0,
            self.wallet_usd,
            equity,
            equity,
            6.0,
            isolated=False,
        )

    def quote(self, after_s: float = 0.0, price: float | None = None) -> Outbox:
        self.now_ns += round(after_s * NS_PER_S)
        self.price = self.price if price is None else price
        half = 0.05
        return self.tell(Quote(self.now_ns, self.price - half, 500.0, self.price + half, 500.0))

    def mark(self) -> Outbox:
        due = T0 + 8 * NS_PER_HOUR
        return self.tell(Mark(self.now_ns, self.price, self.price, 1e-4, due))

    def bar(self, ratio: float = 0.5, **changed: object) -> Outbox:
        row = Signals(
            ts_ns=self.now_ns,
            tick=self.now_ns // NS_PER_HOUR,
            lo=ratio,
            hi=ratio,
            to_lo=ratio,
            to_hi=ratio,
            urgency=0.0,
            target=ratio,
            spot=self.price,
            perp=self.price,
            sigma_day=0.04,
            volume_day_eth=2e6,
            leverage=2.0,
            leverage_max=3.0,
            event_floor=0.0,
            event_class=math.nan,
            quiet=False,
            funding_cost=0.0,
        )
        return self.tell(replace(row, **changed))

    def tell(self, event: object) -> Outbox:
        """Tell an event, and answer what follows from it."""
        out = self.controller.handle(event)
        for command in out.commands:
            if isinstance(command, Place):
                self._take(command)
            elif isinstance(command, Cancel) and command.client_id in self.orders:
                del self.orders[command.client_id]
                self.tell(OrderUpdate(self.now_ns, command.client_id, "canceled"))
        return out

    def _take(self, place: Place) -> None:
        if place.post_only:
            self.orders[place.client_id] = place
            self.tell(OrderUpdate(self.now_ns, place.client_id, "open"))
            return
        self.fill(place, place.size)

    def fill(self, place: Place, size: float) -> None:
        sign = 1.0 if place.side == "sell" else -1.0
        self.trades += 1
        short = round(self.short_eth + sign * size, 9)
        if sign > 0.0:
            self.entry = (self.short_eth * self.entry + size * self.price) / short
        else:
            self.wallet_usd += size * (self.entry - self.price)
        self.short_eth = short
        trade = str(self.trades)
        self.tell(
            Fill(self.now_ns, place.client_id, trade, place.side, self.price, size, 0.0, False)
        )
        self.tell(OrderUpdate(self.now_ns, place.client_id, "filled", place.size))

    def ready(self) -> None:
        self.quote()
        self.mark()
        self.tell(self.snapshot())

    def settle(self, seconds: int = 3_000) -> None:
        """Let time pass with a quote a second, and a confirmed position every five."""
        for second in range(seconds):
            self.quote(1.0)
            if second % 5 == 0:
                self.mark()
                self.tell(self.snapshot())
            if not self.controller.pursuit.twap:
                return


def placed(out: Outbox) -> list[Place]:
    return [command for command in out.commands if isinstance(command, Place)]


def test_a_target_is_reached_and_each_order_was_recorded_before_it_left() -> None:
    desk = Desk()
    desk.ready()
    out = desk.bar(0.5)
    assert [type(row) for row in out.records][:2] == [Decision, Plan]
    sent = {row.client_id for row in out.records if isinstance(row, OrderSent)}
    assert {place.client_id for place in placed(out)} == sent
    desk.settle()
    assert desk.short_eth == pytest.approx(500.0, abs=0.001)
    assert desk.controller.short_eth == desk.short_eth


def test_nothing_leaves_before_the_first_hour_or_the_first_quote() -> None:
    desk = Desk()
    assert placed(desk.tell(desk.snapshot())) == []
    assert placed(desk.bar(0.5)) == []
    desk.mark()
    assert placed(desk.quote()) != []


def test_no_order_leaves_on_a_position_that_is_too_old_and_it_is_asked_for() -> None:
    desk = Desk()
    desk.ready()
    desk.now_ns += 16 * NS_PER_S
    desk.mark()
    out = desk.quote()
    assert placed(desk.bar(0.5)) == []
    out = desk.quote(0.1)
    assert placed(out) == []
    assert any(isinstance(command, QueryAccount) for command in out.commands)
    assert placed(desk.tell(desk.snapshot())) != []


def test_a_new_target_is_netted_into_the_schedule_under_way() -> None:
    desk = Desk()
    desk.ready()
    desk.bar(0.5)
    first = desk.controller.pursuit.twap
    desk.quote(5.0)
    desk.mark()
    out = desk.bar(0.6)
    assert desk.controller.pursuit.twap is first
    replanned = [row for row in out.records if isinstance(row, Plan)]
    assert [row.schedule_id for row in replanned] == [1]
    assert replanned[0].size == pytest.approx(600.0)
    desk.settle()
    assert desk.short_eth == pytest.approx(600.0, abs=0.001)


def test_a_target_in_the_other_direction_ends_the_schedule_and_buys_back_reduce_only() -> None:
    desk = Desk()
    desk.ready()
    desk.bar(0.5)
    desk.settle()
    desk.mark()
    out = desk.bar(0.3)
    orders = placed(out)
    assert {order.side for order in orders} == {"buy"}
    assert all(order.reduce_only for order in orders)
    desk.settle()
    assert desk.short_eth == pytest.approx(300.0, abs=0.001)


def test_halted_nothing_leaves_what_rests_is_cancelled_and_resume_goes_on() -> None:
    desk = Desk()
    desk.ready()
    desk.bar(0.5)
    out = desk.tell(Operator(desk.now_ns, "halt", "lunch"))
    assert any(isinstance(command, Cancel) for command in out.commands)
    assert any(isinstance(row, Mode) and row.mode == "halted" for row in out.records)
    held = desk.short_eth
    desk.settle(60)
    assert desk.short_eth == held
    assert "lunch" in desk.controller.blocked()
    desk.tell(Operator(desk.now_ns, "resume"))
    desk.tell(desk.snapshot())
    desk.settle()
    assert desk.short_eth == pytest.approx(500.0, abs=0.001)


def test_flatten_buys_everything_back_and_trades_no_more() -> None:
    desk = Desk()
    desk.ready()
    desk.bar(0.5)
    desk.settle()
    desk.tell(Operator(desk.now_ns, "flatten", "sold the coins"))
    desk.settle()
    assert desk.short_eth == 0.0
    desk.mark()
    assert placed(desk.bar(0.5)) == []
    desk.settle(30)
    assert desk.short_eth == 0.0


def test_a_stop_acts_at_a_quote_and_crosses_at_once() -> None:
    stops = {"spot": {"distance": 0.05, "action": "full_hedge"}}
    desk = Desk(risk={"stops": stops})
    desk.ready()
    desk.bar(0.5)
    desk.settle()
    orders = placed(desk.quote(1.0, price=PRICE * 0.94))
    assert [(order.side, order.post_only) for order in orders] == [("sell", False)]
    assert desk.short_eth == pytest.approx(1000.0, abs=0.001)


def test_a_position_that_nothing_explains_halts_and_says_what_to_do() -> None:
    desk = Desk()
    desk.ready()
    desk.bar(0.5)
    desk.settle()
    desk.short_eth -= 100.0  # somebody bought by hand
    told = []
    for _ in range(5):  # a stop that was never confirmed might explain it: four looks
        desk.now_ns += 10 * NS_PER_S
        told += desk.tell(desk.snapshot()).commands
    assert "100" in (desk.controller.reconciler.halted or "")
    alarms = [command for command in told if isinstance(command, Alarm)]
    assert any(alarm.severity == "critical" and alarm.next_step for alarm in alarms)
    desk.mark()
    assert placed(desk.bar(0.9)) == []


def test_more_exposure_is_hedged_with_the_next_bar() -> None:
    desk = Desk()
    desk.ready()
    desk.bar(0.5)
    desk.settle()
    desk.mark()
    desk.tell(Exposure(desk.now_ns, 1200.0))
    desk.bar(0.5)
    desk.settle()
    assert desk.short_eth == pytest.approx(600.0, abs=0.001)


def test_funding_counts_once_and_a_missing_intent_moves_nothing() -> None:
    desk = Desk()
    desk.ready()
    desk.bar(0.5)
    desk.settle()
    desk.tell(Funding(desk.now_ns, 120.0, 1e-4))
    assert desk.controller.judge.account.earned_usd == 120.0
    desk.mark()
    unknown = dict.fromkeys(("lo", "hi", "to_lo", "to_hi", "target"), math.nan)
    assert placed(desk.bar(0.5, **unknown)) == []
    assert desk.controller.pursuit.goal_eth == pytest.approx(500.0)


def test_no_short_is_opened_that_the_collateral_at_the_venue_does_not_carry() -> None:
    desk = Desk(wallet_usd=100_000.0)
    desk.ready()
    out = desk.bar(0.5)
    assert any(isinstance(command, Alarm) for command in out.commands), "collateral is asked for"
    desk.settle()
    assert desk.short_eth * PRICE <= 3.0 * 100_000.0 + 1.0
