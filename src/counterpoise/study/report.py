"""The study report: one self-contained HTML file, verdict first, that can be mailed and printed.

It orders and words what :class:`StudyReport` holds. It computes no statistic, and the verdict is
printed exactly as given.
"""

import math
from pathlib import Path

from counterpoise.study import page, plots
from counterpoise.study.collateral_page import collateral_html
from counterpoise.study.contents import StudyReport
from counterpoise.study.definitions import definitions
from counterpoise.study.hedged import hedged_html
from counterpoise.study.ledger_section import ledger_section
from counterpoise.study.page import escape, number, paragraph, percent, section, table
from counterpoise.study.versus_page import (
    differences_html,
    own_html,
    periods_html,
    rows_against,
    rules_html,
    swatch,
    versus_html,
)
from counterpoise.units import HOUR_MS, stamp

_PERCENT = ("mean", "vol", "ce20", "ce5", "cvar95", "max_drawdown", "funding", "cost", "capital")
_HEADLINE = {
    "mean": "Mean /yr",
    "vol": "Vol /yr",
    "ce20": "CE20 /yr",
    "ce5": "CE5 /yr",
    "cvar95": "CVaR95 /day",
    "max_drawdown": "Max drawdown",
    "hedge_effectiveness": "Hedge eff.",
    "funding": "Funding /yr",
    "cost": "Cost /yr",
    "capital": "Capital /yr",
    "turnover": "Turnover /yr",
    "mean_ratio": "Mean ratio",
}


def _banner(study: StudyReport) -> str:
    return paragraph(plots.SYNTHETIC, "synthetic") if study.synthetic else ""


def _metric(name: str, value: float) -> str:
    if name in _PERCENT or name == "cvar99":
        return percent(value)
    if name == "hedge_effectiveness":
        return number(value, 4)
    if name == "liquidations":
        return number(value, 0)
    return number(value, 1 if name == "turnover" else 3 if name == "mean_ratio" else 2)


def _policies(study: StudyReport, columns: dict[str, str], *, labels: bool) -> str:
    rows = []
    for row in study.policies:
        words = f'<span class="label">{escape(row.label)}</span>' if labels else ""
        values = (_metric(key, row.metrics.get(key, float("nan"))) for key in columns)
        rows.append([swatch(study, row.name) + words, *values])
    acted = [i for i, row in enumerate(study.policies) if row.name == study.acted_on]
    return table(["Policy", *columns.values()], rows, marked=acted)


def _placebos(study: StudyReport) -> str:
    rows = [
        [
            escape(row.name),
            escape(row.statistic),
            number(row.value, 4),
            percent(row.position, 1),
            number(row.draws, 0),
        ]
        for row in study.placebos
    ]
    head = ["Placebo", "Statistic", "Policy", "Beats", "Paths"]
    return table(head, rows, left=2) if rows else ""


def _confidence(study: StudyReport) -> str:
    found = study.reliability
    if found is None or not found.bins:
        return paragraph("No forecast of confidence in this study.", "note")
    scores = (
        f"C is the forecast probability that {found.subject}. Brier score "
        f"{number(found.brier, 4)}, expected calibration error {number(found.ece, 4)}, "
        f"AUC {number(found.auc, 3)} over {number(sum(b.count for b in found.bins), 0)} forecasts."
    )
    return "\n".join((paragraph(scores), page.figure(plots.reliability(study, found), "c")))


def _attribution(study: StudyReport) -> str:
    if not study.attribution:
        return ""
    components = list(next(iter(study.attribution.values())))
    rows = [
        [
            swatch(study, name),
            *(percent(parts.get(key, float("nan"))) for key in components),
            percent(sum(parts.values())),
        ]
        for name, parts in study.attribution.items()
    ]
    own = study.attribution.get(study.acted_on)
    drawn = plots.waterfall(study, own.items()) if own else None
    return "\n".join(
        (
            paragraph(f"Acted on: {study.acted_on}. The components add up to the mean.", "note"),
            page.figure(drawn, "attribution"),
            table(["Policy", *components, "mean"], rows),
        )
    )


def _years(study: StudyReport) -> str:
    if not study.by_year:
        return ""
    cells = {(row.policy, row.year): row for row in study.by_year}
    days = {row.year: row.days for row in study.by_year}
    years = sorted(days)
    names = [row.name for row in study.policies if any((row.name, y) in cells for y in years)]
    head = ["Policy", *(f"{year} ({days[year]} d)" for year in years)]

    def pivot(title: str, measure: str, *, sign: bool) -> str:
        rows = []
        for name in names:
            found = [getattr(cells.get((name, y)), measure, float("nan")) for y in years]
            if any(map(math.isfinite, found)):  # a row of unknowns says nothing
                rows.append([swatch(study, name), *(percent(v, sign=sign) for v in found)])
        return f"<h3>{escape(title)}</h3>" + table(head, rows) if rows else ""

    return "\n".join(
        (
            page.figure(plots.yearly_vol(study), "by-year"),
            pivot("Volatility − matched static, per year", "vol_difference", sign=True),
            pivot("Mean, per year", "mean", sign=False),
            pivot("Volatility, per year", "vol", sign=False),
        )
    )


