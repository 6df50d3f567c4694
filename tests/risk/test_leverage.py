"""Margin for the worst rise to come: forecast from the past alone, exact at maintenance."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from counterpoise.errors import FixConfig
from counterpoise.risk.leverage import adverse_move, dynamic_leverage, leverage_for, worst_rise
from counterpoise.risk.margin import liquidation_price
from tests.risk.test_margin import Rules, naive_maintenance, random_tiers, tiers

NAN = math.nan
HOURLY = math.sqrt(8760)  # annualised volatility of 100 % an hour
BINANCE, COIN_M = tiers("binance"), tiers("binance-coin-m")


def market(seed: int, hours: int, gaps: float = 0.01) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Highs, closes and volatilities with holes in each of them."""
    rng = np.random.default_rng(seed)
    vol = np.exp(rng.normal(-0.5, 0.5, hours))
    close = 2_000.0 * np.exp(np.cumsum(rng.normal(0, vol / HOURLY)))
    high = close * (1 + np.abs(rng.normal(0, vol / HOURLY)))
    for values in (high, close, vol):
        values[rng.random(hours) < gaps] = NAN
    return high, close, vol


def naive_rise(high: np.ndarray, close: np.ndarray, t: int, horizon_h: int) -> float:
    ahead = [float(high[k]) for k in range(t + 1, t + horizon_h + 1) if k < len(high)]
    if len(ahead) < horizon_h or any(math.isnan(value) for value in [*ahead, close[t]]):
        return NAN
    return max(max(ahead) / close[t] - 1, 0.0)


def naive_forecast(
    high: np.ndarray,
    close: np.ndarray,
    vol: np.ndarray,
    horizon_h: int,
    quantile: float,
    min_rows: int,
) -> list[float]:
    """Tick by tick, with what is known at the tick, and a quantile that is kept for a month."""
    forecast, kept, fitted_at = [], NAN, None
    for t in range(len(close)):
        if fitted_at is None or t == fitted_at + 720:
            seen = []
            for s in range(t - horizon_h + 1):
                rise = naive_rise(high, close, s, horizon_h)
                if not math.isnan(rise) and vol[s] > 0:
                    seen.append(rise / (vol[s] * math.sqrt(horizon_h / 8760)))
            if len(seen) >= min_rows:
                ordered, place = sorted(seen), quantile * (len(seen) - 1)
                below = int(place)
                above = min(below + 1, len(seen) - 1)
                kept = ordered[below] + (place - below) * (ordered[above] - ordered[below])
                fitted_at = t
        forecast.append(kept * vol[t] * math.sqrt(horizon_h / 8760) if vol[t] > 0 else NAN)
    return forecast


def test_worked_forecast() -> None:
    """Two-hour rises of 3 % (known), unknown, 4 % and 0: the first quantile is taken at hour 5.

    Volatility is 1 % an hour, √2 % over two hours, so the ratios are 3/√2, 4/√2 and 0, and the
    median gives back 3 % while volatility stays; at 2 % an hour it is 6 %.
    """
    close = np.array([100.0, NAN, 100.0, 104.0, 100.0, 100.0, 100.0])
    high = np.array([101.0, 102.0, 103.0, 104.0, 104.0, 100.0, 100.0])
    vol = np.array([0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.02]) * HOURLY
    assert worst_rise(high, close, 2) == pytest.approx(
        [0.03, NAN, 0.04, 0.0, 0.0, NAN, NAN], nan_ok=True
    )
    found = adverse_move(high, close, vol, 2, quantile=0.5, min_rows=3)
    assert found == pytest.approx([NAN, NAN, NAN, NAN, NAN, 0.03, 0.06], nan_ok=True)


@given(st.integers(0, 1_000), st.integers(1, 30), st.sampled_from([0.5, 0.95, 0.99]))
@settings(max_examples=15)
def test_the_forecast_is_that_of_a_naive_clerk(seed: int, horizon_h: int, quantile: float) -> None:
    high, close, vol = market(seed, 900)
    vol[seed % 900] = 0.0
    found = adverse_move(high, close, vol, horizon_h, quantile, min_rows=100)
    naive = naive_forecast(high, close, vol, horizon_h, quantile, min_rows=100)
    assert found == pytest.approx(naive, rel=1e-12, nan_ok=True)
    assert np.isfinite(found).sum() > 500


@given(st.integers(0, 1_000), st.integers(1, 30), st.integers(1, 1_700))
@settings(max_examples=50)
def test_cutting_the_history_leaves_the_past_byte_identical(
    seed: int, horizon_h: int, cut: int
) -> None:
    high, close, vol = market(seed, 1_700)
    whole = adverse_move(high, close, vol, horizon_h, min_rows=200)
    part = adverse_move(high[:cut], close[:cut], vol[:cut], horizon_h, min_rows=200)
    assert part.tobytes() == whole[:cut].tobytes()


def test_an_unknown_volatility_is_an_unknown_forecast_and_a_gap_is_not() -> None:
    high, close, vol = market(1, 1_000, gaps=0.0)
    vol[600] = NAN
    high[700:720] = close[700:720] = NAN
    found = adverse_move(high, close, vol, 8, min_rows=100)
    assert np.flatnonzero(np.isnan(found[107:])).tolist() == [600 - 107]
    assert np.isnan(found[:107]).all()


