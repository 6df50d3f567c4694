"""Which features each model of the forecasting programme looks at, by name.

``boosting.INPUTS`` is the older and smaller list of the study's own models. Changing a list here is
a new trial.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.features.catalog import FEATURES
from counterpoise.signals.boosting import INPUTS

RETURNS = tuple(f"return_{h}h" for h in (1, 2, 3, 4, 6, 8, 12, 16, 24, 36, 48, 72, 168))
POSITIONS = tuple(f"range_position_{h}h" for h in (4, 8, 12, 24, 48, 168))
GAPS = tuple(f"mean_gap_{h}h" for h in (4, 8, 12, 24, 48, 168))
CLOCK = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")

#: Of Bitcoin, and of ETH in Bitcoin; they helped over an hour and not over more.
BITCOIN = (
    *(f"btc_return_{h}h" for h in (1, 4, 8, 24)),
    *(f"btc_range_position_{h}h" for h in (8, 24, 48)),
    *(f"eth_btc_return_{h}h" for h in (1, 4, 8, 24, 72)),
)
#: Where the price stands in its recent range and beside its recent means.
DIRECTION = (*RETURNS, *POSITIONS, *GAPS, "hour_sin", "hour_cos", "downside_share_24h")
#: Reversal over an hour, four and a day.
REVERSAL = ("return_1h", "return_4h", "return_24h")

#: Corsi's three means of realised variance.
HAR = ("log_rv_24h", "log_rv_168h", "log_rv_720h")
RANGES = tuple(f"log_parkinson_{h}h" for h in (1, 6, 24, 72, 168, 720))
#: The same idea on high-low ranges, with the hour, the weekday and the weekend to come.
RANGE_HAR = (*RANGES, *CLOCK, "weekend_ahead_24h")
VOLATILITY = tuple(
    dict.fromkeys((*INPUTS, *RANGES, "volume_ratio_6h", "volume_ratio_24h", "weekend_ahead_24h"))
)

SETTLED = tuple(f"funding_mean_{k}" for k in (2, 3, 9, 21, 63))
MEDIANS = ("funding_median_9", "funding_median_21")
PREMIA = ("basis", *(f"basis_mean_{h}h" for h in (8, 24, 72, 168)))
#: Means of one settlement, a day and a week, as HAR takes them.
FUNDING_HAR = ("funding_last", "funding_mean_3", "funding_mean_21")
FUNDING_LINEAR = ("funding_last", *SETTLED, *MEDIANS, *PREMIA)
FUNDING_TREES = (
    *FUNDING_LINEAR,
    *("funding_ewma_4", "funding_ewma_9", "funding_ewma_21"),
    *("funding_deviation_21", "funding_default_share_21"),
    *("log_rv_24h", "log_rv_168h", "return_24h", "momentum_24h_168h"),
)
#: The interval that is running: what it would settle at if it ended now, and what is left of it.
RUNNING = ("predicted_funding_robust", "premium_robust", "funding_last", "funding_mean_2")
RUNNING_TREES = (
    *RUNNING,
    *("predicted_funding", "funding_elapsed", "funding_mean_9", "funding_mean_21"),
    *("basis", "basis_mean_8h", "basis_mean_24h", "basis_mean_72h", "return_4h", "log_rv_24h"),
)

#: What the network reads at each of its steps.
NETWORK = tuple(
    dict.fromkeys(
        (
            *RANGE_HAR,
            *FUNDING_LINEAR,
            *("predicted_funding_robust", "premium_robust"),
            *("return_1h", "return_4h", "return_24h", "return_2h", "return_8h"),
            *POSITIONS,
            *("mean_gap_4h", "mean_gap_12h", "mean_gap_24h", "mean_gap_48h"),
            *("downside_share_24h", "volume_surprise", "log_rv_24h", "log_rv_168h"),
            *("vix_change", "gas_over_target"),
        )
    )
)

#: Columns of the matrix every model is given: the whole catalog, so that a user's model sees all.
NAMES: tuple[str, ...] = tuple(FEATURES)


@cache
def _place() -> dict[str, int]:
    return {name: k for k, name in enumerate(NAMES)}


def places(names: Sequence[str]) -> NDArray[np.intp]:
    """Columns of some inputs in the matrix of all of them.

    Raises
    ------
    FixConfig
        A name that is not an input.
    """
    place = _place()
    for name in names:
        if name not in place:
            raise FixConfig("input", name, "a feature of the catalog", "see: counterpoise features")
    return np.array([place[name] for name in names], dtype=np.intp)
