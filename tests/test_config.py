"""Settings are read from one file, overridden in a stated order, and refused by name."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterpoise.config import Settings, known_keys, load_settings, settings_without_file
from counterpoise.contradictions import EVENTS, RULES, STOPS, TRAINING_RULES
from counterpoise.errors import FixConfig
from counterpoise.venues.agreement import refuse_what_venues_refuse


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
        ("[capital]\neth_haircut = 1.0", "capital.eth_haircut", "expected less than 1."),
        ("[venue]\nnames = []", "venue.names", "expected at least 1 item"),
        ("[venue]\nnames = [1]", "venue.names = 1", "expected text."),
        ("[venue]\nnames = [1, [2, {a = 3}]]", "venue.names", "expected text."),
        ("[venue]\nnames = 'binance'\nsymbol = 5", "venue.symbol = 5", "expected text."),
        ("[[venue]]\nsymbol = 'a'", "venue", "expected a table of settings, [venue]"),
        ("lake = 5", "lake = 5", "expected a path"),
        ("lake = ''", "lake = ''", "expected the name of a folder"),
        ("lake = ['a', ['b']]", "lake", "expected a path"),
        ("[exposure]\neth = true", "exposure.eth = True", "not true or false"),
        ("[exposure]\neth = 1e999", "exposure.eth = inf", "a finite number"),
        ("[exposure]\neth = 1e12", "exposure.eth", "less than or equal to 200000000"),
        ("[hedge]\nbase_ratio = [1, [2, {a = 3}]]", "hedge.base_ratio", "expected a number."),
        ("[hedge]\nbase_ratio = 1979-05-27", "hedge.base_ratio", "expected a number."),
        ("[hedge]\nrisk_aversion = inf", "hedge.risk_aversion", "a finite number"),
        ("[costs]\nhalf_spread_bps = nan", "costs.half_spread_bps", "a finite number"),
        ("[study]\ndraws = 200.5", "study.draws = 200.5", "expected a whole number."),
        ("[study]\ndraws = 'many'", "study.draws = 'many'", "expected a whole number."),
        ("[study]\nstart = 12:00:00", "study.start", "expected a moment such as 2024-01-31"),
        ("[study]\nstart = 1704067200", "study.start = 1704067200", "not a number"),
        ("[study]\nstart = 0001-01-01T00:00:00+10:00", "study.start", "between 1990 and 2100"),
        ("[signals]\nseed = -1", "signals.seed = -1", "greater than or equal to 0"),
        ("[signals]\nmin_train_days = 10000000000000000000000", "signals.min_train", "36500"),
        ("hedge = 3", "hedge", "expected a table of settings, [hedge]"),
        ("[hedge]\nreading = 'up'", "hedge.reading", "expected 'literal', 'bearish' or"),
        ("[hedge\nband = 1", "--config", "TOML"),
        ("a = " + "[" * 5_000, "--config", "TOML of few levels"),
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
    assert f"Next: edit {file}." in message or key == "--config"
    assert message.isprintable()
    for idiom in ("Input should", "Tuple", "validation", "valid string", "pydantic", "parsing"):
        assert idiom not in message


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("COUNTERPOISE_HEDGE__BAND", "0.9", "hedge.band = '0.9': expected less than or equal to"),
        ("COUNTERPOISE_HEDGE__BAND", "", "hedge.band = ''"),
        ("COUNTERPOISE_EXPOSURE__ETH", "many", "exposure.eth = 'many': expected a number."),
        ("COUNTERPOISE_STUDY__START", "soon", "study.start = 'soon': expected a moment such as"),
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


def test_settings_that_contradict_each_other_are_told_with_values_and_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "[capital]\nleverage = 4\n")
    monkeypatch.setenv("COUNTERPOISE_CAPITAL__LEVERAGE_MAX", "3.5")
    with pytest.raises(FixConfig) as refused:
        load_settings(file)
    assert str(refused.value) == (
        f"capital.leverage = 4.0 ({file}) and "
        "capital.leverage_max = 3.5 (COUNTERPOISE_CAPITAL__LEVERAGE_MAX) contradict each other: "
        "expected leverage below leverage_max, at which collateral is topped up. "
        f"Next: edit {file} or change COUNTERPOISE_CAPITAL__LEVERAGE_MAX in the environment."
    )


#: Settings that contradict each other, or a default, and the keys the refusal names.
CONTRADICTIONS = {
    "a base ratio above the cap": (
        "[hedge]\nbase_ratio = 0.9\nmax_ratio = 0.5",
        ("hedge.base_ratio = 0.9 (FILE)", "hedge.max_ratio = 0.5 (FILE)"),
    ),
    "a default base ratio above the cap": (
        "[hedge]\nmax_ratio = 0.5",
        ("hedge.base_ratio = 0.8 (default)", "hedge.max_ratio = 0.5 (FILE)"),
    ),
    "a cap below what a volatility rule hedges at least": (
        "[hedge]\nbase_ratio = 0.3\nmax_ratio = 0.4\nmax_unhedged = 0.5",
        ("hedge.max_unhedged = 0.5 (FILE)", "hedge.max_ratio = 0.4 (FILE)"),
    ),
    "a band over every ratio there is": (
        "[hedge]\nbase_ratio = 0.4\nmax_ratio = 0.8\nband = 0.4",
        ("hedge.band = 0.4 (FILE)", "hedge.base_ratio = 0.4 (FILE)", "hedge.max_ratio = 0.8"),
    ),
    "a leverage that is topped up at once": (
        "[capital]\nleverage = 5\nleverage_max = 3",
        ("capital.leverage = 5.0 (FILE)", "capital.leverage_max = 3.0 (FILE)"),
    ),
    "a range of leverage without room": (
        "[capital]\nleverage_min = 3",
        ("capital.leverage_min = 3.0 (FILE)", "capital.leverage_max = 3.0 (default)"),
    ),
    "a dynamic leverage without room for its headroom": (
        "[capital]\nleverage_mode = 'dynamic'\nleverage_min = 2.5",
        (
            "capital.leverage_mode = 'dynamic' (FILE)",
            "capital.leverage_min = 2.5 (FILE)",
            "capital.headroom = 1.25 (default)",
            "capital.leverage_max = 3.0 (default)",
        ),
    ),
    "a cut before a top-up": (
        "[risk]\nkeep_alive = 0.4",
        ("risk.keep_alive = 0.4 (FILE)", "capital.leverage_max = 3.0 (default)"),
    ),
    "a drawdown limit without a cushion": (
        "[risk.drawdown]\nlimit = 0.05\nreserve = 0.05",
        ("risk.drawdown.reserve = 0.05 (FILE)", "risk.drawdown.limit = 0.05 (FILE)"),
    ),
    "a drawdown limit that no hedge keeps": (
        "[risk.drawdown]\nlimit = 0.2\n[hedge]\nmax_ratio = 0.9",
        ("risk.drawdown.limit = 0.2 (FILE)", "hedge.max_ratio = 0.9 (FILE)"),
    ),
    "a profit lock that no hedge keeps": (
        "[risk.profit_lock]\nstep = 0.1\n[hedge]\nmax_ratio = 0.9",
        ("risk.profit_lock.step = 0.1 (FILE)", "hedge.max_ratio = 0.9 (FILE)"),
    ),
    "a stop behind the drawdown limit": (
        "[risk.drawdown]\nlimit = 0.2\n[risk.stops.portfolio]\ndistance = 0.2",
        ("risk.stops.portfolio.distance = 0.2 (FILE)", "risk.drawdown.limit = 0.2 (FILE)"),
    ),
    "a cap of a venue above that of all": (
        "[risk.orders]\nvenue_usd = 2e6\ntotal_usd = 1e6",
        ("risk.orders.venue_usd = 2000000.0 (FILE)", "risk.orders.total_usd = 1000000.0 (FILE)"),
    ),
    "an order larger than a minute takes": (
        "[risk.orders]\norder_usd = 2e6\nminute_usd = 1e6",
        ("risk.orders.order_usd = 2000000.0 (FILE)", "risk.orders.minute_usd = 1000000.0 (FILE)"),
    ),
    "a lock without a step": (
        "[risk.profit_lock]\nkeep = 0.9",
        ("risk.profit_lock.keep = 0.9 (FILE)", "risk.profit_lock.step = None (default)"),
    ),
    "an order that is a mistake before it is full": (
        "[risk.orders]\nfat_finger = 0.5",
        (
            "risk.orders.fat_finger = 0.5 (FILE)",
            "hedge.max_ratio = 1.0 (default)",
            "risk.orders.order_usd = None (default)",
        ),
    ),
    **{
        f"a {name} stop that is described but off": (
            f"[risk.stops.{name}]\naction = 'flatten'",
            (
                f"risk.stops.{name}.distance = None (default)",
                f"risk.stops.{name}.action = 'flatten' (FILE)",
                f"risk.stops.{name}.follow = 'trailing' (default)",
                f"risk.stops.{name}.cooldown_h = 24 (default)",
            ),
        )
        for name in STOPS
    },
    **{
        f"a leverage around {name} events above the most": (
            f"[risk.events.{name}]\nleverage_cap = 4",
            (
                f"risk.events.{name}.leverage_cap = 4.0 (FILE)",
                "capital.leverage_max = 3.0 (default)",
            ),
        )
        for name in EVENTS
    },
    **{
        f"a {name} stop that says where to cut but not to": (
            f"[risk.stops.{name}]\ndistance = 0.1\nto_ratio = 0.5",
            (
                f"risk.stops.{name}.action = 'full_hedge' (default)",
                f"risk.stops.{name}.to_ratio = 0.5 (FILE)",
            ),
        )
        for name in STOPS
    },
    **{
        f"a {name} stop that cuts above the cap": (
            f"[risk.stops.{name}]\ndistance = 0.1\naction = 'cut'\nto_ratio = 0.95\n"
            "[hedge]\nmax_ratio = 0.9",
            (f"risk.stops.{name}.to_ratio = 0.95 (FILE)", "hedge.max_ratio = 0.9 (FILE)"),
        )
        for name in STOPS
    },
    **{
        f"a floor around {name} events above the cap": (
            f"[risk.events.{name}]\nhedge_floor = 0.95\n[hedge]\nmax_ratio = 0.9",
            (f"risk.events.{name}.hedge_floor = 0.95 (FILE)", "hedge.max_ratio = 0.9 (FILE)"),
        )
        for name in EVENTS
    },
    **{
        f"a leverage around {name} events below the least": (
            f"[risk.events.{name}]\nleverage_cap = 1.5\n[capital]\nleverage_min = 2",
            (f"risk.events.{name}.leverage_cap = 1.5 (FILE)", "capital.leverage_min = 2.0 (FILE)"),
        )
        for name in EVENTS
    },
    "a window of ρ longer than the history before the first forecast": (
        "[signals]\nrho_window_days = 90\nmin_train_days = 60\n",
        ("signals.rho_window_days = 90 (FILE)", "signals.min_train_days = 60 (FILE)"),
    ),
    "a comparison before the first forecast": (
        "[signals]\nmin_train_days = 600",
        ("study.burn_in_days = 577 (default)", "signals.min_train_days = 600 (FILE)"),
    ),
    "a study that ends before it starts": (
        "[study]\nstart = 2024-01-01\nend = 2023-01-01",
        ("study.start = 2024-01-01T00:00:00+00:00 (FILE)", "study.end = 2023-01-01T00:00:00+00:00"),
    ),
    "a holdout after the end": (
        "[study]\nholdout_start = 2024-06-01\nend = 2024-01-01",
        ("study.holdout_start = 2024-06-01T00:00:00+00:00 (FILE)", "study.end = 2024-01-01T"),
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_each_contradiction_names_both_keys_values_and_sources(tmp_path: Path, name: str) -> None:
    text, given = CONTRADICTIONS[name]
    file = written(tmp_path, text)
    with pytest.raises(FixConfig, match="contradict each other: expected ") as refused:
        load_settings(file)
    for told in given:
        assert told.replace("FILE", str(file)) in str(refused.value)
    assert str(refused.value).endswith(f"Next: edit {file}.")


def test_every_rule_of_contradiction_is_tried_above() -> None:
    assert {rule.keys for rule in (*RULES, *TRAINING_RULES)} == {
        tuple(told.split(" = ")[0] for told in given) for _, given in CONTRADICTIONS.values()
    }


@pytest.mark.parametrize(
    "text",
    [
        "[hedge]\nbase_ratio = 0.5\nmax_ratio = 0.5",
        "[hedge]\nbase_ratio = 1.0\nmax_ratio = 1.0\nband = 0.05",
        "[hedge]\nbase_ratio = 0.0\nband = 0.05",
        "[hedge]\nbase_ratio = 0.3\nmax_ratio = 0.3\nmax_unhedged = 0.7",
        "[signals]\nrho_window_days = 60\nmin_train_days = 60",
        "[signals]\nmin_train_days = 600\n[study]\nstart = 2023-01-01",
        "[study]\nend = 2023-01-01",
        "[study]\nholdout_start = 2022-01-01\nstart = 2023-01-01",
    ],
)
def test_settings_at_the_edge_of_a_contradiction_agree(tmp_path: Path, text: str) -> None:
    load_settings(written(tmp_path, text))


def test_settings_made_in_code_do_not_contradict_each_other_either() -> None:
    with pytest.raises(ValueError, match="base_ratio at most max_ratio"):
        Settings(hedge={"base_ratio": 0.9, "max_ratio": 0.5})
    # Forecasts of their own need no history to train on.
    assert Settings(study={"burn_in_days": 0}).study.burn_in_days == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"venue": {"names": ["dydx"]}, "capital": {"collateral": "eth"}}, "dydx takes: usdt"),
        ({"venue": {"names": ["binance", "dydx"]}, "capital": {"collateral": "eth"}}, "dydx takes"),
        (
            {"venue": {"names": ["dydx"]}, "capital": {"collateral": "coin-margined"}},
            "dydx takes: usdt",
        ),
        (
            {
                "venue": {"names": ["dydx"]},
                "capital": {"leverage_max": 60},
                "risk": {"keep_alive": 0.01},
            },
            "at most 50, what dydx",
        ),
        ({"risk": {"orders": {"order_usd": 5}}}, "at least 20 USD, the smallest order of binance"),
    ],
)
def test_what_a_venue_does_not_allow_is_refused_with_both_settings(
    settings: dict[str, dict[str, object]], expected: str
) -> None:
    loaded = load_settings(overrides=settings)
    with pytest.raises(FixConfig, match="contradict each other") as refused:
        refuse_what_venues_refuse(loaded)
    for told in (expected, "venue.names = (", "(command line)"):
        assert told in str(refused.value)


@pytest.mark.parametrize("collateral", ["usdt", "eth", "coin-margined"])
def test_the_default_venue_takes_every_collateral(collateral: str) -> None:
    refuse_what_venues_refuse(load_settings(overrides={"capital": {"collateral": collateral}}))


def test_a_run_that_brings_its_settings_still_heeds_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterpoise.toml").write_text("[hedge]\nband = 0.2\n", encoding="utf-8")
    monkeypatch.setenv("COUNTERPOISE_HEDGE__BASE_RATIO", "0.5")
    settings = settings_without_file({"study": {"burn_in_days": 400}})
    assert settings.hedge.base_ratio == 0.5
    assert settings.hedge.band == 0.05
    monkeypatch.setenv("COUNTERPOISE_HEDGE__BASE_RATIO", "5")
    with pytest.raises(FixConfig, match="change COUNTERPOISE_HEDGE__BASE_RATIO"):
        settings_without_file({})


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


def test_what_is_no_settings_file_is_refused(tmp_path: Path) -> None:
    large, binary = tmp_path / "large.toml", tmp_path / "binary.toml"
    large.touch()
    os.truncate(large, 50 << 30)
    binary.write_bytes(b'lake = "\xff"')
    for path, expected in (
        (tmp_path / "absent.toml", "an existing file"),
        (tmp_path, "a file, not a folder or device"),
        (Path("/dev/zero"), "a file, not a folder or device"),
        (tmp_path / ("x" * 5_000), "File name too long"),
        (large, "a file of at most 1,048,576 bytes"),
        (binary, "valid TOML"),
    ):
        with pytest.raises(FixConfig, match="--config = ") as refused:
            load_settings(path)
        assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ('["a", 1]', "venue.names = 1: expected text."),
        ("[a", "venue.names = '[a': expected names separated by commas, or a JSON list."),
        ("[]", "venue.names = '[]': expected at least 1 item."),
    ],
)
def test_a_wrong_list_in_the_environment_is_told_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, given: str, says: str
) -> None:
    monkeypatch.setenv("COUNTERPOISE_VENUE__NAMES", given)
    with pytest.raises(FixConfig) as refused:
        load_settings()
    assert (
        str(refused.value) == f"{says} Next: change COUNTERPOISE_VENUE__NAMES in the environment."
    )


def test_the_documented_file_sets_every_key_to_its_default(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    block = page.split("```toml\n")[1].split("```")[0]
    documented = load_settings(written(tmp_path, block))
    paths = {"lake": True, "run": {"state"}}
    assert documented.model_dump(exclude=paths) == load_settings().model_dump(exclude=paths)
    assert documented.lake == tmp_path / "lake"
    for key in known_keys():
        assert f"{key.rsplit('.', maxsplit=1)[-1]} = " in block, key
