"""All features over history, against the same features as polars expressions.

The expressions are written from the formulas, not from the recursions, so they are an oracle as
well: ``tests/features/test_polars_peer.py`` holds both to the same numbers. What they model less:
an EWMA begins at its first value instead of a plain mean, and a gap may weigh differently.
"""

import os
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import polars as pl

from counterpoise.features.catalog import FEATURES, raw_inputs
from counterpoise.features.engine import column, compute
from counterpoise.features.rules import CHURN_RULES
from counterpoise.market.timeline import Timeline
from counterpoise.units import to_ms
from counterpoise.venues import contract_at
from tests.features.market import market

HOURS, REPEATS = 48_000, 30
_RULES = ("rule.", "churn.")


def inputs_frame(timeline: Timeline) -> pl.DataFrame:
    """Every column the features need, NaN as null; rules are left out, the peer has its own."""
    names = dict.fromkeys(part for name in FEATURES for part in raw_inputs(name))
    plain = [name for name in names if not name.startswith(_RULES)]
    return pl.DataFrame({name: column(timeline, name) for name in plain}).fill_nan(None)


def _ewma(values: pl.Expr, span: float) -> pl.Expr:
    return values.ewm_mean(span=span, adjust=False, ignore_nulls=True)


def _log_volatility(variance_1h: pl.Expr) -> pl.Expr:
    return (8760 * variance_1h).log() / 2


def _published(name: str, *, log: bool) -> pl.Expr:
    values = pl.col(f"daily.{name}")
    level = values.log1p() if log else values
    changed = values != values.shift(1)
    return pl.when(changed).then(level - level.shift(1)).otherwise(None).forward_fill()


def _price() -> dict[str, pl.Expr]:
    log = pl.col("spot.close").log()
    step = log - log.shift(1)
    squares = step**2
    variance = _ewma(squares, 168)
    volume = pl.col("spot.volume").log()
    falls = pl.when(step < 0).then(squares).otherwise(0.0)
    rises = pl.when(step > 0).then(squares).otherwise(0.0)
    bipower = (step.abs() * step.abs().shift(1)).rolling_mean(23) * (np.pi / 2)
    high, low = pl.col("spot.high"), pl.col("spot.low")
    ranges = (high / low).log() ** 2

    def place(hours: int) -> pl.Expr:
        top, bottom = high.rolling_max(hours), low.rolling_min(hours)
        return (pl.col("spot.close") - bottom) / (top - bottom) - 0.5

    return {
        **{
            f"return_{h}h": (log - log.shift(h)) / (variance * h).sqrt()
            for h in (1, 4, 24, 2, 3, 6, 8, 12, 16, 36, 48, 72, 168)
        },
        "momentum_24h_168h": (_ewma(log, 24) - _ewma(log, 168)) / (variance * 24).sqrt(),
        **{
            f"mean_gap_{h}h": (log - _ewma(log, h)) / (variance * h).sqrt()
            for h in (4, 8, 12, 24, 48, 168)
        },
        "volume_surprise": volume - _ewma(volume, 168).shift(1),
        **{
            f"volume_ratio_{h}h": volume.rolling_mean(h) - volume.rolling_mean(168) for h in (6, 24)
        },
        **{f"log_rv_{h}h": _log_volatility(squares.rolling_mean(h)) for h in (6, 24, 72, 168, 720)},
        "upside_volatility_24h": (8760 * rises.rolling_mean(24)).sqrt(),
        "downside_volatility_24h": (8760 * falls.rolling_mean(24)).sqrt(),
        "downside_share_24h": falls.rolling_sum(24) / squares.rolling_sum(24),
        "log_bipower_24h": _log_volatility(bipower),
        "jump_share_24h": (1 - bipower / squares.rolling_mean(24)).clip(lower_bound=0.0),
        **{
            f"log_parkinson_{h}h": _log_volatility(ranges.rolling_mean(h) / (4 * np.log(2)))
            for h in (24, 1, 6, 72, 168, 720)
        },
        **{f"range_position_{h}h": place(h) for h in (4, 8, 12, 24, 48, 168)},
    }


