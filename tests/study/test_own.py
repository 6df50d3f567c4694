"""My own rule and policy stand in a study like any other, and are counted as tried."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.hedging import Intent, Policy, Situation, own_policy
from counterpoise.hedging.own import load_own
from counterpoise.hedging.user_policy import load_policies
from counterpoise.simulation.simulate import simulate
from counterpoise.study.compare import RECOMMENDED, Study, run_study
from counterpoise.study.inference import BOOTSTRAPPED, holm, paired_bootstrap
from counterpoise.study.metrics import daily_returns
from counterpoise.study.page_content import page_of
from counterpoise.study.results import results_of, write_study
from counterpoise.study.trials import own_tried_before, remember_own, trials_before
from counterpoise.study.verdict import trial_count, trial_sentence, verdict
from counterpoise.study.window import span_notes, window
from counterpoise.units import from_ms
from tests.hedging.test_policies import random_forecasts
from tests.random_timeline import START_MS, random_timeline

HOURS = 24 * 240
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
HOLDOUT = from_ms(START_MS) + timedelta(days=160)
SETTINGS = Settings(study={"burn_in_days": 30, "draws": 200, "placebo_draws": 0})


def settings_of(**study: object) -> Settings:
    chosen = SETTINGS.study.model_copy(update={"holdout_start": HOLDOUT, **study})
    return SETTINGS.model_copy(update={"study": chosen})


@own_policy("fixed", "two thirds, always")
def fixed(situation: Situation) -> Intent:
    """A static hedge under another name."""
    return situation.around(np.full(situation.ticks, 0.667), 0.0)


@own_policy("resting", "two thirds, with a band it never leaves")
def resting(situation: Situation) -> Intent:
    """Trades once."""
    return situation.around(np.full(situation.ticks, 0.667), 0.05)


def studied(own: tuple[Policy, ...], **study: object) -> Study:
    timeline = replace(random_timeline(HOURS), synthetic=False)
    forecasts = random_forecasts(HOURS, timeline.ts_ms)
    return run_study(timeline, forecasts, settings_of(**study), own=own)


def documented() -> tuple[Policy, ...]:
    return load_own([EXAMPLES / "mine.toml"], [EXAMPLES / "my_policy.py"], SETTINGS)


@pytest.fixture(scope="module")
def study() -> Study:
    """A market without information, with the documented rule and policy and two static ones."""
    return studied((*documented(), fixed, resting))


def test_own_policies_stand_after_the_registered_ones_and_are_simulated_alike(
    study: Study,
) -> None:
    assert list(study.compared)[-4:] == ["mine", "paid_to_hedge", "fixed", "resting"]
    assert list(study.own) == ["mine", "paid_to_hedge", "fixed", "resting"]
    situation = Situation(
        study.timeline, random_forecasts(HOURS, study.timeline.ts_ms), study.settings, 3.75e-4
    )
    rule = documented()[0]
    (again,) = simulate(study.where, [rule.build(situation)])
    assert again.pnl.tobytes() == study.compared["mine"].path.pnl.tobytes()


def test_an_own_policy_is_held_against_a_static_hedge_of_its_own_size(study: Study) -> None:
    one = study.compared["mine"]
    ratio = one.metrics["mean_ratio"]
    flat = Situation(study.timeline, None, study.settings, 0.0).around(np.full(HOURS, ratio), 0.0)  # type: ignore[arg-type]
    (static,) = simulate(study.where, [flat], daily=True)
    found = paired_bootstrap(daily_returns(one.daily), daily_returns(static), draws=200)
    assert one.versus == found


def test_an_own_policy_that_never_moves_is_its_own_static_hedge(study: Study) -> None:
    for name in ("fixed", "resting"):
        assert study.compared[name].versus == {}
        assert {row["vol_difference"] for row in study.compared[name].years.values()} == {0.0}


def test_the_machine_is_held_against_each_own_policy_like_against_a_manual_rule(
    study: Study,
) -> None:
    assert list(study.versus_rules)[-4:] == list(study.own)
    assert "static_eth" in study.versus_rules
    machine = daily_returns(study.compared[RECOMMENDED].daily)
    mine = daily_returns(study.compared["mine"].daily)
    assert study.versus_rules["mine"] == paired_bootstrap(machine, mine, draws=200)
    family = [(rule, metric) for rule in study.versus_rules for metric in BOOTSTRAPPED]
    adjusted = holm([study.versus_rules[rule][metric].p for rule, metric in family])
    assert study.p_holm_rules == dict(zip(family, adjusted.tolist(), strict=True))


def test_own_policies_cost_the_registered_test_nothing_and_the_exploratory_ones_their_share(
    study: Study,
) -> None:
    without = studied(())
    for metric in ("vol", "cvar95", "ce20"):
        assert study.p_holm[RECOMMENDED, metric] == without.p_holm[RECOMMENDED, metric]
    assert len(study.p_holm) == len(without.p_holm) + 2 * len(BOOTSTRAPPED)
    for key, p in without.p_holm_rules.items():
        assert study.p_holm_rules[key] >= p


def test_own_policies_are_counted_as_tried_and_said_so(study: Study) -> None:
    count = trial_count(replace(study, own_before=5))
    assert count["own"] == 4
    assert count["total"] == count["in_this_study"] + trials_before() + 5
    said = trial_sentence(replace(study, own_before=5))
    assert "4 of the policies are your own" in said
    assert "looked at the holdout of this lake so far: 9;" in said
    assert "your own" not in trial_sentence(studied(()))


def test_a_window_without_holdout_does_not_claim_that_it_was_looked_at() -> None:
    early = studied((fixed,), end=None, holdout_start=from_ms(START_MS) + timedelta(days=9_000))
    assert early.holdout is None
    assert "1 of the policies are your own" in trial_sentence(early)
    assert "holdout" not in trial_sentence(early)


def test_the_verdict_says_how_the_machine_fares_against_mine(study: Study) -> None:
    said = verdict(study)
    own = said.split("Against your own, each at its own size")[1]
    for name in study.own:
        assert name in own
    assert "Against your own" not in verdict(studied(()))


def test_results_and_page_hold_the_own_policies_and_what_was_run(
    study: Study, tmp_path: Path
) -> None:
    results = results_of(study)
    json.dumps(results, allow_nan=False)
    row = results["policies"]["mine"]
    assert row["family"] == "own"
    assert row["source"] == (EXAMPLES / "mine.toml").read_text(encoding="utf-8")
    assert "source" not in results["policies"]["static_eth"]
    assert set(results["versus_rules"]["mine"]) == set(BOOTSTRAPPED)
    page = page_of(study)
    assert page.own == ("mine", "paid_to_hedge", "fixed", "resting")
    assert page_of(studied(())).own == ()
    files = write_study(study, tmp_path / "out")
    shown = files["report"].read_text(encoding="utf-8")
    assert "My own, against the machine" in shown
    assert "drawdown = { days = 30, above_pct = 25 }" in shown
    assert str(EXAMPLES) not in shown + json.dumps(results)
    names = {path.stem for path in files["paths"].iterdir()}
    assert names == set(study.compared)


def test_the_plots_show_mine_from_the_start(study: Study) -> None:
    names = [row.name for row in page_of(study).policies]
    assert names[:3] == [RECOMMENDED, "mine", "paid_to_hedge"]


def test_a_policy_that_looks_ahead_enters_no_study(tmp_path: Path) -> None:
    file = tmp_path / "seer.py"
    file.write_text(
        "import numpy as np\n"
        "from counterpoise.hedging import own_policy\n"
        "@own_policy('seer', 'knows the next hour')\n"
        "def seer(situation):\n"
        "    spot = situation.timeline.spot.close\n"
        "    return situation.around(np.where(np.roll(spot, -1) > spot, 0.0, 1.0), 0.0)\n",
        encoding="utf-8",
    )
    with pytest.raises(FixConfig, match=r"seer.py line 3.*no look-ahead"):
        studied(load_policies(file))


def test_a_study_refuses_two_policies_of_one_name() -> None:
    with pytest.raises(FixConfig, match="name = 'fixed'"):
        studied((fixed, fixed))
    with pytest.raises(FixConfig, match="built-in policy full"):
        studied((replace(fixed, name="full"),))


# --- what was asked for, and what was compared ---------------------------------------------------


@pytest.mark.parametrize(
    ("start_h", "end_h", "data_h", "said"),
    [
        (None, None, 240 * 24, []),
        (40 * 24, 200 * 24, 200 * 24, []),
        (
            40 * 24 + 10.5,
            None,
            200 * 24,
            [
                "--from 2020-02-10 10:30 is inside a day; whole days are compared, "
                "from 2020-02-11 00:00 UTC on"
            ],
        ),
        (
            None,
            200 * 24 + 10.5,
            200 * 24 + 10,
            [
                "--to 2020-07-19 10:30 is inside a day; whole days are compared, "
                "to 2020-07-19 00:00 UTC"
            ],
        ),
        (
            None,
            900 * 24,
            200 * 24 + 10,
            [
                "--to 2022-06-19 00:00 lies after the data, which end 2020-07-19 10:00; "
                "the comparison ends 2020-07-19 00:00 UTC"
            ],
        ),
    ],
)
def test_a_window_other_than_the_one_asked_for_is_said_in_one_plain_line(
    start_h: float | None, end_h: float | None, data_h: int, said: list[str]
) -> None:
    def moment(hours: float | None) -> datetime | None:
        return None if hours is None else from_ms(START_MS) + timedelta(hours=hours)

    # The tick at the last hour is known too.
    timeline = random_timeline(data_h + 1)
    chosen = settings_of(start=moment(start_h), end=moment(end_h))
    first, last = window(timeline, random_forecasts(data_h + 1, timeline.ts_ms), chosen)
    assert list(span_notes(timeline, chosen, first, last)) == said


def test_what_was_said_about_the_window_is_in_the_results() -> None:
    found = studied((), start=from_ms(START_MS) + timedelta(days=40, hours=1))
    assert results_of(found)["notes"] == list(found.notes)
    assert len(found.notes) == 1
    assert found.notes[0] in page_of(found).notes


def test_a_start_after_the_data_is_refused_with_where_they_end() -> None:
    with pytest.raises(NotEnoughData, match=r"--from 2022-06-19 00:00 lies after.*2020-08-27"):
        studied((), start=from_ms(START_MS) + timedelta(days=900))


# --- what is remembered between studies ----------------------------------------------------------


def test_a_lake_remembers_each_own_policy_once_whatever_its_name_and_comments(
    tmp_path: Path,
) -> None:
    rule, script = documented()
    assert own_tried_before(tmp_path, [rule]) == 0
    remember_own(tmp_path, [rule])
    assert own_tried_before(tmp_path, [rule]) == 0
    assert own_tried_before(tmp_path, [script]) == 1
    remember_own(tmp_path, [rule, script, script])
    remember_own(tmp_path, [replace(rule, name="renamed", source="# other words")])
    assert own_tried_before(tmp_path, []) == 2
    moved = tmp_path / "moved.toml"
    moved.write_text(rule.source.replace("above_pct = 25", "above_pct = 26"), encoding="utf-8")
    remember_own(tmp_path, load_own([moved], [], SETTINGS))
    assert own_tried_before(tmp_path, [rule]) == 2
