"""``counterpoise explain``: the chain of a decision, from the files of a run that was simulated."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counterpoise.cli import run_command
from counterpoise.config import Settings
from counterpoise.decision.moment import Reason
from counterpoise.errors import FixConfig
from counterpoise.hedging import Intent
from counterpoise.simulation.arena import arena
from counterpoise.simulation.simulate import simulate
from counterpoise.study.explain import explain
from counterpoise.study.results import path_table
from tests.random_timeline import random_timeline

HOURS, FIRST = 24 * 40, 24 * 12
CRASH, VENUE_DOWN = FIRST + 200, FIRST + 400

SETTINGS = Settings(
    risk={
        "drawdown": {"limit": 0.2},
        "profit_lock": {"step": 0.1},
        "stops": {"spot": {"distance": 0.12}},
        "orders": {"order_usd": 40_000.0},
    }
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a run with a crash of 30 % in one hour, and six hours without the venue."""
    timeline = random_timeline(HOURS, seed=7)
    fall = np.where(np.arange(HOURS) >= CRASH, 0.7, 1.0)
    spot = replace(timeline.spot, close=timeline.spot.close * fall)
    perp = replace(timeline.perp, close=timeline.perp.close * fall[:, None])
    timeline = replace(timeline, spot=spot, perp=perp, mark_high=timeline.mark_high * fall[:, None])
    where = arena(timeline, SETTINGS, FIRST, HOURS)
    where.watch.is_open[VENUE_DOWN - FIRST : VENUE_DOWN - FIRST + 6] = False
    intent = Intent.around(np.full(HOURS, 0.5), 0.0, venues=1, cap=1.0)
    lo = intent.lo.copy()
    lo[FIRST + 100 : FIRST + 103] = np.nan
    (path,) = simulate(where, [replace(intent, lo=lo)])
    folder = tmp_path_factory.mktemp("run")
    (folder / "paths").mkdir()
    path_table(path, timeline.venues).write_parquet(folder / "paths" / "half.parquet")
    results = {"acted_on": "half", "settings": SETTINGS.model_dump(mode="json", exclude={"lake"})}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def moment(run: Path, tick: int) -> str:
    stamps = pl.read_parquet(run / "paths" / "half.parquet")["ts"]
    return str(stamps[tick - FIRST].isoformat())


def test_the_hedge_is_opened_in_orders_that_are_no_larger_than_allowed(run: Path) -> None:
    first, second = explain(run, moment(run, FIRST)), explain(run, moment(run, FIRST + 1))
    assert [link.guard for link in first.links] == ["INTENT", "ORDER_CAP", "TOP_UP"]
    assert first.links[0].at == 0.5
    assert first.links[1].at == 40_000.0
    assert first.held == 0.0
    assert first.sentence.endswith(f"{first.traded_eth:,.3f} ETH were sold, to 21.0 %.")
    # The margin of the second one is asked for now, and what has arrived carries no more.
    assert "margin is on its way" in second.sentence
    assert second.target < 0.5


def test_a_crash_is_told_with_the_stop_that_fired_and_where(run: Path) -> None:
    found = explain(run, moment(run, CRASH))
    table = pl.read_parquet(run / "paths" / "half.parquet").row(CRASH - FIRST, named=True)
    stop = next(link for link in found.links if link.guard == "STOP")
    assert stop.at == 1.0
    assert f"the spot stop (12.0 %), fired with spot at {table['spot_usd']:,.2f} USD" in stop.says
    order = next(link for link in found.links if link.guard == "ORDER_CAP")
    assert order.at == 40_000.0
    # Orders are cut, so the full hedge is reached in parts.
    assert 0.5 < found.target < 1.0
    assert found.traded_eth == pytest.approx((found.target - found.held) * 1000.0, abs=1e-6)
    hours_later = explain(run, moment(run, CRASH + 4))
    assert hours_later.target == pytest.approx(1.0)


def test_the_drawdown_limit_tells_what_it_keeps_of_what(run: Path) -> None:
    table = pl.read_parquet(run / "paths" / "half.parquet")
    tick = int(np.flatnonzero(table["reasons"].str.contains("DRAWDOWN"))[0]) + FIRST
    found = explain(run, moment(run, tick))
    link = next(link for link in found.links if link.guard == "DRAWDOWN")
    row = table.row(tick - FIRST, named=True)
    assert link.at == row["chain_floor"] > 0.5
    equity, kept = row["chain_guarded_usd"], row["chain_kept_usd"]
    assert f"equity is {equity:,.0f} USD and {kept:,.0f} USD are to be kept" in link.says
    assert "(drawdown limit of 20.0 %)" in link.says


def test_a_missing_signal_and_a_venue_that_is_down_are_told(run: Path) -> None:
    assert "the last intent was held" in explain(run, moment(run, FIRST + 101)).sentence
    down = explain(run, moment(run, VENUE_DOWN + 2))
    assert [link.guard for link in down.links] == ["CLOSED"]
    assert "the venue was down" in down.sentence


