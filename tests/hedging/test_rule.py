"""My own rule says what it means, sees no future, and is refused where it cannot be meant."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.config import Settings
from counterpoise.errors import FixConfig
from counterpoise.hedging import Intent, Situation, market_state, policies
from counterpoise.hedging.own import load_own
from counterpoise.hedging.rule import (
    QUANTITIES,
    WEEKDAYS,
    Case,
    Condition,
    Rebalance,
    Rule,
)
from counterpoise.hedging.rule_file import load_rule, parse_rule
from counterpoise.units import from_ms
from tests.hedging.test_policies import HOURS, random_situation, shortened

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "mine.toml"
COLUMNS = ("lo", "hi", "to_lo", "to_hi", "urgency", "target", "weights")


@pytest.fixture(scope="module")
def situation() -> Situation:
    """A market with gaps."""
    return random_situation(0.01)


@pytest.fixture(scope="module")
def whole() -> Situation:
    """A market without gaps."""
    return random_situation(0.0)


def read(text: str, cap: float = 1.0) -> Rule:
    return parse_rule(text, Path("mine.toml"), cap)[0]


def same(a: Intent, b: Intent) -> None:
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column), err_msg=column)


# --- what the market looked like -----------------------------------------------------------------


def by_hand(name: str, situation: Situation, hours: int, t: int) -> float:
    """One value of a condition's quantity, from plain loops over the rows up to ``t``."""
    timeline = situation.timeline
    spot = [float(value) for value in timeline.spot.close[: t + 1]]
    window = spot[max(0, t + 1 - hours) :]
    if name == "trend":
        return 100 * (spot[t] / spot[t - hours] - 1) if t >= hours else math.nan
    if name == "drawdown":
        known = [price for price in window if not math.isnan(price)]
        if math.isnan(spot[t]) or len(known) < 5 / 6 * hours:
            return math.nan
        return 100 * (1 - spot[t] / max(known))
    if name == "volatility":
        steps = [math.log(spot[i] / spot[i - 1]) for i in range(max(1, t + 1 - hours), t + 1)]
        known = [step for step in steps if not math.isnan(step)]
        if math.isnan(spot[t]) or len(known) < 5 / 6 * hours:
            return math.nan
        return 100 * math.sqrt(8760 * sum(step**2 for step in known) / len(known))
    rates = timeline.funding_settled[max(0, t + 1 - hours) : t + 1, 0]
    known = [float(rate) for rate in rates if not math.isnan(rate)]
    return 1e4 * sum(known) / len(known) if 8 * len(known) >= 5 / 6 * hours else math.nan


@pytest.mark.parametrize("name", list(QUANTITIES))
@settings(max_examples=60, deadline=None)
@given(hours=st.integers(8, 24 * 40), t=st.integers(0, HOURS - 1))
def test_a_quantity_is_what_its_definition_says(
    name: str, situation: Situation, hours: int, t: int
) -> None:
    found = QUANTITIES[name].measure(situation.timeline, hours)[t]
    expected = by_hand(name, situation, hours, t)
    if math.isnan(expected):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_hourly_settlements_count_as_rates_per_eight_hours(whole: Situation) -> None:
    timeline = whole.timeline
    hourly = replace(
        timeline,
        funding_settled=np.full((HOURS, 1), 1e-5),
        funding_last=np.full((HOURS, 1), 1e-5),
        funding_interval_h=np.ones((HOURS, 1)),
    )
    found = market_state.funding_bps_per_8h(hourly, 24)
    np.testing.assert_allclose(found[24:], 0.8)


def test_funding_is_unknown_once_the_last_settlement_is_a_day_old(whole: Situation) -> None:
    stopped = whole.timeline.funding_last.copy()
    stopped[2_000:] = np.nan
    found = market_state.funding_bps_per_8h(replace(whole.timeline, funding_last=stopped), 72)
    assert np.isfinite(found[1_999])
    assert np.isnan(found[2_000:]).all()


def test_a_market_at_its_high_has_no_drawdown_and_one_that_halved_has_fifty_percent() -> None:
    base = random_situation(0.0).timeline
    climbing = replace(base, spot=replace(base.spot, close=np.linspace(100, 200, HOURS)))
    assert np.nanmax(market_state.drawdown_pct(climbing, 48)) == 0
    close = np.full(HOURS, 100.0)
    close[1_000:] = 50.0
    halved = market_state.drawdown_pct(replace(base, spot=replace(base.spot, close=close)), 48)
    assert halved[1_000] == 50
    assert halved[1_047] == 0  # the high has left the window


