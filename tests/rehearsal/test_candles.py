"""Candles against sums over the trades they are made of."""

from decimal import Decimal
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from counterpoise.rehearsal.binance_shapes import Texts
from counterpoise.rehearsal.candles import Candles
from counterpoise.rehearsal.feed import Trade
from counterpoise.rehearsal.filters import rules_of
from counterpoise.units import MINUTE_MS
from counterpoise.venues import venues

TEXTS = Texts(rules_of(venues["binance"][-1]))
trades = st.lists(
    st.tuples(
        st.integers(0, 90_000),
        st.integers(290_000, 310_000),
        st.integers(1, 50_000),
        st.sampled_from(["BUY", "SELL"]),
    ),
    min_size=1,
    max_size=40,
)


@given(trades)
def test_every_candle_sums_its_trades(steps: list[tuple[int, int, int, str]]) -> None:
    now, made = 1_704_067_200_000, []
    for number, (later, price, size, taker) in enumerate(steps):
        now += later
        made.append(Trade(now, "ETHUSDT", number, price, size, taker))
    candles = Candles(TEXTS)
    told = [message["k"] for trade in made for message in candles.add("1m", trade)]
    closed = [candle for candle in told if candle["x"]] + [told[-1]]
    minutes = [list(group) for _, group in groupby(made, lambda trade: trade.ts_ms // MINUTE_MS)]
    assert len(closed) == len(minutes)
    for candle, group in zip(closed, minutes, strict=True):
        prices = [Decimal(trade.price) / 100 for trade in group]
        sizes = [Decimal(trade.size) / 1000 for trade in group]
        bought = [trade.taker == "BUY" for trade in group]
        assert candle["t"] == group[0].ts_ms // MINUTE_MS * MINUTE_MS
        shown = [Decimal(candle[name]) for name in "ohlc"]
        assert shown == [prices[0], max(prices), min(prices), prices[-1]]
        assert Decimal(candle["v"]) == sum(sizes)
        assert Decimal(candle["V"]) == sum(s for s, b in zip(sizes, bought, strict=True) if b)
        assert Decimal(candle["q"]) == sum(p * s for p, s in zip(prices, sizes, strict=True))
        assert (candle["f"], candle["L"], candle["n"]) == (
            group[0].trade_id,
            group[-1].trade_id,
            len(group),
        )


def test_an_interval_the_venue_lacks_is_silent() -> None:
    assert Candles(TEXTS).add("7m", Trade(0, "ETHUSDT", 1, 300_000, 5, "BUY")) == []
