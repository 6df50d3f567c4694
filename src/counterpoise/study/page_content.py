"""From a study to what its page holds. No number is computed here beyond rounding and intervals."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging import RECOMMENDED
from counterpoise.study.actual import ACTUAL
from counterpoise.study.compare import PREREGISTERED, Compared, Study
from counterpoise.study.contents import (
    CapitalRow,
    DifferenceRow,
    PeriodRow,
    PlaceboRow,
    PolicyRow,
    PolicySeries,
    Reliability,
    ReliabilityBin,
    SkillRow,
    StudyReport,
    YearRow,
)
from counterpoise.study.hedged import hedged_in
from counterpoise.study.metrics import attribution, days_of, yearly
from counterpoise.study.verdict import trial_sentence, verdict
from counterpoise.units import from_ms, stamp

Floats = NDArray[np.float64]

#: Hours by which direction labels overlap: one in four is an independent observation.
DIRECTION_OVERLAP_H = 4


def wilson_interval(rate: float, count: float) -> tuple[float, float]:
    """95 % interval of a rate seen in ``count`` independent trials (Wilson 1927).

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson_interval(0.5, 100)]
    [0.404, 0.596]
    """
    z = 1.959964
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    spread = z / (1 + z * z / count) * np.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2)
    return float(centre - spread), float(centre + spread)


def _reliability(skill: dict[str, Any]) -> Reliability | None:
    found = skill["direction"]
    if not found["bins"]:
        return None
    bins = []
    for row in found["bins"]:
        low, high = wilson_interval(row["observed"], max(row["count"] / DIRECTION_OVERLAP_H, 1))
        bins.append(ReliabilityBin(row["forecast"], row["observed"], row["count"], low, high))
    brier = found["brier"]
    return Reliability(
        "ETH closes higher in 4 h", tuple(bins), brier["score"], brier["ece"], found["auc"]
    )


def _skill(skill: dict[str, Any]) -> tuple[SkillRow, ...]:
    names = {
        "volatility": "realised volatility, next 24 h (log)",
        "funding": "funding, next settlement",
    }
    return tuple(
        SkillRow(words, model, row["r2"], row["mae_ratio"], skill[target]["count"])
        for target, words in names.items()
        for model, row in skill[target].items()
        if model != "count"
    )


def _years(name: str, one: Compared) -> list[YearRow]:
    days = {year: rows.stop - rows.start for year, rows in yearly(one.daily).items()}
    return [
        YearRow(
            year,
            name,
            days[year],
            row["mean"],
            row["vol"],
            row["vol_difference"] if one.versus else float("nan"),
        )
        for year, row in one.years.items()
    ]


def _settings(study: Study) -> tuple[tuple[str, str], ...]:
    rows = []
    for section, values in study.settings.model_dump(mode="json", exclude={"lake"}).items():
        rows += [
            (f"{section}.{key}", str(value)) for key, value in values.items() if key != "holdings"
        ]
    rows += [
        (f"exposure.holdings[{place}]", one.model_dump_json(exclude_defaults=True))
        for place, one in enumerate(study.settings.exposure.holdings)
    ]
    return tuple(rows)


def _in_page_order(study: Study) -> dict[str, Compared]:
    """The policy acted on and its main rivals first: the page shows the first six in its plots."""
    first = (
        study.settings.hedge.policy,
        RECOMMENDED,
        *((ACTUAL,) if study.ledger else ()),
        *study.own,
        "static_eth",
        "full",
        "manual_vol_7d",
        f"formula_{study.settings.hedge.reading}",
        "minimum_variance",
    )
    names = list(dict.fromkeys([*first, *study.compared]))
    return {name: study.compared[name] for name in names}


def page_of(study: Study) -> StudyReport:
    """Fill the page of a study."""
    compared = _in_page_order(study)
    first = compared[RECOMMENDED].daily
    span = (
        f"{from_ms(int(study.where.ts_ms[0])).date()} to "
        f"{from_ms(int(study.where.ts_ms[-1])).date()}, {len(first.ts_ms)} days; forecasts are out "
        "of sample"
    )
    if not study.timeline.synthetic:
        span += (
            ", policies and recipes were chosen on days before "
            f"{study.settings.study.holdout_start.date()}"
        )
    acted_on = study.settings.hedge.policy
    return StudyReport(
        title="How much short, at what cost",
        synthetic=study.timeline.synthetic,
        span=span,
        verdict=verdict(study),
        trials=trial_sentence(study),
        acted_on=acted_on,
        settings=_settings(study),
        notes=(*study.warnings, *study.notes, *study.timeline.notes),
        suspects=study.timeline.suspects,
        policies=tuple(
            PolicyRow(name, one.policy.label, one.metrics, one.policy.source)
            for name, one in compared.items()
        ),
        versus_matched=tuple(
            DifferenceRow(
                name,
                metric,
                found.difference,
                found.low,
                found.high,
                found.p,
                study.p_holm[name, metric],
                name == RECOMMENDED and metric in PREREGISTERED,
            )
            for name, one in compared.items()
            for metric, found in one.versus.items()
        ),
        periods=tuple(
            PeriodRow(
                period.name,
                stamp(period.first_ms)[:10],
                stamp(period.last_ms)[:10],
                period.days,
                period.mean_ratio,
                metric,
                period.versus[metric].difference,
                period.versus[metric].low,
                period.versus[metric].high,
                period.versus[metric].p,
                period.p_holm[metric],
            )
            for period in study.periods
            for metric in PREREGISTERED
        ),
        versus_rules=tuple(
            DifferenceRow(
                name,
                metric,
                one.difference,
                one.low,
                one.high,
                one.p,
                study.p_holm_rules[name, metric],
                False,
            )
            for name, found in study.versus_rules.items()
            for metric, one in found.items()
        ),
        by_year=tuple(row for name, one in compared.items() for row in _years(name, one)),
        reliability=_reliability(study.skill),
        skill=_skill(study.skill),
        placebos=tuple(
            PlaceboRow(
                f"{placebo.policy}: {placebo.kind}",
                placebo.statistic,
                placebo.value,
                placebo.position,
                len(placebo.draws),
            )
            for placebo in study.placebos
        ),
        own=tuple(study.own),
        collateral=study.collateral,
        hedged=hedged_in(study.settings, study.timeline, study.where),
        ledger=study.ledger,
        capital=tuple(
            CapitalRow(
                name,
                float(one.path.collateral_usd.sum(axis=1).max()),
                float(one.path.collateral_usd.sum(axis=1).mean()),
                one.metrics["capital"],
            )
            for name, one in compared.items()
        ),
        days=days_of(first),
        spot=first.spot,
        series=tuple(PolicySeries.of(name, one.daily) for name, one in compared.items()),
        attribution={name: attribution(one.daily) for name, one in compared.items()},
    )
