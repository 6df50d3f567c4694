"""Settings are read from one file, overridden in a stated order, and refused by name."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterpoise.config import known_keys, load_settings
from counterpoise.errors import FixConfig


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_hedge_eighty_percent_with_the_recommended_policy() -> None:
    settings = load_settings()
    assert settings.hedge.base_ratio == 0.8
    assert settings.hedge.policy == "volatility_timed"


def test_command_line_beats_environment_beats_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "[hedge]\nbase_ratio = 0.5\nband = 0.01\n[exposure]\neth = 5\n")
    monkeypatch.setenv("COUNTERPOISE_HEDGE__BASE_RATIO", "0.6")
    monkeypatch.setenv("COUNTERPOISE_EXPOSURE__ETH", "6")
    settings = load_settings(file, {"exposure": {"eth": 7.0}})
    assert settings.hedge.base_ratio == 0.6
    assert settings.hedge.band == 0.01
    assert settings.exposure.eth == 7.0


def test_a_lake_in_a_file_is_relative_to_that_file(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, 'lake = "here"')).lake == tmp_path / "here"


def test_moments_without_a_zone_are_utc(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "[study]\nstart = 2021-08-01T00:00:00\n"))
    assert settings.study.start == datetime(2021, 8, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("[hedge]\nbase_ration = 0.8", "hedge.base_ration", "hedge.base_ratio"),
        ("[hegde]\nband = 0.1", "hegde", "known setting"),
        ("[hedge]\nbase_ratio = 1.8", "hedge.base_ratio", "less than or equal to 1"),
        ("[hedge]\nbase_ratio = 'much'", "hedge.base_ratio", "number"),
        ("[exposure]\neth = -3", "exposure.eth", "expected greater than 0."),
        ("[exposure]\neth = nan", "exposure.eth", "finite"),
        ("[capital]\nleverage = 5\nleverage_max = 3", "capital", "leverage_max = 3.0"),
        ("[capital]\neth_haircut = 1.0", "capital.eth_haircut", "expected less than 1."),
        ("[venue]\nnames = []", "venue.names", "expected at least 1 item"),
        ("[venue]\nnames = [1]", "venue.names", "expected a valid string"),
        ("hedge = 3", "hedge", "expected a table of settings, [hedge]"),
        ("[hedge]\nreading = 'up'", "hedge.reading", "expected 'literal', 'bearish' or"),
        ("[hedge]\nbase_ratio = 0.9\nmax_ratio = 0.5", "hedge.max_ratio", "0.9"),
        ("[study]\nstart = 2024-01-01\nend = 2023-01-01", "study", "expected a span: study.start"),
        ("[hedge\nband = 1", "--config", "TOML"),
    ],
)
def test_a_wrong_setting_is_refused_with_key_value_expectation_and_next_step(
    tmp_path: Path, text: str, key: str, says: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    message = str(refused.value)
    assert key in message
    assert says in message
    assert "Input should" not in message
    assert f"Next: edit {file}." in message or key == "--config"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("COUNTERPOISE_HEDGE__BAND", "0.9", "hedge.band = '0.9': expected less than or equal to"),
        ("COUNTERPOISE_HEDGE__BAND", "", "hedge.band = ''"),
        ("COUNTERPOISE_EXPOSURE__ETH", "many", "exposure.eth = 'many': expected a valid number"),
        ("COUNTERPOISE_STUDY__START", "soon", "study.start = 'soon': expected a valid datetime"),
    ],
)
def test_a_wrong_environment_value_names_its_variable_and_not_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    file = written(tmp_path, "[hedge]\nband = 0.1\n[exposure]\neth = 1\n")
    monkeypatch.setenv(variable, value)
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    message = str(refused.value)
    assert says in message
    assert message.endswith(f"Next: change {variable} in the environment.")


def test_a_wrong_option_names_the_command_line_whatever_else_sets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "[exposure]\neth = 2\n")
    monkeypatch.setenv("COUNTERPOISE_EXPOSURE__ETH", "3")
    with pytest.raises(FixConfig) as refused:
        load_settings(file, {"exposure": {"eth": -1.0}})
    assert str(refused.value) == (
        "exposure.eth = -1.0: expected greater than 0. "
        "Next: change exposure.eth on the command line."
    )


def test_without_a_file_a_wrong_option_still_names_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FixConfig, match=r"change capital\.collateral on the command"):
        load_settings(overrides={"capital": {"collateral": "gold"}})
    with pytest.raises(FixConfig, match=r"did you mean exposure\.eth"):
        load_settings(overrides={"exposure": {"eht": 1.0}})


def test_settings_that_disagree_name_every_place_they_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "[capital]\nleverage = 4\n")
    monkeypatch.setenv("COUNTERPOISE_CAPITAL__LEVERAGE_MAX", "3.5")
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    assert str(refused.value) == (
        "capital = 'these settings together': expected capital.leverage_max = 3.5 to exceed "
        f"capital.leverage = 4.0. Next: edit {file} or "
        "change COUNTERPOISE_CAPITAL__LEVERAGE_MAX in the environment."
    )


def test_a_setting_that_disagrees_with_a_default_names_its_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "[capital]\ncost_per_year = 0.02\n")
    monkeypatch.setenv("COUNTERPOISE_CAPITAL__LEVERAGE", "9")
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    assert str(refused.value).endswith(
        "Next: change COUNTERPOISE_CAPITAL__LEVERAGE in the environment."
    )


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("COUNTERPOISE_HEDGE__BNAD", "COUNTERPOISE_HEDGE__BAND"),
        ("COUNTERPOISE_HEGDE__BAND", "COUNTERPOISE_HEDGE__BAND"),
        ("COUNTERPOISE_EXPOSURE_ETH", "COUNTERPOISE_EXPOSURE__ETH"),
        ("COUNTERPOISE_LAEK", "COUNTERPOISE_LAKE"),
        ("counterpoise_hedge__bnad", "COUNTERPOISE_HEDGE__BAND"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch, variable: str, nearest: str
) -> None:
    monkeypatch.setenv(variable, "0.123")
    with pytest.raises(FixConfig) as refused:
        load_settings()
    message = str(refused.value)
    assert message.startswith(f"{variable} = ")
    assert f"did you mean {nearest}?" in message
    assert f"unset {variable}" in message


def test_a_variable_like_nothing_known_points_to_the_page_and_keeps_its_value_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COUNTERPOISE_XQZ", "hunter2")
    with pytest.raises(FixConfig, match=r"docs/configuration\.md") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_variables_of_others_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_settings().model_dump()
    monkeypatch.setenv("COUNTERPOINT_HEDGE__BAND", "0.3")
    assert load_settings().model_dump() == plain


def test_every_key_can_be_set_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERPOISE_LAKE", str(tmp_path))
    monkeypatch.setenv("COUNTERPOISE_VENUE__NAMES", "binance, dydx")
    monkeypatch.setenv("COUNTERPOISE_STUDY__HOLDOUT_START", "2023-01-01")
    monkeypatch.setenv("counterpoise_hedge__band", "0.02")
    settings = load_settings()
    assert settings.lake == tmp_path
    assert settings.venue.names == ("binance", "dydx")
    assert settings.study.holdout_start == datetime(2023, 1, 1, tzinfo=UTC)
    assert settings.hedge.band == 0.02


def test_the_holdout_begins_with_2024() -> None:
    assert load_settings().study.holdout_start == datetime(2024, 1, 1, tzinfo=UTC)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixConfig, match="an existing file"):
        load_settings(tmp_path / "absent.toml")


def test_the_documented_file_sets_every_key_to_its_default(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    block = page.split("```toml\n")[1].split("```")[0]
    documented = load_settings(written(tmp_path, block))
    assert documented.model_dump(exclude={"lake"}) == load_settings().model_dump(exclude={"lake"})
    assert documented.lake == tmp_path / "lake"
    for key in known_keys():
        assert f"{key.rsplit('.', maxsplit=1)[-1]} = " in block, key
