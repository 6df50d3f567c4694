"""``study --actual`` as a user runs it: fills of one's own beside every policy."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.market.timeline import Timeline
from counterpoise.units import from_ms
from tests.test_cli import command

DAYS = 300


def export(timeline: Timeline, path: Path, orders: list[tuple[float, float]]) -> Path:
    """A Binance export, newest first, of (day, ETH sold or minus bought) at the bars' middles."""
    rows = []
    for number, (day, sold) in enumerate(orders):
        tick = round(24 * day) + 1
        price = round(float(timeline.perp.low[tick, 0] + timeline.perp.high[tick, 0]) / 2, 2)
        at = from_ms(int(timeline.ts_ms[tick - 1])) + timedelta(minutes=10)
        rows.append(
            f"{at:%y-%m-%d %H:%M:%S},ETHUSDT,{'SELL' if sold > 0 else 'BUY'},{price},{abs(sold)},"
            f"{price * abs(sold):.5f},{5e-4 * price * abs(sold):.8f} USDT,0,{9000 + number}"
        )
    heads = "Time(UTC),Symbol,Side,Price,Quantity,Amount,Fee,Realized Profit,Trade ID"
    path.write_text("\n".join([heads, *reversed(rows)]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a synthetic lake, settings and two exports: a year's and a week's."""
    folder = tmp_path_factory.mktemp("actual")
    Lake(folder / "lake").write(generate(5, days=DAYS), synthetic=True)
    (folder / "mine.toml").write_text(
        'lake = "lake"\n[signals]\nmin_train_days = 90\n[study]\ndraws = 200\nplacebo_draws = 0\n',
        encoding="utf-8",
    )
    timeline = build_timeline(Lake(folder / "lake"), ("binance",), "ETHUSDT")
    export(
        timeline,
        folder / "long.csv",
        [(215.2, 700.0), (240.4, -150.0), (260.6, 250.0), (290.8, -800.0)],
    )
    export(timeline, folder / "week.csv", [(250.3, 500.0), (256.5, -500.0)])
    often = [(215.3 + 2 * k, 20.0 if k % 2 == 0 else -20.0) for k in range(36)]
    export(timeline, folder / "often.csv", often)
    return folder


def study(place: Path, *arguments: str) -> tuple[int, str, str]:
    config, out = str(place / "mine.toml"), str(place / "out")
    done = command("study", "--config", config, "--out", out, *arguments)
    return done.returncode, done.stdout, done.stderr


def test_what_i_did_stands_in_every_table_beside_the_machine(place: Path) -> None:
    code, said, error = study(place, "--actual", str(place / "long.csv"))
    assert code == 0, error
    for words in (
        "what you did, 2021-08-04 00:00 to 2021-10-19 00:00 UTC, 76 days",
        "You minus volatility_timed",
        "You minus matched_static",
        "4 fills: 950.000 ETH sold, 950.000 bought",
        "newest first, turned round",
        "Against what you did",
    ):
        assert words in said
    found = json.loads((place / "out" / "results.json").read_text(encoding="utf-8"))
    assert found["days"] == 76
    assert found["policies"]["actual"]["label"] == "what you did"
    assert found["policies"]["actual"]["family"] == "actual"
    assert set(found["versus_matched"]["actual"]) == set(found["versus_rules"]["actual"])
    ledger = found["actual"]
    assert list(ledger["rows"]) == ["actual", "volatility_timed", "matched_static"]
    # Every policy was run on the same days, and the ledger is the same run in dollars.
    paths = {
        name: pl.read_parquet(place / "out" / "paths" / f"{name}.parquet")
        for name in ("actual", "volatility_timed")
    }
    for name, path in paths.items():
        assert path["ts"].to_list() == paths["actual"]["ts"].to_list()
        assert path["pnl_usd"].sum() == pytest.approx(ledger["rows"][name]["total_usd"])
    held = paths["actual"]["short_eth_binance"].to_numpy()
    assert sorted(set(np.round(held, 6).tolist())) == [0.0, 550.0, 700.0, 800.0]
    fees = 5e-4 * ledger["notional_usd"]
    assert ledger["rows"]["actual"]["usd"]["fees"] == pytest.approx(-fees, rel=1e-6)
    page = (place / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h2>What I did</h2>" in page
    assert page.index("<h2>What I did</h2>") < page.index("Against the matched static hedge")


def test_a_week_is_a_ledger_and_no_study(place: Path) -> None:
    out = place / "none"
    arguments = ("--actual", str(place / "week.csv"), "--out", str(out))
    code, said, error = study(place, *arguments)
    assert code == 0, error
    assert "too few days for an interval" in said
    assert "7 days are too few to compare policies" in said
    assert not out.exists()
    code, said, error = study(place, *arguments, "--actual-opening-short", "100", "--json")
    ledger = json.loads(said)["actual"]
    assert ledger["opening_short_eth"] == 100.0
    assert ledger["differences"]["matched_static"]["low_usd"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--actual", "absent.csv"), 3, "absent.csv"),
        (("--actual-opening-short", "5"), 3, "together with --actual"),
        (("--actual", "{place}/mine.toml"), 3, "a .csv or .json file"),
        (("--actual", "{place}/shifted(UTC+11).csv"), 4, "zone of the times"),
    ],
)
def test_fills_that_cannot_be_valued_end_with_a_code_and_one_line(
    place: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    local = (place / "often.csv").read_text(encoding="utf-8").replace("Time(UTC)", "Time")
    (place / "shifted(UTC+11).csv").write_text(local, encoding="utf-8")
    returned, _, error = study(place, *(each.format(place=place) for each in arguments))
    assert returned == code, error
    assert says in error
    assert "Traceback" not in error
