"""Collateral and leverage on the venue follow the decisions, one transfer at a time, none twice."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.decision.moment import Reason
from counterpoise.execution.commands import SetLeverage, Transfer
from counterpoise.execution.events import Operator, Signals, TransferDone
from counterpoise.execution.margining import Margining, hours_until
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import Decision, Moved
from counterpoise.run_settings import ProtectionSettings, RunSettings
from tests.execution.account import CONTRACT, PREFIX, SECOND, START_NS, Account, alarms, only

AUTOMATIC, BY_HAND = ProtectionSettings(transfers="automatic"), ProtectionSettings()
COOLDOWN_NS = AUTOMATIC.transfer_cooldown_s * SECOND
NAN = math.nan
SIGNALS = Signals(
    START_NS, 486_111, 0.7, 0.9, 0.7, 0.9, 0.0, 0.8, 2_000.0, 2_000.0,
    sigma_day=0.04, volume_day_eth=1e6, leverage=2.0, leverage_max=3.0,
    event_floor=0.0, event_class=NAN, quiet=False, funding_cost=NAN,
)  # fmt: skip


def decision(
    number: int, collateral: float, reasons: Reason, target: float = 100.0, ts_ns: int = START_NS
) -> Decision:
    return Decision(
        ts_ns, number, "bar", 486_111, 125.0, 100.0, target, collateral, 0.7, 0.9, int(reasons), "",
        {}, (), (),
    )  # fmt: skip


class Desk:
    """A margining beside an account."""

    def __init__(
        self,
        want: ProtectionSettings = AUTOMATIC,
        account: Account | None = None,
        run: RunSettings | None = None,
    ) -> None:
        self.account = account or Account(short=100.0, wallet=60_000.0)
        self.now = START_NS
        self.margining = Margining(PREFIX, CONTRACT, want, run or RunSettings(), 0.05)
        self.margining.handle(SIGNALS, Outbox())
        self.look(0)

    def look(self, seconds: float = 5.0) -> Outbox:
        self.now += round(seconds * SECOND)
        out = Outbox()
        self.margining.handle(self.account.snapshot(self.now), out)
        return out

    def decide(
        self, number: int, collateral: float, reasons: Reason, target: float = 100.0
    ) -> Outbox:
        out = Outbox()
        self.margining.decided(decision(number, collateral, reasons, target, self.now), out)
        return out

    def answer(self, transfer: Transfer, ok: bool = True, reason: str = "") -> Outbox:
        out = Outbox()
        if ok:
            self.account.wallet += transfer.usd
        done = TransferDone(self.now, transfer.client_id, transfer.usd, ok, reason)
        self.margining.handle(done, out)
        return out


def test_golden_deadline() -> None:
    # A rise of (1/3 - 0.05)/1.05 = 0.269841 is 0.269841/(2.576 · 0.04) = 2.618798 roots of a day.
    assert hours_until(100_000.0, 300_000.0, 0.05, 0.04) == pytest.approx(
        24 * 2.618798**2, rel=1e-5
    )
    assert hours_until(10_000.0, 300_000.0, 0.05, 0.04) == 0.0
    assert math.isnan(hours_until(100_000.0, 300_000.0, 0.05, NAN))


def test_a_top_up_is_rounded_up_written_down_and_made_once() -> None:
    desk = Desk()
    out = desk.decide(1, 100_000.4, Reason.TOP_UP)
    assert only(Transfer, out.commands) == [Transfer("cp-move-1", 40_001.0)]
    assert only(Moved, out.records) == [Moved(START_NS, "cp-move-1", 40_001.0, "asked", "")]
    assert desk.margining.on_way_usd == 40_001.0
    # Neither the next look nor the next decision sends another one while it is on its way.
    assert only(Transfer, desk.look().commands) == []
    assert only(Transfer, desk.decide(2, 100_000.4, Reason.TOP_UP).commands) == []
    out = desk.answer(Transfer("cp-move-1", 40_001.0))
    assert [moved.status for moved in only(Moved, out.records)] == ["done"]
    assert desk.margining.on_way_usd == 0.0
    # An account that was asked before the money arrived is no reason to send it again.
    assert only(Transfer, desk.decide(3, 100_000.4, Reason.TOP_UP).commands) == []
    assert only(Transfer, desk.look().commands) == []


def test_a_drift_of_equity_moves_nothing_until_a_decision_asks() -> None:
    desk = Desk()
    desk.decide(1, 60_000.0, Reason.IN_BAND)
    desk.account.mark = 2_050.0
    assert only(Transfer, desk.look().commands) == []


def test_a_decision_is_funded_once_though_the_market_moves_on() -> None:
    desk = Desk()
    (transfer,) = only(Transfer, desk.decide(1, 100_000.0, Reason.TOP_UP).commands)
    desk.answer(transfer)
    desk.account.mark = 2_050.0
    assert only(Transfer, desk.look().commands) == []
    assert only(Transfer, desk.decide(2, 102_500.0, Reason.TOP_UP).commands) != []


def test_dust_is_not_moved() -> None:
    assert only(Transfer, Desk().decide(1, 60_050.0, Reason.TOP_UP).commands) == []


def test_a_release_waits_for_the_cooldown_and_leaves_what_the_short_needs() -> None:
    desk = Desk()
    (transfer,) = only(Transfer, desk.decide(1, 200_000.0, Reason.TOP_UP).commands)
    desk.answer(transfer)
    desk.look()
    # The target is half of the short that is still held: 100 ETH at 2× need 100,000.
    out = desk.decide(2, 50_000.0, Reason.RELEASE, target=50.0)
    assert only(Transfer, out.commands) == []
    out = desk.look(COOLDOWN_NS / SECOND)
    assert only(Transfer, out.commands) == [Transfer("cp-move-2", -100_000.0)]


def test_a_release_is_bounded_by_what_the_venue_lets_go() -> None:
    desk = Desk(account=Account(short=100.0, wallet=150_000.0, leverage=1.5))
    out = desk.decide(1, 100_000.0, Reason.RELEASE)
    available = 150_000.0 - 200_000.0 / 1.5
    assert only(Transfer, out.commands) == [Transfer("cp-move-1", -math.floor(available))]


def test_a_closed_hedge_frees_all_of_it() -> None:
    desk = Desk(account=Account(short=0.0, wallet=60_000.0))
    out = desk.decide(1, 0.0, Reason.LOWER, target=0.0)
    assert only(Transfer, out.commands) == [Transfer("cp-move-1", -60_000.0)]


def test_a_refused_transfer_is_told_and_not_hammered() -> None:
    desk = Desk()
    (transfer,) = only(Transfer, desk.decide(1, 100_000.0, Reason.TOP_UP).commands)
    out = desk.answer(transfer, ok=False, reason="no permission for universal transfers")
    assert alarms(out, "transfer-refused")[0].severity == "critical"
    assert [moved.status for moved in only(Moved, out.records)] == ["refused"]
    out = desk.look()
    assert only(Transfer, out.commands) == []
    assert "40,000 USDT" in alarms(out, "collateral")[0].next_step
    out = desk.look(COOLDOWN_NS / SECOND)
    assert only(Transfer, out.commands) == [Transfer("cp-move-2", 40_000.0)]


def test_an_unanswered_transfer_is_told_once_and_never_repeated() -> None:
    desk = Desk()
    desk.decide(1, 100_000.0, Reason.TOP_UP)
    told = [alarms(desk.look(300), "transfer-unknown") for _ in range(4)]
    assert [len(alarm) for alarm in told] == [0, 1, 0, 0]
    assert only(Transfer, desk.decide(2, 100_000.0, Reason.TOP_UP).commands) == []
    out = Outbox()
    desk.margining.handle(Operator(desk.now, "resume"), out)
    assert [moved.status for moved in only(Moved, out.records)] == ["abandoned"]
    assert only(Transfer, desk.look().commands) == [Transfer("cp-move-2", 40_000.0)]


def test_a_restart_waits_for_the_transfer_that_was_on_its_way() -> None:
    desk = Desk()
    again = Desk()
    again.margining.start(Moved(START_NS - SECOND, "cp-move-7", 40_000.0, "asked", ""), 7)
    assert only(Transfer, again.decide(1, 100_000.0, Reason.TOP_UP).commands) == []
    again.answer(Transfer("cp-move-7", 40_000.0))
    again.look()
    (transfer,) = only(Transfer, again.decide(2, 200_000.0, Reason.TOP_UP).commands)
    assert transfer == Transfer("cp-move-8", 100_000.0)
    assert desk.margining.on_way_usd == 0.0


def test_by_hand_a_person_is_told_how_much_and_until_when() -> None:
    desk = Desk(BY_HAND)
    out = desk.decide(1, 100_000.0, Reason.TOP_UP)
    assert only(Transfer, out.commands) == []
    (alarm,) = alarms(out, "collateral")
    # 60,000 behind 200,000 USD: (0.3 - 0.05)/1.05 at 4 % a day.
    hours = 24.0 * ((0.25 / 1.05) / (2.576 * 0.04)) ** 2
    assert f"within {hours:.0f} h" in alarm.next_step
    assert "add 40,000 USDT to the futures wallet" in alarm.next_step
    assert alarm.severity == "warning"
    assert alarms(desk.look(), "collateral") == []  # not at every look
    desk.account.wallet = 15_000.0
    assert alarms(desk.look(), "collateral")[0].severity == "critical"


def test_before_the_first_short_there_is_no_hurry() -> None:
    desk = Desk(BY_HAND, Account(short=0.0, wallet=0.0))
    (alarm,) = alarms(desk.decide(1, 100_000.0, Reason.TOP_UP), "collateral")
    assert "before the short can be opened" in alarm.next_step
    assert alarm.severity == "warning"


def test_isolated_margin_is_added_by_hand() -> None:
    desk = Desk(AUTOMATIC, run=RunSettings(margin="isolated"))
    out = desk.decide(1, 100_000.0, Reason.TOP_UP)
    assert only(Transfer, out.commands) == []
    assert "the margin of the position" in alarms(out, "collateral")[0].next_step


def test_the_short_is_not_raised_beyond_what_arrived() -> None:
    desk = Desk()
    # 60,000 USD at 3× and 2,000.
    assert desk.margining.largest_short_eth == 90.0
    assert desk.margining.largest_short_eth >= 90.0
    assert desk.margining.largest_short_eth < 90.001
    desk.decide(1, 100_000.0, Reason.TOP_UP)
    assert desk.margining.largest_short_eth < 100.0  # what is on its way carries nothing
    unknown = Margining(PREFIX, CONTRACT, AUTOMATIC, RunSettings(), 0.05)
    assert unknown.largest_short_eth < 0.001


@pytest.mark.parametrize(
    ("venue", "leverage_max", "target", "asked"),
    [
        (20.0, 3.0, 100.0, None),  # carries our rule, and the tier allows it
        (2.0, 3.0, 100.0, 6),  # initial margin of a half would block 3×
        (125.0, 3.0, 100.0, 6),  # 250,000 USD are beyond the first tier: 100× at most
        (20.0, 30.0, 100.0, 60),
        (20.0, 30.0, 30_000.0, 10),  # 75 million USD: the venue allows 10×
    ],
)
def test_golden_leverage(
    venue: float, leverage_max: float, target: float, asked: int | None
) -> None:
    desk = Desk(account=Account(short=100.0, wallet=1e6, leverage=venue))
    desk.margining.handle(replace(SIGNALS, leverage_max=leverage_max), Outbox())
    out = desk.decide(1, 1e6, Reason.RAISE, target)
    wanted = [] if asked is None else [SetLeverage(asked, isolated=False)]
    assert only(SetLeverage, out.commands) == wanted


def test_a_leverage_that_does_not_take_is_asked_for_again_and_told() -> None:
    desk = Desk(account=Account(short=100.0, wallet=1e6, leverage=2.0))
    out = desk.decide(1, 1e6, Reason.IN_BAND)
    assert len(only(SetLeverage, out.commands)) == 1
    assert only(SetLeverage, desk.look().commands) == []
    out = desk.look(60)
    assert len(only(SetLeverage, out.commands)) == 1
    assert len(alarms(out, "leverage")) == 1


def test_the_margin_type_changes_only_without_a_position() -> None:
    desk = Desk(account=Account(short=100.0, wallet=1e6, isolated=True))
    assert only(SetLeverage, desk.decide(1, 1e6, Reason.IN_BAND).commands) == []
    flat = Desk(account=Account(short=0.0, wallet=1e6, isolated=True))
    out = flat.decide(1, 1e6, Reason.IN_BAND)
    assert only(SetLeverage, out.commands) == [SetLeverage(6, isolated=False)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["look", "decide", "done", "refused", "trade", "resume"]),
            st.integers(1, 400),
            st.floats(0.0, 300_000.0),
        ),
        min_size=10,
        max_size=50,
    )
)
@settings(max_examples=100)
def test_one_transfer_at_a_time_and_no_id_twice(happenings: list) -> None:
    desk = Desk()
    in_flight: list[Transfer] = []
    ids: list[str] = []
    seen = desk.account.snapshot(desk.now)
    for number, (what, seconds, usd) in enumerate(happenings, start=1):
        desk.now += seconds * SECOND
        match what:
            case "look":
                out, seen = desk.look(0), desk.account.snapshot(desk.now)
            case "decide":
                raises = usd > desk.account.equity
                out = desk.decide(number, usd, Reason.TOP_UP if raises else Reason.RELEASE)
            case "done" | "refused" if in_flight:
                out = desk.answer(in_flight.pop(), ok=what == "done")
            case "trade":
                desk.account.mark *= 0.9 + 0.2 * usd / 300_000.0
                out = Outbox()
            case "resume":
                out = Outbox()
                desk.margining.handle(Operator(desk.now, "resume"), out)
                if only(Moved, out.records):
                    in_flight.clear()  # a person found that it never happened
            case _:
                out = Outbox()
        for transfer in only(Transfer, out.commands):
            assert not in_flight
            assert transfer.client_id not in ids
            assert abs(transfer.usd) >= AUTOMATIC.transfer_min_usd
            if transfer.usd < 0.0:
                left = seen.equity_usd + transfer.usd
                assert left >= seen.short_eth * seen.mark / SIGNALS.leverage
                assert -transfer.usd <= seen.available_usd
            in_flight.append(transfer)
            ids.append(transfer.client_id)
        asked = [moved for moved in only(Moved, out.records) if moved.status == "asked"]
        assert len(asked) == len(only(Transfer, out.commands))
