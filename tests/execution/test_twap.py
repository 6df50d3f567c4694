"""What a schedule does on a quiet venue, step by step."""

import pytest

from counterpoise.errors import FixConfig
from counterpoise.execution.commands import Alarm, Cancel, Place, QueryOrder, WakeAt
from counterpoise.execution.events import Fill, OrderUpdate, Quote, Trade, Wake
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.plan import HOUR_NS, SECOND_NS, Filters, plan_schedule
from counterpoise.execution.records import OrderSent, OrderState, Plan, Shortfall
from counterpoise.execution.twap import Twap
from counterpoise.run_settings import TwapSettings

GRID = Filters(0.001, 0.01, 20.0)
BEGIN = 472_222 * HOUR_NS
EVEN = TwapSettings(jitter=0, repeg_bps=0, slice_s=30, patience=0, risk_aversion=20)


class Desk:
    """A schedule and what it wants, with a clock in seconds."""

    def __init__(self, size=100.0, side="sell", settings=EVEN, **given):
        self.second = 0.0
        self.bid = 3000.00
        numbers = {"urgency": 0.0, "sigma_day": 0.04, "volume_day_eth": 2e6, "seed": 1, **given}
        plan = plan_schedule(
            12, 3, side, size, self.quote(), BEGIN, filters=GRID, settings=settings, **numbers
        )
        self.twap = Twap(plan, GRID, settings, "cp")
        self.records = []
        self.trades = 0

    @property
    def now(self):
        return BEGIN + round(self.second * SECOND_NS)

    def quote(self):
        return Quote(self.now, self.bid, 5.0, round(self.bid + 0.01, 2), 5.0)

    def give(self, event, **how):
        out = Outbox()
        self.twap.handle(event, out, **how)
        self.records += out.records
        return [command for command in out.commands if not isinstance(command, WakeAt)]

    def ask(self, word, *given):
        out = Outbox()
        getattr(self.twap, word)(*given, out)
        self.records += out.records
        return [command for command in out.commands if not isinstance(command, WakeAt)]

    def at(self, second, bid=None, **how):
        self.second = second
        self.bid = self.bid if bid is None else bid
        return self.give(self.quote(), **how)

    def told(self, client_id, status, filled=0.0, code=0):
        return self.give(OrderUpdate(self.now, client_id, status, filled, code, "because"))

    def fill(self, order, size, maker=True):
        self.trades += 1
        trade = f"t{self.trades}"
        fee = 0.0002 * size * order.price
        return self.give(
            Fill(self.now, order.client_id, trade, order.side, order.price, size, fee, maker)
        )

    def last(self, kind):
        return [record for record in self.records if isinstance(record, kind)][-1]


def test_a_slice_rests_at_the_touch_and_the_record_goes_before_it():
    desk = Desk()
    (order,) = desk.at(0)
    assert order == Place("cp12-0-0", "sell", order.size, 3000.01, True, False)
    sent = desk.last(OrderSent)
    assert (sent.client_id, sent.size, sent.price) == ("cp12-0-0", order.size, order.price)
    assert (sent.schedule_id, sent.decision_id, sent.kind) == (12, 3, "post_only")
    assert order.size == pytest.approx(100 / len(desk.twap.plan.plan["ends_ns"]), abs=1e-3)
    assert desk.at(1) == []


def test_a_buy_rests_at_the_bid_and_only_reduces():
    (order,) = Desk(side="buy").at(0)
    assert (order.side, order.price, order.reduce_only) == ("buy", 3000.00, True)


def test_the_order_follows_the_touch_but_waits_for_the_cancel_to_be_confirmed():
    desk = Desk()
    (order,) = desk.at(0)
    assert desk.at(0.5, bid=2999.0) == [], "not acknowledged yet"
    assert desk.told(order.client_id, "open") == [Cancel(order.client_id)]
    assert desk.at(1) == []
    assert desk.fill(order, 1.0) == []
    (second,) = desk.told(order.client_id, "canceled", 1.0)
    assert second == Place("cp12-0-1", "sell", second.size, 2999.01, True, False)
    assert second.size == pytest.approx(order.size - 1.0)
    assert desk.twap.filled_eth == 1.0
    assert desk.twap.remaining_eth == 99.0


def test_the_order_stays_where_it_is_when_the_touch_comes_nearer_or_it_followed_too_often():
    desk = Desk(settings=EVEN.model_copy(update={"repegs": 1}))
    (order,) = desk.at(0)
    desk.told(order.client_id, "open")
    assert desk.at(1, bid=3005.0) == []
    assert desk.at(2, bid=2999.0) == [Cancel(order.client_id)]
    (second,) = desk.told(order.client_id, "canceled")
    desk.told(second.client_id, "open")
    assert desk.at(3, bid=2998.0) == []


