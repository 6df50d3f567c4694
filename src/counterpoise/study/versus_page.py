"""The parts of the page that hold one policy against another, each with interval and p-value.

They order and word differences that the comparison found; nothing is tested here.
"""

from counterpoise.study import page, plots
from counterpoise.study.actual import ACTUAL
from counterpoise.study.contents import DifferenceRow, StudyReport
from counterpoise.study.page import escape, number, p_value, paragraph, percent, table


def swatch(study: StudyReport, policy: str) -> str:
    """Return a policy's name behind its colour."""
    colour = plots.looks(study)[policy].colour
    return (
        f'<span class="policy"><span class="swatch" style="background:{colour}"></span>'
        f"{escape(policy)}</span>"
    )


def _finding(row: DifferenceRow) -> str:
    if plots.significant(row):
        more_is_better = plots.COMPARED[row.metric][2]
        better = (row.difference > 0) == more_is_better
        return "significantly better" if better else "significantly worse"
    if not row.preregistered and row.p < 0.05:
        return "exploratory, unadjusted"
    return "not significant"


def versus_html(study: StudyReport) -> str:
    """Return every policy against the static hedge of its own size."""
    if not study.versus_matched:
        return paragraph("No policy was compared with a matched static hedge.", "note")
    forests = [
        page.figure(plots.forest(study, metric), f"forest-{metric}") for metric in plots.COMPARED
    ]
    registered = [row for row in study.versus_matched if row.preregistered]
    exploratory = [row for row in study.versus_matched if not row.preregistered]
    return "\n".join(
        (
            paragraph(
                "Each line is the policy minus a constant hedge at the policy's own mean ratio, "
                "with its 95 % interval. A filled marker is significant after Holm; a hollow one "
                "is not significant, or exploratory.",
                "note",
            ),
            f'<div class="grid">{"".join(forests)}</div>',
            f"<h3>Pre-registered</h3>{differences_html(study, registered)}" if registered else "",
            page.folded(
                f"Exploratory comparisons: {len(exploratory)}", differences_html(study, exploratory)
            )
            if exploratory
            else "",
        )
    )


def differences_html(study: StudyReport, rows: list[DifferenceRow]) -> str:
    """Return a table of differences."""
    cells = (
        [
            swatch(study, row.policy),
            escape(plots.COMPARED[row.metric][0]),
            _finding(row),
            percent(row.difference, sign=True),
            f"{percent(row.low, sign=True)} … {percent(row.high, sign=True)}",
            p_value(row.p),
            p_value(row.p_holm),
        ]
        for row in rows
    )
    head = ["Policy", "Metric", "Finding", "Difference", "95 % interval", "p", "p (Holm)"]
    return table(head, cells, left=3)


def periods_html(study: StudyReport) -> str:
    """Return the recommended policy on selection and holdout days."""
    rows = [
        [
            escape(row.period),
            escape(f"{row.first} … {row.last}"),
            number(row.days, 0),
            number(row.mean_ratio, 3),
            escape(plots.COMPARED[row.metric][0]),
            percent(row.difference, sign=True),
            f"{percent(row.low, sign=True)} … {percent(row.high, sign=True)}",
            p_value(row.p),
            p_value(row.p_holm),
        ]
        for row in study.periods
    ]
    head = ["Days", "Span", "Count", "Mean ratio", "Metric", "Difference", "95 % interval", "p"]
    return paragraph(
        "The recommended policy against a static hedge of its mean ratio in that period. Choices "
        "saw the selection days; only the holdout can confirm them.",
        "note",
    ) + table([*head, "p (Holm)"], rows, left=2)


def rows_against(study: StudyReport, family: str) -> list[DifferenceRow]:
    """The recommended policy minus what was done, the user's own policies or the manual rules."""
    families = {ACTUAL: "actual"} | dict.fromkeys(study.own, "own")
    return [
        row
        for row in study.versus_rules
        if families.get(row.policy, "manual") == family
        and row.metric in ("vol", "cvar95", "ce20", "mean")
    ]


def own_html(study: StudyReport) -> str:
    """Return the recommended policy minus the user's own, and their text."""
    texts: dict[str, list[str]] = {}
    for row in study.policies:
        if row.source:
            texts.setdefault(row.source, []).append(row.name)
    return paragraph(
        "The recommended policy minus yours, both at their own mean ratio, so the one that hedges "
        "more also carries less risk; each against a static hedge of its own size stands further "
        "down. Exploratory: Holm over these and all manual rules.",
        "note",
    ) + "\n".join(
        (
            differences_html(study, rows_against(study, "own")),
            *(
                page.folded(f"As it was run: {', '.join(names)}", page.verbatim(text))
                for text, names in texts.items()
            ),
        )
    )


def rules_html(study: StudyReport) -> str:
    """Return the recommended policy minus each manual rule, folded."""
    rows = rows_against(study, "manual")
    return paragraph(
        "The recommended policy minus each manual rule, both at their own mean ratio, so a rule "
        "that hedges more also carries less risk. Exploratory; Holm over all of them.",
        "note",
    ) + page.folded(f"Comparisons: {len(rows)}", differences_html(study, rows))
