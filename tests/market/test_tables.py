"""A table is taken whole and unchanged, or refused with the place named."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.schemas import SPECS
from counterpoise.market.settlement import settlement_interval_h
from counterpoise.market.tables import interval_ms, validate
from tests.market.small_tables import MIDNIGHT, bars, settlements

SPOT, FUNDING = SPECS["spot_bars"], SPECS["funding"]


def put(frame, row, column, value):
    """Return the frame with one value changed."""
    values = frame[column].to_list()
    values[row] = value
    return frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))


def test_a_bar_is_known_when_it_closes_not_when_it_opens():
    table = validate(bars([100, 101]), SPOT, "spot", interval="1h")
    assert table["known_at"].to_list() == [MIDNIGHT + timedelta(hours=n) for n in (1, 2)]


def test_days_are_known_after_the_day_and_chain_totals_an_hour_later():
    day = pl.Series("ts", [MIDNIGHT]).cast(pl.Datetime("ms", "UTC"))
    gas = pl.DataFrame(
        [day, *(pl.Series(n, [1.0]) for n in ("gas_used", "avg_gas_price_wei", "gas_limit_avg"))]
    ).with_columns(tx_count=pl.lit(1))
    stake = pl.DataFrame([day]).with_columns(active_validators=5.0, staked_eth_approx=160.0)
    gas_table = validate(gas, SPECS["onchain_daily"], "gas")
    stake_table = validate(stake, SPECS["validators_daily"], "stake")
    assert gas_table["known_at"][0] == MIDNIGHT + timedelta(hours=25)
    assert stake_table["known_at"][0] == MIDNIGHT + timedelta(hours=24)
    assert stake_table["staked_eth"][0] == 160.0


@pytest.mark.parametrize(
    ("row", "column", "value", "says"),
    [
        (2, "close", float("nan"), "finite"),
        (2, "close", float("inf"), "finite"),
        (2, "close", None, "a value in every row"),
        (2, "close", 0.0, "more than 0"),
        (2, "open", -5.0, "more than 0"),
        (1, "volume", -0.1, "0 or more"),
        (3, "high", 98.0, "high >= low"),
        (3, "high", 100.5, "high >= open and close"),
        (3, "low", 101.5, "low <= open and close"),
    ],
)
def test_an_impossible_bar_is_refused_by_row_and_column(row, column, value, says):
    with pytest.raises(RejectData, match=says) as refused:
        validate(put(bars([100, 100, 100, 101]), row, column, value), SPOT, "spot.parquet")
    assert refused.value.place == f"row {row}, column {column}"
    assert refused.value.file == "spot.parquet"


def test_the_first_bad_place_is_named_and_the_others_are_counted():
    frame = put(put(put(bars([100] * 6), 4, "open", -1.0), 2, "volume", -1.0), 5, "volume", -1.0)
    with pytest.raises(RejectData) as refused:
        validate(frame, SPOT, "f")
    assert refused.value.place == "row 2, column volume"
    # The open of row 4 is also below its own low: three bad values beside the first.
    assert "(3 more bad values in this file)" in str(refused.value)


def test_a_missing_column_is_refused_with_what_is_there():
    with pytest.raises(RejectData, match="columns ts, open, high, low, volume"):
        validate(bars([100]).drop("close"), SPOT, "f")


def test_an_empty_file_is_refused():
    with pytest.raises(RejectData, match="at least one row"):
        validate(bars([100]).head(0), SPOT, "f")


def test_a_duplicate_names_both_rows():
    twice = pl.concat([bars([100, 101, 102]), bars([103]).with_columns(bars([0, 101])["ts"][1:])])
    with pytest.raises(RejectData) as refused:
        validate(twice, SPOT, "f")
    assert refused.value.place == "rows 1 and 3, column ts"


def test_rows_out_of_order_are_refused_not_sorted():
    with pytest.raises(RejectData, match="sort the file") as refused:
        validate(bars([100, 101, 102])[[0, 2, 1]], SPOT, "f")
    assert refused.value.place == "row 2, column ts"


def test_a_time_without_zone_is_refused_with_the_way_to_mend_it():
    naive = bars([100]).with_columns(pl.col("ts").dt.replace_time_zone(None))
    with pytest.raises(RejectData, match=r"replace_time_zone\('UTC'\)"):
        validate(naive, SPOT, "f")
    text = bars([100]).with_columns(pl.lit("2024-03-01 00:00:00").alias("ts"))
    with pytest.raises(RejectData, match="a time with its zone"):
        validate(text, SPOT, "f")


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01T00:00:00Z",
        "2024-03-01 00:00:00+00:00",
        "2024-03-01T01:00:00.000+01:00",
        "2024-02-29T19:00-05:00",
        "1709251200000",
    ],
)
def test_every_zoned_way_to_write_a_moment_means_the_same(text):
    frame = bars([100]).with_columns(pl.lit(text).alias("ts"))
    assert validate(frame, SPOT, "f")["ts"][0] == MIDNIGHT


@pytest.mark.parametrize("stamp", [1709251200, 1709251200000000])
def test_epochs_in_seconds_or_microseconds_are_refused(stamp):
    with pytest.raises(RejectData, match="convert the column to milliseconds"):
        validate(bars([100]).with_columns(pl.lit(stamp).alias("ts")), SPOT, "f")


def test_a_bar_off_its_grid_is_refused():
    with pytest.raises(RejectData, match="a multiple of 1h"):
        validate(bars([100], start=MIDNIGHT + timedelta(minutes=7)), SPOT, "f")


def test_unreadable_text_is_named():
    frame = bars([100, 101]).with_columns(pl.Series("close", ["100", "1O1"]))
    with pytest.raises(RejectData, match="'1O1', expected a number") as refused:
        validate(frame, SPOT, "f")
    assert refused.value.place == "row 1, column close"


def test_a_column_of_the_wrong_kind_is_refused():
    with pytest.raises(RejectData, match="Boolean"):
        validate(bars([100]).with_columns(close=pl.lit(True)), SPOT, "f")


def test_takers_cannot_buy_more_than_was_traded():
    frame = bars([100]).with_columns(taker_buy_base=pl.lit(11.0))
    with pytest.raises(RejectData, match="at most volume"):
        validate(frame, SPOT, "f")


@pytest.mark.parametrize("rates", [[0.01, 0.02, 0.06], [0.01] * 60, [0.01, -0.01, 0.0075] * 20])
def test_funding_in_percent_is_refused(rates):
    with pytest.raises(RejectData, match="divide by 100 if it is percent"):
        validate(settlements(rates), FUNDING, "f")


def test_the_wildest_real_funding_is_not_mistaken_for_percent():
    week_of_the_merge = [-0.003] * 21
    table = validate(settlements(week_of_the_merge), FUNDING, "f")
    assert table["funding_rate"].to_list() == week_of_the_merge


def test_a_known_at_before_the_rule_is_refused_and_a_later_one_is_kept():
    late = bars([100]).with_columns(known_at=pl.col("ts") + timedelta(hours=2))
    assert validate(late, SPOT, "f")["known_at"][0] == MIDNIGHT + timedelta(hours=2)
    early = bars([100]).with_columns(known_at=pl.col("ts") + timedelta(minutes=59))
    with pytest.raises(RejectData, match="not before"):
        validate(early, SPOT, "f")


def test_an_announced_upgrade_is_known_before_it_happens():
    merge = pl.DataFrame(
        {
            "ts": ["2022-09-15T06:42:42Z"],
            "name": ["The Merge"],
            "class": ["upgrade"],
            "announced_at": ["2022-08-11T00:00:00Z"],
            "source": ["Ethereum Foundation"],
        }
    )
    table = validate(merge, SPECS["events"], "events.csv")
    assert table["known_at"][0] == datetime(2022, 8, 11, tzinfo=UTC)


def test_settlement_intervals_follow_the_stamps_and_only_the_past():
    hours = [0, 8, 16, 17, 18, 23, 31]
    stamps = [MIDNIGHT + timedelta(hours=h, milliseconds=h % 3) for h in hours]
    table = validate(
        settlements([0.0001] * len(hours)).with_columns(
            pl.Series("ts", stamps).cast(pl.Datetime("ms", "UTC"))
        ),
        FUNDING,
        "f",
    )
    whole = settlement_interval_h(table, "8h")["interval_h"].to_list()
    assert whole == [8, 8, 8, 1, 1, 1, 8]
    for rows in range(1, len(hours)):
        assert settlement_interval_h(table.head(rows), "8h")["interval_h"].to_list() == whole[:rows]


@pytest.mark.parametrize("interval", ["1w", "h", "0h", "60", ""])
def test_unknown_intervals_are_refused(interval):
    with pytest.raises(FixConfig):
        interval_ms(interval)


@given(
    st.lists(st.floats(1.0, 1e5), min_size=1, max_size=30),
    st.integers(0, 29),
    st.sampled_from(["open", "high", "low", "close", "volume"]),
    st.sampled_from([float("nan"), float("inf"), -1.0, None]),
)
def test_one_broken_value_anywhere_is_always_found_where_it_is(closes, row, column, value):
    frame = bars(closes).with_columns(pl.col("low").clip(lower_bound=0.5))
    assert validate(frame, SPOT, "f").select(frame.columns).equals(frame)
    row %= len(closes)
    with pytest.raises(RejectData) as refused:
        validate(put(frame, row, column, value), SPOT, "f")
    assert refused.value.place.startswith(f"row {row}, ")


def test_one_month_of_percent_in_a_long_history_is_refused():
    rates = [0.0001, 0.00005, 0.0002] * 100 + [0.004] * 90
    with pytest.raises(RejectData, match=r"rows \d+ to \d+, column funding_rate"):
        validate(settlements(rates), SPECS["funding"], "f", interval="8h")