def test_one_that_would_take_is_tried_a_tick_back():
    desk = Desk()
    (order,) = desk.at(0)
    (second,) = desk.told(order.client_id, "rejected", code=-5022)
    assert (second.client_id, second.price) == ("cp12-0-1", 3000.02)


def test_what_is_overdue_crosses_with_a_worst_price_once_a_slice():
    desk = Desk()
    (order,) = desk.at(0)
    desk.told(order.client_id, "open")
    desk.fill(order, 1.0)
    end_s = (desk.twap.plan.plan["ends_ns"][0] - BEGIN) / SECOND_NS
    assert desk.at(end_s + 0.1) == [Cancel(order.client_id)]
    (cross,) = desk.told(order.client_id, "canceled", 1.0)
    assert not cross.post_only
    assert cross.client_id == "cp12-1-0"
    assert cross.size == pytest.approx(order.size - 1.0)
    # 5 bps below the mid of 3000.005 is 2998.504998.
    assert cross.price == 2998.51
    desk.told(cross.client_id, "expired")
    (rest,) = desk.at(end_s + 1)
    assert rest.post_only
    assert rest.size == pytest.approx(2 * order.size - 1.0, abs=2e-3)


def test_patience_lets_a_remainder_rest_longer():
    desk = Desk(settings=EVEN.model_copy(update={"patience": 1}))
    (order,) = desk.at(0)
    desk.told(order.client_id, "open")
    end_s = (desk.twap.plan.plan["ends_ns"][0] - BEGIN) / SECOND_NS
    desk.at(end_s + 0.1)
    (second,) = desk.told(order.client_id, "canceled")
    assert second.post_only


def test_everything_is_filled_and_the_shortfall_adds_up():
    desk = Desk(size=10.0)
    queue = desk.at(0)
    while desk.twap.working:
        for order in queue:
            desk.told(order.client_id, "open")
            desk.fill(order, order.size)
        queue = [c for c in desk.at(desk.second + 1) if isinstance(c, Place)]
    assert desk.twap.filled_eth == 10.0
    assert desk.last(Plan).status == "done"
    cost = desk.last(Shortfall)
    assert cost.filled_eth == 10.0
    assert cost.maker_share == pytest.approx(1.0)
    # Sold at the ask, half a cent above the mid, for 2 bps.
    assert cost.spread_usd == pytest.approx(-0.005 * 10)
    assert cost.fee_usd == pytest.approx(0.0002 * 10 * 3000.01)
    assert cost.total_usd == pytest.approx(cost.spread_usd + cost.fee_usd)


def test_an_unknown_order_blocks_until_the_venue_has_answered():
    desk = Desk()
    (order,) = desk.at(0)
    assert desk.told(order.client_id, "unknown") == [QueryOrder(order.client_id)]
    assert desk.at(1) == []
    assert desk.told(order.client_id, "missing") == [], "it may still be on its way"
    assert desk.at(3.1) == [QueryOrder(order.client_id)]
    query, alarm = desk.at(5.2)
    assert query == QueryOrder(order.client_id)
    assert isinstance(alarm, Alarm)
    assert desk.told(order.client_id, "missing") == []
    desk.second = 6.1
    (again,) = desk.told(order.client_id, "missing")
    assert again.client_id == "cp12-0-1"
    assert desk.last(OrderState).status == "missing"


def test_silence_is_answered_with_a_question_when_the_wake_comes():
    desk = Desk()
    (order,) = desk.at(0)
    desk.second = 2.0
    assert desk.give(Wake(desk.now, "twap:12:act")) == [QueryOrder(order.client_id)]


def test_a_lost_cancel_is_asked_about_and_repeated():
    desk = Desk()
    (order,) = desk.at(0)
    desk.told(order.client_id, "open")
    assert desk.at(1, bid=2999.0) == [Cancel(order.client_id)]
    assert desk.at(3.1) == [QueryOrder(order.client_id), Cancel(order.client_id)]


def test_a_late_fill_report_is_waited_for_and_asked_for():
    desk = Desk(size=1.0)
    desk.twap.plan.plan["ends_ns"][:-1] = []
    desk.twap.plan.plan["until"][:-1] = []
    (order,) = desk.at(0)
    desk.told(order.client_id, "filled", order.size)
    assert desk.twap.remaining_eth == 0.0
    assert desk.twap.working
    assert desk.at(2.5) == [QueryOrder(order.client_id)]
    desk.fill(order, order.size)
    assert not desk.twap.working


