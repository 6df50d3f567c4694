"""A second study says what it would have said alone, and computes only what changed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.hedging import Intent, Policy, Situation, own_policy
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.study.compare import Study, run_study
from counterpoise.study.results import results_of
from counterpoise.study.reuse import Shelf
from tests.hedging.test_policies import random_forecasts
from tests.random_timeline import random_timeline

#: Long enough for placebos, which need a year.
HOURS = 24 * 400
SETTINGS = Settings(study={"burn_in_days": 30, "draws": 150, "placebo_draws": 4})


def wavering(half_width: float) -> Policy:
    @own_policy("wavering", "a sine, weekly")
    def build(situation: Situation) -> Intent:
        target = 0.7 + 0.2 * np.sin(np.arange(situation.ticks) / 168.0)
        return situation.around(target, half_width)

    return build


@pytest.fixture(scope="module")
def market() -> tuple[Timeline, Forecasts]:
    timeline = replace(random_timeline(HOURS), synthetic=False)
    return timeline, random_forecasts(HOURS, timeline.ts_ms)


@pytest.fixture(scope="module")
def alone(market: tuple[Timeline, Forecasts]) -> Study:
    """A study that never heard of another."""
    return run_study(*market, SETTINGS, own=(wavering(0.05),))


@pytest.fixture(scope="module")
def lake(market: tuple[Timeline, Forecasts], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the same study has left its results."""
    folder: Path = tmp_path_factory.mktemp("lake")
    run_study(*market, SETTINGS, own=(wavering(0.05),), shelf=Shelf(folder))
    return folder


def told(study: Study) -> str:
    """Everything a study found, to the last digit."""
    draws = [placebo.draws.tolist() for placebo in study.placebos]
    return json.dumps([results_of(study), draws])


def test_a_study_that_finds_everything_says_the_same_to_the_last_digit(
    market: tuple[Timeline, Forecasts], alone: Study, lake: Path
) -> None:
    shelf = Shelf(lake)
    again = run_study(*market, SETTINGS, own=(wavering(0.05),), shelf=shelf)
    assert told(again) == told(alone)
    assert len(alone.placebos) == 3
    assert not shelf.computed
    tested = sum(bool(one.versus) for one in alone.compared.values())
    compared = tested + len(alone.versus_rules) + len(alone.periods)
    assert shelf.reused == {"bootstrap": compared, "placebos": 1}


def test_one_changed_policy_costs_its_own_comparisons_and_no_others(
    market: tuple[Timeline, Forecasts], lake: Path
) -> None:
    shelf = Shelf(lake)
    again = run_study(*market, SETTINGS, own=(wavering(0.08),), shelf=shelf)
    assert shelf.computed == {"bootstrap": 2}  # against its matched static, and the recommended
    assert told(again) == told(run_study(*market, SETTINGS, own=(wavering(0.08),)))


def test_a_changed_setting_is_computed_wherever_it_matters(
    market: tuple[Timeline, Forecasts], alone: Study, lake: Path
) -> None:
    wider = SETTINGS.model_copy(update={"hedge": SETTINGS.hedge.model_copy(update={"band": 0.1})})
    shelf = Shelf(lake)
    again = run_study(*market, wider, own=(wavering(0.05),), shelf=shelf)
    assert told(again) == told(run_study(*market, wider, own=(wavering(0.05),)))
    assert told(again) != told(alone)
    assert shelf.computed["placebos"] == 1
    assert shelf.reused["bootstrap"] > 0  # the calendar and the user's own know no such band


def test_one_changed_price_is_computed_from_the_start(
    market: tuple[Timeline, Forecasts], lake: Path
) -> None:
    timeline, forecasts = market
    close = timeline.spot.close.copy()
    close[HOURS // 2] *= 1 + 1e-12
    moved = replace(timeline, spot=replace(timeline.spot, close=close))
    shelf = Shelf(lake)
    again = run_study(moved, forecasts, SETTINGS, shelf=shelf)
    assert told(again) == told(run_study(moved, forecasts, SETTINGS))
    assert shelf.computed["placebos"] == 1


def test_damaged_results_of_earlier_studies_change_nothing(
    market: tuple[Timeline, Forecasts], alone: Study, tmp_path: Path
) -> None:
    first = Shelf(tmp_path)
    run_study(*market, SETTINGS, own=(wavering(0.05),), shelf=first)
    for number, entry in enumerate(sorted(tmp_path.iterdir())):
        content = bytearray(entry.read_bytes())
        content[-1 - number] ^= 1
        entry.write_bytes(content if number % 2 else content[:-7])
    second = Shelf(tmp_path)
    assert told(run_study(*market, SETTINGS, own=(wavering(0.05),), shelf=second)) == told(alone)
    assert second.computed == first.computed
