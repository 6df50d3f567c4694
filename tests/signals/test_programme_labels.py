"""Outcomes of the forecasting programme against plain loops, on gaps and on two venues."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.market.timeline import Bars, Timeline
from counterpoise.signals import labels
from counterpoise.signals.labels import Label
from tests.random_timeline import cut, random_timeline

HOURS = 400


def two_venues(hours: int = HOURS) -> Timeline:
    """Gaps in the prices; the first venue settles every 8 h and misses some, the other every 4 h.

    At hour 200 the first venue goes over to settling every 4 h.
    """
    base = random_timeline(hours, seed=8, gap_share=0.03)
    rng = np.random.default_rng(5)
    clock = np.arange(hours)
    interval = np.column_stack([np.where(clock < 200, 8.0, 4.0), np.full(hours, 4.0)])
    settled = np.where(clock[:, None] % interval == 0, 1e-4 * rng.normal(size=(hours, 2)), np.nan)
    settled[[24, 88, 96, 104, 240, 300], 0] = np.nan
    settled[rng.random(hours) < 0.1, 1] = np.nan
    perp = Bars(
        *(
            np.hstack([getattr(base.perp, name), 1.5 * getattr(base.perp, name)])
            for name in Bars.__dataclass_fields__
        )
    )
    return dataclasses.replace(
        base,
        venues=("binance", "bybit"),
        perp=perp,
        mark_high=np.hstack([base.mark_high, 9.0 * base.mark_high]),
        funding_settled=settled,
        funding_last=np.zeros((hours, 2)),
        funding_mark=np.full((hours, 2), np.nan),
        funding_interval_h=interval,
    )


PAIR = two_venues()


def alone(venue: int) -> Timeline:
    """The funding of one venue of the pair as the only one."""
    return dataclasses.replace(
        PAIR,
        funding_settled=PAIR.funding_settled[:, [venue]],
        funding_interval_h=PAIR.funding_interval_h[:, [venue]],
    )


#: Label of a timeline, and whether nothing after its told rows may be known on a cut timeline.
EVERY: dict[str, tuple[Callable[[Timeline], Label], bool]] = {
    "direction 1 h": (lambda tl: labels.direction(tl, 1), True),
    "direction 24 h": (lambda tl: labels.direction(tl, 24), True),
    "return 4 h": (lambda tl: labels.log_return(tl, 4), True),
    "variance 4 h": (lambda tl: labels.log_variance(tl, 4), True),
    "variance 168 h": (lambda tl: labels.log_variance(tl, 168), True),
    "running funding": (labels.running_funding, False),
    "mean funding 24 h": (lambda tl: labels.mean_funding(tl, 24), True),
    "adverse move 24 h": (lambda tl: labels.adverse_move(tl, 24), True),
}


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(EVERY)), ticks=st.integers(30, HOURS - 1))
def test_a_known_outcome_never_changes_when_later_hours_come(name: str, ticks: int) -> None:
    of, ends = EVERY[name]
    whole, early = of(PAIR), of(cut(PAIR, ticks))
    told = max(ticks - whole.horizon_h, 0)
    assert early.values[:told].tobytes() == whole.values[:told].tobytes()
    if ends:
        assert np.isnan(early.values[told:]).all()
    else:
        known = np.isfinite(early.values)
        assert early.values[known].tobytes() == whole.values[:ticks][known].tobytes()
    assert np.isnan(early.values[-1])


@pytest.mark.parametrize("hours", [1, 4, 24])
def test_direction_and_return_equal_a_plain_loop(hours: int) -> None:
    direction, moved = labels.direction(PAIR, hours), labels.log_return(PAIR, hours)
    assert (direction.horizon_h, moved.horizon_h) == (hours, hours)
    close = PAIR.spot.close
    for t in range(HOURS):
        later = close[t + hours] if t + hours < HOURS else np.nan
        if not np.isfinite(close[t] * later):
            assert np.isnan(direction.values[t])
            assert np.isnan(moved.values[t])
            continue
        assert direction.values[t] == (1.0 if later > close[t] else 0.0)
        assert moved.values[t] == pytest.approx(np.log(later / close[t]), abs=1e-12)
    assert 0 < np.isnan(direction.values[: HOURS - 24]).sum() < 60


@pytest.mark.parametrize("hours", [4, 24, 168])
def test_variance_equals_a_plain_loop_for_every_horizon(hours: int) -> None:
    label = labels.log_variance(PAIR, hours)
    close, known = PAIR.spot.close, 0
    for t in range(HOURS):
        squares = [
            np.log(close[s] / close[s - 1]) ** 2
            for s in range(t + 1, t + hours + 1)
            if s < HOURS and np.isfinite(close[s] * close[s - 1])
        ]
        if t + hours >= HOURS or 6 * len(squares) < 5 * hours:
            assert np.isnan(label.values[t])
        else:
            known += 1
            expected = np.log(8760.0 * sum(squares) / len(squares))
            assert label.values[t] == pytest.approx(expected, rel=1e-12)
    assert known > 100


def test_a_price_that_does_not_move_has_no_log_variance() -> None:
    still = dataclasses.replace(PAIR.spot, close=np.full(HOURS, 100.0))
    label = labels.log_variance(dataclasses.replace(PAIR, spot=still), 24)
    assert np.isnan(label.values).all()


@pytest.mark.parametrize("venue", [0, 1])
def test_running_funding_is_the_next_settlement_of_its_venue_per_eight_hours(venue: int) -> None:
    label = labels.running_funding(alone(venue))
    assert label.horizon_h == 8
    settled, interval = PAIR.funding_settled[:, venue], PAIR.funding_interval_h[:, venue]
    for t in range(HOURS):
        ahead = [s for s in range(t + 1, min(t + 9, HOURS)) if np.isfinite(settled[s])]
        if not ahead:
            assert np.isnan(label.values[t])
        else:
            expected = settled[ahead[0]] * 8.0 / interval[ahead[0]]
            assert label.values[t] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("venue", [0, 1])
@pytest.mark.parametrize("hours", [24, 168])
def test_mean_funding_is_what_a_day_pays_scaled_to_eight_hours(venue: int, hours: int) -> None:
    label = labels.mean_funding(alone(venue), hours)
    settled, interval = PAIR.funding_settled[:, venue], PAIR.funding_interval_h[:, venue]
    known = 0
    for t in range(HOURS):
        ahead = [s for s in range(t + 1, min(t + hours + 1, HOURS)) if np.isfinite(settled[s])]
        covered = sum(interval[s] for s in ahead)
        if np.isnan(settled[t]) or t + hours >= HOURS or 6 * covered < 5 * hours:
            assert np.isnan(label.values[t])
        else:
            known += 1
            # What was paid in all, over the hours it was paid for.
            expected = 8.0 * sum(settled[s] for s in ahead) / covered
            assert label.values[t] == pytest.approx(expected, rel=1e-12, abs=1e-18)
    assert known > 20


def test_a_missed_settlement_leaves_a_day_too_thinly_covered() -> None:
    # One of three settlements of the day after hour 80 is missing: 16 of 24 h are covered.
    assert np.isnan(PAIR.funding_settled[88, 0])
    assert np.isnan(labels.mean_funding(PAIR, 24).values[80])
    # The week after hour 64 misses three, and half of the hours before the first short interval:
    # 140 of 168 h are covered, five sixths to the hour. After hour 72 it misses one more.
    week = labels.mean_funding(PAIR, 168).values
    assert np.isfinite(week[64])
    assert np.isnan(week[72])


def test_the_adverse_move_is_the_worst_mark_of_the_first_venue_over_its_close() -> None:
    label = labels.adverse_move(PAIR, 24)
    high, close = PAIR.mark_high[:, 0], PAIR.perp.close[:, 0]
    for t in range(HOURS):
        ahead = high[t + 1 : t + 25]
        if len(ahead) < 24 or np.isnan(ahead).any() or np.isnan(close[t]):
            assert np.isnan(label.values[t])
        else:
            assert label.values[t] == max(max(ahead) / close[t] - 1.0, 0.0)
    assert np.isfinite(label.values).sum() > 50