def test_fills_are_no_decisions(run: Path, tmp_path: Path) -> None:
    (tmp_path / "paths").mkdir()
    (tmp_path / "results.json").write_bytes((run / "results.json").read_bytes())
    table = pl.read_parquet(run / "paths" / "half.parquet")
    chain = [name for name in table.columns if name.startswith("chain_")]
    done = table.with_columns(pl.lit(float("nan")).alias(name) for name in chain)
    done.with_columns(reasons=pl.lit("")).write_parquet(tmp_path / "paths" / "actual.parquet")
    with pytest.raises(FixConfig, match="what was done"):
        explain(tmp_path, moment(run, CRASH), "actual")


def test_between_two_ticks_the_last_decision_counts(run: Path) -> None:
    at = moment(run, CRASH)
    between = explain(run, at.replace(":00:00", ":59:59"))
    assert (between.ts_ms, between.sentence) == (explain(run, at).ts_ms, explain(run, at).sentence)


def test_every_hour_of_the_run_has_its_sentence(run: Path) -> None:
    table = pl.read_parquet(run / "paths" / "half.parquet")
    for row in table.iter_rows(named=True):
        found = explain(run, row["ts"].isoformat())
        flags = {flag for flag in row["reasons"].split("|") if flag}
        quiet = {"IN_BAND", "RAISE", "LOWER", "HELD", "FALLBACK"}
        assert {link.guard for link in found.links} - {"INTENT"} == flags - quiet
        assert found.target == row["hedge_ratio"]
        assert "nan" not in found.sentence
        assert found.sentence.endswith(".")


def test_every_reason_has_a_clause() -> None:
    from counterpoise.decision.explanation import chain_of

    numbers = dict.fromkeys(
        ("asked", "floor", "forced", "goal", "guarded_usd", "kept_usd", "held"), 0.5
    ) | {"stop": 2.0, "stop_level": 2_000.0, "funding_cost": 0.01, "leverage_max": 3.0}
    numbers |= {"distance": 0.2, "event_floor": 0.9, "event_class": 1.0, "quiet": 1.0}
    numbers |= {"stop_hours": 5.0, "funding_why": 2.0, "venue": 1.0}
    told = {flag: chain_of(flag, numbers, SETTINGS.model_dump(mode="json")) for flag in Reason}
    moves = Reason.IN_BAND | Reason.RAISE | Reason.LOWER | Reason.HELD | Reason.FALLBACK
    for flag, links in told.items():
        assert links
        assert (links[-1].guard == flag.name) != (flag in moves), flag
        assert all(link.says and "nan" not in link.says for link in links)


def test_the_command_prints_a_sentence_and_json(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["explain", str(run), "--at", moment(run, CRASH)]) == 0
    printed = capsys.readouterr().out
    assert "half: 50.0 % was hedged; the intent left it there; equity is " in printed
    assert "the spot stop (12.0 %), fired with spot at" in printed
    assert run_command(["explain", str(run), "--at", moment(run, CRASH), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["policy"] == "half"
    assert {"guard", "at", "says"} == set(found["links"][0])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--at", "yesterday"], 3, "a moment such as 2022-06-13T10:00"),
        (["--at", "1999-01-01"], 3, "a moment of the run, 2"),
        (["--at", "2090-01-01"], 3, "a moment of the run, 2"),
        (["--at", "2020-01-20", "--policy", "haf"], 3, "did you mean half"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert run_command(["explain", str(run), *arguments]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "results.json").write_text("{"), "results of a study"),
        (lambda run: (run / "results.json").write_text("[]"), "settings of the run"),
        (lambda run: (run / "results.json").unlink(), "with results.json"),
        (lambda run: (run / "paths" / "half.parquet").write_bytes(b"PAR1"), "a path of a study"),
        (
            lambda run: (
                pl.read_parquet(run / "paths" / "half.parquet")
                .drop("chain_goal")
                .write_parquet(run / "paths" / "half.parquet")
            ),
            "without chain_goal",
        ),
        (
            lambda run: (
                pl.read_parquet(run / "paths" / "half.parquet")
                .with_columns(reasons=pl.lit("WHIM"))
                .write_parquet(run / "paths" / "half.parquet")
            ),
            "WHIM",
        ),
    ],
)
def test_a_damaged_run_is_refused_with_its_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil, says: str
) -> None:
    copy = tmp_path / "copy"
    (copy / "paths").mkdir(parents=True)
    for name in ("results.json", "paths/half.parquet"):
        (copy / name).write_bytes((run / name).read_bytes())
    spoil(copy)
    assert run_command(["explain", str(copy), "--at", moment(run, CRASH)]) in {3, 4}
    told = capsys.readouterr().err
    assert says in told
    assert str(copy) in told
    assert "Next: " in told
