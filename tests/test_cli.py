"""The commands as a user runs them: real processes, real files, real exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run counterpoise in a process of its own, away from any settings of this machine."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COUNTERPOISE_")}
    return subprocess.run(
        [sys.executable, "-c", "from counterpoise.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment | extra,
        timeout=600,
    )


FORMULA = ("ratio", "--beta", "0.8", "--rho", "0.45", "--confidence", "0.78", "--price", "1800")


def test_ratio_prints_the_worked_example_and_what_moves_it() -> None:
    done = command(*FORMULA, "--exposure", "1000")
    assert done.returncode == 0
    assert "727.93 ETH" in done.stdout
    assert "1,310,282.07 USD" in done.stdout
    assert "1.099" in done.stdout
    assert "clipped      no" in done.stdout
    for words in ("+0.7279", "+9.0992", "-1.4572", "+2.9806"):
        assert f"{words} ETH" in done.stdout


def test_ratio_says_what_it_clipped() -> None:
    done = command(
        *("ratio", "--exposure", "1000", "--beta", "0.8", "--rho", "-0.517"),
        *("--confidence", "0.3", "--price", "1800"),
    )
    assert "1,000.00 ETH" in done.stdout
    assert "clipped      yes: the formula gives 1,253.72" in done.stdout


def test_ratio_speaks_json() -> None:
    found = json.loads(command(*FORMULA, "--exposure", "1000", "--json").stdout)
    assert found["short_eth"] == pytest.approx(727.934, abs=1e-3)
    assert found["notional_usd"] == pytest.approx(found["short_eth"] * 1800)
    assert found["per_point"]["confidence"] == pytest.approx(2.9806, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((*FORMULA, "--exposure", "nan"), 3, "--exposure = nan"),
        (("ratio", "--exposure", "1000"), 2, "Missing option"),
        (("study", "--from", "2024-01-01", "--to", "2023-01-01"), 3, "must be before"),
        (("study", "--config", "absent.toml"), 3, "absent.toml"),
        (("study", "--lake", "no-such-lake"), 5, "no-such-lake"),
        (("now", "--lake", "no-such-lake"), 5, "no-such-lake"),
        (("data", "info", "--lake", "no-such-lake"), 5, "no-such-lake"),
        (("data", "import", "no-such-folder", "--lake", "x"), 3, "no-such-folder"),
        (("now", "--policy", "magic"), 3, "policy = 'magic'"),
    ],
)
def test_what_cannot_be_done_ends_with_a_code_and_one_line(
    tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from counterpoise.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def bars(hours: int = 48) -> pl.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    price = [2_000.0 + hour for hour in range(hours)]
    return pl.DataFrame(
        {
            "ts": pl.Series([start + timedelta(hours=h) for h in range(hours)]).cast(
                pl.Datetime("ms", "UTC")
            ),
            "open": price,
            "high": [p + 1 for p in price],
            "low": [p - 1 for p in price],
            "close": price,
            "volume": [10.0] * hours,
        }
    )


def funding(rates: list[float]) -> pl.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "ts": pl.Series([start + timedelta(hours=8 * i) for i in range(len(rates))]).cast(
                pl.Datetime("ms", "UTC")
            ),
            "funding_rate": rates,
        }
    )


def spoiled(row: int, column: str, value: object) -> pl.DataFrame:
    frame = bars()
    changed = [value if i == row else old for i, old in enumerate(frame[column].to_list())]
    return frame.with_columns(pl.Series(column, changed, dtype=frame[column].dtype))


PERP, FUNDING = "binance_perp_ethusdt_1h.parquet", "funding/binance_ethusdt_8h.parquet"
BAD_TABLES = {
    "missing column": (PERP, bars().drop("close"), ("close",)),
    "NaN price": (PERP, spoiled(17, "close", float("nan")), ("row 17", "close")),
    "duplicate": (PERP, bars()[[*range(20), 19, *range(20, 48)]], ("rows 19 and 20", "ts")),
    "unsorted": (PERP, bars()[[*range(20), 21, 20, *range(22, 48)]], ("row 21", "ts")),
    "percent": (FUNDING, funding([0.01, 0.08, 0.01, -0.02] * 30), ("percent",)),
    "high below low": (PERP, spoiled(3, "high", 1.0), ("row 3", "high")),
    "negative volume": (PERP, spoiled(5, "volume", -1.0), ("row 5", "volume")),
    "empty": (PERP, bars().head(0), ("no rows",)),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_refused_with_its_place_and_nothing_is_taken(
    tmp_path: Path, name: str
) -> None:
    file, frame, says = BAD_TABLES[name]
    tables = tmp_path / "tables"
    (tables / "funding").mkdir(parents=True)
    bars().write_parquet(tables / "binance_spot_ethusdt_1h.parquet")  # good, and not taken either
    frame.write_parquet(tables / file)
    done = command("data", "import", str(tables), "--lake", str(tmp_path / "lake"))
    assert done.returncode == 4, done.stderr
    for words in (file, *says, "Next:"):
        assert words in done.stderr
    held = command("data", "info", "--lake", str(tmp_path / "lake"))
    assert held.returncode == 5


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    bars().write_parquet(tables / PERP)
    whole = (tables / PERP).read_bytes()
    (tables / PERP).write_bytes(whole[: len(whole) // 2])
    done = command("data", "import", str(tables), "--lake", str(tmp_path / "lake"))
    assert done.returncode == 4
    assert PERP in done.stderr


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    (tables / "funding").mkdir(parents=True)
    bars().write_parquet(tables / PERP)
    funding([0.0001] * 6).write_csv(tables / "funding" / "binance_ethusdt_8h.csv")
    arguments = ("data", "import", str(tables), "--lake", str(tmp_path / "lake"), "--json")
    assert json.loads(command(*arguments).stdout)["changed"] is True
    before = {p: p.read_bytes() for p in (tmp_path / "lake").rglob("*") if p.is_file()}
    assert json.loads(command(*arguments).stdout)["changed"] is False
    assert {p: p.read_bytes() for p in (tmp_path / "lake").rglob("*") if p.is_file()} == before


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = command("--help")
    assert done.returncode == 0
    for words in ("ratio", "now", "data", "events", "study", "demo", "Exit codes"):
        assert words in done.stdout


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic market, studied once."""
    folder = tmp_path_factory.mktemp("studied")
    (folder / "mine.toml").write_text(
        'lake = "lake"\n[signals]\nmin_train_days = 90\n'
        "[study]\nburn_in_days = 200\ndraws = 200\nplacebo_draws = 20\n",
        encoding="utf-8",
    )
    from counterpoise.market.lake import Lake
    from counterpoise.market.synthetic import generate

    Lake(folder / "lake").write(generate(5, days=420), synthetic=True)
    done = command("study", "--config", str(folder / "mine.toml"), "--out", str(folder / "out"))
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.mark.xdist_group("studied")
def test_a_study_prints_table_verdict_and_paths_and_says_it_is_synthetic(studied: Path) -> None:
    printed = (studied / "printed.txt").read_text(encoding="utf-8")
    for words in ("volatility_timed", "Verdict: From", "Trials:", "report.html", "synthetic"):
        assert words in printed
    page = (studied / "out" / "report.html").read_text(encoding="utf-8")
    assert "proves plumbing, not edge" in page


