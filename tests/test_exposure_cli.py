"""``counterpoise exposure`` and ``now`` with holdings, on a small synthetic lake."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from counterpoise.cli import app
from counterpoise.errors import CounterpoiseError
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.units import HOUR_MS, stamp

Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days of a synthetic market."""
    folder = tmp_path_factory.mktemp("held") / "lake"
    Lake(folder).write(generate(5, days=10), synthetic=True)
    return folder


@pytest.fixture(scope="module")
def market(lake: Path) -> Timeline:
    return build_timeline(Lake(lake))


@pytest.fixture
def ask(lake: Path, market: Timeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run a command in a folder of its own, with these settings and constant forecasts."""

    def constant(timeline: Timeline, *_: object, **__: object) -> Forecasts:
        names = [one.name for one in fields(Forecasts) if one.name not in ("ts_ms", "folds")]
        known = {name: np.full(len(timeline.ts_ms), 0.5) for name in names}
        return Forecasts(ts_ms=timeline.ts_ms, **known)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("counterpoise.signals.training.forecast", constant)

    def run(*arguments: str, settings: str = "") -> Result:
        head = f'lake = "{lake}"\n'
        (tmp_path / "counterpoise.toml").write_text(head + settings, encoding="utf-8")
        return CliRunner().invoke(app, list(arguments))

    return run


def refusal(result: Result) -> str:
    assert isinstance(result.exception, CounterpoiseError), result.output
    return str(result.exception)


def held(market: Timeline) -> tuple[str, float]:
    """Settings with a holding of each kind, and the price of the lake's last hour."""
    price = float(market.spot.close[-1])
    return (
        f"""
[[exposure.holdings]]
asset = "eth"
amount = 100
[[exposure.holdings]]
asset = "wsteth"
amount = 500
eth_per_token = 1.2
debt_usd = {400 * price}
liquidation_threshold = 0.8
liquidation_penalty = 0.05
[[exposure.holdings]]
asset = "steth"
amount = 200
debt_eth = 150
liquidation_threshold = 0.93
liquidation_penalty = 0.01
[[exposure.holdings]]
asset = "reth"
amount = 10
rate_file = "reth.csv"
[exposure]
flows = "flows.csv"
""",
        price,
    )


def files(folder: Path, market: Timeline) -> None:
    last = int(market.ts_ms[-1])
    rows = [(stamp(last - 48 * HOUR_MS), 60), (stamp(last + HOUR_MS), -5)]
    flows = "".join(f"{when.replace(' ', 'T')}Z,{eth}\n" for when, eth in rows)
    (folder / "flows.csv").write_text("ts,eth\n" + flows, encoding="utf-8")
    rate = f"{stamp(last - 216 * HOUR_MS).replace(' ', 'T')}Z,1.1\n"
    (folder / "reth.csv").write_text("ts,eth_per_token\n" + rate, encoding="utf-8")


def test_every_holding_has_its_delta_value_loan_and_distance(
    ask: Ask, market: Timeline, tmp_path: Path
) -> None:
    settings, price = held(market)
    files(tmp_path, market)
    found = json.loads(ask("exposure", "--json", settings=settings).output)
    assert (found["synthetic"], found["stale"], found["price_usd"]) == (True, True, price)
    assert found["exposure_eth"] == pytest.approx(100 + 600 + 50 + 11 + 60)
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in found["holdings"]}
    assert [row["delta_eth"] for row in rows.values()] == pytest.approx([100, 600, 50, 11])
    assert rows["wsteth"]["value_usd"] == pytest.approx(200 * price)
    assert rows["wsteth"]["liquidation_price_usd"] == pytest.approx(price * 400 / 480)
    assert rows["wsteth"]["distance"] == pytest.approx(1 / 6)
    assert rows["steth"]["distance"] == pytest.approx(1 - 150 / 186)
    assert rows["eth"]["distance"] is None
    assert (found["flow_count"], found["later_flow_eth"]) == (1, -5.0)


def test_the_table_says_what_is_old_and_what_is_not_counted(
    ask: Ask, market: Timeline, tmp_path: Path
) -> None:
    settings, _ = held(market)
    files(tmp_path, market)
    said = ask("exposure", settings=settings).output
    for words in (
        "SYNTHETIC MARKET",
        "WARNING: the newest data is",
        "this is the exposure for that moment, not for now. Next: import newer data.",
        "16.7%",
        "0.8065 × rate",
        "Flows: 1 flow up to then: +60 ETH.",
        "Flows: 1 flow after it, not counted: -5 ETH.",
        "Exposure 821.000 ETH",
        "the rate of reth is carried on for up to 9.0 days",
    ):
        assert words in said, words


def test_without_holdings_it_is_the_amount_of_the_settings(ask: Ask) -> None:
    found = json.loads(ask("exposure", "--json", settings="[exposure]\neth = 12.5\n").output)
    assert (found["exposure_eth"], len(found["holdings"])) == (12.5, 1)


def test_now_hedges_the_holdings_and_says_what_they_are(
    ask: Ask, market: Timeline, tmp_path: Path
) -> None:
    settings, _ = held(market)
    files(tmp_path, market)
    found = json.loads(ask("now", "--short", "21", "--json", settings=settings).output)
    full = next(row for row in found["rows"] if row["policy"] == "full")
    assert found["exposure_eth"] == pytest.approx(821)
    assert full["order_eth"] == pytest.approx(800)
    assert [one["name"] for one in found["held"]["holdings"]] == ["eth", "wsteth", "steth", "reth"]
    said = ask("now", settings=settings).output
    assert "Exposure: eth 100 ETH, wsteth 600 ETH, steth 50 ETH, reth 11 ETH, 1 flow up" in said


def test_exposure_on_the_command_line_wins_over_holdings_and_flows(
    ask: Ask, market: Timeline
) -> None:
    settings, _ = held(market)  # their files are not even read
    found = json.loads(ask("now", "--exposure", "40", "--json", settings=settings).output)
    assert found["exposure_eth"] == 40.0


def test_what_is_wrong_with_holdings_or_files_ends_in_one_sentence(
    ask: Ask, market: Timeline, tmp_path: Path
) -> None:
    both = "[exposure]\neth = 3\n" + held(market)[0].replace("[exposure]\n", "", 1)
    both = both.replace('flows = "flows.csv"\n', "")
    assert "one of exposure.eth = 3 and exposure.holdings = 100 eth" in refusal(
        ask("exposure", settings=both)
    )
    flows = '[exposure]\nflows = "flows.csv"\n'
    assert "flows.csv': expected an existing file" in refusal(ask("now", settings=flows))
    (tmp_path / "flows.csv").write_text("ts,eth\n2024-01-01,5\n", encoding="utf-8")
    said = refusal(ask("exposure", settings=flows))
    assert "flows.csv: row 0, column ts: got '2024-01-01'" in said
    assert "with its zone" in said
