"""Numbers that change once a day or less: gas, validators, macro; and the calendar.

Each recursion stands above its entries. What ``x``, ``state`` and ``out`` are, and how gaps are
kept, is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import Floats, Known, Memory, add

#: Blocks of a full day at one per 12 s.
BLOCKS_PER_DAY = 7200.0
#: Least churn of an epoch: 4 validators of 32 ETH (phase 0), 128 ETH (EIP-7251).
CHURN_FLOOR_ETH = 128.0
#: An epoch may let in or out one part in so many of what is staked.
CHURN_QUOTIENT = 65_536.0
VALIDATOR_ETH = 32.0

_NAN = float("nan")


@njit
def gas_over_target(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Gas used over a day's gas limit, minus ½: above 0 the base fee rises.

    ``x`` = (gas used per day, limit per block); no state. NaN at a limit of 0.

    Formula: u/(limit·7200) − ½.
    Unit: fraction.
    Pitfall: before EIP-1559 (2021-08-05) the limit was the target, so it reads near +0.4; before
    the Merge a day had about 6,500 blocks, so it reads too low; the limit changes by vote.
    Source: EIP-1559.
    """
    used, limit = x
    for t in range(out.shape[0]):
        capacity = limit[t] * BLOCKS_PER_DAY
        out[t] = used[t] / capacity - 0.5 if capacity > 0.0 else np.nan


add(
    "gas_over_target",
    "daily.gas_used daily.gas_limit_avg",
    gas_over_target,
    Memory(),
    warm_up=0,
    unit="fraction",
    known_at="day's end",
    formula="gas used / (limit per block · 7200 blocks) − ½",
    pitfall="no target before EIP-1559 (2021-08); about 6,500 blocks a day before the Merge; the "
    "limit changes by vote",
)