@pytest.mark.xdist_group("studied")
def test_results_hold_every_documented_number(studied: Path) -> None:
    found = json.loads((studied / "out" / "results.json").read_text(encoding="utf-8"))
    assert found["schema_version"] == 1
    assert found["synthetic"] is True
    for row in found["policies"].values():
        for key in (
            *("mean", "vol", "ce5", "ce20", "cvar95", "max_drawdown", "hedge_effectiveness"),
            *("funding", "cost", "turnover", "mean_ratio"),
        ):
            assert isinstance(row[key], float), key
    assert set(found["policies"]) - set(found["versus_matched"]) == {
        "unhedged",
        "full",
        "static_eth",
    }
    for metrics in found["versus_matched"].values():
        for metric in ("mean", "vol", "ce5", "ce20", "cvar95", "max_drawdown"):
            one = metrics[metric]
            assert one["low"] <= one["difference"] <= one["high"]
            assert 0 < one["p"] <= one["p_holm"] <= 1
    unhedged, full = found["policies"]["unhedged"], found["policies"]["full"]
    assert unhedged["hedge_effectiveness"] == 0
    assert unhedged["cost"] == unhedged["funding"] == 0
    assert full["vol"] < 0.1 * unhedged["vol"]


@pytest.mark.xdist_group("studied")
def test_every_path_adds_up_from_prices_positions_and_settlements(studied: Path) -> None:
    """P&L recomputed from the lake and the positions alone equals what the path says."""
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake

    found = json.loads((studied / "out" / "results.json").read_text(encoding="utf-8"))
    timeline = build_timeline(Lake(studied / "lake"))
    for name in found["policies"]:
        path = pl.read_parquet(studied / "out" / "paths" / f"{name}.parquet")
        assert path["ts"].diff().drop_nulls().unique().to_list() == [timedelta(hours=1)]
        first = int(np.searchsorted(timeline.ts_ms, path["ts"].dt.epoch("ms")[0]))
        span = slice(first, first + len(path))
        spot, perp = timeline.spot.close[span], timeline.perp.close[span, 0]
        short = path["short_eth_binance"].to_numpy()
        rows = np.flatnonzero(np.isfinite(spot) & np.isfinite(perp))
        before, after = rows[:-1], rows[1:]
        held = short[after - 1]
        coins = path["exposure_eth"].to_numpy()[after - 1]
        prices = (coins * (spot[after] - spot[before]) - held * (perp[after] - perp[before])).sum()
        settled, mark = timeline.funding_settled[span, 0], timeline.funding_mark[span, 0]
        last = perp[
            np.maximum.accumulate(np.where(np.isfinite(spot * perp), np.arange(len(perp)), 0))
        ]
        paid_at = np.where(np.isfinite(mark), mark, last)
        into = np.concatenate([[0.0], short[:-1]])
        received = np.nan_to_num(into * paid_at * settled)
        funding = received.sum()
        traded = np.abs(np.diff(short, prepend=0.0))
        np.testing.assert_allclose(traded, path["traded_eth"], atol=1e-9)
        paid = -(traded * np.nan_to_num(perp)) * (0.5 * 5e-4 + 0.5 * 2e-4)
        fees = paid.sum()
        # What was paid in is what is there less what the account won: all of it costs.
        won = received + paid + path["slippage_usd"].to_numpy()
        won[after] -= held * (perp[after] - perp[before])
        there = path["collateral_usd_binance"] + path["on_its_way_binance"]
        paid_in = there.to_numpy() - np.cumsum(won)
        transfers = round((-path["capital_usd"].sum() - 0.04 / 8760 * paid_in[:-1].sum()) / 5.0)
        capital = -0.04 / 8760 * paid_in[:-1].sum() - 5.0 * transfers
        assert (transfers > 0) == (traded.sum() > 0)
        assert path["fees_usd"].sum() == pytest.approx(fees, abs=1e-6)
        assert path["funding_usd"].sum() == pytest.approx(funding, abs=1e-6)
        assert path["capital_usd"].sum() == pytest.approx(capital, abs=1e-6)
        assert path["liquidation_usd"].sum() == 0
        whole = prices + funding + fees + capital + path["slippage_usd"].sum()
        assert path["pnl_usd"].sum() == pytest.approx(whole, abs=1e-6)