def test_refusals_wait_longer_each_time_and_end_the_schedule():
    desk = Desk()
    (order,) = desk.at(0)
    waits = []
    while not (told := desk.told(order.client_id, "rejected", code=-2019)):
        since = desk.second
        while not (found := desk.at(desk.second + 0.25)):
            pass
        waits.append(desk.second - since)
        (order,) = found
    assert waits == [1, 2, 4, 8]
    assert isinstance(told[0], Alarm)
    assert desk.last(Plan).status == "abandoned"
    assert "-2019 because" in desk.last(Plan).plan["why"]
    assert not desk.twap.working


def test_an_emergency_cancels_and_then_crosses_wider_each_time():
    desk = Desk()
    (order,) = desk.at(0)
    desk.told(order.client_id, "open")
    assert desk.ask("hurry") == [Cancel(order.client_id)]
    (cross,) = desk.told(order.client_id, "canceled")
    found = []
    for _ in range(7):
        found.append(round((1 - cross.price / 3000.005) * 1e4))
        assert cross.size == 100.0
        desk.told(cross.client_id, "expired")
        (cross,) = desk.at(desk.second + 0.3)
    assert found == [5, 10, 20, 40, 80, 100, 100]


def test_stop_cancels_and_abandons():
    desk = Desk()
    (order,) = desk.at(0)
    desk.told(order.client_id, "open")
    assert desk.ask("stop") == [Cancel(order.client_id)]
    assert desk.twap.working
    assert desk.told(order.client_id, "canceled") == []
    assert not desk.twap.working
    assert desk.last(Plan).status == "abandoned"
    assert desk.last(Shortfall).filled_eth == 0.0


def test_nothing_leaves_while_none_may_but_cancels_do():
    desk = Desk()
    assert desk.at(0, may_place=False) == []
    (order,) = desk.at(1)
    desk.told(order.client_id, "open")
    assert desk.at(2, bid=2999.0, may_place=False) == [Cancel(order.client_id)]
    desk.second = 2.5
    assert desk.give(OrderUpdate(desk.now, order.client_id, "canceled"), may_place=False) == []


def test_another_target_is_netted_not_stacked():
    desk = Desk()
    (order,) = desk.at(0)
    desk.told(order.client_id, "open")
    desk.fill(order, 1.0)
    assert desk.ask("replan", 60.0, desk.now) == [Cancel(order.client_id)]
    assert desk.last(Plan).size == 60.0
    assert desk.last(Plan).plan["until"][-1] == 60_000
    (second,) = desk.told(order.client_id, "canceled", 1.0)
    assert desk.twap.remaining_eth == 59.0
    assert second.client_id == "cp12-1-0"


def test_a_target_that_is_already_filled_ends_the_schedule():
    desk = Desk()
    (order,) = desk.at(0)
    desk.told(order.client_id, "open")
    desk.fill(order, 2.0)
    assert desk.ask("replan", 1.0, desk.now) == [Cancel(order.client_id)]
    assert desk.last(Plan).plan["ending"] == "replaced"
    assert desk.twap.working
    desk.told(order.client_id, "canceled", 2.0)
    assert desk.last(Plan).status == "replaced"
    assert not desk.twap.working
    assert desk.twap.filled_eth == 2.0


def test_no_more_than_a_part_of_what_trades():
    """20 % of what was seen and of one slice at the usual rate, which is 1 ETH a second."""
    settings = EVEN.model_copy(update={"participation": 0.2, "slice_s": 10})
    desk = Desk(size=100.0, settings=settings, volume_day_eth=86_400.0, sigma_day=0.3, urgency=1)
    (order,) = desk.at(0)
    assert order.size == 2.0
    desk.told(order.client_id, "open")
    desk.fill(order, 2.0)
    desk.give(Trade(desk.now, 3000.0, 1.0, "buy"))
    (second,) = desk.at(10)
    assert second.size == 0.2
    desk.told(second.client_id, "open")
    desk.fill(second, 0.2)
    assert desk.at(11) == []
    (third,) = desk.give(Trade(desk.now, 3000.0, 4.0, "buy"))
    assert third.size == 0.8


def test_a_remainder_below_the_minimum_is_told():
    desk = Desk(size=0.02)
    (order,) = desk.at(0)
    assert order.size == 0.02
    desk.told(order.client_id, "open")
    desk.fill(order, 0.016)
    desk.told(order.client_id, "canceled", 0.016)
    assert not desk.twap.working
    assert desk.last(Plan).status == "done"
    assert desk.last(Plan).plan["why"].startswith("0.004 ETH is below")


def test_a_client_id_fits_the_venue():
    with pytest.raises(FixConfig, match="client_id_prefix"):
        Twap(Desk().twap.plan, GRID, EVEN, "a-prefix-that-is-too-long-for-it")