def _skill(study: StudyReport) -> str:
    if not study.skill:
        return paragraph("No forecast was used in this study.", "note")
    rows = [
        [
            escape(row.target),
            escape(row.model),
            number(row.r2, 3),
            number(row.mae_ratio, 3),
            number(row.count, 0),
        ]
        for row in study.skill
    ]
    return "\n".join(
        (
            paragraph("Out of sample. MAE ratio below 1 beats no change.", "note"),
            table(["Forecast", "Model", "R²", "MAE ratio", "Forecasts"], rows, left=2),
        )
    )


def _treatment(study: StudyReport) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in study.notes)
    rows = [
        [
            stamp(suspect.ts_ms - HOUR_MS),
            escape(suspect.venue),
            escape(suspect.column),
            escape(suspect.treatment),
            number(suspect.value, 4),
            number(suspect.bound, 4),
        ]
        for suspect in study.suspects
    ]
    head = ["UTC", "Venue", "Column", "Treatment", "Value", "Bound"]
    return "\n".join(
        (
            f"<ul>{notes}</ul>" if notes else paragraph("No gap and no treatment.", "note"),
            paragraph(f"Seen and not believed: {len(rows)}.") if rows else "",
            table(head, rows, left=4) if rows else "",
            table(["Setting", "Value"], ((escape(k), escape(v)) for k, v in study.settings), left=2)
            if study.settings
            else "",
        )
    )


def _capital(study: StudyReport) -> str:
    rows = [
        [
            swatch(study, row.policy),
            number(row.peak_usd, 0),
            number(row.mean_usd, 0),
            percent(row.cost_per_year),
        ]
        for row in study.capital
    ]
    head = ["Policy", "Peak collateral, USD", "Mean collateral, USD", "Cost /yr"]
    return table(head, rows) if rows else ""


def render(study: StudyReport) -> str:
    """Return the page as one HTML text that loads nothing from anywhere."""
    more = {
        "sharpe": "Sharpe",
        "sortino": "Sortino",
        "calmar": "Calmar",
        "cvar99": "CVaR99 /day",
        "liquidations": "Liquidations",
    }
    return page.document(
        study.title,
        "\n".join(
            (
                _banner(study),
                f"<h1>{escape(study.title)}</h1>",
                paragraph(study.span, "span"),
                paragraph(study.verdict, "verdict"),
                section(
                    "Every policy",
                    paragraph("The policy that is acted on is in bold.", "note"),
                    _policies(study, _HEADLINE, labels=True),
                ),
                section(
                    "What I did",
                    ledger_section(
                        study.ledger, differences_html(study, rows_against(study, "actual"))
                    ),
                )
                if study.ledger
                else "",
                section("My own, against the machine", own_html(study)) if study.own else "",
                section("What is hedged", hedged_html(study.hedged)) if study.hedged else "",
                section("Against the matched static hedge", versus_html(study)),
                section("Chosen on, and not chosen on", periods_html(study))
                if study.periods
                else "",
                section("Against the manual rules", rules_html(study))
                if rows_against(study, "manual")
                else "",
                section("Placebos", _placebos(study)) if study.placebos else "",
                section("Equity", page.figure(plots.equity(study), "equity")),
                section("Hedge ratio", page.figure(plots.ratio_over_price(study), "ratio")),
                section(
                    "Risk",
                    page.figure(plots.drawdown(study), "drawdown"),
                    _policies(study, more, labels=False),
                ),
                section("Funding earned", page.figure(plots.funding(study), "funding")),
                section("Costs", page.figure(plots.cost(study), "cost")),
                section("Capital", _capital(study)) if study.capital else "",
                section("Collateral side by side", collateral_html(study.collateral))
                if study.collateral
                else "",
                section("Reliability of C", _confidence(study)),
                section("Attribution", _attribution(study)),
                section("By year", _years(study)),
                section("Skill of the forecasts", _skill(study)),
                section("Data and treatment", _treatment(study)),
                section("Definitions", definitions()),
                section("Trials", paragraph(study.trials)),
                _banner(study),
            )
        ),
    )


def write_report(study: StudyReport, out_file: Path) -> None:
    """Write the report as one self-contained UTF-8 HTML file, creating its folder.

    Parameters
    ----------
    study : StudyReport
        What to print; the series are daily.
    out_file : Path
        Where; an existing file is replaced.
    """
    text = render(study)
    out_file.parent.mkdir(parents=True, exist_ok=True)
    out_file.write_text(text, encoding="utf-8")
