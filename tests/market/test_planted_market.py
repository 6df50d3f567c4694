"""What is planted in a generated market has the strength stated; otherwise there is nothing."""

import numpy as np
import pytest

from counterpoise.errors import FixConfig
from counterpoise.market.layouts import ONCHAIN, DatasetKey
from counterpoise.market.schemas import SPECS
from counterpoise.market.synthetic import generate
from counterpoise.market.synthetic_daily import LEAD_DAYS, gas_memory, gas_signal
from counterpoise.market.synthetic_planted import SIGN_GAIN, Planted, signal_of_hours
from counterpoise.market.tables import validate
from counterpoise.signals.confidence import auc
from counterpoise.units import HOUR_MS

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
PERP = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")
TWENTY_YEARS = 20 * 365


def known_gas(market):
    """Share of gas used as a trader knows it at each close of spot, by the lake's own rule."""
    stored = validate(market[ONCHAIN], SPECS["onchain_daily"], "gas", interval="1d")
    share = (stored["gas_used"] / stored["gas_limit_avg"]).to_numpy()
    known = stored["known_at"].dt.epoch("ms").to_numpy()
    closes = market[SPOT]["ts"].dt.epoch("ms").to_numpy() + HOUR_MS
    return share[np.searchsorted(known, closes, side="right") - 1]


def auc_of_gas(seed, planted):
    """AUC of the best forecast of the next four hours' sign, straight from the tables."""
    market = generate(seed, days=TWENTY_YEARS, with_gaps=False, planted=planted)
    close = market[SPOT]["close"].to_numpy()
    return auc(known_gas(market)[:-4], (close[4:] > close[:-4]) * 1.0)


@pytest.mark.parametrize("clustering", [True, False], ids=["clustered", "shuffled"])
@pytest.mark.parametrize("strength", [0.54, 0.60])
def test_the_planted_auc_is_the_one_stated(strength, clustering):
    planted = Planted(direction_auc=strength, clustering=clustering)
    found = [auc_of_gas(seed, planted) for seed in (1, 2, 3)]
    # Three markets of 43,800 returns that do not overlap: a standard error of 0.0016.
    assert np.mean(found) == pytest.approx(strength, abs=0.005)