def _carry(timeline: Timeline) -> dict[str, pl.Expr]:
    basis = pl.col("perp.close") / pl.col("spot.close") - 1
    interval, clock = pl.col("funding_interval_h"), pl.col("clock_h")
    deviation = basis.ewm_var(span=168, adjust=False, bias=True, ignore_nulls=True).sqrt()
    per_8h = pl.col("funding_seen") * 8 / interval
    momentum = _ewma(per_8h, 3) - _ewma(per_8h, 21)
    gone = clock % interval
    weight, running = gone + 1, (clock / interval).floor()
    premium = (weight * basis).cum_sum().over(running) / weight.cum_sum().over(running)
    rule = contract_at(timeline.venues[0], int(timeline.ts_ms[0])).funding
    assert rule.damper_8h is not None
    damper, cap = rule.damper_8h, rule.cap * 8 / interval

    def predicted(premium: pl.Expr) -> pl.Expr:
        # P + clamp(I - P, ±D) is I moved by as much as P lies outside I ± D.
        nearest = premium.clip(rule.interest_8h - damper, rule.interest_8h + damper)
        return (premium - nearest + rule.interest_8h).clip(-cap, cap)

    off = (basis.shift(j) - basis.rolling_median(8) for j in range(8))
    shares = [
        pl.when((gone >= j) & (far.abs() <= 0.006)).then(weight - j) for j, far in enumerate(off)
    ]
    robust = pl.sum_horizontal(share * basis.shift(j) for j, share in enumerate(shares))
    robust /= pl.sum_horizontal(shares)
    return {
        "basis": basis,
        "basis_zscore": (basis - _ewma(basis, 168).shift(1)) / deviation.shift(1),
        "basis_change_1h": basis - basis.shift(1),
        "basis_change_24h": basis - basis.shift(24),
        "funding_last": pl.col("funding_last") * 8 / interval,
        "funding_momentum": pl.when(per_8h.is_not_null()).then(momentum).forward_fill(),
        "funding_elapsed": gone / interval,
        "premium_elapsed": premium,
        "predicted_funding": predicted(premium),
        **{f"basis_mean_{h}h": basis.rolling_mean(h) for h in (8, 24, 72, 168)},
        "premium_robust": robust,
        "predicted_funding_robust": predicted(robust),
        **_settled(per_8h),
    }


def _settled(per_8h: pl.Expr) -> dict[str, pl.Expr]:
    """Windows of settlements 8 h apart: k of them are in any 8·k hours."""
    default = ((per_8h - 1e-4).abs() <= 1e-9).cast(pl.Float64)

    def standing(settled: pl.Expr) -> pl.Expr:
        return pl.when(per_8h.is_not_null()).then(settled).forward_fill()

    return {
        **{
            f"funding_mean_{k}": per_8h.rolling_mean(8 * k, min_samples=k)
            for k in (2, 3, 9, 21, 63)
        },
        **{f"funding_median_{k}": per_8h.rolling_median(8 * k, min_samples=k) for k in (9, 21)},
        **{f"funding_ewma_{k}": standing(_ewma(per_8h, k)) for k in (4, 9, 21)},
        "funding_deviation_21": per_8h.rolling_std(8 * 21, min_samples=21, ddof=0),
        "funding_default_share_21": default.rolling_mean(8 * 21, min_samples=21),
    }


