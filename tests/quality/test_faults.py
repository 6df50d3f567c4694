"""Faults that are put into sound data, one by one, are found with their rows, and nothing else."""

import numpy as np
import polars as pl
import pytest

from counterpoise.market.lake import Lake
from counterpoise.market.layouts import MACRO, ONCHAIN, DatasetKey
from counterpoise.quality.check import check
from counterpoise.units import DAY_MS, HOUR_MS

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
PERP = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")
BYBIT = DatasetKey("perp_bars", "bybit", "ETHUSDT", "1h")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")
PRICES = ("open", "high", "low", "close")
#: What the sound data has too: gaps and extremes that belong to it.
NATURAL = {"gap", "extreme", "jump"}


@pytest.fixture
def found_after(generated, tmp_path):
    """Return what the check of the generated lake says when one table is replaced."""

    def found(key, table):
        lake = Lake(tmp_path / "lake")
        lake.write(generated | {key: table}, synthetic=True)
        return [one for one in check(lake) if one.kind not in NATURAL]

    return found


def stamps(table):
    return table["ts"].dt.epoch("ms").to_numpy()


def moved(table, hours):
    """Shift stamps; rows of a table that knows its intervals stay on their grid."""
    return table.with_columns(pl.col("ts") + pl.duration(hours=hours))


def at_rows(table, rows, **changes):
    """Replace values in some rows."""
    chosen = pl.int_range(table.height).is_in(rows)
    return table.with_columns(
        pl.when(chosen).then(change).otherwise(pl.col(name)).alias(name)
        for name, change in changes.items()
    )


def test_sound_data_has_no_fault(generated, found_after):
    assert found_after(PERP, generated[PERP]) == []


@pytest.mark.parametrize("hours", [-5, -1, 1, 2, 8])
def test_a_clock_in_another_time_zone_is_found_over_its_whole_span(generated, found_after, hours):
    (slip,) = (
        one
        for one in found_after(PERP, moved(generated[PERP], hours))
        if one.key == PERP and one.kind == "time zone slip"
    )
    assert f"{abs(hours)} h {'behind' if hours > 0 else 'ahead of'} {SPOT}" in slip.text
    assert slip.rows > 0.95 * generated[PERP].height


def test_summer_time_is_found_from_spring_on(generated, found_after):
    table = generated[PERP]
    spring = int(stamps(table)[0]) + 87 * DAY_MS
    winter = table.filter(pl.col("ts").dt.epoch("ms") < spring)
    summer = moved(table.filter(pl.col("ts").dt.epoch("ms") >= spring), 1)
    slips = [
        one
        for one in found_after(PERP, pl.concat([winter, summer]))
        if one.kind == "time zone slip" and one.key == PERP
    ]
    assert slips
    assert "1 h behind" in slips[0].text
    assert abs(slips[0].first_ms - spring) <= 7 * DAY_MS
    assert slips[-1].last_ms >= int(stamps(summer)[-1]) - 7 * DAY_MS


def test_another_unit_is_another_market(generated, found_after):
    in_cents = generated[BYBIT].with_columns(pl.col(name) * 100.0 for name in PRICES)
    (wrong,) = {
        one.text
        for one in found_after(BYBIT, in_cents)
        if one.kind == "other market" and str(SPOT) in one.text
    }
    assert "100" in wrong


def test_a_bar_that_ends_early_is_named(generated, found_after):
    table = generated[PERP]
    # Its close and range stop at the open; the next bar opens where the market went meanwhile.
    sizes = np.abs(np.log(table["close"].to_numpy() / table["open"].to_numpy()))
    row = 400 + int(np.argmax(sizes[400:2000]))
    cut = at_rows(table, [row], close=pl.col("open"), high=pl.col("open"), low=pl.col("open"))
    named = [one for one in found_after(PERP, cut) if one.kind == "truncated bar"]
    assert [one.first_ms for one in named if one.key == PERP] == [int(stamps(table)[row])]


def test_a_feed_that_stands_still_is_found_with_every_row(generated, found_after):
    table = generated[PERP]
    held = float(table["close"][700])
    changes = dict.fromkeys(PRICES, pl.lit(held))
    stuck = at_rows(table, range(701, 713), **changes)
    frozen = [one for one in found_after(PERP, stuck) if one.kind == "frozen"]
    assert [one.at_ms for one in frozen] == [tuple(int(at) for at in stamps(table)[701:713])]


