"""Plots of a study report as Plotly figures: one colour per policy, readable without colour vision.

Figures only: no HTML, no file. Every title says so when the market is synthetic.
"""

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from counterpoise.study.contents import DifferenceRow, PolicySeries, Reliability, StudyReport
from counterpoise.study.page import percent

SYNTHETIC = "Synthetic market: proves plumbing, not edge"
VISIBLE = 6

# Okabe & Ito (2008) without the yellow that vanishes on white, drawn solid; then the dark half of
# Tol's muted scheme (2021), drawn dashed, so that no two of twelve policies look alike.
_SOLID = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_DASHED = ("#332288", "#882255", "#117733", "#999933", "#AA4499")
_STYLES = tuple(
    (colour, dash)
    for dashes in (("solid", "dash"), ("dot", "dashdot"))
    for colours, dash in zip((_SOLID, _DASHED), dashes, strict=True)
    for colour in colours
)
_INK, _GRID, _MUTED = "#1f2328", "#e6e8eb", "#6b7280"
_FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

#: Name on the page, plain unit, and whether more is better, of each bootstrapped metric.
COMPARED = {
    "mean": ("Mean", "%/year", True),
    "vol": ("Volatility", "%/year", False),
    "ce5": ("Certainty equivalent, λ = 5", "%/year", True),
    "ce20": ("Certainty equivalent, λ = 20", "%/year", True),
    "cvar95": ("CVaR 95", "%/day", False),
    "max_drawdown": ("Max drawdown", "% of exposure", True),
}


@dataclass(frozen=True)
class Look:
    """How a policy is drawn everywhere."""

    label: str
    colour: str
    dash: str
    visible: bool


def looks(study: StudyReport) -> dict[str, Look]:
    """Colour, dash and first visibility of each policy; the acted-on policy comes first."""
    names = [row.name for row in study.policies]
    ordered = [study.acted_on, *(name for name in names if name != study.acted_on)]
    return {
        name: Look(
            label=html.escape(name),
            colour=_STYLES[i % len(_STYLES)][0],
            dash=_STYLES[i % len(_STYLES)][1],
            visible=i < VISIBLE,
        )
        for i, name in enumerate(ordered)
    }


def _dress(figure: go.Figure, study: StudyReport, title: str, height: int) -> go.Figure:
    """Give a figure its title, sober axes and a legend below the plot, where nothing overlaps."""
    text = f"<b>{title}</b>"
    if study.synthetic:
        text += f"<br><span style='font-size:11px;color:#9a3412'>{SYNTHETIC}</span>"
    figure.update_layout(
        template="none",
        height=height,
        title={
            "text": text,
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 10},
            "font": {"size": 14, "color": _INK},
        },
        font={"family": _FONT, "size": 12, "color": _INK},
        margin={"l": 8, "r": 12, "t": 52 if study.synthetic else 36, "b": 8},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "font": {"size": 11},
            "itemsizing": "constant",
        },
        hovermode="x unified",
        paper_bgcolor="white",
        plot_bgcolor="white",
        dragmode="zoom",
    )
    axis = {
        "gridcolor": _GRID,
        "linecolor": _MUTED,
        "zerolinecolor": "#9ca3af",
        "zerolinewidth": 1,
        "automargin": True,
        "ticks": "",
    }
    figure.update_xaxes(**axis, showline=True)
    figure.update_yaxes(**axis)
    return figure