# --- what a rule without conditions is ----------------------------------------------------------

ratios = st.floats(0.05, 1.0)


@settings(max_examples=20, deadline=None)
@given(ratio=ratios, band=st.floats(0.001, 0.2))
def test_a_rule_without_conditions_is_the_built_in_it_describes(
    situation: Situation, ratio: float, band: float
) -> None:
    hedge = situation.settings.hedge.model_copy(update={"base_ratio": ratio, "band": band})
    asked = replace(situation, settings=situation.settings.model_copy(update={"hedge": hedge}))
    for name, text in {
        "static_eth": "",
        "static_usd": 'hold_in = "usd"\n[rebalance]\nevery = "daily"',
        "calendar": 'hold_in = "usd"\n[rebalance]\nevery = "weekly"\nweekday = "monday"',
        "threshold": f'hold_in = "usd"\n[rebalance]\nband = {band!r}\nto = "target"',
    }.items():
        same(read(f"hold = {ratio!r}\n{text}").intent(asked), policies[name].build(asked))


def test_all_and_nothing_are_rules_too(situation: Situation) -> None:
    same(read("hold = 1").intent(situation), policies["full"].build(situation))
    same(read("hold = 0").intent(situation), policies["unhedged"].build(situation))


# --- conditions ----------------------------------------------------------------------------------


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    quantity = draw(st.sampled_from(list(QUANTITIES.values())))
    hours = draw(st.integers(quantity.shortest_h, 24 * 30))
    usual = {"funding": (-3, 3), "trend": (-40, 40), "volatility": (20, 150), "drawdown": (1, 60)}
    low = draw(st.floats(*usual[quantity.name]))
    high = draw(st.floats(*usual[quantity.name]))
    side = draw(st.sampled_from(["above", "below", "both"]))
    if side == "above":
        return Condition(quantity, hours, low, math.inf)
    if side == "below":
        return Condition(quantity, hours, -math.inf, high)
    return Condition(quantity, hours, min(low, high) - 0.5, max(low, high) + 0.5)


cases = st.builds(
    Case,
    hold=st.floats(0.0, 1.0),
    # A file has each quantity once.
    conditions=st.lists(conditions(), min_size=1, max_size=3, unique_by=lambda c: c.quantity.name)
    .map(lambda found: sorted(found, key=lambda c: list(QUANTITIES).index(c.quantity.name)))
    .map(tuple),
)


@st.composite
def rebalances(draw: st.DrawFn) -> Rebalance:
    every = draw(st.sampled_from(["hourly", "daily", "weekly", "monthly"]))
    band = draw(st.sampled_from([0.0, 0.02, 0.1]))
    return Rebalance(
        every=every,
        at_hour_utc=0 if every == "hourly" else draw(st.integers(0, 23)),
        weekday=draw(st.integers(0, 6)) if every == "weekly" else 0,
        day_of_month=draw(st.integers(1, 28)) if every == "monthly" else 1,
        band=band,
        to=draw(st.sampled_from(["target", "edge"])) if band else "target",
    )


rules = st.builds(
    Rule,
    name=st.just("mine"),
    hold=st.floats(0.0, 1.0),
    hold_in=st.sampled_from(["eth", "usd"]),
    cases=st.lists(cases, max_size=3).map(tuple),
    rebalance=rebalances(),
)


def written(rule: Rule) -> str:
    """The file a person would write for a rule."""
    when = rule.rebalance
    lines = [f"hold = {rule.hold!r}", f'hold_in = "{rule.hold_in}"', "[rebalance]"]
    lines += [f'every = "{when.every}"', f"band = {when.band!r}", f'to = "{when.to}"']
    if when.every != "hourly":
        lines.append(f"at_hour_utc = {when.at_hour_utc}")
    if when.every == "weekly":
        lines.append(f'weekday = "{WEEKDAYS[when.weekday]}"')
    if when.every == "monthly":
        lines.append(f"day_of_month = {when.day_of_month}")
    for case in rule.cases:
        lines += ["[[when]]", f"hold = {case.hold!r}"]
        for one in case.conditions:
            inside = [f"hours = {one.hours}"]
            if math.isfinite(one.above):
                inside.append(f"above_{one.quantity.unit} = {one.above!r}")
            if math.isfinite(one.below):
                inside.append(f"below_{one.quantity.unit} = {one.below!r}")
            lines.append(f"{one.quantity.name} = {{ {', '.join(inside)} }}")
    return "\n".join(lines)