def test_a_close_that_leaps_and_is_back_is_an_outlier(generated, found_after):
    table = generated[PERP]
    leapt = at_rows(table, [900], close=pl.col("close") * 1.09, high=pl.col("high") * 1.09)
    outliers = [one for one in found_after(PERP, leapt) if one.kind == "outlier"]
    assert [one.first_ms for one in outliers] == [int(stamps(table)[900])]


def test_funding_against_its_premium_is_found(generated, found_after):
    turned = generated[FUNDING].with_columns(-pl.col("funding_rate"))
    (wrong,) = (one for one in found_after(FUNDING, turned) if one.kind == "premium")
    assert "run against the premium" in wrong.text


@pytest.mark.parametrize(("rows", "side"), [(1, "earlier"), (-1, "later")])
def test_funding_one_settlement_off_is_found(generated, found_after, rows, side):
    table = generated[FUNDING]
    shifted = table.with_columns(pl.col("funding_rate").shift(rows)).drop_nulls("funding_rate")
    (wrong,) = (one for one in found_after(FUNDING, shifted) if one.kind == "premium")
    assert f"one settlement {side}" in wrong.text


def test_one_wrong_rate_is_found_by_its_row(generated, found_after):
    table = generated[FUNDING]
    wrong = at_rows(table, [200], funding_rate=pl.lit(-0.0099))
    premium = [one for one in found_after(FUNDING, wrong) if one.kind == "premium"]
    assert [one.at_ms for one in premium] == [(int(stamps(table)[200]),)]


def test_rates_in_another_unit_are_found(generated, found_after):
    scaled = generated[FUNDING].with_columns(pl.col("funding_rate") * 0.001)
    assert "unit" in {one.kind for one in found_after(FUNDING, scaled) if one.key == FUNDING}


def test_settlements_that_change_their_hours_are_a_slip(generated, found_after):
    table = generated[FUNDING].drop("mark_price")
    slipped = pl.concat([table[:300], moved(table[300:], 1)])
    (slip,) = (one for one in found_after(FUNDING, slipped) if one.kind == "time zone slip")
    assert slip.rows == table.height - 300
    assert slip.first_ms == int(stamps(table)[300]) + HOUR_MS


def test_a_rate_that_repeats_for_days_is_frozen(generated, found_after):
    table = generated[FUNDING]
    stuck = at_rows(table, range(100, 110), funding_rate=pl.lit(0.000123))
    (frozen,) = (one for one in found_after(FUNDING, stuck) if one.kind == "frozen")
    assert (frozen.rows, frozen.first_ms) == (10, int(stamps(table)[100]))


def test_an_index_on_weekends_is_a_day_off(generated, found_after):
    table = generated[MACRO]
    off = table.filter(pl.col("series") == "sp500_close").with_columns(
        pl.col("ts") - pl.duration(days=1)
    )
    others = table.filter(pl.col("series") != "sp500_close")
    together = pl.concat([others, off]).sort("ts", "series").drop("known_at", strict=False)
    (slip,) = (one for one in found_after(MACRO, together) if one.kind == "time zone slip")
    assert "sp500" in slip.text
    assert all(at // DAY_MS % 7 in (2, 3) for at in slip.at_ms)


def test_a_day_that_repeats_itself_is_frozen(generated, found_after):
    table = generated[ONCHAIN]
    stuck = at_rows(table, range(60, 64), gas_used=pl.lit(float(table["gas_used"][59])))
    (frozen,) = (one for one in found_after(ONCHAIN, stuck) if one.kind == "frozen")
    assert (frozen.rows, "gas_used" in frozen.text) == (4, True)


def test_a_feed_that_stopped_is_said(generated, found_after):
    table = generated[BYBIT]
    (ended,) = (one for one in found_after(BYBIT, table[:2000]) if one.kind == "ended")
    assert ended.last_ms == int(stamps(table)[1999])


def test_bars_that_are_not_their_parts_are_named(generated, found_after, tmp_path):
    table = generated[PERP].head(800)
    made = table.group_by_dynamic("ts", every="4h").agg(
        pl.len().alias("n"),
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )
    four = made.filter(pl.col("n") == 4).drop("n")
    wrong = at_rows(four, [50], high=pl.col("high") * 1.01)
    key = DatasetKey("perp_bars", "binance", "ETHUSDT", "4h")
    (other,) = (one for one in found_after(key, wrong) if one.kind == "other than its parts")
    assert other.at_ms == (int(stamps(four)[50]),)
    assert "high 1" in other.text
