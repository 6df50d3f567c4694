"""What a run prints: lines for what moves, JSON for programs, a summary."""

import json

from counterpoise.cli.run_lines import RunLines
from counterpoise.decision.moment import Reason
from counterpoise.execution.records import AlertRaised, Decision, FillBooked, Shortfall

T0 = 1_700_000_000_000_000_000


def decision(short: float, target: float, reasons: int = int(Reason.RAISE)) -> Decision:
    return Decision(
        T0, 1, "bar", 1, 20.0, short, target, 1.0, 0.8, 0.8, reasons, "so", {}, (), (1.0,)
    )


RECORDS = [
    decision(0.0, 16.0),
    FillBooked(T0, "a", "1", 1, "sell", 1999.0, 10.0, 4.0, True, 2000.0, 10.0),
    decision(10.0, 16.0),  # wants what the one before wanted
    FillBooked(T0, "a", "2", 1, "sell", 1999.0, 6.0, 2.4, True, 2000.0, 16.0),
    Shortfall(T0, 1, "sell", 16.0, 16.0, 2000.0, 1999.0, 9.6, 0.0, 0.0, 6.4, 0.0, 16.0, 0.5),
    AlertRaised(T0, "warning", "mark:old", "The mark is old.", "look at the network"),
]


def test_a_line_for_what_moves_and_none_for_what_does_not(capsys) -> None:
    lines = RunLines(as_json=False)
    for record in RECORDS:
        lines.watch([record])
    lines.end({"short_eth": 16.0, "wallet_usd": 100.0})
    when = "2023-11-14 22:13:20"
    assert capsys.readouterr().out.splitlines() == [
        f"{when}  short 0.000 to 16.000 ETH: so",
        f"{when}  schedule 1 sold 16.000 of 16.000 ETH at 1,999.00, shortfall +5.00 bp "
        "(+16.00 USD), 50% as maker",
        f"{when}  WARNING: The mark is old. Next: look at the network.",
        "decisions that moved 1, schedules 1, fills 2, alerts 1",
        "traded 16.000 ETH at a shortfall of +5.00 bp; fees 6.40 USD, funding +0.00 USD",
        "at the venue: short 16.000 ETH, wallet 100.00 USDT",
    ]


def test_a_run_that_goes_on_with_its_schedule_does_not_move(capsys) -> None:
    lines = RunLines(as_json=False)
    lines.watch([decision(3.0, 16.0, int(Reason.IN_BAND)), decision(3.0, 16.0)])
    assert capsys.readouterr().out == ""
    lines.watch([decision(16.0, 0.0), decision(8.0, 0.0), decision(8.0, 8.0)])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_programs_read_one_document_a_line(capsys) -> None:
    lines = RunLines(as_json=True)
    lines.note("begins")
    lines.watch(RECORDS)
    lines.end({})
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in told] == [
        *("note", "decision", "shortfall", "alertraised", "summary")
    ]
    assert (told[1]["target_eth"], "memory" in told[1]) == (16.0, False)
    assert told[-1]["shortfall_bp"] == 5.0
