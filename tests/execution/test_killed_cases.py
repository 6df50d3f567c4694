"""Killed at one chosen place, on a wire without faults: what a start does about it."""

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

import pytest

from counterpoise.execution.records import (
    Decision,
    FillBooked,
    Mode,
    Moved,
    OrderSent,
    OrderState,
    Plan,
    Record,
    Shortfall,
)
from counterpoise.journal.chain import verify
from counterpoise.journal.reading import Reader
from counterpoise.journal.restart import remembered
from counterpoise.journal.store import Journal
from counterpoise.units import NS_PER_HOUR, NS_PER_S
from tests.execution.account import START_NS
from tests.execution.bad_wire import SYMBOL, Faults
from tests.execution.killed_schedule import Schedule
from tests.execution.mortal import EXPOSURE_ETH, Death, Listed
from tests.journal.samples import RUN


def at_s(seconds: float) -> int:
    return START_NS + round(seconds * NS_PER_S)


def death(after_s: float, about: str, sent: int, down_s: float = 1.0) -> Death:
    return Death(at_s(after_s), about, sent, round(down_s * NS_PER_S))


class Calm(Schedule):
    """No faults but these deaths; rows are (second, ratio)."""

    def __init__(
        self,
        *deaths: Death,
        rows: Sequence[tuple[float, float]] = ((3.0, 0.8),),
        journal: object = None,
    ) -> None:
        self.given, self.asked = deaths, rows
        super().__init__(1, journal)

    def faults(self) -> Faults:
        return Faults()

    def deaths(self) -> list[Death]:
        return list(self.given)

    def plan(self) -> None:
        for seconds, ratio in self.asked:
            self.clock.at(at_s(seconds), lambda ratio=ratio: self.tell_row(ratio, 0.5))

    def until(self, seconds: float) -> None:
        self.clock.run(at_s(seconds))

    def of(self, kind: type) -> list:
        return self.journal.records(kind)

    def states(self, client_id: str) -> list[str]:
        return [state.status for state in self.of(OrderState) if state.client_id == client_id]


def test_an_order_committed_but_never_sent_is_missing_and_its_schedule_goes_on() -> None:
    calm = Calm(death(8.0, "Place", 0))
    calm.play()
    assert calm.run.phases == ["Place committed, 0 commands sent"]
    (lost,) = [o.client_id for o in calm.of(OrderSent) if o.client_id not in calm.wire.arrived]
    assert calm.states(lost)[-1] == "missing"
    assert {plan.schedule_id for plan in calm.of(Plan)} == {1}
    assert [one.filled_eth for one in calm.of(Shortfall)] == [0.8 * EXPOSURE_ETH]


def test_nothing_of_an_event_whose_commit_never_was_has_happened() -> None:
    calm = Calm(death(8.0, "Place", -1))
    calm.play()
    assert {order.client_id for order in calm.of(OrderSent)} == {
        name for name in calm.wire.arrived if "move" not in name
    }


def test_an_order_that_traded_while_nobody_was_there_is_booked_and_not_sent_again() -> None:
    calm = Calm(death(8.0, "Place", 99, down_s=5.0))
    calm.until(8.0)
    before = len(calm.of(FillBooked))
    calm.until(13.0)
    sent = calm.of(OrderSent)[-1].client_id
    assert [fill.client_id for fill in calm.wire.fills()].count(sent) > 0
    assert len(calm.of(FillBooked)) == before
    calm.play()
    assert sent in {fill.client_id for fill in calm.of(FillBooked)[before:]}
    assert {plan.schedule_id for plan in calm.of(Plan)} == {1}


def test_a_schedule_goes_on_where_it_was_with_what_rested_cancelled() -> None:
    calm = Calm(death(15.0, "", 0, down_s=3.0))
    calm.until(15.0)
    (plan,) = calm.of(Plan)
    done = sum(fill.size for fill in calm.of(FillBooked))
    assert 0.0 < done < 0.8 * EXPOSURE_ETH
    calm.play()
    assert calm.run.phases == ["at a moment"]
    plans = calm.of(Plan)
    assert {one.schedule_id for one in plans} == {1}
    assert plans[-1].plan["ends_ns"] == plan.plan["ends_ns"]
    assert plans[-1].status == "done"
    assert len(calm.of(Decision)) <= 4


def test_a_schedule_whose_time_was_over_meanwhile_is_given_up_and_another_begins() -> None:
    calm = Calm(death(15.0, "", 0, down_s=3_600.0))
    calm.until(3_900.0)
    calm.check()
    last = {plan.schedule_id: plan for plan in calm.of(Plan)}
    assert last[1].status == "abandoned"
    assert "time was over" in last[1].plan["why"]
    assert last[2].status == "done"