@settings(max_examples=60, deadline=None)
@given(rule=rules)
def test_a_file_says_the_rule_it_was_written_from(rule: Rule) -> None:
    shadowed = any(
        later.implies(earlier) for i, later in enumerate(rule.cases) for earlier in rule.cases[:i]
    )
    if shadowed:  # random cases may do what a file may not
        with pytest.raises(FixConfig, match="already catch"):
            read(written(rule))
    else:
        assert read(written(rule)) == rule


@settings(max_examples=40, deadline=None)
@given(rule=rules, cut=st.integers(1, HOURS))
def test_a_rule_sees_no_future(situation: Situation, rule: Rule, cut: int) -> None:
    intent, part = rule.intent(situation), rule.intent(shortened(situation, cut))
    for column in COLUMNS:
        assert getattr(intent, column)[:cut].tobytes() == getattr(part, column).tobytes(), column


def held_by_hand(rule: Rule, situation: Situation, t: int) -> float:
    """First match wins; what is unknown and could matter makes the answer unknown."""
    for case in rule.cases:
        each = []
        for one in case.conditions:
            value = by_hand(one.quantity.name, situation, one.hours, t)
            each.append(None if math.isnan(value) else one.above < value < one.below)
        if False in each:
            continue
        return math.nan if None in each else case.hold
    return rule.hold


@settings(max_examples=80, deadline=None)
@given(rule=rules, t=st.integers(0, HOURS - 1))
def test_the_first_case_that_holds_says_what_to_hold(
    situation: Situation, rule: Rule, t: int
) -> None:
    found, expected = rule.held(situation.timeline)[t], held_by_hand(rule, situation, t)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_an_unknown_condition_is_an_unknown_intent_not_a_guess(situation: Situation) -> None:
    rule = read(
        'hold = 0.5\n[rebalance]\nevery = "hourly"\n'
        "[[when]]\nhold = 1.0\ndrawdown = { days = 30, above_pct = 10 }"
    )
    intent = rule.intent(situation)
    for column in ("lo", "hi", "to_lo", "to_hi"):
        assert np.isnan(getattr(intent, column)[: 24 * 24]).all(), column
    gaps = np.flatnonzero(np.isnan(situation.timeline.spot.close))
    assert np.isnan(intent.lo[gaps]).all()
    known = np.isfinite(intent.lo)
    assert set(intent.lo[known]) == {0.5, 1.0}


def test_a_condition_that_fails_for_sure_settles_a_case_whatever_the_others_are(
    situation: Situation,
) -> None:
    """After 10 days a 30-day drawdown is unknown, but a trend below -99 % is known not to be."""
    rule = read(
        'hold = 0.5\n[rebalance]\nevery = "hourly"\n[[when]]\nhold = 1.0\n'
        "drawdown = { days = 30, above_pct = 10 }\ntrend = { hours = 1, below_pct = -99 }"
    )
    spot = situation.timeline.spot.close[: 24 * 10]
    settled = np.isfinite(spot) & np.isfinite(np.append(np.nan, spot[:-1]))
    np.testing.assert_array_equal(rule.intent(situation).lo[: 24 * 10][settled], 0.5)


def test_a_threshold_itself_is_neither_above_nor_below(whole: Situation) -> None:
    flat = replace(whole.timeline, spot=replace(whole.timeline.spot, close=np.full(HOURS, 100.0)))
    for side in ("above", "below"):
        rule = read(
            'hold = 0.5\n[rebalance]\nevery = "hourly"\n[[when]]\nhold = 1.0\n'
            f"trend = {{ days = 1, {side}_pct = 0 }}"
        )
        assert set(rule.held(flat)[24:]) == {0.5}


