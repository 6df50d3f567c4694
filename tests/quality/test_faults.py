"""Faults that are put into sound data, one by one, are found with their rows, and nothing else."""

import numpy as np
import polars as pl
import pytest

from counterpoise.market.columns import TS
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import MACRO, ONCHAIN, DatasetKey
from counterpoise.market.synthetic_perpetual import average_premium
from counterpoise.quality.check import check
from counterpoise.quality.settlements import against_premium
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


@pytest.mark.parametrize("times", [1.1, 0.9])
def test_a_week_of_another_market_is_found_with_its_rows_and_once(generated, found_after, times):
    table = generated[BYBIT]
    week = range(500, 668)
    foreign = at_rows(table, week, **{name: pl.col(name) * times for name in PRICES})
    found = found_after(BYBIT, foreign)
    # Its funding and its mark price are at odds with it too; nothing else is said of the week.
    assert {one.kind for one in found} == {"other market"}
    (wrong,) = (one for one in found if one.key == BYBIT)
    at = stamps(table)[week.start : week.stop]
    assert (wrong.rows, wrong.first_ms, wrong.last_ms) == (len(week), at[0], at[-1])
    assert float(wrong.text.split()[2]) == pytest.approx(times, rel=0.01)


def test_what_a_wrong_clock_causes_is_not_told_again(generated, found_after):
    table = generated[PERP]
    slipped = pl.concat([table[:500], moved(table[500:1500], 3), table[1503:]])
    slipped = slipped.unique("ts", keep="first", maintain_order=True).sort("ts")
    found = [one for one in found_after(PERP, slipped) if one.table.endswith("_bars")]
    assert {one.kind for one in found} == {"time zone slip"}
    (slip,) = (one for one in found if one.key == PERP)
    assert abs(slip.first_ms - int(stamps(table)[500])) <= 7 * DAY_MS
    assert abs(slip.last_ms - int(stamps(table)[1500])) <= 7 * DAY_MS


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


@pytest.mark.parametrize(("share", "found"), [(0.10, False), (0.30, True)])
def test_a_leap_that_no_other_market_could_show_must_be_large(generated, tmp_path, share, found):
    table = generated[SPOT]
    low = {name: pl.col(name) * (1 - share) for name in ("low", "close")}
    lake = Lake(tmp_path / "alone")
    lake.write({SPOT: at_rows(table, [900], **low)}, synthetic=True)
    outliers = [one for one in check(lake) if one.kind == "outlier"]
    assert [one.first_ms for one in outliers] == [int(stamps(table)[900])] * found
    assert all("no other market of that hour" in one.text for one in outliers)


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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rate: -rate, "run against the premium"),
        (lambda rate: np.roll(rate, 1), "one settlement earlier"),
    ],
)
def test_a_part_of_the_funding_that_is_wrong_is_found_and_no_more(change, says):
    rng, first = np.random.default_rng(8), 2_000 * DAY_MS
    premium = np.convolve(rng.normal(0, 4e-3, 8 * 1000 + 11), np.ones(12) / 4, mode="valid")
    known = first + HOUR_MS * np.arange(1, len(premium) + 1)
    at = first + 8 * HOUR_MS * np.arange(1, 1001)
    mean = np.array([average_premium(premium[8 * n : 8 * n + 8]) for n in range(1000)])
    rate = mean + np.clip(1e-4 - mean, -5e-4, 5e-4)
    rate[400:800] = change(rate[400:800])
    funding = pl.DataFrame({"ts": pl.Series(at).cast(TS), "funding_rate": rate})
    funding = funding.with_columns(interval_h=pl.lit(8.0))
    told = {"known_ms": known, "value": premium}
    (wrong, *more) = against_premium(FUNDING, funding, told)
    assert says in wrong.text
    assert (abs(wrong.first_ms - at[400]) + abs(wrong.last_ms - at[799])) <= 10 * DAY_MS
    assert more == []


def test_wrong_rates_in_a_row_are_one_finding(generated, found_after):
    table = generated[FUNDING]
    wrong = at_rows(table, range(200, 204), funding_rate=pl.lit(-0.0099))
    (premium,) = (one for one in found_after(FUNDING, wrong) if one.kind == "premium")
    assert premium.at_ms == tuple(int(at) for at in stamps(table)[200:204])
    assert "4 rates in a row" in premium.text


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


@pytest.mark.parametrize(("days", "side"), [(1, "before"), (-1, "after")])
def test_days_of_the_chain_that_are_a_day_off_are_a_slip(generated, found_after, days, side):
    table = generated[ONCHAIN]
    late = table.with_columns(pl.col("ts") + pl.duration(days=days)).drop("known_at", strict=False)
    (slip,) = (one for one in found_after(ONCHAIN, late) if one.key == ONCHAIN)
    assert slip.kind == "time zone slip"
    assert f"one day {side} its own" in slip.text
    # Spot of the generated market covers 150 of its days.
    assert slip.rows >= 90


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
