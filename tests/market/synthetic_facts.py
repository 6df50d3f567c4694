"""What was measured on the real ETH market, and how near a generated one has to come.

``python -m tests.market.synthetic_facts`` prints the table of docs/synthetic.md. Only numbers
measured on real data are kept here, never the data; ``tests/market/test_synthetic_facts.py``
measures them again where the data is at hand.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.market.synthetic import generate
from tests.market.stylised_facts import (
    AFTER_2020,
    FIRST_YEARS,
    FLOW_YEAR,
    HALF_YEAR,
    HISTORY,
    KEYS,
    MERGED,
    WITHDRAWALS,
    Span,
    Tables,
    calm_facts,
    flow_facts,
    funding_facts,
    gas_facts,
    macro_facts,
    mark_facts,
    price_facts,
    validator_facts,
)

Floats = NDArray[np.float64]

#: Generated markets each number is averaged over, each as long as the real span.
SEEDS = tuple(range(101, 113))


@dataclass(frozen=True)
class Kept:
    """A number of the real market, and by how much the mean of the generated ones may miss it.

    The real history is one draw: ``allowed`` is about one and a half standard deviations of a
    single generated market of that length, or what the generator is known to be off by
    (docs/synthetic.md says where and why).
    """

    real: float
    allowed: float


@dataclass(frozen=True)
class Group:
    """Facts that are measured together, on the days of ``span``."""

    measure: Callable[[Tables, Span], dict[str, float]]
    span: Span
    kept: dict[str, Kept]


GROUPS = (
    Group(
        price_facts,
        HISTORY,
        {
            "annualised volatility of hourly returns": Kept(0.8227, 0.18),
            "skewness of hourly returns": Kept(-0.9687, 0.65),
            "kurtosis of hourly returns": Kept(32.28, 22),
            "autocorrelation of hourly returns, 1 h": Kept(-0.008197, 0.014),
            "sd of log daily realised volatility": Kept(0.5663, 0.053),
            "daily return over its realised volatility: sd": Kept(0.9575, 0.053),
            "correlation of an hour's return with the next |return|": Kept(-0.04844, 0.018),
            "|returns| beyond 4 usual ones, per year": Kept(92.75, 6.9),
            "|returns| beyond 6 usual ones, per year": Kept(25.38, 2.3),
            "|returns| beyond 10 usual ones, per year": Kept(5.66, 1.6),
            "share of falls among those beyond 6": Kept(0.5827, 0.042),
            "mean |return| 14-16 UTC over 4-6 UTC": Kept(1.606, 0.069),
            "mean |return| at weekends over weekdays": Kept(0.7655, 0.033),
            "Parkinson over close-to-close variance": Kept(1.159, 0.03),
            "sd of log hourly volume": Kept(0.8479, 0.081),
            "correlation of log volume and log range": Kept(0.8569, 0.04),
            "autocorrelation of |hourly return|, 1 h": Kept(0.2853, 0.043),
            "autocorrelation of |hourly return|, 24 h": Kept(0.1857, 0.042),
            "autocorrelation of |hourly return|, 168 h": Kept(0.1458, 0.037),
            "autocorrelation of |hourly return|, 720 h": Kept(0.08487, 0.042),
            "autocorrelation of log daily realised volatility, 1 d": Kept(0.6395, 0.058),
            "autocorrelation of log daily realised volatility, 7 d": Kept(0.5402, 0.1),
            "autocorrelation of log daily realised volatility, 30 d": Kept(0.3094, 0.14),
            "autocorrelation of log volume, 1 h": Kept(0.7941, 0.043),
            "autocorrelation of log volume, 24 h": Kept(0.5665, 0.086),
            "autocorrelation of log volume, 168 h": Kept(0.5175, 0.15),
        },
    ),
    Group(
        calm_facts,
        AFTER_2020,
        {
            "kurtosis of daily returns": Kept(8.616, 4.8),
            "largest |hourly return|": Kept(0.1402, 0.092),
        },
    ),
    Group(
        flow_facts,
        FLOW_YEAR,
        {
            "taker-buy share: sd": Kept(0.06253, 0.00093),
            "taker-buy share: correlation with the bar's return": Kept(0.4334, 0.023),
            "taker-buy share: correlation with the next return": Kept(-0.008464, 0.024),
        },
    ),
    Group(
        funding_facts,
        FIRST_YEARS,
        {
            "funding: mean, bp per 8 h": Kept(1.69, 0.75),
            "funding: sd, bp": Kept(3.385, 0.81),
            "funding: kurtosis": Kept(29, 28),
            "funding: share at exactly 1 bp": Kept(0.4118, 0.074),
            "funding: share negative": Kept(0.125, 0.083),
            "funding: autocorrelation, 8 h": Kept(0.7792, 0.1),
            "funding: autocorrelation, 1 d": Kept(0.6383, 0.17),
            "funding: autocorrelation, 7 d": Kept(0.4272, 0.2),
            "funding: changes of sign per year": Kept(134, 61),
            "funding: mean negative run, settlements": Kept(2.045, 0.44),
            "funding: mean other run, settlements": Kept(14.26, 7.4),
            "funding: |rate| of 30 bp and more, per year": Kept(1.25, 1.1),
            "funding: smallest, bp": Kept(-35.63, 9.5),
            "funding: largest, bp": Kept(37.5, 13),
            "basis: mean, bp": Kept(0.7697, 2.1),
            "basis: sd, bp": Kept(8.045, 1.7),
            "basis: 1 % quantile, bp": Kept(-9.249, 2.2),
            "basis: 99 % quantile, bp": Kept(24.77, 9),
            "basis: correlation with the return of the last 24 h": Kept(0.2059, 0.055),
            "8 h mean basis: correlation with its own settlement": Kept(0.8202, 0.057),
            "8 h mean basis: correlation with the settlement after": Kept(0.7214, 0.099),
            "change of daily funding: correlation with the daily return": Kept(0.09693, 0.18),
            "correlation of perpetual and spot hourly returns": Kept(0.999, 0.00051),
            "basis: autocorrelation, 1 h": Kept(0.8577, 0.032),
            "basis: autocorrelation, 8 h": Kept(0.7493, 0.06),
            "basis: autocorrelation, 24 h": Kept(0.7059, 0.093),
            "basis: autocorrelation, 168 h": Kept(0.5963, 0.2),
        },
    ),
    Group(
        mark_facts,
        HALF_YEAR,
        {
            "mark high over perpetual high: mean, bp": Kept(-1.507, 0.82),
            "mean mark range over mean perpetual range": Kept(0.9562, 0.0089),
            "mark over perpetual close: sd, bp": Kept(1.726, 1),
        },
    ),
    Group(
        gas_facts,
        MERGED,
        {
            "gas used over target: mean": Kept(0.0009779, 0.0012),
            "gas used over target: sd": Kept(0.003803, 0.00055),
            "gas used over target: autocorrelation, 1 d": Kept(0.5535, 0.13),
            "gas used over target: autocorrelation, 7 d": Kept(0.5259, 0.15),
            "log gas price: sd": Kept(0.9455, 0.26),
            "log gas price: sd of daily change": Kept(0.3462, 0.011),
            "log gas price: autocorrelation, 7 d": Kept(0.8735, 0.1),
            "log gas price: weekends minus weekdays": Kept(-0.3784, 0.027),
            "changes of log gas price and log volatility: correlation": Kept(0.4859, 0.051),
            "transactions: sd of the logarithm": Kept(0.1102, 0.022),
        },
    ),
    Group(
        validator_facts,
        WITHDRAWALS,
        {
            "validators: mean growth per day": Kept(653.2, 610),
            "validators: sd of growth per day": Kept(1176.0, 320),
            "validators: largest growth per day": Kept(2967.0, 1200.0),
            "validators: smallest growth per day": Kept(-3017.0, 1600.0),
            "validators: autocorrelation of growth, 1 d": Kept(0.6909, 0.13),
            "validators: autocorrelation of growth, 7 d": Kept(0.4361, 0.17),
            "staking yield: mean, %": Kept(3.484, 0.61),
            "entry queue: log10 of its 50% quantile, ETH": Kept(4.744, 1.2),
            "entry queue: log10 of its 95% quantile, ETH": Kept(6.432, 1.1),
            "exit queue: log10 of its 50% quantile, ETH": Kept(2.507, 0.3),
            "exit queue: log10 of its 95% quantile, ETH": Kept(4.63, 0.55),
        },
    ),
    Group(
        macro_facts,
        HISTORY,
        {
            "10-year yield, points: sd of daily change": Kept(0.06249, 0.0033),
            "2-year yield, points: sd of daily change": Kept(0.06455, 0.0025),
            "log VIX: sd of daily change": Kept(0.07929, 0.0037),
            "log VIX: correlation of change with ETH's return": Kept(-0.3657, 0.042),
            "log VIX: sd": Kept(0.318, 0.056),
            "log VIX: autocorrelation, 21 observations": Kept(0.6134, 0.12),
            "log S&P 500: sd of daily change": Kept(0.01366, 0.00045),
            "log S&P 500: correlation of change with ETH's return": Kept(0.4033, 0.039),
            "log high-yield spread: sd of daily change": Kept(0.02457, 0.00088),
            "log high-yield spread: correlation of change with ETH's return": Kept(-0.2269, 0.045),
            "log broad dollar: sd of daily change": Kept(0.003379, 0.00013),
            "log broad dollar: correlation of change with ETH's return": Kept(-0.1969, 0.045),
        },
    ),
)


def cut(tables: Tables, span: Span) -> Tables:
    """The tables a group measures, on its days only."""
    return {key: span.cut(tables[key]) for key in KEYS}


def generated(group: Group) -> dict[str, Floats]:
    """Every fact of a group on generated markets, one value per seed."""
    found = [
        group.measure(
            cut(generate(seed, group.span.start, group.span.days), group.span), group.span
        )
        for seed in SEEDS
    ]
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def table() -> str:
    """Markdown table of the real and the generated numbers."""
    lines = []
    for group in GROUPS:
        lines += [
            f"| **{group.span}** | real | generated, mean | lowest | highest | allowed miss |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for name, values in generated(group).items():
            kept = group.kept[name]
            numbers = (kept.real, values.mean(), values.min(), values.max(), kept.allowed)
            lines.append(
                f"| {name.replace('|', '&#124;')} | "
                + " | ".join(f"{number:.4g}" for number in numbers)
                + " |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