def test_under_a_volatility_that_is_right_one_hour_in_a_hundred_exceeds_it() -> None:
    high, close, vol = market(5, 60_000, gaps=0.0)
    # Known at t is the volatility of the hour to come.
    found = adverse_move(high, close, np.append(vol[1:], NAN), 1)
    rises = worst_rise(high, close, 1)
    both = np.isfinite(found) & np.isfinite(rises)
    assert np.mean(rises[both] > found[both]) == pytest.approx(0.01, abs=0.002)


def test_too_little_history_forecasts_nothing() -> None:
    high, close, vol = market(1, 50, gaps=0.0)
    assert np.isnan(adverse_move(high, close, vol, 8)).all()
    assert np.isnan(worst_rise(high, close, 50)).all()


@pytest.mark.parametrize(
    "given", [{"horizon_h": 0}, {"quantile": 1.0}, {"quantile": NAN}, {"min_rows": 0}]
)
def test_forecasts_of_nothing_are_refused(given: dict) -> None:
    high, close, vol = market(1, 50)
    with pytest.raises(FixConfig, match=next(iter(given))):
        adverse_move(high, close, vol, **({"horizon_h": 8} | given))


def test_worked_leverage() -> None:
    """The worked short of 1,310,281.20 USD and a rise of 10 %, to 1,441,309.32: tier 3.

    It loses 131,028.12 and needs 1,441,309.32·0.65 % - 950 = 8,418.51: 139,446.63, so 9.3963×.
    """
    assert round(float(leverage_for(0.1, 1_310_281.2, *BINANCE)), 4) == 9.3963


def test_worked_leverage_of_an_inverse_short() -> None:
    """550 ETH and a rise of 25 %: 440 ETH are left, 110 lost, tier 2 needs 440·0.65 % - 0.15.

    550 / (110 + 2.71) = 4.8798; before the rise it would have been tier 3.
    """
    assert round(float(leverage_for(0.25, 550.0, *COIN_M, inverse=True)), 4) == 4.8798


rises = st.floats(0.0, 1.5)


@given(random_tiers(), st.floats(0.001, 1_000.0), rises, st.booleans(), st.floats(0.01, 1.0))
def test_after_the_rise_equity_is_maintenance_and_smaller_shorts_have_more(
    rules: Rules, notional: float, rise: float, inverse: bool, share: float
) -> None:
    leverage = float(leverage_for(rise, notional, *rules, inverse=inverse))
    for size in (notional, share * notional):
        equity, after = size / leverage - size * rise, size * (1 + rise)
        if inverse:
            after = size / (1 + rise)
            equity = size / leverage - (size - after)
        needed = naive_maintenance(after, rules)
        if size == notional:
            assert equity == pytest.approx(needed, abs=1e-9 * notional)
        else:
            assert equity >= needed - 1e-9 * notional


@given(st.floats(1e4, 1e8), st.floats(0.001, 1.5), st.booleans())
def test_the_venue_liquidates_it_at_that_rise(usd: float, rise: float, inverse: bool) -> None:
    price, rules = 2_000.0, COIN_M if inverse else BINANCE
    short = usd / price
    leverage = float(leverage_for(rise, short if inverse else usd, *rules, inverse=inverse))
    coins, cash = (short / leverage, 0.0) if inverse else (0.0, usd / leverage)
    dies = liquidation_price(cash, coins, short, price, inverse, *rules)
    assert dies == pytest.approx(price * (1 + rise), rel=1e-9)


def test_a_short_of_nothing_has_the_leverage_of_the_smallest_one() -> None:
    assert leverage_for(0.1, 0.0, *BINANCE) == pytest.approx(leverage_for(0.1, 1.0, *BINANCE))


moves = arrays.arrays(np.float64, 20, elements=st.one_of(st.floats(0.0, 2.0), st.just(NAN)))
notionals = arrays.arrays(np.float64, 20, elements=st.one_of(st.floats(0.0, 3e8), st.just(NAN)))


@given(moves, notionals, st.floats(1.05, 2.0), st.booleans())
def test_a_top_up_never_asks_for_another_and_survives_its_headroom(
    adverse: np.ndarray, notional: np.ndarray, headroom: float, inverse: bool
) -> None:
    rules, size = (COIN_M, notional / 2_000) if inverse else (BINANCE, notional)
    after, asks = dynamic_leverage(
        adverse, size, rules, 1.0, 20.0, headroom, fallback=(2.0, 3.0), inverse=inverse
    )
    unknown = np.isnan(adverse) | np.isnan(notional)
    assert (after[unknown] == 2.0).all()
    assert (asks[unknown] == 3.0).all()
    known = ~unknown
    assert ((after[known] >= 1.0) & (asks[known] <= 20.0)).all()
    assert (after[known] <= asks[known] / headroom * (1 + 1e-12)).all()
    for t in np.flatnonzero(known):
        survived = float(leverage_for(adverse[t], size[t], *rules, inverse=inverse))
        assert asks[t] <= max(survived, headroom) * (1 + 1e-12)
        with_room = float(leverage_for(headroom * adverse[t], size[t], *rules, inverse=inverse))
        assert after[t] <= max(with_room, 1.0) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"headroom": 1.0}, "headroom"),
        ({"lowest": 0.0}, "highest"),
        ({"lowest": 18.0}, "highest"),
        ({"fallback": (3.0, 3.0)}, "fallback"),
    ],
)
def test_limits_without_room_are_refused(given: dict, key: str) -> None:
    limits = {"lowest": 2.0, "highest": 20.0, "fallback": (2.0, 3.0)} | given
    with pytest.raises(FixConfig, match=f"^{key} = "):
        dynamic_leverage(np.array([0.1]), np.array([1e6]), BINANCE, **limits)
