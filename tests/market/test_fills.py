"""Every layout of fills is read to the same numbers; what is doubtful is refused by row."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.fills import Fills, read_fills

T0 = 1_711_065_600_000  # 2024-03-22 00:00 UTC

# Two sales of 3 and 2 ETH and a purchase of 1, as each export writes them. The fee is 5 bp.
BINANCE_WEB = (
    "Uid,Time,Symbol,Side,Price,Quantity,Amount,Fee,Realized Profit,Buyer,Maker,Trade ID,Order ID\n"
    "1,24-03-22 05:10:00,ETHUSDT,BUY,3550,1,3550,1.775USDT,-50,true,false,903,77\n"
    "1,24-03-22 03:45:30,BTCUSDT,SELL,65000,0.1,6500,3.25USDT,0,false,false,17,75\n"
    "1,24-03-22 03:30:00,ETHUSDT,SELL,3510,2,7020,3.51USDT,0,false,false,902,76\n"
    "1,24-03-22 03:05:00,ETHUSDT,SELL,3500,3,10500,5.25 USDT,0,false,false,901,75\n"
)
BINANCE_UTC = (
    "Date(UTC),Symbol,Side,Price,Quantity,Amount,Fee,Fee Coin,Realized Profit,Quote Asset\n"
    "2024-03-22 00:05:00,ETHUSDT,SELL,3500,3ETH,10500,5.25,USDT,0,USDT\n"
    "2024-03-22 00:30:00,ETHUSDT,SELL,3510,2ETH,7020,3.51,USDT,0,USDT\n"
    "2024-03-22 02:10:00,ETHUSDT,BUY,3550,1ETH,3550,1.775,USDT,-50,USDT\n"
)
DYDX_WEB = (
    '"Time","Market","Side","Amount","Price","Total","Fee","Type","Liquidity"\n'
    '"2024-03-22T02:10:00.000Z","ETH-USD","Buy","1","3550","3550","1.775","LIMIT","TAKER"\n'
    '"2024-03-22T00:30:00.000Z","ETH-USD","Sell","2","3510","7020","3.51","LIMIT","TAKER"\n'
    '"2024-03-22T00:05:00.000Z","ETH-USD","Sell","3","3500","10500","5.25","MARKET","TAKER"\n'
)
# As pandas writes the list that ccxt returns.
CCXT_CSV = (
    ",info,timestamp,datetime,symbol,id,side,takerOrMaker,price,amount,cost,fee,fees\n"
    "0,{'commissionAsset': 'USDT'},1711065900000,2024-03-22T00:05:00.000Z,ETH/USDT:USDT,901,sell,"
    "taker,3500.0,3.0,10500.0,\"{'currency': 'USDT', 'cost': 5.25}\",[]\n"
    "1,{'commissionAsset': 'USDT'},1711067400000,2024-03-22T00:30:00.000Z,ETH/USDT:USDT,902,sell,"
    "taker,3510.0,2.0,7020.0,\"{'currency': 'USDT', 'cost': 3.51}\",[]\n"
    "2,{'commissionAsset': 'USDT'},1711073400000,2024-03-22T02:10:00.000Z,ETH/USDT:USDT,903,buy,"
    "taker,3550.0,1.0,3550.0,\"{'currency': 'USDT', 'cost': 1.775}\",[]\n"
)
ROWS = (
    (T0 + 300_000, "SELL", "3500", "3", "5.25", 901),
    (T0 + 1_800_000, "SELL", "3510", "2", "3.51", 902),
    (T0 + 7_800_000, "BUY", "3550", "1", "1.775", 903),
)
STAMPS = ("2024-03-22T00:05:00.000Z", "2024-03-22T00:30:00.000Z", "2024-03-22T02:10:00.000Z")
USER_TRADES = [
    {
        "symbol": "ETHUSDT",
        "id": number,
        "orderId": 75,
        "side": side,
        "price": price,
        "qty": size,
        "realizedPnl": "0",
        "quoteQty": str(float(price) * float(size)),
        "commission": fee,
        "commissionAsset": "USDT",
        "time": ts,
        "positionSide": "BOTH",
        "maker": False,
    }
    for ts, side, price, size, fee, number in ROWS
]
INDEXER = {
    "pageSize": 100,
    "fills": [
        {
            "id": f"6450e369-0000-5229-8dc2-fb3b5d1cf{number}",
            "side": side,
            "liquidity": "TAKER",
            "type": "LIMIT",
            "market": "ETH-USD",
            "marketType": "PERPETUAL",
            "price": price,
            "size": size,
            "fee": fee,
            "createdAt": stamp,
            "subaccountNumber": 0,
        }
        for (_, side, price, size, fee, number), stamp in reversed(
            list(zip(ROWS, STAMPS, strict=True))
        )
    ],
}
CCXT = [
    {
        "info": one,
        "timestamp": one["time"],
        "symbol": "ETH/USDT:USDT",
        "id": str(one["id"]),
        "side": str(one["side"]).lower(),
        "price": float(str(one["price"])),
        "amount": float(str(one["qty"])),
        "cost": float(str(one["quoteQty"])),
        "fee": {"currency": "USDT", "cost": float(str(one["commission"]))},
        "fees": [],
    }
    for one in USER_TRADES
]
EXPORTS = {
    "Binance-Futures-Trade-History-202404010000(UTC+3)-part1-of1.csv": BINANCE_WEB,
    "binance_utc.csv": BINANCE_UTC,
    "user_trades.json": json.dumps(USER_TRADES),
    "fills.json": json.dumps(INDEXER),
    "trades.csv": DYDX_WEB,
    "ccxt.json": json.dumps(CCXT),
    "ccxt.csv": CCXT_CSV,
}
ZONED = next(iter(EXPORTS))


def wrote(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_of_the_same_fills_reads_the_same(tmp_path: Path, name: str) -> None:
    fills = read_fills([wrote(tmp_path, name, EXPORTS[name])])
    assert fills.ts_ms.tolist() == [T0 + 300_000, T0 + 1_800_000, T0 + 7_800_000]
    assert fills.side.tolist() == [-1.0, -1.0, 1.0]
    assert fills.price_usd.tolist() == [3500.0, 3510.0, 3550.0]
    assert fills.size_eth.tolist() == [3.0, 2.0, 1.0]
    assert fills.fee_usd.tolist() == [5.25, 3.51, 1.775]
    assert fills.short_change_eth.tolist() == [3.0, 2.0, -1.0]
    venue = "dydx" if name in ("fills.json", "trades.csv") else "binance"
    assert set(fills.venue.tolist()) == {venue}
    assert len(fills.notes) == 1
    assert fills.notes[0].startswith(f"{name}: 3 fills of ETH")


def test_what_was_turned_shifted_and_left_out_is_said(tmp_path: Path) -> None:
    (note,) = read_fills([wrote(tmp_path, ZONED, BINANCE_WEB)]).notes
    for words in ("UTC+03:00 by the name of the file", "turned round", "1 rows of BTCUSDT"):
        assert words in note
    (note,) = read_fills([wrote(tmp_path, "binance_utc.csv", BINANCE_UTC)]).notes
    assert "UTC+00:00 by its heading" in note
    assert "turned" not in note


def test_a_byte_order_mark_and_windows_lines_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(b"\xef\xbb\xbf" + DYDX_WEB.replace("\n", "\r\n").encode())
    assert read_fills([path]).size_eth.tolist() == [3.0, 2.0, 1.0]


def test_overlapping_files_count_a_fill_once_and_say_so(tmp_path: Path) -> None:
    lines = BINANCE_WEB.splitlines(keepends=True)
    early = wrote(tmp_path, "a(UTC+3).csv", "".join([lines[0], *lines[3:]]))
    late = wrote(tmp_path, "b(UTC+3).csv", "".join(lines[:4]))
    fills = read_fills([late, early])
    assert fills.fill_id.tolist() == ["901", "902", "903"]
    assert "1 of its fills are in an earlier file and count once" in fills.notes[-1]
    # The same fills with milliseconds, from the API.
    api = wrote(tmp_path, "api.json", json.dumps(USER_TRADES))
    assert read_fills([late, early, api]).size_eth.tolist() == [3.0, 2.0, 1.0]


def test_equal_rows_without_ids_are_two_fills_in_a_file_and_one_over_two(tmp_path: Path) -> None:
    lines = DYDX_WEB.splitlines(keepends=True)
    twice = wrote(tmp_path, "twice.csv", "".join([*lines, lines[-1]]))
    once = wrote(tmp_path, "once.csv", DYDX_WEB)
    assert read_fills([twice]).size_eth.tolist() == [3.0, 3.0, 2.0, 1.0]
    assert read_fills([once, twice]).size_eth.tolist() == [3.0, 3.0, 2.0, 1.0]


def test_files_with_and_without_ids_of_one_span_are_refused(tmp_path: Path) -> None:
    with_ids = wrote(tmp_path, "fills.json", json.dumps(INDEXER))
    without = wrote(tmp_path, "trades.csv", DYDX_WEB)
    with pytest.raises(RejectData, match="could count twice"):
        read_fills([with_ids, without])


def test_one_id_with_two_contents_is_refused(tmp_path: Path) -> None:
    one = wrote(tmp_path, "a.json", json.dumps(USER_TRADES))
    changed = [{**USER_TRADES[0], "qty": "2.9", "quoteQty": "10150"}, *USER_TRADES[1:]]
    other = wrote(tmp_path, "b.json", json.dumps(changed))
    with pytest.raises(RejectData, match=r"fill 901.*2\.9 ETH.*the same fill.*3 ETH"):
        read_fills([one, other])


def test_venues_join_in_order_of_time(tmp_path: Path) -> None:
    later = DYDX_WEB.replace("T00:05:00", "T00:20:00")
    fills = read_fills(
        [wrote(tmp_path, "b.csv", BINANCE_UTC), wrote(tmp_path, "trades.csv", later)]
    )
    assert fills.venue.tolist()[:3] == ["binance", "dydx", "binance"]
    assert (fills.ts_ms[1:] >= fills.ts_ms[:-1]).all()


def test_a_trade_with_oneself_is_two_fills(tmp_path: Path) -> None:
    own = [USER_TRADES[0], {**USER_TRADES[0], "side": "BUY"}]
    fills = read_fills([wrote(tmp_path, "own.json", json.dumps(own))])
    assert fills.short_change_eth.sum() == 0.0


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


BAD = {
    "no zone": ("trades_2024.csv", BINANCE_WEB, ("row 0, column Time", "zone is known", "UTC+3")),
    "unknown shape": ("x.csv", "a,b\n1,2\n", ("got 'a, b'", "layouts", "userTrades", "ccxt")),
    "spot": (
        "spot.csv",
        changed(BINANCE_UTC, ",Realized Profit", ",Profit"),
        ("one of spot", "USD-M"),
    ),
    "older spot": (
        "spot.csv",
        "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n"
        "2024-03-22 00:05:00,ETHUSDT,SELL,3500,3ETH,10500USDT,5.25USDT\n",
        ("one of spot",),
    ),
    "spot by symbol": (
        "ccxt.json",
        json.dumps([{**CCXT[0], "symbol": "ETH/USDT"}]),
        ("row 0, column symbol", "not a spot market"),
    ),
    "coin-margined": (
        ZONED,
        changed(BINANCE_WEB, "ETHUSDT,SELL,3510", "ETHUSD_PERP,SELL,3510"),
        ("row 2", "ETHUSD_PERP", "coin-margined"),
    ),
    "dated future": (
        ZONED,
        changed(BINANCE_WEB, "ETHUSDT,BUY", "ETHUSDT_240628,BUY"),
        ("row 0", "another contract on ETH"),
    ),
    "other venue": (
        "ccxt.json",
        json.dumps([{**CCXT[0], "info": {"feeCcy": "USDT"}}]),
        ("row 0, column info", "Binance USD-M"),
    ),
    "fee in BNB": (
        ZONED,
        changed(BINANCE_WEB, "3.51USDT", "0.0065BNB"),
        ("row 2, column Fee", "0.0065BNB", "dollars", "worth in USDT"),
    ),
    "fee without its coin": (ZONED, changed(BINANCE_WEB, "3.51USDT", "3.51"), ("row 2", "coin")),
    "fee coin in a column": (
        "b.csv",
        changed(BINANCE_UTC, "3.51,USDT", "0.0065,BNB"),
        ("row 1, column Fee Coin", "'BNB'"),
    ),
    "fee too large": ("b.csv", changed(BINANCE_UTC, "3.51,", "351,"), ("row 1, column Fee", "2%")),
    "fee of the wrong sign": ("b.csv", changed(BINANCE_UTC, "3.51,", "-3.51,"), ("positive",)),
    "fee unknown": (
        "ccxt.json",
        json.dumps([{**CCXT[0], "fee": {"currency": None, "cost": None}}]),
        ("row 0, column fee.cost", "a value in every row"),
    ),
    "negative size": ("b.csv", changed(BINANCE_UTC, "2ETH", "-2ETH"), ("row 1", "more than 0")),
    "no size": ("b.csv", changed(BINANCE_UTC, "2ETH", "0"), ("row 1", "more than 0")),
    "size in contracts": ("b.csv", changed(BINANCE_UTC, "2ETH", "702Cont"), ("a size in ETH",)),
    "total unlike price times size": (
        "b.csv",
        changed(BINANCE_UTC, "2ETH,7020", "20ETH,7020"),
        ("row 1, column Amount", "price × size"),
    ),
    "NaN price": ("b.csv", changed(BINANCE_UTC, "3510", "NaN"), ("row 1, column Price", "finite")),
    "text price": ("b.csv", changed(BINANCE_UTC, "3510", "3,510".replace(",", "'")), ("a number",)),
    "unknown side": ("b.csv", changed(BINANCE_UTC, "BUY", "LONG"), ("row 2, column Side", "BUY")),
    "unsorted": (
        "b.csv",
        changed(BINANCE_UTC, "22 02:10", "22 00:10"),
        ("row 2, column Date(UTC)", "00:10:00", "oldest first up to row 1"),
    ),
    "microseconds": (
        "u.json",
        json.dumps([{**USER_TRADES[0], "time": T0 * 1000}]),
        ("row 0, column time", "milliseconds"),
    ),
    "id twice": (
        "u.json",
        json.dumps([*USER_TRADES, USER_TRADES[2]]),
        ("rows 2 and 3, column id", "'903'"),
    ),
    "id missing": (ZONED, changed(BINANCE_WEB, "false,902,", "false,,"), ("row 2", "Trade ID")),
    "only other coins": (
        "u.json",
        json.dumps([{**USER_TRADES[0], "symbol": "BTCUSDT"}]),
        ("no fill of an ETH perpetual",),
    ),
    "nothing in the span": (
        ZONED,
        BINANCE_WEB.splitlines()[0] + "\nNo data matches the criteria.\n",
        ("no rows", "export the span"),
    ),
    "empty file": ("b.csv", "", ("whole file", "readable csv")),
    "broken JSON": ("u.json", '[{"symbol": ', ("readable json",)),
    "JSON of something else": ("u.json", '{"code": -2015}', ("readable json",)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_hedgers_fills_is_refused_with_its_place(
    tmp_path: Path, name: str
) -> None:
    file, text, says = BAD[name]
    with pytest.raises(RejectData) as refused:
        read_fills([wrote(tmp_path, file, text)])
    for words in (file, *says, "Next:"):
        assert words in str(refused.value)


def test_a_file_named_twice_absent_or_of_another_kind_is_an_error_of_the_command(
    tmp_path: Path,
) -> None:
    path = wrote(tmp_path, "b.csv", BINANCE_UTC)
    for paths, says in (
        ([], "one or more"),
        ([path, path], "each file once"),
        ([tmp_path / "none.csv"], "existing file"),
        ([wrote(tmp_path, "b.xlsx", "x")], ".csv or .json"),
    ):
        with pytest.raises(FixConfig, match=says):
            read_fills(paths)


def test_examples_of_the_venues_own_documents_are_read(real_data: Path, tmp_path: Path) -> None:
    protocol = real_data / "protocol"
    trades = protocol / "binance" / "py__http_responses__http_futures_account_trades.json"
    fills = read_fills([trades])
    assert fills.fill_id.tolist() == ["82357626", "82357629"]
    assert fills.short_change_eth.tolist() == [0.005, -0.005]
    assert fills.fee_usd.tolist() == [0.0055567, 0.005558]
    # The example is one of BTC-USD inside a wrapper of its documentation.
    example = (protocol / "dydx_v4" / "http_get_fills.json").read_text(encoding="utf-8")
    inside = json.dumps(json.loads(example)["result"])
    with pytest.raises(RejectData, match="no fill of an ETH perpetual"):
        read_fills([wrote(tmp_path, "btc.json", inside)])
    fills = read_fills([wrote(tmp_path, "eth.json", inside.replace("BTC-USD", "ETH-USD"))])
    assert fills.short_change_eth.tolist() == [0.0001, 0.0001, -0.0001]
    assert "turned round" in fills.notes[0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=30), st.booleans())
def test_order_and_grouping_into_files_do_not_change_what_was_done(
    tmp_path_factory: pytest.TempPathFactory, moments: list[int], newest_first: bool
) -> None:
    folder = tmp_path_factory.mktemp("fills")
    trades = [
        {**USER_TRADES[0], "id": number, "time": T0 + after}
        for number, after in enumerate(sorted(moments))
    ]

    def read(parts: list[list[dict[str, object]]]) -> Fills:
        return read_fills(
            [
                wrote(folder, f"{k}.json", json.dumps(part[::-1] if newest_first else part))
                for k, part in enumerate(parts)
            ]
        )

    half = len(trades) // 2
    whole = read([trades])
    parted = read([trades[half:], trades[: half + 1]])
    for fills in (whole, parted):
        assert fills.ts_ms.tolist() == [T0 + after for after in sorted(moments)]
        assert sorted(map(int, fills.fill_id)) == list(range(len(trades)))