# --- the calendar --------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(when=rebalances(), ratio=ratios)
def test_a_rule_changes_its_mind_only_at_its_hour_of_its_day(
    whole: Situation, when: Rebalance, ratio: float
) -> None:
    intent = Rule("mine", ratio, "usd", (), replace(when, band=0.0)).intent(whole)
    changed = np.flatnonzero(np.abs(np.diff(intent.target)) > 1e-12) + 1
    moments = [from_ms(int(whole.timeline.ts_ms[row])) for row in changed]
    if when.every != "hourly":
        assert {moment.hour for moment in moments} <= {when.at_hour_utc}
    if when.every == "weekly":
        assert {moment.weekday() for moment in moments} <= {when.weekday}
    if when.every == "monthly":
        assert {moment.day for moment in moments} <= {when.day_of_month}
    fewest = {"hourly": 4_000, "daily": 190, "weekly": 27, "monthly": 5}
    if (when.every, when.day_of_month, when.at_hour_utc) == ("monthly", 1, 0):
        assert moments == []  # the notional is fixed at that very price
    else:
        assert len(moments) >= fewest[when.every]


def test_a_bar_missing_at_the_hour_moves_the_decision_to_the_next_known_one(
    whole: Situation,
) -> None:
    spot = whole.timeline.spot.close.copy()
    spot[2_400] = np.nan  # a midnight
    timeline = replace(whole.timeline, spot=replace(whole.timeline.spot, close=spot))
    rule = read('hold = 0.8\nhold_in = "usd"\n[rebalance]\nevery = "daily"')
    target = rule.intent(replace(whole, timeline=timeline)).target
    assert np.isnan(target[2_400])
    month_open = timeline.spot.close[24 * (31 + 29 + 31)]  # 2020-04-01
    np.testing.assert_allclose(target[2_401:2_424], 0.8 * month_open / spot[2_401])


def test_from_outside_the_band_a_rule_goes_to_the_target_or_to_the_edge(whole: Situation) -> None:
    for to, low in (("target", 0.6), ("edge", 0.5)):
        intent = read(f'hold = 0.6\n[rebalance]\nband = 0.1\nto = "{to}"').intent(whole)
        assert intent.lo[0] == pytest.approx(0.5)
        assert intent.hi[0] == pytest.approx(0.7)
        assert intent.to_lo[0] == pytest.approx(low)


# --- refusals ------------------------------------------------------------------------------------

