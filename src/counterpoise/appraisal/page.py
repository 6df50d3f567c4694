"""The page of the forecasts: what each is worth beside its plain baseline, and how far to trust it.

One HTML file that loads nothing. What is not better than its baseline says so in the same size of
type. Every number comes from ``report``; nothing is computed here.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import plotly.graph_objects as go

from counterpoise.errors import FixConfig
from counterpoise.study import page

Json = Mapping[str, Any]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_INK, _GRID, _MUTED = "#1f2328", "#e6e8eb", "#6b7280"

#: What judges each target, as a key of the report, a heading and a way to write it.
_MEASURE: dict[str, tuple[str, str]] = {
    "direction": ("auc", "AUC"),
    "volatility": ("r2", "R² of log variance"),
    "funding": ("mae_ratio", "error / no change"),
    "adverse_move": ("pinball_gain", "pinball below static"),
}


def each(report: Json) -> list[tuple[str, str, Json]]:
    """Targets of a report as (name, horizon, judged), those without a row left out."""
    return [
        (name, horizon, judged)
        for name in _MEASURE
        for horizon, judged in report.get(name, {}).items()
        if judged["count"]
    ]


def _of(told: Json, key: str) -> float:
    """A number of the report; NaN where it is unknown, which JSON says as null."""
    value = told[key]
    return math.nan if value is None else float(value)


def _measure(name: str, told: Json) -> str:
    key, _ = _MEASURE[name]
    value = _of(told, key)
    if name == "adverse_move":
        return page.percent(value, 1, sign=True)
    if name == "direction":
        low, high = (page.number(_of(told, end), 3) for end in ("auc_low", "auc_high"))
        return f"{page.number(value, 3)} [{low}, {high}]"
    return page.number(value, 3)


def better(name: str, judged: Json) -> str:
    """Whether the best forecast beats its baseline, in words that do not lean either way."""
    best = judged["best"]
    if name == "direction" and not _of(best, "auc_low") > 0.5:
        return "not better than chance"
    if not _of(best, "dm_p") < 0.05:
        return "not distinguishable from the baseline"
    return "better than the baseline" if best["dm_t"] > 0 else "worse than the baseline"


def _summary(report: Json) -> str:
    rows = []
    for name, horizon, judged in each(report):
        best, baseline = judged["best"], judged["baseline"]
        p = page.p_value(_of(best, "dm_p"))
        after = page.p_value(_of(judged, "deflated_p"))
        cover = best.get("coverage")
        rows.append(
            [
                f"{name.replace('_', ' ')} {horizon.replace('_', ' at ')}",
                _MEASURE[name][1],
                page.escape(f"{baseline['name'].replace('_', ' ')}: {_measure(name, baseline)}"),
                _measure(name, best),
                p,
                after,
                "–" if cover is None else page.percent(cover, 1),
                page.escape(better(name, judged)),
            ]
        )
    head = [
        "target",
        "measure",
        "baseline",
        "best",
        "p",
        "p after all trials",
        "interval holds",
        "verdict",
    ]
    return page.table(head, rows, left=3)


def _layout(figure: go.Figure, height: int, title: str) -> go.Figure:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 12, "t": 34, "b": 28},
        font={"size": 11, "color": _INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        legend={"orientation": "h", "y": -0.22},
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 12}},
    )
    figure.update_xaxes(gridcolor=_GRID, linecolor=_MUTED, showline=True, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor="#9ca3af", automargin=True)
    return figure


def _reliability(horizon: str, best: Json) -> go.Figure:
    points = best["bins"]
    x, y = [p["forecast"] for p in points], [p["observed"] for p in points]
    low, high = min(*x, *y) - 0.02, max(*x, *y) + 0.02
    figure = go.Figure()
    figure.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": _MUTED, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": _COLOURS[0]},
        showlegend=False,
        hovertemplate="said %{x:.3f}, happened %{y:.3f}<extra></extra>",
    )
    figure.update_xaxes(title="probability said", range=[low, high])
    figure.update_yaxes(title="share that rose", range=[low, high])
    told = (
        f"{horizon}: calibration error {page.number(_of(best, 'ece'), 3)} "
        f"[{page.number(_of(best, 'ece_low'), 3)}, {page.number(_of(best, 'ece_high'), 3)}]"
    )
    return _layout(figure, 300, told)


def _coverage(targets: Sequence[tuple[str, str, Json]]) -> str:
    years = sorted({year for _, _, judged in targets for year in judged["by_year"]})
    rows = []
    for name, horizon, judged in targets:
        cells = [
            page.percent(_of(part["best"], "coverage"), 1)
            if (part := judged["by_year"].get(year, {"count": 0}))["count"]
            and "coverage" in part["best"]
            else page.UNKNOWN
            for year in years
        ]
        level = judged["best"].get("coverage_level")
        about = "return" if name == "direction" else name.replace("_", " ")
        rows.append(
            [
                page.escape(f"{about} {horizon.replace('_', ' at ')}"),
                page.UNKNOWN if level is None else page.percent(level, 0),
                *cells,
            ]
        )
    return page.table(["interval of", "level", *years], rows)


def _by_year(targets: Sequence[tuple[str, str, Json]]) -> str:
    years = sorted({year for _, _, judged in targets for year in judged["by_year"]})
    rows = []
    for name, horizon, judged in targets:
        for which in ("baseline", "best"):
            parts = [judged["by_year"].get(year, {"count": 0}) for year in years]
            parts += [judged["selection"], judged["holdout"]]
            cells = [
                _measure(name, part[which]).split(" [")[0] if part["count"] else page.UNKNOWN
                for part in parts
            ]
            told = judged[which].get("name", which).replace("_", " ")
            rows.append([page.escape(f"{name.replace('_', ' ')} {horizon}: {told}"), *cells])
    return page.table(["target", *years, "choice seen", "holdout"], rows)


def _candidates(name: str, horizon: str, judged: Json) -> str:
    weights = judged["weights"]
    rows = []
    everyone = {**judged["candidates"], "best": judged["best"]}
    for candidate, told in everyone.items():
        if name == "direction":
            cells = [_measure(name, told), page.number(_of(told, "brier_skill"), 4)]
            cells.append(page.number(_of(told, "ece"), 3))
        elif name == "adverse_move":
            cells = [_measure(name, told), page.percent(_of(told, "coverage"), 1)]
            cells.append(page.p_value(_of(told, "dm_p")))
        else:
            cells = [page.number(_of(told, "r2"), 3), page.number(_of(told, "mae_ratio"), 3)]
            cells.append(page.p_value(_of(told, "dm_p")))
        share = page.percent(weights[candidate], 0) if candidate in weights else ""
        rows.append([page.escape(candidate.replace("_", " ")), *cells, share])
    head = {
        "direction": ["AUC", "Brier skill", "calibration error"],
        "adverse_move": ["pinball below static", "holds", "p against static"],
    }.get(name, ["R²", "error / no change", "p against baseline"])
    table = page.table(["candidate", *head, "weight now"], rows)
    if judged.get("silent"):
        names = ", ".join(judged["silent"]).replace("_", " ")
        table += page.paragraph(f"Not evaluated, because it forecast nothing: {names}.", "note")
    luck = judged.get("overfitting_probability")
    if luck is not None:
        table += page.paragraph(
            f"The candidate that is best in one half of the weeks is below the median of the "
            f"other half in {page.percent(luck, 0)} of the halvings. That none of them has a "
            f"smaller loss than the baseline has p {page.p_value(_of(judged, 'spa_p'))} "
            "(Hansen's test).",
            "note",
        )
    return f"<h3>{page.escape(f'{name} {horizon}'.replace('_', ' '))}</h3>{table}"


def _ablation(rows: Sequence[Json]) -> str:
    if not rows:
        return ""
    cells = [
        [
            page.escape(row["target"]),
            page.escape(row["group"]),
            page.escape(row["change"]),
            page.percent(_of(row, "gain"), 2, sign=True),
            page.p_value(_of(row, "p")),
            page.escape(row["verdict"]),
        ]
        for row in rows
    ]
    head = ["target", "group of features", "change", "loss saved", "p", "verdict"]
    return page.section(
        "What each group of features adds",
        page.paragraph(
            "Trees are trained again without a group they have, or with one they have not. Loss "
            "saved is what the group is worth, positive where it helps; p is Diebold and "
            "Mariano's, adjusted by Holm over the table."
        ),
        page.table(head, cells, left=3),
    )


def bars(told: Mapping[str, float], title: str, name: str, *, shares: bool = False) -> str:
    """Horizontal bars of features, the first on top; what pulls down has a colour of its own.

    Parameters
    ----------
    told : mapping of str to float
    title, name : str
        Of the figure, and of its place on the page.
    shares : bool
        Numbers are shares, shown as percent.
    """
    values = list(told.values())[::-1]
    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=[feature.replace("_", " ") for feature in told][::-1],
        orientation="h",
        marker={"color": [_COLOURS[0] if value >= 0 else _COLOURS[1] for value in values]},
        hovertemplate=f"%{{y}}: %{{x:{'.1%' if shares else '+.4g'}}}<extra></extra>",
    )
    if shares:
        figure.update_xaxes(tickformat=".0%")
    return f"<div>{page.figure(_layout(figure, 60 + 22 * len(values), title), name)}</div>"


def _contributions(told: Sequence[Json]) -> str:
    if not told:
        return ""
    figures = [
        bars(
            dict(zip(one["features"], one["share"], strict=True)),
            one["target"],
            f"contribution-{one['target']}",
            shares=True,
        )
        for one in told
    ]
    return page.section(
        "What the trees look at",
        page.paragraph(
            "Share of each feature in the mean absolute contribution (TreeSHAP) to the forecasts "
            "of the last quarter. What a model uses is not yet what helps: see the table above."
        ),
        f'<div class="grid">{"".join(figures)}</div>',
    )


def write_page(out: Path, text: str) -> None:
    """Write a page, whole or not at all; an earlier file of that name is replaced.

    Raises
    ------
    FixConfig
        It cannot be written.
    """
    partial = out.with_name(f".{out.name}.{uuid4().hex}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        told = f"a file that can be written ({error.strerror or error})"
        raise FixConfig("--page", str(out), told, "name another") from None
    finally:
        partial.unlink(missing_ok=True)


def signals_page(report: Json) -> str:
    """HTML of the page.

    Parameters
    ----------
    report : mapping
        What ``signals report --json`` prints.
    """
    targets = each(report)
    plots = [
        f"<div>{page.figure(_reliability(horizon, judged['best']), f'reliability-{horizon}')}</div>"
        for name, horizon, judged in targets
        if name == "direction"
    ]
    absent = report.get("not_evaluated", [])
    body = [
        "<h1>Forecasts</h1>",
        page.paragraph(
            f"Out of sample {report['start']} to {report['end']}; choices saw data to "
            f"{report['holdout']} only. {report['trials']:,} configurations were tried on this "
            "history before this page.",
            "span",
        ),
        page.paragraph("This market is synthetic: it proves plumbing, not edge.", "synthetic")
        if report["synthetic"]
        else "",
        page.section("Beside the baseline", _summary(report)),
        page.section("By year", _by_year(targets)),
        page.section(
            "Reliability of the probabilities",
            page.paragraph(
                "Equally filled bins of the calibrated confidence; the dots lie on the "
                "line where it means what it says."
            ),
            f'<div class="grid">{"".join(plots)}</div>',
        )
        if plots
        else "",
        page.section(
            "Share of outcomes inside the adaptive intervals",
            page.paragraph(
                "Each bound moves a step after every outcome; a quantile has an upper bound alone."
            ),
            _coverage(targets),
        ),
        _ablation(report.get("ablation", [])),
        _contributions(report.get("contributions", [])),
        page.section(
            "Every candidate",
            *(_candidates(name, horizon, judged) for name, horizon, judged in targets),
        ),
        page.section(
            "Not evaluated",
            "<ul>" + "".join(f"<li>{page.escape(line)}</li>" for line in absent) + "</ul>",
        )
        if absent
        else "",
    ]
    return page.document("Forecasts", "\n".join(part for part in body if part))
