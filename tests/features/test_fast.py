"""Fast recursions against slow formulas on any stream of quotes; live is the same machine code."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.features import fast
from counterpoise.features.fast import FastSignals
from counterpoise.venues.contract import FundingRule

NAN = math.nan
BINANCE = FundingRule(8, 0.0001, 0.0005, 0.003)
NEXT_S = 1_700_006_400
#: Whole ticks and lots, so that equal prices are met.
quotes = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 2, 7, 59, 60, 61, 400]),  # seconds since the one before
        st.integers(-4, 4),  # bid, ticks from 2000
        st.integers(0, 30),  # its size
        st.integers(0, 2),  # spread, ticks
        st.integers(0, 30),
        st.integers(-6, 6),  # index, ticks from 2000
        st.sampled_from([False] * 9 + [True]),  # unknown
    ),
    min_size=1,
    max_size=40,
)


def columns(stream: list[tuple[Any, ...]]) -> dict[str, np.ndarray]:
    """Columns of a stream: seconds, quotes, index; the bid of an unknown event is NaN."""
    gone, bid, bid_size, spread, ask_size, index, unknown = map(np.array, zip(*stream, strict=True))
    bid = 2000.0 + 0.25 * bid
    return {
        "s": (NEXT_S - 5000.0) + np.cumsum(gone),
        "b": np.where(unknown, NAN, bid),
        "B": bid_size.astype(float),
        "a": bid + 0.25 * spread,
        "A": ask_size.astype(float),
        "i": 2000.0 + 0.25 * index,
    }


def scanned(update: Any, memory: Any, *x: np.ndarray) -> np.ndarray:
    out = np.empty(len(x[0]))
    update(memory.fresh() if memory else np.empty(0), tuple(x), out)
    return out


def all_scanned(c: dict[str, np.ndarray]) -> np.ndarray:
    """The five numbers over a stream by one call each, in the order of ``Fast``."""
    n = len(c["s"])
    next_s, eight = np.full(n, float(NEXT_S)), np.full(n, 8.0)
    premium = scanned(
        fast.running_premium, fast.PREMIUM_MEMORY, c["s"], c["b"], c["a"], c["i"], next_s, eight
    )
    rule = (np.full(n, value) for value in (0.0001, 0.0005, 0.003))
    return np.column_stack(
        [
            scanned(fast.microprice, None, c["b"], c["B"], c["a"], c["A"]),
            scanned(fast.order_flow, fast.flow_memory(5.0), *(c[k] for k in "sbBaA")),
            scanned(fast.smooth_basis, fast.basis_memory(60.0), *(c[k] for k in "sbai")),
            premium,
            scanned(fast.predicted_rate, None, premium, eight, *rule),
        ]
    )


@given(quotes)
def test_one_call_per_event_is_one_call_over_all(stream) -> None:
    c = columns(stream)
    live = FastSignals(BINANCE)
    found = []
    for k in range(len(stream)):
        live.mark(c["i"][k], NEXT_S * 1_000_000_000)
        ts_ns = int(c["s"][k]) * 1_000_000_000
        told = live.quote(ts_ns, c["b"][k], c["B"][k], c["a"][k], c["A"][k])
        found.append([told.microprice_usd, told.flow, told.basis, told.premium, told.funding_8h])
    assert np.array(found).tobytes() == all_scanned(c).tobytes()


@given(quotes, st.integers(0, 40))
def test_a_stream_resumes_where_it_stopped(stream, cut) -> None:
    c = columns(stream)
    for update, memory, names in (
        (fast.order_flow, fast.flow_memory(5.0), "sbBaA"),
        (fast.smooth_basis, fast.basis_memory(60.0), "sbai"),
    ):
        state, pieces = memory.fresh(), np.empty(len(stream))
        for part in (slice(0, cut), slice(cut, None)):
            update(state, tuple(c[k][part] for k in names), pieces[part])
        assert pieces.tobytes() == scanned(update, memory, *(c[k] for k in names)).tobytes()


@given(quotes)
def test_microprice_is_where_the_sizes_lean(stream) -> None:
    c = columns(stream)
    found = scanned(fast.microprice, None, *(c[k] for k in "bBaA"))
    for k, (b, bs, a, sizes_a) in enumerate(zip(*(c[n].tolist() for n in "bBaA"), strict=True)):
        if math.isnan(b) or bs + sizes_a == 0.0:
            assert math.isnan(found[k])
            continue
        assert found[k] == pytest.approx((a - b) / 2 * (bs - sizes_a) / (bs + sizes_a), abs=1e-9)
        assert b - 1e-9 <= 0.5 * (a + b) + found[k] <= a + 1e-9


@given(quotes)
def test_order_flow_is_the_faded_sum_of_cont_kukanov_and_stoikov(stream) -> None:
    c = columns(stream)
    found = scanned(fast.order_flow, fast.flow_memory(5.0), *(c[k] for k in "sbBaA"))
    known = np.flatnonzero(~np.isnan(c["b"]))
    for k in range(len(stream)):
        if k not in known:
            assert math.isnan(found[k])
            continue
        seen = known[known <= k]
        gaps = np.flatnonzero(np.diff(c["s"][seen]) > 60.0)
        seen = seen[gaps[-1] + 1 :] if len(gaps) else seen
        fading = 0.5 ** ((c["s"][k] - c["s"][seen]) / 5.0)
        b, bs, a, sizes_a = (c[n][seen] for n in "bBaA")
        up, down = b[1:] >= b[:-1], b[1:] <= b[:-1]
        cheaper, dearer = a[1:] <= a[:-1], a[1:] >= a[:-1]
        events = up * bs[1:] - down * bs[:-1] - cheaper * sizes_a[1:] + dearer * sizes_a[:-1]
        touch = (fading * (bs + sizes_a) / 2).sum() / fading.sum()
        if touch == 0.0:
            assert math.isnan(found[k])
        else:
            assert found[k] == pytest.approx((fading[1:] * events).sum() / touch, abs=1e-9)


@given(quotes)
def test_the_basis_forgets_by_half(stream) -> None:
    c = columns(stream)
    found = scanned(fast.smooth_basis, fast.basis_memory(60.0), *(c[k] for k in "sbai"))
    basis = (c["b"] + c["a"]) / 2 / c["i"] - 1.0
    known = np.flatnonzero(~np.isnan(basis))
    for k in known:
        seen = known[known <= k]
        gaps = np.flatnonzero(np.diff(c["s"][seen]) > 60.0)
        seen = seen[gaps[-1] + 1 :] if len(gaps) else seen
        # What of each value is left: it came in with 1 − 2^(−Δt/h), and later ones push it out.
        kept = 0.5 ** (np.diff(c["s"][seen]) / 60.0)
        came_in = np.concatenate([[1.0], 1.0 - kept])
        left = np.append(np.cumprod(kept[::-1])[::-1], 1.0)
        assert found[k] == pytest.approx((came_in * left * basis[seen]).sum(), abs=1e-12)
    assert np.isnan(found[np.isnan(basis)]).all()


@given(quotes)
def test_the_premium_is_the_venues_second_by_second(stream) -> None:
    c = columns(stream)
    n = len(stream)
    next_s, eight = np.full(n, float(NEXT_S)), np.full(n, 8.0)
    found = scanned(
        fast.running_premium, fast.PREMIUM_MEMORY, c["s"], c["b"], c["a"], c["i"], next_s, eight
    )
    begin = NEXT_S - 8 * 3600
    premium = np.maximum(0, c["b"] - c["i"]) - np.maximum(0, c["i"] - c["a"])
    premium = premium / c["i"]
    known = np.flatnonzero(~np.isnan(premium))
    total = weight = 0.0
    for k, now in enumerate(known):
        if k and 0 < c["s"][now] - c["s"][known[k - 1]] <= 60.0:
            # Sampled in the middle of every second, later ones weighing more.
            seconds = np.arange(c["s"][known[k - 1]], c["s"][now]) + 0.5 - begin
            total += float((seconds * premium[known[k - 1]]).sum())
            weight += float(seconds.sum())
        expected = total / weight if weight else premium[now]
        assert found[now] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(found[np.isnan(premium)]).all()


def test_a_new_interval_begins_with_what_stood() -> None:
    live = FastSignals(BINANCE)
    live.mark(2000.0, NEXT_S * 1_000_000_000)
    live.quote((NEXT_S - 10) * 1_000_000_000, 2002.0, 1.0, 2002.5, 1.0)
    live.mark(2000.0, (NEXT_S + 8 * 3600) * 1_000_000_000)
    # The premium of 10 bps stood through the first ten seconds of the interval.
    found = live.quote((NEXT_S + 10) * 1_000_000_000, 2000.0, 1.0, 2000.5, 1.0)
    assert found.premium == pytest.approx(0.001)
    assert found.funding_8h == pytest.approx(float(BINANCE.rate(0.001)))
    # Ten seconds of it, then ten at 0: weights 10² and 20² − 10².
    found = live.quote((NEXT_S + 20) * 1_000_000_000, 2000.0, 1.0, 2000.5, 1.0)
    assert found.premium == pytest.approx(0.00025)
    assert found.funding_8h == pytest.approx(0.0001)


def test_a_shortened_interval_weighs_from_its_own_beginning() -> None:
    live = FastSignals(BINANCE)
    live.mark(2000.0, NEXT_S * 1_000_000_000)
    live.mark(2000.0, (NEXT_S + 3600) * 1_000_000_000)
    live.quote((NEXT_S + 10) * 1_000_000_000, 2002.0, 1.0, 2002.5, 1.0)
    live.quote((NEXT_S + 20) * 1_000_000_000, 2000.0, 1.0, 2000.5, 1.0)
    found = live.quote((NEXT_S + 30) * 1_000_000_000, 2000.0, 1.0, 2000.5, 1.0)
    assert found.premium == pytest.approx(0.001 * (400 - 100) / (900 - 100))


@settings(max_examples=50)
@given(st.floats(-0.01, 0.01), st.sampled_from([BINANCE, FundingRule(1, 0.0001, None, 0.006)]))
def test_the_running_funding_is_the_venues_rule(premium, rule) -> None:
    live = FastSignals(rule)
    live.mark(2000.0, NEXT_S * 1_000_000_000)
    price = 2000.0 * (1.0 + premium)
    found = live.quote((NEXT_S - 60) * 1_000_000_000, price, 1.0, price, 1.0)
    expected = float(rule.rate(found.premium)) * 8.0 / rule.interval_h
    assert found.funding_8h == pytest.approx(expected, abs=1e-15)


def test_without_an_index_only_the_book_speaks() -> None:
    found = FastSignals(BINANCE).quote(NEXT_S * 1_000_000_000, 1999.0, 3.0, 2001.0, 1.0)
    assert found.microprice_usd == pytest.approx(0.5)
    assert found.flow == 0.0
    assert all(map(math.isnan, (found.basis, found.premium, found.funding_8h)))
