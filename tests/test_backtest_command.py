"""``counterpoise backtest``: what it prints, and what it refuses before any work."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from counterpoise.cli import app
from counterpoise.errors import CounterpoiseError, FixConfig, NotEnoughData
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate

Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backtest") / "lake"
    Lake(folder).write(generate(5, days=60), synthetic=True)
    return folder


@pytest.fixture
def ask(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterpoise.toml").write_text(f'lake = "{lake}"\n', encoding="utf-8")
    return lambda *arguments: CliRunner().invoke(app, ["backtest", *arguments])


RUN = ("--policy", "static_eth", "--exposure", "50", "--from", "2021-02-20", "--to", "2021-02-21")


def test_what_is_printed_is_what_json_says(ask: Ask) -> None:
    answer = ask("--json", *RUN)
    assert answer.exit_code == 0, answer.exception
    found = json.loads(answer.stdout)
    assert (found["hours"], found["quotes"], found["synthetic"]) == (24, 25 * 360, True)
    assert found["orders"]["traded_eth"] == pytest.approx(40.0)
    assert found["divergence"]["whole"]["targets_differ"] == 0
    assert found["divergence"]["settled"]["hours"] < 24
    assert found["liquidations"] == []
    printed = ask(*RUN).stdout
    assert "SYNTHETIC MARKET" in printed
    assert "static_eth on binance, 2021-02-20 00:00 to 2021-02-21 00:00 UTC" in printed
    assert f"{found['orders']['fills']:,} fills, 40.000 ETH" in printed
    assert "What differs, from when the hedge was first in place on" in printed


@pytest.mark.parametrize(
    ("arguments", "settings", "kind", "told"),
    [
        (("--every", "7"), "", FixConfig, "every_s = 7"),
        (("--policy", "none"), "", FixConfig, "none"),
        (("--from", "soon"), "", FixConfig, "--from"),
        ((), '[capital]\ncollateral = "eth"\n', FixConfig, "capital.collateral = 'eth'"),
        ((), '[venue]\nnames = ["binance", "dydx"]\n', FixConfig, "venue.names = '2 venues'"),
        (("--from", "2031-01-01"), "", NotEnoughData, "widen --from"),
        (("--policy", "volatility_timed"), "", NotEnoughData, "volatility_timed does not know"),
    ],
)
def test_what_cannot_be_run_is_refused(
    ask: Ask,
    arguments: tuple[str, ...],
    settings: str,
    kind: type[CounterpoiseError],
    told: str,
) -> None:
    file = Path("counterpoise.toml")
    file.write_text(file.read_text(encoding="utf-8") + settings, encoding="utf-8")
    answer = ask(*arguments)
    assert isinstance(answer.exception, kind)
    assert told in str(answer.exception)