def _slow() -> dict[str, pl.Expr]:
    clock = pl.col("clock_h")
    by_count = pl.col("daily.active_validators") // 65_536 * 32
    by_stake = (pl.col("daily.staked_eth") / 65_536).floor()
    _, deneb, electra = (clock >= to_ms(rule.effective) / 3_600_000 for rule in CHURN_RULES)

    def wait(side: str) -> pl.Expr:
        before = by_count.clip(upper_bound=256) if side == "entry" else by_count
        churn = pl.when(electra).then(by_stake.clip(upper_bound=256)).when(deneb).then(before)
        return pl.col(f"daily.{side}_queue_eth") / churn.otherwise(by_count).clip(lower_bound=128)

    def turn(period: int, offset: int) -> pl.Expr:
        return (clock + offset) % period * (2 * np.pi / period)

    return {
        "gas_over_target": pl.col("daily.gas_used") / (pl.col("daily.gas_limit_avg") * 7200) - 0.5,
        "gas_price_change": _published("avg_gas_price_wei", log=True),
        "active_validators_change": _published("active_validators", log=True),
        "entry_queue_change": _published("entry_queue_eth", log=True),
        "exit_queue_change": _published("exit_queue_eth", log=True),
        "entry_queue_epochs": wait("entry"),
        "exit_queue_epochs": wait("exit"),
        "vix_change": _published("vix_close", log=False),
        "dollar_change": _published("broad_usd_index", log=False),
        "us10y_change": _published("us10y_pct", log=False),
        "hy_spread_change": _published("us_hy_oas_pct", log=False),
        "sp500_change": _published("sp500_close", log=True),
        "hour_sin": turn(24, 0).sin(),
        "hour_cos": turn(24, 0).cos(),
        "weekday_sin": turn(168, 72).sin(),
        "weekday_cos": turn(168, 72).cos(),
        **{
            f"weekend_ahead_{h}h": pl.mean_horizontal(
                (((clock + k) // 24 + 3) % 7 >= 5).cast(pl.Float64) for k in range(h)
            )
            for h in (4, 24)
        },
    }


def _flow() -> dict[str, pl.Expr]:
    def day_change(name: str) -> pl.Expr:
        log = pl.col(f"hourly.{name}").log()
        return log - log.shift(24)

    buys, volume = pl.col("hourly.taker_buy_base"), pl.col("perp.volume")
    bids, asks = pl.col("hourly.bid_depth_eth"), pl.col("hourly.ask_depth_eth")
    return {
        "open_interest_change_24h": day_change("open_interest_eth"),
        "base_fee_change_24h": day_change("base_fee_mean_wei"),
        "gas_over_target_1h": pl.col("hourly.gas_used_ratio") - 0.5,
        "taker_buy_share_24h": buys.rolling_sum(24) / volume.rolling_sum(24),
        "depth_imbalance_1pct": (bids - asks) / (bids + asks),
    }


def _events() -> dict[str, pl.Expr]:
    found: dict[str, pl.Expr] = {}
    for kind in ("upgrade", "regulatory", "macro"):
        to, since = (pl.col(f"events.hours_{side}_{kind}") for side in ("to", "since"))
        found |= {
            f"hours_to_{kind}": to.clip(upper_bound=720),
            f"hours_since_{kind}": since.clip(upper_bound=720),
            f"near_{kind}": (pl.min_horizontal(to, since) <= 24).cast(pl.Float64),
        }
    return found


def _bitcoin() -> dict[str, pl.Expr]:
    price, high, low = (pl.col(f"hourly.btc_{part}") for part in ("close", "high", "low"))

    def scaled(log: pl.Expr, hours: int) -> pl.Expr:
        return (log - log.shift(hours)) / (_ewma((log - log.shift(1)) ** 2, 168) * hours).sqrt()

    def place(hours: int) -> pl.Expr:
        top, bottom = high.rolling_max(hours), low.rolling_min(hours)
        return (price - bottom) / (top - bottom) - 0.5

    ratio = (pl.col("spot.close") / price).log()
    return {
        **{f"btc_return_{h}h": scaled(price.log(), h) for h in (1, 4, 8, 24)},
        **{f"btc_range_position_{h}h": place(h) for h in (8, 24, 48)},
        **{f"eth_btc_return_{h}h": scaled(ratio, h) for h in (1, 4, 8, 24, 72)},
    }


def peer(timeline: Timeline) -> dict[str, pl.Expr]:
    """Every feature of the catalog as an expression on :func:`inputs_frame`, in its order."""
    found = _price() | _carry(timeline) | _slow() | _flow() | _events() | _bitcoin()
    return {name: found[name] for name in FEATURES}


def _fastest(work: Callable[[], object]) -> float:
    """Least seconds of several runs, after one that does not count: the least disturbed one."""
    work()
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def features() -> dict[str, dict[str, object]]:
    """Ticks per second with every feature computed, all cores, both sides in one run.

    Returns
    -------
    dict
        ``features_rows_per_s`` with ``value``, ``unit``, ``peer`` and ``ratio``.
    """
    timeline = market(HOURS)
    frame, expressions = inputs_frame(timeline), peer(timeline)
    ours = _fastest(lambda: compute(timeline))
    theirs = _fastest(lambda: frame.lazy().select(**expressions).collect())
    return {
        "features_rows_per_s": {
            "value": HOURS / ours,
            "unit": "rows/s",
            "peer": (
                f"polars {version('polars')}, the same {len(expressions)} features as "
                f"expressions, {os.cpu_count()} cores"
            ),
            "ratio": theirs / ours,
        }
    }
