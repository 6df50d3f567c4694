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
        ("[exposure]\neth = -3", "exposure.eth", "greater than 0"),
        ("[exposure]\neth = nan", "exposure.eth", "finite"),
        ("[capital]\nleverage = 5\nleverage_max = 3", "capital", "leverage_max = 3.0"),
        ("[hedge]\nbase_ratio = 0.9\nmax_ratio = 0.5", "hedge.max_ratio", "0.9"),
        ("[study]\nstart = 2024-01-01\nend = 2023-01-01", "study", "must be before"),
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
    assert "Next:" in message


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
