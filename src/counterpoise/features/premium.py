"""The basis over windows, and a premium of the running interval that stale prints do not move.

Each recursion stands above its entries. What ``x``, ``state`` and ``out`` are, and how gaps are
kept, is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.carry import predicted_rate
from counterpoise.features.feature import Floats, Memory, add, median
from counterpoise.features.price import rolling_mean

#: Hours whose median says where the basis is, and how far from it a print is still believed.
MEDIAN_HOURS = 8
BELIEVED = 0.006

for _hours in (8, 24, 72, 168):
    add(
        f"basis_mean_{_hours}h",
        "feature.basis",
        rolling_mean,
        Memory((0.0, 0.0, 0.0), _hours),
        warm_up=-(-5 * _hours // 6) - 1,
        unit="fraction",
        known_at="bar close",
        formula=f"mean basis of {_hours} h, at least 5/6 of them and this one known",
        pitfall="overlapping windows; one stale spot print moves it until it has left",
    )


@njit
def robust_premium(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Time-weighted mean premium of the running interval, without hours far from the median.

    ``x`` = (premium, hours since 1970, interval in hours); head = [position]; the thirds of the
    ring hold the premiums of the last 8 hours, their weights in the running interval, and space to
    sort. Weights are those of ``carry.elapsed_premium``; all hours are judged anew every hour, by
    the median of the hours known. Of an interval longer than 8 h only the last 8 hours count.

    Formula: P̄ = Σ k·P_k / Σ k over the hours k with |P_k − median of 8 h| ≤ 0.006; NaN without any.
    Unit: fraction of the index.
    Pitfall: more than 4 h of stale prints are themselves the median; a true dislocation of more
    than 0.006 is left out for its first hours as well.
    Source: Hampel (1974) for the median as a reference; the bound is an outage's, far above noise.
    """
    premium, clock_h, interval_h = x
    window = (state.shape[0] - 1) // 3
    values, weights = state[1 : 1 + window], state[1 + window : 1 + 2 * window]
    scratch = state[1 + 2 * window :]
    position = int(state[0])
    for t in range(out.shape[0]):
        gone_h = clock_h[t] - interval_h[t] * np.floor(clock_h[t] / interval_h[t])
        if not gone_h > 0.0:
            weights[:] = 0.0
        values[position] = premium[t]
        weights[position] = gone_h + 1.0
        position += 1
        if position == window:
            position = 0
        out[t] = np.nan
        if np.isnan(premium[t] * gone_h):
            continue
        middle = median(values, scratch)
        total, weight = 0.0, 0.0
        for i in range(window):
            if weights[i] > 0.0 and np.abs(values[i] - middle) <= BELIEVED:
                total += weights[i] * values[i]
                weight += weights[i]
        if weight > 0.0:
            out[t] = total / weight
    state[0] = position


add(
    "premium_robust",
    "feature.basis clock_h funding_interval_h",
    robust_premium,
    Memory((0.0,), 3 * MEDIAN_HOURS),
    warm_up=0,
    unit="fraction",
    known_at="bar close",
    formula="premium_elapsed over hours with |basis_k − median basis of 8 h| ≤ 0.006",
    pitfall="stale prints of more than 4 h are the median; a true dislocation starts as one",
)
add(
    "predicted_funding_robust",
    "feature.premium_robust funding_interval_h rule.interest_8h rule.damper_8h rule.cap",
    predicted_rate,
    Memory(),
    warm_up=0,
    unit="per 8 h",
    known_at="bar close",
    formula="P̄ + clamp(default − P̄, ±damper) within ±cap, P̄ = premium_robust, rule by date",
    pitfall="unknown where no hour is believed; understates a true dislocation at its start",
)