DAILY = '[rebalance]\nevery = "daily"\n'
REFUSED = {
    "broken TOML": ("hold = = 1", ("--rule", "valid TOML", "line 1")),
    "nothing to hold": ('label = "x"', ("hold = None", "such as 0.8")),
    "percent": ("hold = 80", ("hold = 80", "hedge.max_ratio = 1", "from 0 to 1")),
    "negative": ("hold = -0.1", ("hold = -0.1",)),
    "not a number": ('hold = "all"', ("hold = 'all'",)),
    "true is no number": ("hold = true", ("hold = True",)),
    "nan": ("hold = nan", ("hold = nan",)),
    "unknown key": ("holds = 0.8\nhold = 0.8", ("holds = 0.8", "did you mean hold?")),
    "unlike any key": ("hold = 0.8\nxyzzy = 1", ("one of name, label, hold",)),
    "unknown unit": ('hold = 0.8\nhold_in = "usdt"', ("hold_in", "did you mean 'usd'?")),
    "USD without a calendar": ('hold = 0.8\nhold_in = "usd"', ("rebalance", 'hold_in = "usd"')),
    "cases without a calendar": (
        "hold = 0.8\n[[when]]\nhold = 1\ntrend = { days = 1, above_pct = 0 }",
        ("rebalance", "[[when]]"),
    ),
    "rebalance is no table": ('hold = 0.8\nrebalance = "daily"', ("a table such as",)),
    "empty rebalance": ("hold = 0.8\n[rebalance]", ("rebalance.every = None", "or a band")),
    "misspelt calendar": (
        'hold = 0.8\n[rebalance]\nevery = "dayly"',
        ("rebalance.every = 'dayly'", "did you mean 'daily'?"),
    ),
    "misspelt key below": (
        'hold = 0.8\n[rebalance]\nevery = "daily"\nat_hour = 8',
        ("rebalance.at_hour = 8", "did you mean at_hour_utc?"),
    ),
    "hour": (f"hold = 0.8\n{DAILY}at_hour_utc = 24", ("at_hour_utc = 24", "from 0 to 23")),
    "half an hour": (f"hold = 0.8\n{DAILY}at_hour_utc = 8.5", ("8.5", "a whole number")),
    "hour of an hourly rule": (
        'hold = 0.8\n[rebalance]\nevery = "hourly"\nat_hour_utc = 3',
        ('no hour with every = "hourly"',),
    ),
    "weekday of a daily rule": (
        f'hold = 0.8\n{DAILY}weekday = "monday"',
        ("weekday = 'monday'", 'every = "weekly"', '(it is "daily")'),
    ),
    "day of a weekly rule": (
        'hold = 0.8\n[rebalance]\nevery = "weekly"\nday_of_month = 3',
        ('every = "monthly"',),
    ),
    "a day some months lack": (
        'hold = 0.8\n[rebalance]\nevery = "monthly"\nday_of_month = 31',
        ("day_of_month = 31", "a day every month has"),
    ),
    "wide band": ("hold = 0.8\n[rebalance]\nband = 5", ("band = 5", "from 0 to 0.5")),
    "way without band": (f'hold = 0.8\n{DAILY}to = "edge"', ("to = 'edge'", "to goes with band")),
    "when is no list": (f"hold = 0.8\n{DAILY}[when]\nhold = 1", ("under [[when]]",)),
    "case without condition": (f"hold = 0.8\n{DAILY}[[when]]\nhold = 1", ("when[1]", "funding")),
    "case without hold": (
        f"hold = 0.8\n{DAILY}[[when]]\ntrend = {{ days = 1, above_pct = 0 }}",
        ("when[1].hold = None",),
    ),
    "unknown condition": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\nvolatilty = {{ days = 7 }}",
        ("when[1].volatilty", "did you mean volatility?"),
    ),
    "condition is no table": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\ntrend = 5",
        ("when[1].trend = 5", "{ days = 7, above_pct"),
    ),
    "threshold without unit": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\nvolatility = {{ days = 7, above = 0.9 }}",
        ("when[1].volatility.above = 0.9", "above_pct_per_year?"),
    ),
    "no threshold": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\ntrend = {{ days = 7 }}",
        ("when[1].trend", "above_pct or below_pct"),
    ),
    "no window": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\ntrend = {{ above_pct = 1 }}",
        ("when[1].trend", "exactly one of hours and days"),
    ),
    "two windows": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\ntrend = {{ days = 1, hours = 3, above_pct = 1 }}",
        ("hours and days", "exactly one"),
    ),
    "window too short": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\nfunding = {{ hours = 4, above_bps_per_8h = 1 }}",
        ("when[1].funding.hours = 4", "8 h or more"),
    ),
    "window too long": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\ntrend = {{ days = 4000, above_pct = 1 }}",
        ("days = 4000", "to 730"),
    ),
    "window between hours": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\ntrend = {{ days = 1.01, above_pct = 1 }}",
        ("days = 1.01", "whole hours"),
    ),
    "threshold out of range": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\ndrawdown = {{ days = 7, above_pct = 120 }}",
        ("above_pct = 120", "from 0 to 100"),
    ),
    "threshold nothing passes": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\ndrawdown = {{ days = 7, below_pct = 0 }}",
        ("below_pct = 0", "can pass"),
    ),
    "empty range": (
        f"hold = 0.8\n{DAILY}[[when]]\nhold = 1\n"
        "trend = { days = 7, above_pct = 5, below_pct = 3 }",
        ("above_pct = 5", "below_pct = 3"),
    ),
    "shadowed case": (
        f"hold = 0.8\n{DAILY}"
        "[[when]]\nhold = 0.9\nvolatility = { days = 7, above_pct_per_year = 50 }\n"
        "[[when]]\nhold = 1.0\nvolatility = { hours = 168, above_pct_per_year = 90 }\n"
        "trend = { days = 7, below_pct = 0 }",
        ("when[2]", "when[1] does not already catch", "narrower one first"),
    ),
    "no name": ('hold = 0.8\nname = "my rule"', ("name = 'my rule'", "letters, digits")),
    "no line of words": ('hold = 0.8\nlabel = "a\\nb"', ("label", "one line")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line_with_key_value_and_next_step(
    what: str,
) -> None:
    text, words = REFUSED[what]
    with pytest.raises(FixConfig) as refused:
        read(text)
    message = str(refused.value)
    assert "mine.toml" in message
    assert "expected" in message
    assert "Next: " in message
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_the_narrower_case_first_is_a_rule() -> None:
    rule = read(
        f"hold = 0.8\n{DAILY}"
        "[[when]]\nhold = 1.0\nvolatility = { days = 7, above_pct_per_year = 90 }\n"
        "[[when]]\nhold = 0.9\nvolatility = { days = 7, above_pct_per_year = 50 }"
    )
    assert [case.hold for case in rule.cases] == [1.0, 0.9]


def test_the_cap_of_the_settings_bounds_what_a_rule_may_hold(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("hold = 0.8", encoding="utf-8")
    capped = Settings(hedge={"max_ratio": 0.7, "base_ratio": 0.6})
    with pytest.raises(FixConfig, match=r"hold = 0.8.*hedge.max_ratio = 0.7"):
        load_rule(file, capped)
    assert load_rule(file, Settings()).name == "mine"


def test_a_file_that_is_no_rule_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    for name, words in {
        "absent.toml": "that exists",
        ".": "not a folder",
        "binary.toml": "UTF-8",
        "large.toml": "1 MB",
    }.items():
        with pytest.raises(FixConfig, match=words):
            load_rule(tmp_path / name, Settings())


def test_two_rules_of_one_name_and_a_built_in_name_are_refused(tmp_path: Path) -> None:
    for folder, name in (("a", "mine"), ("b", "Mine"), ("c", "full")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.toml").write_text("hold = 0.8", encoding="utf-8")
    files = {name: tmp_path / name for name in ("a/mine.toml", "b/Mine.toml", "c/full.toml")}
    with pytest.raises(FixConfig, match=r"b/Mine.toml: name.*a/mine.toml"):
        load_own([files["a/mine.toml"], files["b/Mine.toml"]], [], Settings())
    with pytest.raises(FixConfig, match=r"c/full.toml: name.*built-in policy full"):
        load_own([files["c/full.toml"]], [], Settings())


def test_the_documented_example_is_a_rule_that_uses_all_it_may_hold(whole: Situation) -> None:
    policy = load_rule(EXAMPLE, whole.settings)
    assert (policy.name, policy.family) == ("mine", "own")
    assert policy.name not in list(policies)
    assert policy.source == EXAMPLE.read_text(encoding="utf-8")
    held = set(read(policy.source).held(whole.timeline)[24 * 30 :])
    assert held == {0.5, 0.75, 1.0}
    intent = policy.build(whole)
    changed = np.flatnonzero(np.diff(intent.target[24 * 31 :]) != 0) + 24 * 31 + 1
    assert {from_ms(int(whole.timeline.ts_ms[row])).hour for row in changed} == {8}


def test_a_rule_without_a_label_says_itself_in_one_line() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    _, label = parse_rule(text, EXAMPLE, 1.0)
    assert label == (
        "0.75 in constant ETH, changed by volatility, drawdown, funding, trend; "
        "daily, off by 0.05, to the edge"
    )
    assert parse_rule('hold = 0.8\nlabel = "my way"', EXAMPLE, 1.0)[1] == "my way"


def test_comments_names_and_layout_do_not_make_another_rule_a_threshold_does(
    tmp_path: Path,
) -> None:
    texts = ("hold = 0.8", "# better\nhold   = 0.80", 'hold = 0.8\nname = "other"', "hold = 0.81")
    meanings = []
    for text in texts:
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        meanings.append(load_rule(tmp_path / "mine.toml", Settings()).meaning)
    assert meanings[0] == meanings[1] == meanings[2] != meanings[3]
    assert " at 0x" not in load_rule(EXAMPLE, Settings()).meaning  # the same in every process


def test_every_key_of_a_rule_is_documented_and_the_readme_shows_a_rule() -> None:
    docs = Path(__file__).parents[2] / "docs" / "rules.md"
    told = docs.read_text(encoding="utf-8")
    keys = ["name", "label", "hold", "hold_in", "every", "at_hour_utc", "weekday", "day_of_month"]
    keys += ["band", "to", *QUANTITIES]
    keys += [f"{side}_{one.unit}" for one in QUANTITIES.values() for side in ("above", "below")]
    for key in keys:
        assert f"`{key}`" in told, key
    readme = (docs.parents[1] / "README.md").read_text(encoding="utf-8")
    shown = readme.split("```toml\n")[1].split("```")[0]
    assert [case.hold for case in read(shown).cases] == [1.0]