def test_nothing_planted_means_that_gas_says_nothing():
    found = [auc_of_gas(seed, Planted()) for seed in (1, 2, 3)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("strength", [0.52, 0.58, 0.65])
def test_the_closed_form_is_the_auc_of_two_correlated_normals(strength):
    ic = Planted(direction_auc=strength).ic
    rng = np.random.default_rng(3)
    signal, noise = rng.standard_normal((2, 1_000_000))
    outcome = ic * signal + np.sqrt(1 - ic**2) * noise > 0
    assert auc(signal, outcome * 1.0) == pytest.approx(strength, abs=0.0015)


def test_the_hourly_share_gives_that_auc_on_four_hours_of_a_plain_market():
    """Constant volatility and normal shocks: only the arithmetic of hours and days is left."""
    planted, days = Planted(direction_auc=0.60), 60_000
    rng = np.random.default_rng(4)
    signal = signal_of_hours(gas_signal(rng, days), LEAD_DAYS)
    share = planted.hourly_share(gas_memory()) * SIGN_GAIN
    shock = share * signal + np.sqrt(1 - share**2) * rng.standard_normal(24 * days)
    ahead = np.lib.stride_tricks.sliding_window_view(shock, 4).sum(axis=1)
    assert auc(signal[:-3], (ahead > 0) * 1.0) == pytest.approx(0.60, abs=0.002)


def test_the_signal_of_an_hour_is_the_newest_a_trader_can_have_at_its_open():
    market = generate(2, days=30, with_gaps=False)
    gas = market[ONCHAIN]
    share = (gas["gas_used"] / gas["gas_limit_avg"]).to_numpy()
    # What is known at a close is what can move the bar that opens there.
    assert known_gas(market)[:-1].tolist() == signal_of_hours(share, LEAD_DAYS)[1:].tolist()


def test_a_market_with_nothing_planted_is_the_plain_one():
    plain, asked = generate(5, days=60), generate(5, days=60, planted=Planted())
    assert all(plain[key].equals(asked[key]) for key in plain)


def test_planting_direction_moves_the_price_and_nothing_a_trader_sees_beside_it():
    plain, planted = (
        generate(5, days=200, planted=Planted(direction_auc=strength)) for strength in (0.5, 0.58)
    )
    for column in ("gas_used", "gas_limit_avg", "tx_count"):
        assert plain[ONCHAIN][column].equals(planted[ONCHAIN][column])
    moves = [np.diff(np.log(market[SPOT]["close"].to_numpy())) for market in (plain, planted)]
    assert np.corrcoef(*moves)[0, 1] > 0.98
    assert moves[1].std() == pytest.approx(moves[0].std(), rel=0.02)


def test_shuffled_volatility_has_the_same_returns_and_no_memory():
    spread, memory = [], []
    for seed in range(4):
        both = [
            np.diff(np.log(generate(seed, days=1500, planted=planted)[SPOT]["close"].to_numpy()))
            for planted in (Planted(), Planted(clustering=False))
        ]
        spread.append(both[1].std() / both[0].std())
        size = np.abs(both[1])
        memory += [np.corrcoef(size[:-lag], size[lag:])[0, 1] for lag in (1, 6, 24, 168)]
    assert np.mean(spread) == pytest.approx(1.0, abs=0.03)
    # 36,000 hours each: a standard error of 0.005.
    assert np.abs(memory).max() < 0.03


def test_the_price_is_a_martingale_whatever_is_known():
    """The next hour's return is unrelated to what the tables say at its open."""
    statistics = []
    for seed in range(6):
        market = generate(seed, days=3000, with_gaps=False)
        spot, funding = market[SPOT], market[FUNDING]
        close = spot["close"].to_numpy()
        simple = np.diff(close) / close[:-1]
        size = np.abs(np.diff(np.log(close), prepend=np.log(close[0])))
        trailing = np.sqrt(np.convolve(size**2, np.ones(24) / 24)[: len(size)])
        last_day = np.convolve(np.diff(np.log(close), prepend=np.log(close[0])), np.ones(24))
        settled = np.searchsorted(
            funding["ts"].to_numpy(), (spot["ts"].dt.offset_by("1h")).to_numpy(), side="right"
        )
        rates = np.concatenate(([0.0], funding["funding_rate"].to_numpy()))
        known = {
            "nothing": np.ones(len(close)),
            "last return": np.diff(close, prepend=close[0]) / close / trailing.mean(),
            "return of a day": last_day[: len(close)],
            "volatility": np.log(np.maximum(trailing, 1e-6)),
            "volume": np.log(spot["volume"].to_numpy()),
            "takers": (spot["taker_buy_base"] / spot["volume"]).to_numpy() - 0.5,
            "basis": market[PERP]["close"].to_numpy() / close - 1,
            "funding": rates[settled],
            "gas": known_gas(market) - 0.5,
        }
        # In units of what was usual, so that no crash decides.
        standard = (simple / np.maximum(trailing, 1e-4)[:-1])[48:]
        for name, values in known.items():
            x = values[:-1][48:]
            if name != "nothing":
                x = (x - x.mean()) / x.std()
            product = standard * x
            statistics.append(product.mean() / (product.std() / np.sqrt(len(product))))
    # 54 statistics of variance one: each within 3.6 deviations, together no wider than chance.
    assert np.abs(statistics).max() < 3.6
    assert np.mean(np.square(statistics)) < 1.5


@pytest.mark.parametrize("strength", [0.49, 0.66, float("nan")])
def test_what_cannot_be_planted_is_refused(strength):
    with pytest.raises(FixConfig, match=r"planted\.direction_auc"):
        Planted(direction_auc=strength)


def test_a_planted_market_is_as_valid_as_a_plain_one():
    market = generate(1, days=400, planted=Planted(direction_auc=0.65, clustering=False))
    for key, table in market.items():
        assert validate(table, SPECS[key.table], str(key), interval=key.interval).height > 0