@pytest.mark.xdist_group("studied")
def test_the_same_study_gives_the_same_bytes(studied: Path) -> None:
    again = command(
        "study", "--config", str(studied / "mine.toml"), "--out", str(studied / "again")
    )
    assert again.returncode == 0
    for name in ("results.json", "report.html"):
        assert (studied / "again" / name).read_bytes() == (studied / "out" / name).read_bytes()


@pytest.mark.xdist_group("studied")
def test_a_study_that_starts_before_its_forecasts_is_refused_and_the_old_one_stays(
    studied: Path,
) -> None:
    before = (studied / "out" / "results.json").read_bytes()
    done = command(
        *("study", "--config", str(studied / "mine.toml"), "--out", str(studied / "out")),
        *("--from", "2019-01-01"),
    )
    assert done.returncode == 5
    assert "before the first out-of-sample forecast" in done.stderr
    assert (studied / "out" / "results.json").read_bytes() == before


@pytest.mark.xdist_group("studied")
@pytest.mark.parametrize("collateral", ["usdt", "eth", "coin-margined"])
def test_now_shows_formula_recommended_full_and_where_i_stand(
    studied: Path, collateral: str
) -> None:
    arguments = ("now", "--exposure", "20000", "--short", "12000", "--collateral", collateral)
    done = command(*arguments, "--config", str(studied / "mine.toml"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {row["policy"]: row for row in found["rows"]}
    assert list(rows) == ["formula_literal", "volatility_timed", "full", "as_is"]
    assert [row["acted_on"] for row in rows.values()] == [False, True, False, False]
    assert rows["full"]["order_eth"] == pytest.approx(8_000)
    assert rows["as_is"]["order_eth"] == 0
    assert found["stale"] is True
    contract_eth = 10 / found["price_usd"] if collateral == "coin-margined" else 0.001
    step = contract_eth / 20_000
    for row in rows.values():
        assert row["margin"]["warnings"] == []
        assert row["lo"] <= row["target_ratio"] + step
        assert row["target_ratio"] <= row["hi"] + step
        assert row["because"].endswith(".")
        dies = row["margin"]["liquidation_price_usd"]
        assert dies is None or dies > found["price_usd"]
        assert row["margin"]["unit"] == ("USDT" if collateral == "usdt" else "ETH")
    held = 1e6 if collateral == "usdt" else 2_000.0
    shared = ("--margin", str(held), "--other-maintenance", "50", "--other-pnl", "-50")
    told = command(*arguments, *shared, "--config", str(studied / "mine.toml"))
    assert "→ volatility_timed" in told.stdout
    assert "as_is: liquidated at" in told.stdout
    assert "of margin left after the venue's largest fee" in told.stdout
    assert "WARNING: the newest data is" in told.stdout


@pytest.mark.xdist_group("studied")
def test_the_formula_is_one_key_away(studied: Path) -> None:
    done = command(
        *("now", "--config", str(studied / "mine.toml"), "--json"),
        COUNTERPOISE_HEDGE__POLICY="formula_bearish",
        COUNTERPOISE_HEDGE__READING="bearish",
    )
    found = json.loads(done.stdout)
    acted = [row["policy"] for row in found["rows"] if row["acted_on"]]
    assert acted == ["formula_bearish"]
    assert found["rows"][0]["policy"] == "formula_bearish"


@pytest.mark.xdist_group("studied")
def test_an_unknown_policy_is_refused_with_the_known_ones(studied: Path) -> None:
    named = {"COUNTERPOISE_HEDGE__POLICY": "volatility_time"}
    for name in ("now", "study"):
        out = ("--out", str(studied / "never")) if name == "study" else ()
        done = command(name, "--config", str(studied / "mine.toml"), *out, **named)
        assert done.returncode == 3
        assert "use 'volatility_timed'" in done.stderr
    assert not (studied / "never").exists()


EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def on_terminal(columns: int, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command in a terminal of so many columns, without its colours."""
    import fcntl
    import pty
    import re
    import struct
    import termios

    hidden = ("COUNTERPOISE_", "COLUMNS", "LINES")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    main_end, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", "from counterpoise.cli import main; main()", *arguments],
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        env=environment | {"TERM": "xterm"},
    )
    os.close(terminal)
    printed = b""
    try:
        while block := os.read(main_end, 65_536):
            printed += block
    except OSError:  # the other end is closed: the process has ended
        pass
    os.close(main_end)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed.decode("utf-8"))
    return process.wait(timeout=60), plain.replace("\r\n", "\n")


@pytest.fixture(scope="module")
def with_own(studied: Path) -> Path:
    """The same market with the documented rule and policy, on a terminal of 80 columns."""
    found = json.loads((studied / "out" / "results.json").read_text(encoding="utf-8"))
    code, printed = on_terminal(
        80,
        *("study", "--config", str(studied / "mine.toml"), "--out", str(studied / "own")),
        *("--rule", str(EXAMPLES / "mine.toml"), "--policy", str(EXAMPLES / "my_policy.py")),
        *("--from", f"{found['from'][:10]}T10:30:00", "--to", "2030-01-01"),
    )
    assert code == 0, printed
    (studied / "narrow.txt").write_text(printed, encoding="utf-8")
    return studied / "own"


@pytest.mark.xdist_group("studied")
def test_my_rule_and_my_policy_enter_the_study_like_any_policy(with_own: Path) -> None:
    found = json.loads((with_own / "results.json").read_text(encoding="utf-8"))
    for name in ("mine", "paid_to_hedge"):
        assert found["policies"][name]["family"] == "own"
        assert set(found["versus_matched"][name]) == set(found["versus_rules"][name])
        assert (with_own / "paths" / f"{name}.parquet").exists()
        assert name in found["verdict"]
    assert found["trials"]["own"] == 2
    assert found["policies"]["paid_to_hedge"]["source"].startswith('"""Hedge all')
    # A synthetic market has no holdout to look at.
    assert not (with_own.parent / "lake" / "own_trials.txt").exists()


@pytest.mark.xdist_group("studied")
def test_a_study_is_readable_on_eighty_columns(with_own: Path) -> None:
    printed = (with_own.parent / "narrow.txt").read_text(encoding="utf-8")
    tables = printed.split("Verdict:")[0].splitlines()
    assert max(map(len, tables)) <= 80
    found = json.loads((with_own / "results.json").read_text(encoding="utf-8"))
    for name, row in found["policies"].items():
        lines = [line for line in tables if line.lstrip(" →").split(" ")[0] == name]
        numbers = " ".join(lines)
        for key in ("mean", "vol", "ce20", "cvar95", "funding", "cost"):
            assert f"{row[key]:.2%}" in numbers, (name, key)
        assert f"{row['mean_ratio']:.3f}" in numbers
        assert f"{row['hedge_effectiveness']:.4f}" in numbers
    assert "volatility_timed minus your own" in printed


@pytest.mark.xdist_group("studied")
def test_a_span_that_was_not_taken_as_given_is_said(with_own: Path) -> None:
    printed = (with_own.parent / "narrow.txt").read_text(encoding="utf-8")
    found = json.loads((with_own / "results.json").read_text(encoding="utf-8"))
    before, after = found["notes"]
    assert "is inside a day" in before
    assert "--to 2030-01-01 00:00 lies after the data" in after
    whole = " ".join(printed.split())
    for note in found["notes"]:
        assert f"Note: {note}." in whole


@pytest.mark.xdist_group("studied")
@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("bad.toml", "hold = 0.8\nhodl = 1\n", ("bad.toml: hodl = 1", "did you mean hold?")),
        (
            "seer.py",
            "import numpy as np\nfrom counterpoise.hedging import own_policy\n\n"
            "@own_policy('seer', 'x')\ndef seer(situation):\n"
            "    spot = situation.timeline.spot.close\n"
            "    return situation.around(np.where(np.roll(spot, -1) > spot, 0.0, 1.0), 0.0)\n",
            ("seer.py line 4", "no look-ahead", "at tick"),
        ),
    ],
)
def test_a_wrong_file_of_mine_is_refused_in_one_line_and_writes_nothing(
    studied: Path, file: str, text: str, words: tuple[str, ...]
) -> None:
    (studied / file).write_text(text, encoding="utf-8")
    option = "--rule" if file.endswith(".toml") else "--policy"
    done = command(
        *("study", "--config", str(studied / "mine.toml"), "--out", str(studied / "refused")),
        *(option, str(studied / file)),
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    assert not (studied / "refused").exists()
