"""Oracles of ranges, gaps to a mean, and windows of volume, basis and funding."""

from collections.abc import Callable
from datetime import timedelta

import numpy as np

from counterpoise.market.timeline import Timeline
from counterpoise.venues import contract_at
from tests.features.formulas import basis, clock, hourly_sigma, known, mean_of, returns

Oracle = Callable[[Timeline, int], float]


def last_hours(values: np.ndarray, t: int, hours: int) -> np.ndarray | None:
    """What is known of the last hours; None where that is too little, or this hour is unknown."""
    window = known(values[max(t - hours + 1, 0) : t + 1])
    return None if np.isnan(values[t]) or 6 * len(window) < 5 * hours else window


def mean_gap(span: int) -> Oracle:
    def at(timeline: Timeline, t: int) -> float:
        seen = np.log(known(timeline.spot.close[: t + 1]))
        too_early = len(seen) < span or len(known(returns(timeline)[: t + 1])) < 24
        if np.isnan(timeline.spot.close[t]) or too_early:
            return np.nan
        return (seen[-1] - mean_of(seen, span)) / (hourly_sigma(timeline, t) * np.sqrt(span))

    return at


def volume_ratio(hours: int) -> Oracle:
    def at(timeline: Timeline, t: int) -> float:
        volume = timeline.spot.volume
        traded = np.where(volume > 0, volume, np.nan)
        short, long = last_hours(traded, t, hours), last_hours(traded, t, 168)
        if short is None or long is None:
            return np.nan
        return float(np.log(short).mean() - np.log(long).mean())

    return at


def btc_bars(timeline: Timeline) -> np.ndarray:
    return np.array([timeline.hourly[f"btc_{part}"] for part in ("high", "low", "close")])


def own_return(price: Callable[[Timeline], np.ndarray], hours: int) -> Oracle:
    """Return of a price in standard deviations of its own hourly returns."""

    def at(timeline: Timeline, t: int) -> float:
        seen = price(timeline)[: t + 1]
        steps = known(np.log(seen[1:]) - np.log(seen[:-1]))
        if t < hours or len(steps) < 24:
            return np.nan
        return np.log(seen[t] / seen[t - hours]) / np.sqrt(hours * mean_of(steps**2, 168))

    return at


def range_position(hours: int, of: str = "spot") -> Oracle:
    def at(timeline: Timeline, t: int) -> float:
        spot = timeline.spot
        bars = btc_bars(timeline) if of == "btc" else np.array([spot.high, spot.low, spot.close])
        window = bars[:, max(t - hours + 1, 0) : t + 1]
        whole = window[:, np.isfinite(window).all(axis=0)]
        if np.isnan(bars[:, t]).any() or 6 * whole.shape[1] < 5 * hours:
            return np.nan
        top, bottom = whole[0].max(), whole[1].min()
        return (bars[2, t] - (top + bottom) / 2) / (top - bottom) if top > bottom else 0.0

    return at


def log_parkinson(hours: int) -> Oracle:
    def at(timeline: Timeline, t: int) -> float:
        ranges = last_hours(np.log(timeline.spot.high) - np.log(timeline.spot.low), t, hours)
        if ranges is None or not ranges.any():
            return np.nan
        return float(np.log(np.sqrt(8760 * (ranges**2).mean() / np.log(16))))

    return at


def basis_mean(hours: int) -> Oracle:
    def at(timeline: Timeline, t: int) -> float:
        window = last_hours(timeline.perp.close[:, 0] / timeline.spot.close - 1, t, hours)
        return np.nan if window is None else float(window.mean())

    return at


def premium_robust(timeline: Timeline, t: int) -> float:
    """By hand from the close at which the running interval of at most 8 h began."""
    if np.isnan(basis(timeline, t)):
        return np.nan
    middle = np.median(known(np.array([basis(timeline, s) for s in range(max(t - 7, 0), t + 1)])))
    begun = t - clock(timeline, t).hour % int(timeline.funding_interval_h[t, 0])
    samples = {s - begun + 1: basis(timeline, s) for s in range(max(begun, 0), t + 1)}
    believed = {k: sample for k, sample in samples.items() if abs(sample - middle) <= 0.006}
    if not believed:
        return np.nan
    return sum(k * sample for k, sample in believed.items()) / sum(believed)


def predicted_funding_robust(timeline: Timeline, t: int) -> float:
    premium = premium_robust(timeline, t)
    return float(contract_at("binance", int(timeline.ts_ms[t])).funding.rate(premium))


def settlements(count: int, statistic: Callable[[np.ndarray], float], *, all_seen: bool = False):
    """A statistic of the last settlements, or of all seen, from the ``count``-th one on."""

    def at(timeline: Timeline, t: int) -> float:
        rates = timeline.funding_settled[: t + 1, 0] * 8 / timeline.funding_interval_h[: t + 1, 0]
        when = np.flatnonzero(np.isfinite(rates))
        if len(when) < count or t - when[-1] >= 2 * timeline.funding_interval_h[t, 0]:
            return np.nan
        return float(statistic(rates[when] if all_seen else rates[when][-count:]))

    return at


def ewma(span: int) -> Callable[[np.ndarray], float]:
    return lambda rates: mean_of(rates, span)


def weekend_ahead(hours: int) -> Oracle:
    def at(timeline: Timeline, t: int) -> float:
        ahead = (clock(timeline, t) + timedelta(hours=k) for k in range(hours))
        return sum(when.strftime("%a") in ("Sat", "Sun") for when in ahead) / hours

    return at


MEAN_GAPS = {f"mean_gap_{h}h": mean_gap(h) for h in (4, 8, 12, 24, 48, 168)}
VOLUME_RATIOS = {f"volume_ratio_{h}h": volume_ratio(h) for h in (6, 24)}
RANGES = {
    **{f"range_position_{h}h": range_position(h) for h in (4, 8, 12, 24, 48, 168)},
    **{f"log_parkinson_{h}h": log_parkinson(h) for h in (1, 6, 72, 168, 720)},
}
PREMIUM = {
    **{f"basis_mean_{h}h": basis_mean(h) for h in (8, 24, 72, 168)},
    "premium_robust": premium_robust,
    "predicted_funding_robust": predicted_funding_robust,
}
FUNDING = {
    **{f"funding_mean_{k}": settlements(k, np.mean) for k in (2, 3, 9, 21, 63)},
    **{f"funding_median_{k}": settlements(k, np.median) for k in (9, 21)},
    **{f"funding_ewma_{k}": settlements(k, ewma(k), all_seen=True) for k in (4, 9, 21)},
    "funding_deviation_21": settlements(21, np.std),
    "funding_default_share_21": settlements(
        21, lambda rates: np.isclose(rates, 1e-4, rtol=0, atol=1e-9).mean()
    ),
}
BITCOIN = {
    **{f"btc_return_{h}h": own_return(lambda tl: btc_bars(tl)[2], h) for h in (1, 4, 8, 24)},
    **{f"btc_range_position_{h}h": range_position(h, "btc") for h in (8, 24, 48)},
    **{
        f"eth_btc_return_{h}h": own_return(lambda tl: tl.spot.close / btc_bars(tl)[2], h)
        for h in (1, 4, 8, 24, 72)
    },
}
WEEKENDS = {f"weekend_ahead_{h}h": weekend_ahead(h) for h in (4, 24)}
