"""Every feature by name: its recursion, inputs, unit, when it is known, and what to beware of.

The catalog says what a feature is; ``recursions`` says how it is computed and ``engine`` runs it.
A new feature is one entry here and one oracle in ``tests/features/test_oracles.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.features import recursions
from counterpoise.registry import Registry

Floats = NDArray[np.float64]
Update = Callable[[Floats, Floats], float]

BAR = "close of the hourly bar"
SETTLEMENT = "settlement of the funding rate"
CLOCK = "always"
DAY_AFTER = "after its UTC day has ended, as the lake's known_at says"
RELEASE = "after its release, as the lake's known_at says"


@dataclass(frozen=True)
class Memory:
    """Preallocated state of a recursion.

    Attributes
    ----------
    head : tuple of float
        Named slots and parameters, in the order the recursion states.
    ring : int
        Length of the window that follows, filled with NaN (nothing known yet).
    """

    head: tuple[float, ...] = ()
    ring: int = 0

    @property
    def size(self) -> int:
        """Number of float64 the state holds."""
        return len(self.head) + self.ring

    def fresh(self) -> Floats:
        """A state that has seen nothing; shape (size,)."""
        return np.concatenate([np.array(self.head, float), np.full(self.ring, np.nan)])


@dataclass(frozen=True)
class Feature:
    """One number per tick, made by one recursion.

    Attributes
    ----------
    name : str
    inputs : tuple of str
        Columns of the timeline, in the order of the recursion's ``x`` (see ``engine.column``).
    update : callable
        Compiled ``update(state, x) -> value``.
    memory : Memory
    warm_up : int
        Ticks of gap-free input, settlements every 8 h, before the first value.
    unit : str
    known_at : str
        When its newest input could first have been had.
    formula : str
    pitfall : str
    """

    name: str
    inputs: tuple[str, ...]
    update: Update
    memory: Memory
    warm_up: int
    unit: str
    known_at: str
    formula: str
    pitfall: str


FEATURES: Registry[Feature] = Registry("feature")


def _add(
    name: str,
    inputs: str,
    update: Update,
    memory: Memory,
    warm_up: int,
    unit: str,
    known_at: str,
    formula: str,
    pitfall: str,
) -> None:
    FEATURES.add(
        name,
        Feature(
            name, tuple(inputs.split()), update, memory, warm_up, unit, known_at, formula, pitfall
        ),
    )


_NAN = float("nan")

for _hours in (1, 4, 24):
    _add(
        f"return_{_hours}h",
        "spot.close",
        recursions.scaled_return,
        Memory((0.0, 0.0, 0.0, _NAN), _hours),
        24,
        "standard deviations",
        BAR,
        f"ln(S_t / S_(t-{_hours}h)) / (σ_1h·√{_hours}), σ_1h² an EWMA of r² with span 168 h",
        "the newest return is inside its own scale, so shocks are capped near √84",
    )
_add(
    "momentum_24h_168h",
    "spot.close",
    recursions.scaled_momentum,
    Memory((24.0, 168.0, 0.0, 0.0, 0.0, 0.0, _NAN, 0.0)),
    168,
    "standard deviations",
    BAR,
    "(EWMA_24 ln S − EWMA_168 ln S) / (σ_1h·√24)",
    "trends decayed after 2021; a slow feature has few independent values",
)
for _hours in (6, 24, 72, 168, 720):
    _add(
        f"log_rv_{_hours}h",
        "spot.close",
        recursions.log_realised_volatility,
        Memory((0.0, 0.0, 0.0, _NAN), _hours),
        -(-5 * _hours // 6),
        "log of annualised fraction",
        BAR,
        f"½·ln(8760·mean of r² over {_hours} h), at least 5/6 of the returns known",
        "a gap costs two returns; hourly closes miss what happened inside the hour",
    )
_add(
    "downside_share_24h",
    "spot.close",
    recursions.downside_share,
    Memory((0.0, _NAN), 24),
    20,
    "share, 0 to 1",
    BAR,
    "Σr²·1(r < 0) / Σr² over 24 h",
    "one large hour decides it",
)
_add(
    "jump_share_24h",
    "spot.close",
    recursions.jump_share,
    Memory((0.0, _NAN), 24),
    20,
    "share, 0 to 1",
    BAR,
    "max(0, 1 − (π/2)·mean|r_i||r_(i-1)| / mean r²) over 24 h",
    "hourly returns are coarse for bipower variance: noisy, biased down by zero returns",
)
_add(
    "log_parkinson_24h",
    "spot.high spot.low",
    recursions.log_parkinson_volatility,
    Memory((0.0,), 24),
    19,
    "log of annualised fraction",
    BAR,
    "½·ln(8760·mean of ln(high/low)² / (4·ln 2)) over 24 h",
    "a single false print is a range; suspect bars must come as NaN",
)
_add(
    "basis",
    "perp.close spot.close",
    recursions.relative_gap,
    Memory(),
    0,
    "fraction",
    BAR,
    "perpetual close / spot close − 1",
    "last trades of two books, not quotes: a basis point or two is noise",
)
_add(
    "basis_zscore",
    "perp.close spot.close",
    recursions.relative_gap_zscore,
    Memory((168.0, 0.0, 0.0, 0.0)),
    168,
    "standard deviations",
    BAR,
    "(basis − EWMA_168) / √EWMVar_168, both of before this hour",
    "calm weeks make small moves look large",
)
_add(
    "funding_last",
    "funding_last funding_interval_h",
    recursions.rate_per_8h,
    Memory(),
    0,
    "fraction per 8 h",
    SETTLEMENT,
    "last settled rate · 8 / interval in hours",
    "about a third of settlements are exactly the default 0.0001",
)
_add(
    "funding_momentum",
    "funding_seen funding_interval_h",
    recursions.funding_momentum,
    Memory((0.0, 0.0, 0.0)),
    160,
    "fraction per 8 h",
    SETTLEMENT,
    "EWMA_3 − EWMA_21 over settlements of the rate per 8 h",
    "spans count settlements: when a venue goes hourly they cover an eighth of the time",
)
_add(
    "volume_surprise",
    "spot.volume",
    recursions.log_surprise,
    Memory((168.0, 0.0, 0.0)),
    168,
    "log ratio",
    BAR,
    "ln V − EWMA_168 ln V of before this hour",
    "has the hour of the day in it",
)
_add(
    "gas_over_target",
    "daily.gas_used daily.gas_limit_avg",
    recursions.gas_over_target,
    Memory(),
    0,
    "fraction",
    DAY_AFTER,
    "gas used / (limit per block · 7200 blocks) − ½",
    "before the Merge a day had about 6,500 blocks; the limit itself changes by vote",
)
_add(
    "gas_price_change",
    "daily.avg_gas_price_wei",
    recursions.published_log_change,
    Memory((_NAN, _NAN)),
    24,
    "log ratio per publication",
    DAY_AFTER,
    "Δ ln(1 + average gas price in wei) between the last two different daily values",
    "an average over a day of bids, not the base fee",
)
_add(
    "entry_queue_change",
    "daily.entry_queue_eth",
    recursions.published_log_change,
    Memory((_NAN, _NAN)),
    24,
    "log ratio per publication",
    RELEASE,
    "Δ ln(1 + ETH waiting to be staked) between the last two different values",
    "churn rules changed (EIP-7514, EIP-7251); missing 2022-10 to 2023-05",
)
for _name, _column, _unit, _what in (
    ("vix_change", "daily.vix_close", "index points", "VIX close"),
    ("dollar_change", "daily.broad_usd_index", "index points", "broad dollar index"),
    ("us10y_change", "daily.us10y_pct", "percentage points", "10-year Treasury yield"),
):
    _add(
        _name,
        _column,
        recursions.published_change,
        Memory((_NAN, _NAN)),
        24,
        _unit,
        RELEASE,
        f"Δ {_what} between the last two different published values",
        "stands still over weekends and holidays; a repeated value is not seen as published",
    )
for _name, _period, _offset, _start in (
    ("hour", 24.0, 0.0, "midnight UTC"),
    ("weekday", 168.0, 72.0, "Monday midnight UTC"),
):
    for _wave, _update in (
        ("sin", recursions.cycle_sine),
        ("cos", recursions.cycle_cosine),
    ):
        _add(
            f"{_name}_{_wave}",
            "clock_h",
            _update,
            Memory((_period, _offset)),
            0,
            "1",
            CLOCK,
            f"{_wave}(2π·hours since {_start} / {_period:g})",
            "summer time moves the trading day, not this clock",
        )
