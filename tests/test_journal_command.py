"""``counterpoise journal``: is a journal as it was written, and what does it hold."""

import json
import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from counterpoise.cli import app, run_command
from counterpoise.config import load_settings
from counterpoise.journal.store import Journal
from tests.execution.test_shortfall import worked
from tests.journal.samples import RUN, T0, fill, one_of_each, order

Ask = Callable[..., Result]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run the command in a folder whose settings name the state folder of a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterpoise.toml").write_text('[run]\nstate = "state"\n', encoding="utf-8")
    with Journal.open(tmp_path / "state/journal.sqlite", run=RUN) as journal:
        journal.commit(one_of_each())
        journal.commit([fill("cp-1", f"t{k}", float(k), T0 + k * 60_000_000_000) for k in (2, 3)])
    return lambda *arguments: CliRunner().invoke(app, ["journal", *arguments])


def test_a_whole_journal_is_said_to_be_as_it_was_written(ask: Ask) -> None:
    told = json.loads(ask("verify", "--json").output)
    assert (told["journal"], told["rows"], told["findings"]) == ("state/journal.sqlite", 14, [])
    said = ask("verify", "--noted", told["head"])
    assert said.exit_code == 0
    assert said.output == (
        f"state/journal.sqlite: 14 rows, as it was written.\nHead: {told['head']}\n"
    )


def test_a_changed_journal_names_its_first_broken_row_and_ends_with_4(ask: Ask) -> None:
    with closing(sqlite3.connect("state/journal.sqlite")) as other, other:
        other.execute("DROP TRIGGER orders_update")
        other.execute("UPDATE orders SET price = 1")
    said = ask("verify")
    assert said.exit_code == 4
    first, *_, last, _head = said.output.splitlines()
    assert first.startswith("  table orders, row 4: its hash is not that of its content")
    assert last == "state/journal.sqlite: 14 rows, NOT as it was written."
    told = ask("verify", "--json", "--noted", "0" * 64)
    assert told.exit_code == 4
    assert [one["table"] for one in json.loads(told.output)["findings"]] == [
        "orders",
        "journal",
        "orders",
    ]


def test_show_lists_the_newest_rows_of_a_table(ask: Ask) -> None:
    fills = json.loads(ask("show", "--kind", "fills", "--json").output)
    assert [one["trade_id"] for one in fills] == ["t1", "t2", "t3"]
    few = json.loads(ask("show", "--kind", "fills", "--limit", "1", "--json").output)
    assert few == fills[-1:]
    since = json.loads(
        ask("show", "--kind", "fills", "--since", "2023-11-14T22:15:21Z", "--json").output
    )
    assert [one["trade_id"] for one in since] == ["t3"]
    (decision,) = json.loads(ask("show", "--json").output)
    assert decision["chain"] == {"ratio": 0.1 + 0.2, "floor": None}
    assert decision["ts_ns"] == T0


def test_what_is_printed_has_the_words_and_leaves_out_what_only_programs_read(ask: Ask) -> None:
    printed = ask("show").output
    assert "2023-11-14 22:13:20" in printed
    assert "funding is dear: σ up by ⅓" in printed
    assert "memory" not in printed
    assert "1,800.1" in ask("show", "--kind", "orders").output
    assert ask("show", "--kind", "alerts", "--since", "2030-01-01").output == (
        "state/journal.sqlite: no alerts since 2030-01-01.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "--kind", "secrets"), 3, "--kind = 'secrets': expected one of runs, decisions"),
        (("show", "--since", "soon"), 3, "--since = 'soon'"),
        (("show", "--limit", "0"), 2, "'--limit'"),
        (("verify", "--journal", "nowhere.sqlite"), 3, "expected an existing journal"),
        (("verify", "--journal", "postgresql+psycopg://desk:hunter2@host/x"), 3, "(not shown)"),
        (("verify", "--journal", "counterpoise.toml"), 3, "file is not a database"),
    ],
)
def test_a_wrong_request_is_one_line(
    ask: Ask, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert run_command(["journal", *arguments]) == code
    told = capfd.readouterr().err
    assert told.startswith("error: ")
    assert says in told
    assert "hunter2" not in told
    assert told.count("\n") == 1
    assert "Traceback" not in told


def test_it_reads_while_a_run_writes(ask: Ask) -> None:
    from dataclasses import replace

    run = replace(RUN, run_id="run-2")
    with Journal.open(Path("state/journal.sqlite"), run=run) as journal:
        journal.commit([order(0, "fresh")])
        assert "fresh" in ask("show", "--kind", "orders").output
        assert ask("verify").exit_code == 0


def test_costs_are_fitted_from_what_was_worked(ask: Ask) -> None:
    where = ("--journal", "state/worked.sqlite")
    with Journal.open(Path("state/worked.sqlite"), run=RUN) as journal:
        assert "expected 30 to fit a cost model" in str(ask("costs", *where).exception)
        for cost, plan in zip(*worked(200, np.random.default_rng(3)), strict=True):
            journal.commit([plan, cost])
    said = ask("costs", *where).output.splitlines()
    assert said[1] == "[costs]"
    settings = load_settings(overrides={"costs": tomllib.loads("\n".join(said))["costs"]})
    told = json.loads(ask("costs", "--json", *where).output)
    assert told["schedules"] == 200
    assert settings.costs.half_spread_bps == pytest.approx(0.8, rel=0.1)
    low, high = told["half_spread_bps"]["low"], told["half_spread_bps"]["high"]
    assert low <= told["half_spread_bps"]["value"] <= high
