"""Holdings that contradict themselves are refused with both keys and both values."""

import json
from pathlib import Path

import pytest

from counterpoise.config import load_settings
from counterpoise.errors import FixConfig

LOAN = "liquidation_threshold = 0.8\nliquidation_penalty = 0.05\n"


def written(folder: Path, *tables: str, above: str = "") -> Path:
    file = folder / "mine.toml"
    body = "".join(f"[[exposure.holdings]]\n{table}\n" for table in tables)
    file.write_text(f"{above}\n{body}", encoding="utf-8")
    return file


def test_without_a_word_a_thousand_eth_are_held() -> None:
    assert load_settings().exposure.eth == 1000.0
    assert load_settings(overrides={"exposure": {"eth": 5.0}}).exposure.eth == 5.0


def test_holdings_take_the_place_of_the_default(tmp_path: Path) -> None:
    exposure = load_settings(written(tmp_path, 'asset = "eth"\namount = 10')).exposure
    assert exposure.eth is None
    assert [(one.asset, one.amount) for one in exposure.holdings] == [("eth", 10.0)]


def test_files_are_beside_the_settings_and_results_keep_their_folder_to_themselves(
    tmp_path: Path,
) -> None:
    file = written(
        tmp_path,
        'asset = "reth"\namount = 10\nrate_file = "rates/reth.csv"',
        above='[exposure]\nflows = "flows.csv"',
    )
    exposure = load_settings(file).exposure
    assert exposure.flows == tmp_path / "flows.csv"
    assert exposure.holdings[0].rate_file == tmp_path / "rates" / "reth.csv"
    shown = json.dumps(exposure.model_dump(mode="json"))
    assert "reth.csv" in shown
    assert str(tmp_path) not in shown


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('asset = "wsteth"\namount = 1', "eth_per_token or rate_file beside asset = 'wsteth'"),
        ('asset = "eht"\namount = 1', "did you mean eth?"),
        ('asset = "weth"\namount = 1\neth_per_token = 1.1', "no eth_per_token = 1.1 beside asset"),
        (
            'asset = "reth"\namount = 1\neth_per_token = 1.1\nrate_file = "a.csv"',
            "one rate of asset = 'reth', not eth_per_token = 1.1 and rate_file = ",
        ),
        (
            'asset = "reth"\namount = 1\nrate_file = "a.csv"\nyield_per_year = 0.03\n'
            "as_of = 2024-01-01",
            "no yield_per_year = 0.03 beside rate_file",
        ),
        ('asset = "steth"\namount = 1\nyield_per_year = 0.03', "as_of beside yield_per_year"),
        (
            f'asset = "eth"\namount = 1\ndebt_usd = 9\ninterest_per_year = 0.1\n{LOAN}',
            "as_of beside interest_per_year = 0.1",
        ),
        (
            f'asset = "eth"\namount = 1\ndebt_usd = 9\ndebt_eth = 0.5\n{LOAN}',
            "not debt_usd = 9.0 and debt_eth = 0.5",
        ),
        ('asset = "eth"\namount = 1\ndebt_usd = 9', "liquidation_threshold beside debt_usd = 9.0"),
        (
            'asset = "eth"\namount = 1\ndebt_eth = 0.9\nliquidation_threshold = 0.9',
            "liquidation_penalty beside debt_eth = 0.9",
        ),
        ('asset = "eth"\namount = 1\nliquidation_penalty = 0.1', "debt_eth beside liquidation_pen"),
        (
            'asset = "eth"\namount = 1\ndebt_eth = 0.9\nliquidation_threshold = 0.96\n'
            "liquidation_penalty = 0.05",
            "liquidation_threshold = 0.96 times (1 + liquidation_penalty = 0.05) to be at most 1",
        ),
    ],
)
def test_contradictions_name_both_sides_and_where_to_mend(
    tmp_path: Path, table: str, says: str
) -> None:
    file = written(tmp_path, 'asset = "eth"\namount = 1', table)
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    message = str(refused.value)
    assert message.startswith("exposure.holdings[1] = 'this table': expected ")
    assert says in message
    assert message.endswith(f"Next: edit {file}.")


@pytest.mark.parametrize(
    ("table", "key", "says"),
    [
        ('asset = "eth"\namount = -1', "exposure.holdings[0].amount = -1", "greater than 0"),
        ('asset = "eth"\namount = inf', "exposure.holdings[0].amount = inf", "finite"),
        ('asset = "eth"', "exposure.holdings[0].amount = 'nothing'", "expected a value"),
        ('asset = "st ETH"\namount = 1', "exposure.holdings[0].asset = 'st ETH'", "pattern"),
        ('asset = "eth"\namuont = 1', "exposure.holdings[0].amuont = 1", "did you mean amount?"),
        (
            'asset = "wsteth"\namount = 1\neth_per_token = 2650',
            "exposure.holdings[0].eth_per_token = 2650",
            "less than or equal to 10",
        ),
        (
            'asset = "steth"\namount = 1\nyield_per_year = 3\nas_of = 2024-01-01',
            "exposure.holdings[0].yield_per_year = 3",
            "less than or equal to 1",
        ),
    ],
)
def test_a_wrong_value_names_its_holding_and_key(
    tmp_path: Path, table: str, key: str, says: str
) -> None:
    file = written(tmp_path, table)
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    message = str(refused.value)
    assert key in message
    assert says in message
    assert message.endswith(f"Next: edit {file}.")


def test_an_amount_and_holdings_are_refused_together(tmp_path: Path) -> None:
    file = written(tmp_path, 'asset = "weth"\namount = 30', above="[exposure]\neth = 20")
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    for words in ("exposure.eth = 20", "exposure.holdings = 30 weth", f"Next: edit {file}."):
        assert words in str(refused.value)


def test_an_amount_in_the_environment_against_holdings_in_the_file_names_both_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, 'asset = "weth"\namount = 30')
    monkeypatch.setenv("COUNTERPOISE_EXPOSURE__ETH", "7")
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    message = str(refused.value)
    assert "change COUNTERPOISE_EXPOSURE__ETH in the environment" in message
    assert f"edit {file}" in message


def test_holdings_from_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_EXPOSURE__HOLDINGS", '[{"asset": "eth", "amount": 3}]')
    assert load_settings().exposure.holdings[0].amount == 3.0
    monkeypatch.setenv("COUNTERPOISE_EXPOSURE__HOLDINGS", "3 eth")
    with pytest.raises(FixConfig, match=r"a JSON list.*change COUNTERPOISE_EXPOSURE__HOLDINGS"):
        load_settings()


def test_the_documented_example_is_accepted(tmp_path: Path) -> None:
    for page in ("exposure", "configuration"):
        text = (Path(__file__).parents[1] / "docs" / f"{page}.md").read_text(encoding="utf-8")
        blocks = [part.split("```")[0] for part in text.split("```toml\n")[1:]]
        (example,) = (block for block in blocks if "\n[[exposure.holdings]]" in f"\n{block}")
        file = tmp_path / f"{page}.toml"
        file.write_text(example, encoding="utf-8")
        assert load_settings(file).exposure.holdings


def test_exposure_on_the_command_line_wins_over_whatever_the_file_holds(tmp_path: Path) -> None:
    from counterpoise.cli.exposure import only_eth

    file = written(tmp_path, 'asset = "weth"\namount = 30', above='[exposure]\nflows = "flows.csv"')
    exposure = load_settings(file, {"exposure": only_eth(12.0)}).exposure
    assert (exposure.eth, exposure.holdings, exposure.flows) == (12.0, (), None)