def test_no_order_leaves_before_the_first_hour_is_told() -> None:
    calm = Calm(death(12.0, "", 0))
    calm.until(12.5)
    calm.run.row, row = None, calm.run.row
    calm.until(60.0)
    assert max(o.ts_ns for o in calm.of(OrderSent) if o.trigger == 0.0) < at_s(12.5)
    assert calm.run.controller is not None
    assert calm.run.controller.blocked() == "no hour has been told yet"
    calm.run.tell_row(row)
    calm.play()


@pytest.mark.parametrize("sent", [0, 99])
def test_a_transfer_is_asked_for_once_and_looked_up_after_a_start(sent: int) -> None:
    calm = Calm(death(3.0, "Transfer", sent))
    calm.until(40.0)
    moves = [(one.client_id, one.status) for one in calm.of(Moved)]
    assert calm.wire.arrived.count("cp-move-1") == (1 if sent else 0)
    assert moves[:2] == [("cp-move-1", "asked"), ("cp-move-1", "done" if sent else "refused")]
    calm.play()


def test_a_run_halted_by_hand_stays_so_through_a_restart() -> None:
    calm = Calm(death(20.0, "", 0), rows=((3.0, 0.8), (60.0, 0.2)))
    calm.clock.at(at_s(15.0), lambda: calm.run.order("halt"))
    calm.until(120.0)
    held = calm.wire.short_eth
    assert 0.0 < held < 0.8 * EXPOSURE_ETH
    assert calm.run.controller is not None
    assert calm.run.controller.mode == "halted"
    sent = [order.ts_ns for order in calm.of(OrderSent) if order.trigger == 0.0]
    assert max(sent) < at_s(15.5)
    assert {plan.schedule_id: plan.status for plan in calm.of(Plan)} == {1: "abandoned"}
    assert len(calm.wire.buy_stops()) == 1
    calm.clock.at(at_s(130.0), lambda: calm.run.order("resume"))
    calm.play()


def test_a_run_killed_while_it_closes_its_position_goes_on_closing_it() -> None:
    calm = Calm(death(62.0, "FillBooked", 99), rows=((3.0, 0.8),))
    calm.clock.at(at_s(60.0), lambda: calm.run.order("flatten"))
    calm.until(200.0)
    assert calm.run.phases == ["FillBooked sent"]
    assert calm.wire.short_eth == 0.0
    assert calm.wire.buy_stops() == []
    calm.clock.at(at_s(210.0), lambda: calm.run.order("resume"))
    calm.play()


def test_a_stop_rests_throughout_though_its_replacement_is_cut_short() -> None:
    for sent in (-1, 0, 1, 2, 99):
        calm = Calm(death(9.5, "PlaceStop", sent, down_s=6.0), death(20.0, "CancelStop", sent))
        calm.play()  # which watches the stops at every moment
        assert len(calm.run.phases) == 2


def test_a_stop_that_triggered_while_nobody_was_there_is_booked_and_followed_by_another() -> None:
    calm = Calm(death(60.0, "", 0, down_s=20.0))
    calm.until(65.0)
    (stop,) = calm.wire.exchange.algos.open(SYMBOL)
    assert stop.request.trigger is not None
    calm.wire.jump_to(float(stop.request.trigger) * 1.002)
    calm.until(79.0)
    assert calm.wire.short_eth < 0.8 * EXPOSURE_ETH
    left = calm.wire.short_eth
    calm.until(85.0)
    assert calm.journal.counted_short() == left
    assert any("stop" in fill.client_id for fill in calm.of(FillBooked))
    assert calm.run.controller is not None
    assert not calm.run.controller.halted_why
    calm.play()


def by_hand(calm: Calm, amount: str) -> None:
    """Somebody trades on the account, and nobody is told."""
    calm.wire.exchange.account.adjust(SYMBOL, Decimal(amount))