def _compact(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Single precision is finer than a pixel and halves the page."""
    return values.astype(np.float32)


def _lines(
    study: StudyReport,
    title: str,
    pick: Callable[[PolicySeries], NDArray[np.float64]],
    *,
    height: int = 380,
) -> go.Figure:
    """One line per policy over the days, in percent of exposure."""
    figure = go.Figure()
    drawn = {line.policy: line for line in study.series}
    for name, look in looks(study).items():
        if name not in drawn:
            continue
        figure.add_scatter(
            x=study.days,
            y=_compact(pick(drawn[name])),
            name=look.label,
            mode="lines",
            line={
                "color": look.colour,
                "dash": look.dash,
                "width": 2.4 if name == study.acted_on else 1.4,
            },
            visible=True if look.visible else "legendonly",
            hovertemplate="%{y:.2%}",
        )
    _dress(figure, study, title, height)
    figure.update_layout(showlegend=True)
    figure.update_yaxes(tickformat=",.0%")
    return figure


def equity(study: StudyReport) -> go.Figure:
    """Cumulated P&L of each policy, as a fraction of exposure."""
    return _lines(study, "Cumulated P&L, % of exposure", lambda line: line.equity, height=440)


def drawdown(study: StudyReport) -> go.Figure:
    """Distance below the highest cumulated P&L so far."""
    return _lines(study, "Drawdown, % of exposure", lambda line: line.drawdown)


def funding(study: StudyReport) -> go.Figure:
    """Cumulated funding received."""
    return _lines(study, "Cumulated funding, % of exposure", lambda line: line.funding)


def cost(study: StudyReport) -> go.Figure:
    """Cumulated fees, slippage and liquidation paid."""
    figure = _lines(study, "Cumulated cost, % of exposure", lambda line: line.cost)
    figure.update_yaxes(tickformat=",.3~%")
    return figure


def ratio_over_price(study: StudyReport) -> go.Figure | None:
    """Hedge ratio and band of the acted-on policy under the price; None without its series."""
    found = [line for line in study.series if line.policy == study.acted_on]
    if not found:
        return None
    line, look = found[0], looks(study)[study.acted_on]
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.45, 0.55], vertical_spacing=0.07
    )
    edge = {"mode": "lines", "line": {"width": 0}, "hovertemplate": "%{y:.3f}"}
    figure.add_scatter(
        x=study.days,
        y=_compact(study.spot),
        name="ETH spot, USD",
        mode="lines",
        line={"color": _MUTED, "width": 1.3},
        hovertemplate="%{y:,.0f}",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=study.days, y=_compact(line.hi), name="band, top", showlegend=False, **edge, row=2, col=1
    )
    figure.add_scatter(
        x=study.days,
        y=_compact(line.lo),
        name="band",
        fill="tonexty",
        fillcolor="rgba(0,114,178,0.20)",
        **edge,
        row=2,
        col=1,
    )
    figure.add_scatter(
        x=study.days,
        y=_compact(line.ratio),
        name=f"hedge ratio, {look.label}",
        mode="lines",
        line={"color": look.colour, "width": 1.6, "shape": "hv"},
        hovertemplate="%{y:.3f}",
        row=2,
        col=1,
    )
    _dress(figure, study, "Hedge ratio and band, under the price", 520)
    figure.update_yaxes(title_text="USD", row=1, col=1)
    figure.update_yaxes(title_text="short ÷ exposure", row=2, col=1)
    return figure


def forest(study: StudyReport, metric: str) -> go.Figure | None:
    """Differences to the matched static hedge in one metric; None where none was tested.

    A filled marker is significant after Holm; a hollow one is not significant, or exploratory.
    """
    rows = [row for row in study.versus_matched if row.metric == metric]
    if not rows:
        return None
    name, unit, more_is_better = COMPARED[metric]
    palette = looks(study)
    figure = go.Figure()
    for position, row in enumerate(rows):
        look = palette[row.policy]
        figure.add_scatter(
            x=[row.difference],
            y=[-position],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row.high - row.difference],
                "arrayminus": [row.difference - row.low],
                "color": look.colour,
                "thickness": 2,
                "width": 4,
            },
            mode="markers",
            marker={
                "size": 9,
                "color": look.colour if significant(row) else "white",
                "line": {"color": look.colour, "width": 2},
            },
            hovertemplate=f"{look.label}: %{{x:.2%}} "
            f"[{row.low:.2%}, {row.high:.2%}]<extra></extra>",
        )
        figure.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=-position + 0.2,
            yanchor="bottom",
            text=look.label + ("" if row.preregistered else " (exploratory)"),
            showarrow=False,
            bgcolor="white",
            borderpad=0,
            font={"size": 11},
        )
    figure.add_vline(x=0, line={"color": _INK, "width": 1})
    _dress(figure, study, name, 105 + 36 * len(rows))
    better = "better →" if more_is_better else "← better"
    figure.update_layout(showlegend=False, hovermode="closest")
    figure.update_xaxes(
        tickformat=".2~%", title_text=f"{unit}, {better}", nticks=6, title_standoff=6
    )
    figure.update_yaxes(visible=False, range=[-len(rows) + 0.5, 0.75], fixedrange=True)
    return figure


def significant(row: DifferenceRow) -> bool:
    """Only a pre-registered comparison can be significant, at 5 % after Holm."""
    return row.preregistered and row.p_holm < 0.05


def reliability(study: StudyReport, found: Reliability) -> go.Figure:
    """Observed rate against forecast C, with intervals and the diagonal of a calibrated model."""
    forecast = np.array([b.forecast for b in found.bins])
    observed = np.array([b.observed for b in found.bins])
    low, high = np.array([b.low for b in found.bins]), np.array([b.high for b in found.bins])
    figure = go.Figure()
    ends = [float(min(forecast.min(), low.min())), float(max(forecast.max(), high.max()))]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        name="calibrated",
        line={"color": _MUTED, "dash": "dot", "width": 1.2},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=forecast,
        y=observed,
        customdata=[b.count for b in found.bins],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": high - observed,
            "arrayminus": observed - low,
            "color": _SOLID[0],
            "thickness": 1.5,
        },
        mode="markers",
        name="observed, 95 % interval",
        marker={"size": 9, "color": _SOLID[0]},
        hovertemplate="C %{x:.3f}: %{y:.3f} of %{customdata:,}<extra></extra>",
    )
    _dress(figure, study, "Reliability of C", 400)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title_text="forecast C", tickformat=".2f")
    figure.update_yaxes(title_text="observed rate", tickformat=".2f")
    return figure


def waterfall(study: StudyReport, parts: Iterable[tuple[str, float]]) -> go.Figure:
    """Annual return of the acted-on policy, component by component, up to its mean."""
    named = list(parts)
    values = [value for _, value in named]
    total = sum(values)
    figure = go.Figure(
        go.Waterfall(
            orientation="h",
            y=[*(html.escape(name) for name, _ in named), "mean"],
            x=[*values, total],
            measure=["relative"] * len(named) + ["total"],
            text=[percent(value, sign=True) for value in (*values, total)],
            textposition="outside",
            textfont={"size": 11},
            constraintext="none",
            cliponaxis=False,
            connector={"line": {"color": _MUTED, "width": 1}},
            increasing={"marker": {"color": _SOLID[0]}},
            decreasing={"marker": {"color": _SOLID[1]}},
            totals={"marker": {"color": "#4b5563"}},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    _dress(figure, study, "Attribution, % per year", 360)
    # The words beside the outermost bars need room of their own.
    reached = np.concatenate([[0.0, total], np.cumsum(values)])
    room = 0.18 * max(float(np.ptp(reached)), 1e-6)
    figure.update_layout(showlegend=False, hovermode="closest")
    figure.update_xaxes(
        tickformat=",.3~%", range=[float(reached.min()) - room, float(reached.max()) + room]
    )
    figure.update_yaxes(autorange="reversed")
    return figure


def yearly_vol(study: StudyReport) -> go.Figure | None:
    """Volatility against matched static by year; None where no policy was matched."""
    rows = [row for row in study.by_year if np.isfinite(row.vol_difference)]
    if not rows:
        return None
    figure = go.Figure()
    for name, look in looks(study).items():
        own = [row for row in rows if row.policy == name]
        if own:
            figure.add_bar(
                x=[str(row.year) for row in own],
                y=[row.vol_difference for row in own],
                name=look.label,
                marker={"color": look.colour},
                visible=True if look.visible else "legendonly",
                hovertemplate="%{y:+.2%}",
            )
    _dress(figure, study, "Volatility − matched static, by year", 340)
    figure.update_layout(showlegend=True, barmode="group", bargap=0.5)
    figure.update_xaxes(type="category")
    figure.update_yaxes(tickformat=".1%", title_text="less is better")
    return figure
