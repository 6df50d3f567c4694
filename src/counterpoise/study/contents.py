"""What a study report holds: plain data, frozen, filled by the comparison and drawn by the report.

No number is computed here except the daily series of a path, which every plot shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from counterpoise.market.timeline import Suspect
from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.study.actual import Ledger
from counterpoise.study.collateral import OnCollateral
from counterpoise.study.hedged import Hedged
from counterpoise.study.metrics import daily_components, drawdowns

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PolicyRow:
    """One policy: name, what it does in plain words, and its metrics by ``metrics.METRICS``.

    ``source`` is the text of the user's own rule or policy file, empty for a registered policy.
    """

    name: str
    label: str
    metrics: Mapping[str, float]
    source: str = ""


@dataclass(frozen=True)
class DifferenceRow:
    """A difference in one metric of ``inference.BOOTSTRAPPED``, with its interval.

    ``p_holm`` is adjusted over the registered metrics, or over all exploratory comparisons.
    """

    policy: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    preregistered: bool


@dataclass(frozen=True)
class PeriodRow:
    """The recommended policy minus a static hedge of its size, on selection or holdout days."""

    period: str
    first: str
    last: str
    days: int
    mean_ratio: float
    metric: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class YearRow:
    """One policy in one year.

    ``vol_difference`` is against a static hedge of that year's mean ratio, NaN for static policies.

    ``days`` tells a short first or last year, whose annualised figures mean little.
    """

    year: int
    policy: str
    days: int
    mean: float
    vol: float
    vol_difference: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Forecasts of C in one bin: their mean, how often it happened, interval of that rate."""

    forecast: float
    observed: float
    count: int
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """Whether C means what it says: ``subject`` names the event, scores over all forecasts."""

    subject: str
    bins: tuple[ReliabilityBin, ...]
    brier: float
    ece: float
    auc: float


@dataclass(frozen=True)
class SkillRow:
    """Out-of-sample skill of one forecast; ``mae_ratio`` is against no change."""

    target: str
    model: str
    r2: float
    mae_ratio: float
    count: int


@dataclass(frozen=True)
class PlaceboRow:
    """Where a policy stands among placebos: ``position`` is the share of them it beats."""

    name: str
    statistic: str
    value: float
    position: float
    draws: int


@dataclass(frozen=True)
class CapitalRow:
    """Money tied up by a policy, USD, and its opportunity cost as a fraction per year."""

    policy: str
    peak_usd: float
    mean_usd: float
    cost_per_year: float


@dataclass(frozen=True)
class PolicySeries:
    """Daily series of one policy, each (D,); cumulative ones are summed fractions of exposure.

    ``cost`` is paid fees, slippage and liquidation, positive and cumulative.
    """

    policy: str
    equity: Floats
    drawdown: Floats
    ratio: Floats
    lo: Floats
    hi: Floats
    funding: Floats
    cost: Floats

    @classmethod
    def of(cls, policy: str, path: SimulatedPath) -> Self:
        """Return the series of a path bucketed by UTC day."""
        parts = daily_components(path)
        part = dict(zip(COMPONENTS, parts.T, strict=True))
        daily = parts.sum(axis=1)
        return cls(
            policy=policy,
            equity=np.cumsum(daily),
            drawdown=drawdowns(daily),
            ratio=path.ratio,
            lo=path.lo,
            hi=path.hi,
            funding=np.cumsum(part["funding"]),
            cost=-np.cumsum(part["fees"] + part["slippage"] + part["liquidation"]),
        )


@dataclass(frozen=True)
class StudyReport:
    """Everything on the page.

    Attributes
    ----------
    title, span, verdict, trials : str
        ``span`` says which days are out of sample; ``verdict`` is printed as given, first;
        ``trials`` is the sentence on how many variants were tried.
    synthetic : bool
        True when any table came from the synthetic market: says so at both ends of the page and
        in every plot.
    acted_on : str
        Name of the policy that is acted on: first colour, its ratio and attribution are drawn.
    settings : tuple of (str, str)
        Setting and value.
    notes : tuple of str
        Sentences on gaps and treatments.
    suspects : tuple of Suspect
        Values that were seen and not believed.
    policies : tuple of PolicyRow
        In the order of the page; the first six are visible in the plots at the start.
    periods : tuple of PeriodRow
        Selection and holdout apart; empty on a synthetic market, on which nothing was chosen.
    versus_rules : tuple of DifferenceRow
        Recommended policy minus the manual rule or own policy named in ``policy``; all exploratory.
    own : tuple of str
        Names of the user's own policies.
    ledger : Ledger or None
        What was done in USD; its row among the policies is ``actual``.
    hedged : Hedged or None
        What is hedged: holdings, loans and flows over the window.
    collateral : tuple of OnCollateral
        The same hedge on each kind of collateral.
    days : datetime64[D] (D,)
        The days of all series.
    spot : float64 (D,)
        Spot close, USD.
    attribution : dict of str to dict of str to float
        Policy to component to fraction per year (``metrics.attribution``).
    """

    title: str
    synthetic: bool
    span: str
    verdict: str
    trials: str
    acted_on: str
    settings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    policies: tuple[PolicyRow, ...]
    versus_matched: tuple[DifferenceRow, ...]
    periods: tuple[PeriodRow, ...]
    versus_rules: tuple[DifferenceRow, ...]
    by_year: tuple[YearRow, ...]
    reliability: Reliability | None
    skill: tuple[SkillRow, ...]
    placebos: tuple[PlaceboRow, ...]
    capital: tuple[CapitalRow, ...]
    days: NDArray[np.datetime64]
    spot: Floats
    series: tuple[PolicySeries, ...]
    attribution: Mapping[str, Mapping[str, float]]
    own: tuple[str, ...] = ()
    ledger: Ledger | None = None
    hedged: Hedged | None = None
    collateral: tuple[OnCollateral, ...] = ()

    def __post_init__(self) -> None:
        names = [row.name for row in self.policies]
        if len(set(names)) != len(names):
            raise ValueError(f"report policies must have distinct names: {names}")
        if self.acted_on not in names:
            raise ValueError(f"acted_on {self.acted_on!r} is not among the policies {names}")
        spoken = {
            *(row.policy for row in self.versus_matched),
            *(row.policy for row in self.versus_rules),
            *(row.policy for row in self.by_year),
            *(row.policy for row in self.capital),
            *(line.policy for line in self.series),
            *self.attribution,
            *self.own,
        }
        strangers = sorted(spoken - set(names))
        if strangers:
            raise ValueError(f"rows of the report name unknown policies {strangers}; known {names}")
        if self.days.dtype != np.dtype("datetime64[D]") or np.any(
            np.diff(self.days).astype(int) < 1
        ):
            raise ValueError("report days must be datetime64[D], strictly ascending")
        for line in self.series:
            for column in ("equity", "drawdown", "ratio", "lo", "hi", "funding", "cost"):
                if getattr(line, column).shape != self.days.shape:
                    raise ValueError(f"series {line.policy}.{column} must have one value per day")
        if self.spot.shape != self.days.shape:
            raise ValueError("spot must have one value per day")