def test_a_position_changed_by_hand_while_nobody_was_there_halts_until_a_person_resumes() -> None:
    calm = Calm(death(80.0, "", 0, down_s=10.0), rows=((3.0, 0.8), (150.0, 0.5)))
    calm.clock.at(at_s(85.0), lambda: by_hand(calm, "-1.5"))
    calm.until(160.0)
    controller = calm.run.controller
    assert controller is not None
    assert "17.5000 ETH where our fills add up to 16.0000" in controller.halted_why
    assert any("position-mismatch" in alarm for alarm in calm.run.alarms)
    assert max(o.ts_ns for o in calm.of(OrderSent) if o.trigger == 0.0) < at_s(80.0)
    assert calm.wire.short_eth == 17.5
    assert len(calm.wire.buy_stops()) == 1
    # A restart forgets nothing of it.
    calm.run.die(NS_PER_S, "by the test")
    calm.until(170.0)
    assert calm.run.controller is not None
    assert "17.5000" in calm.run.controller.halted_why
    calm.run.order("resume")
    calm.until(240.0)
    assert calm.wire.short_eth == 0.5 * EXPOSURE_ETH
    assert [mode.mode for mode in calm.of(Mode) if mode.by == "reconciler"] == ["halted", "resumed"]


def test_a_schedule_that_was_halted_is_not_gone_on_with_after_a_resume() -> None:
    calm = Calm(rows=((3.0, 0.8),))
    calm.clock.at(at_s(12.0), lambda: by_hand(calm, "-2.0"))
    calm.clock.at(at_s(40.0), lambda: calm.run.order("resume"))
    calm.play()
    assert [mode.mode for mode in calm.of(Mode) if mode.by == "reconciler"] == ["halted", "resumed"]
    assert {plan.schedule_id: plan.status for plan in calm.of(Plan)}[1] == "abandoned"
    assert max(fill.short_eth for fill in calm.of(FillBooked)) <= 0.8 * EXPOSURE_ETH


def test_a_run_killed_after_a_resume_does_not_trade_back_what_was_adopted() -> None:
    calm = Calm(
        death(80.0, "", 0, down_s=10.0), death(105.0, "", 0), rows=((3.0, 0.8), (95.0, 0.65))
    )
    calm.clock.at(at_s(85.0), lambda: by_hand(calm, "3.0"))
    calm.clock.at(at_s(100.0), lambda: calm.run.order("resume"))
    calm.until(104.0)
    # What is wanted is held, so that nothing was decided since the position was adopted.
    assert calm.run.controller is not None
    assert not calm.run.controller.halted_why
    assert calm.of(Decision)[-1].short_eth == 16.0
    calm.play()
    assert len(calm.run.phases) == 2
    assert max(o.ts_ns for o in calm.of(OrderSent) if o.trigger == 0.0) < at_s(80.0)


def test_orders_older_than_the_fills_of_a_snapshot_are_not_read_again() -> None:
    calm = Calm()
    calm.until(60.0)
    now_ns = at_s(60.0)
    known = calm.run.remembered()
    stop = calm.wire.buy_stops()
    assert len(known.orders.sent) > 5
    late = Listed()
    late.rows = calm.journal.rows
    after = remembered(late, now_ns + 24 * 30 * NS_PER_HOUR)  # type: ignore[arg-type]
    assert [order.client_id for order in after.orders.sent] == stop
    assert after.last_stop == known.last_stop
    assert after.last_move == known.last_move


class Real(Listed):
    """A journal in SQLite beside the list, with a start of its own after every death."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.lives = path, 0
        self.journal = Journal.open(path, run=replace(RUN, run_id="life-0"))

    def commit(self, records: Sequence[Record]) -> None:
        super().commit(records)
        self.journal.commit(records)

    def reopened(self) -> Reader:
        self.lives += 1
        self.journal.close()
        self.journal = Journal.open(self.path, run=replace(RUN, run_id=f"life-{self.lives}"))
        return Reader(self.path)


def plain(known: object) -> str:
    """Everything of it; a journal has no negative zero, and NaN is not itself."""
    return re.sub(r"-0\.0\b", "0.0", str(asdict(known)))  # type: ignore[call-overload]


class RealSchedule(Schedule):
    """A random schedule on it."""

    def __init__(self, seed: int, path: Path) -> None:
        super().__init__(seed, Real(path))
        listed = self.run.remembered

        def both() -> object:
            with self.journal.reopened() as reader:
                known = remembered(reader, self.wire.mine())
            assert plain(known) == plain(listed()), "a list and SQLite remember the same"
            return known

        self.run.remembered = both  # type: ignore[method-assign]


def test_schedules_on_a_journal_in_sqlite(tmp_path: Path) -> None:
    for seed in range(6):
        schedule = RealSchedule(seed, tmp_path / f"{seed}.sqlite")
        schedule.play()
        schedule.journal.journal.close()
        with Reader(tmp_path / f"{seed}.sqlite") as reader, reader.snapshot() as connection:
            assert verify(connection).findings == ()