@njit
def published_change(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Last published value minus the different one before it.

    ``x`` = (series as of now,); head = [last value, last change].

    Formula: Δx between the last two different values.
    Unit: that of the series.
    Pitfall: stands still over weekends and holidays; a publication that repeats the value before
    it cannot be told from none. First vintages only where the lake has them.
    Source: SCIENCE §6.
    """
    last, difference = state[0], state[1]
    for t in range(out.shape[0]):
        value = x[0][t]
        if np.isnan(value):
            out[t] = np.nan
            continue
        if value != last:
            difference = value - last
            last = value
        out[t] = difference
    state[0], state[1] = last, difference


@njit
def published_log_change(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """As :func:`published_change`, of ln(1 + value): for quantities that may be zero.

    ``x`` = (series as of now,); head = [last value, last change].

    Formula: Δln(1 + x) between the last two different values.
    Unit: natural log of a ratio per publication.
    Pitfall: as of :func:`published_change`; from zero a small quantity is a large change.
    Source: SCIENCE §6.
    """
    last, difference = state[0], state[1]
    for t in range(out.shape[0]):
        value = x[0][t]
        if np.isnan(value):
            out[t] = np.nan
            continue
        if value != last:
            difference = np.log1p(value) - np.log1p(last)
            last = value
        out[t] = difference
    state[0], state[1] = last, difference


def _published(name: str, column: str, unit: str, known_at: Known, what: str, pitfall: str) -> None:
    log = unit == "log ratio"
    add(
        name,
        f"daily.{column}",
        published_log_change if log else published_change,
        Memory((_NAN, _NAN)),
        warm_up=24,
        unit=unit,
        known_at=known_at,
        formula=f"Δ{' ln(1 + x), x =' if log else ''} {what}, from the last different value",
        pitfall=pitfall,
    )


_published(
    "gas_price_change",
    "avg_gas_price_wei",
    "log ratio",
    "day's end",
    "average gas price in wei",
    "an average over a day of bids, not the base fee",
)
_published(
    "active_validators_change",
    "active_validators",
    "log ratio",
    "day's end",
    "number of active validators",
    "bounded by the churn rule, so it lags the queues; one validator may hold 2,048 ETH since "
    "EIP-7251",
)
for _side, _way in (("entry", "staked"), ("exit", "unstaked")):
    _published(
        f"{_side}_queue_change",
        f"{_side}_queue_eth",
        "log ratio",
        "day's end",
        f"ETH waiting to be {_way}",
        "churn rules changed (EIP-7514, EIP-7251); missing 2022-10 to 2023-05",
    )


@njit
def queue_epochs(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Epochs until a queue would be empty at the churn the protocol allows.

    ``x`` = (queue in ETH, active validators, staked ETH, cap of the churn per epoch in ETH, step of
    the churn in ETH); no state. A step of 32 ETH counts stake in validators, a finer one in ETH.

    Formula: queue / min(cap, max(128, step·⌊stake/65536/step⌋)).
    Unit: epochs of 6.4 minutes.
    Pitfall: a wait, not a flow: it jumps where the rule changes, and stake is an estimate.
    Source: consensus specifications, get_validator_churn_limit; EIP-7514; EIP-7251.
    """
    queue, validators, staked, cap, step = x
    for t in range(out.shape[0]):
        stake = VALIDATOR_ETH * validators[t] if step[t] == VALIDATOR_ETH else staked[t]
        churn = step[t] * np.floor(stake / CHURN_QUOTIENT / step[t])
        out[t] = queue[t] / min(max(churn, CHURN_FLOOR_ETH), cap[t])
        if np.isnan(churn):
            out[t] = np.nan


for _side, _way in (("entry", "staked"), ("exit", "unstaked")):
    add(
        f"{_side}_queue_epochs",
        f"daily.{_side}_queue_eth daily.active_validators daily.staked_eth "
        f"churn.{_side}_cap_eth churn.step_eth",
        queue_epochs,
        Memory(),
        warm_up=0,
        unit="epochs",
        known_at="day's end",
        formula=f"ETH waiting to be {_way} / ETH an epoch lets through, by the rule of the day",
        pitfall="jumps where the churn rule changes; missing 2022-10 to 2023-05",
    )
for _name, _column, _unit, _what in (
    ("vix_change", "vix_close", "index points", "VIX close"),
    ("dollar_change", "broad_usd_index", "index points", "broad dollar index"),
    ("us10y_change", "us10y_pct", "percent points", "10-year Treasury yield"),
    ("hy_spread_change", "us_hy_oas_pct", "percent points", "high-yield spread (OAS)"),
    ("sp500_change", "sp500_close", "log ratio", "S&P 500 close"),
):
    _published(
        _name,
        _column,
        _unit,
        "release",
        _what,
        "stands still over weekends and holidays; a repeated value is not seen as published",
    )


@njit
def cycle(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Sine or cosine of the clock on a cycle.

    ``x`` = (hours since 1970,); head = [0 for the sine and 1 for the cosine, period, offset] in
    hours; the ring keeps the value of each whole hour of the cycle once it was needed.

    Formula: sin or cos of 2π·((clock + offset) mod period)/period.
    Unit: pure number, −1 to 1.
    Pitfall: summer time moves the trading day, not this clock.
    Source: the usual cyclic encoding.
    """
    kind, period, offset = state[0], state[1], state[2]
    hours = state[3:]
    for t in range(out.shape[0]):
        gone = x[0][t] + offset
        gone -= period * np.floor(gone / period)
        whole = int(gone)
        if gone == whole and not np.isnan(hours[whole]):
            out[t] = hours[whole]
            continue
        angle = 2.0 * np.pi * gone / period
        out[t] = np.sin(angle) if kind == 0.0 else np.cos(angle)
        if gone == whole:
            hours[whole] = out[t]


for _name, _period, _offset, _start in (
    ("hour", 24, 0.0, "midnight UTC"),
    ("weekday", 168, 72.0, "Monday midnight UTC"),
):
    for _kind, _wave in enumerate(("sin", "cos")):
        add(
            f"{_name}_{_wave}",
            "clock_h",
            cycle,
            Memory((float(_kind), float(_period), _offset), _period),
            warm_up=0,
            unit="-1 to 1",
            known_at="always",
            formula=f"{_wave}(2π·hours since {_start} / {_period})",
            pitfall="summer time moves the trading day, not this clock",
        )


@njit
def weekend_ahead(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Share of the hours ahead that fall on a Saturday or a Sunday.

    ``x`` = (hours since 1970,); head = [hours ahead], at most five days.

    Formula: share of [t, t + n) in [Saturday 00:00, Monday 00:00) UTC.
    Unit: share, 0 to 1.
    Pitfall: the weekend of UTC; in Asia it begins hours earlier, in America it ends hours later.
    Source: SCIENCE §6.
    """
    ahead = state[0]
    for t in range(out.shape[0]):
        # 1970 began on a Thursday.
        start = x[0][t] + 72.0
        start -= 168.0 * np.floor(start / 168.0)
        out[t] = max(0.0, min(start + ahead, 168.0) - max(start, 120.0)) / ahead


for _hours in (4, 24):
    add(
        f"weekend_ahead_{_hours}h",
        "clock_h",
        weekend_ahead,
        Memory((float(_hours),)),
        warm_up=0,
        unit="share, 0 to 1",
        known_at="always",
        formula=f"share of the next {_hours} h on Saturday or Sunday, UTC",
        pitfall="the weekend of UTC; holidays of the old markets are no weekend here",
    )
