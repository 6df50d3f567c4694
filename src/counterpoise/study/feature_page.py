"""Page of the features: each over history with its spread, what is missing, and what it means.

One HTML file that loads nothing. It shows values as they were known; whether they forecast
anything is the study's question.
"""

import inspect
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from counterpoise.errors import FixConfig
from counterpoise.features.catalog import FEATURES, KNOWN_AT, UNAVAILABLE
from counterpoise.features.coverage import Coverage
from counterpoise.features.engine import FeatureMatrix
from counterpoise.market.timeline import Timeline
from counterpoise.study import page
from counterpoise.units import DAY_MS, HOUR_MS, stamp

Floats = NDArray[np.float64]

#: About as many stretches as a plot has room for.
STRETCHES = 500
_LINE, _SPREAD, _MISSING = "#0072B2", "rgba(0,114,178,0.28)", "#D55E00"
_INK, _GRID, _MUTED = "#1f2328", "#e6e8eb", "#6b7280"
_HEIGHT = 250

_STYLE = """<style>
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(500px, 100%), 1fr));
  gap: 26px 30px; margin-top: 30px; }
.card { min-width: 0; border-top: 1px solid var(--line); padding-top: 10px; break-inside: avoid; }
.card h3 { margin: 0 0 2px; font-size: 1rem; }
.card p { margin: 0 0 4px; font-size: 0.85rem; line-height: 1.4; }
.card .figure { margin: 2px 0 4px; }
.card summary { font-size: 0.85rem; font-weight: 400; color: var(--muted); margin: 2px 0; }
.card pre { white-space: pre-wrap; overflow-x: visible; font-size: 0.75rem; }
td a { color: inherit; }
</style>"""


def stretches(values: Floats, hours: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Least, median and greatest value of each stretch, and its share without a value.

    Parameters
    ----------
    values : float64 (T,)
    hours : int
        Ticks of a stretch; the last one may be shorter.

    Returns
    -------
    low, median, high, missing : float64 (ceil(T / hours),)
        The first three NaN where nothing is known.

    Examples
    --------
    >>> [part.tolist() for part in stretches(np.array([1.0, 3.0, np.nan, 5.0]), 2)]
    [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [0.0, 0.5]]
    """
    count = -(-len(values) // hours)
    padded = np.full(count * hours, np.nan)
    padded[: len(values)] = values
    # NaN sorts to the end, so the known values of a stretch come first.
    ordered = np.sort(padded.reshape(count, hours), axis=1)
    known = np.isfinite(ordered).sum(axis=1)
    row, last = np.arange(count), np.maximum(known - 1, 0)
    middle = (ordered[row, last // 2] + ordered[row, (last + 1) // 2]) / 2.0
    size = np.minimum(hours, len(values) - hours * row)
    return ordered[:, 0], middle, ordered[row, last], 1.0 - known / size


def _figure(values: Floats, ts_ms: NDArray[np.int64], unit: str) -> go.Figure:
    days = max(1, round(len(values) / (24 * STRETCHES)))
    low, median, high, missing = (part.astype(np.float32) for part in stretches(values, 24 * days))
    # Half a stretch late: a bar is drawn around its stamp.
    along = {
        "x0": stamp(int(ts_ms[0]) - HOUR_MS + days * DAY_MS // 2),
        "dx": days * DAY_MS,
    }
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.88, 0.12], vertical_spacing=0.03
    )
    figure.add_bar(
        **along,
        base=low,
        y=high - low,
        customdata=np.stack([low, high], axis=1),
        marker={"color": _SPREAD, "line": {"width": 0}},
        hovertemplate="%{customdata[0]:.4g} to %{customdata[1]:.4g}<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        **along,
        y=median,
        mode="lines",
        line={"color": _LINE, "width": 1.3},
        hovertemplate="median %{y:.4g}<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_bar(
        **along,
        y=missing,
        marker={"color": _MISSING, "line": {"width": 0}},
        hovertemplate="%{y:.0%} missing<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_layout(
        template="none",
        height=_HEIGHT,
        margin={"l": 8, "r": 12, "t": 22, "b": 24},
        font={"size": 11, "color": _INK},
        showlegend=False,
        bargap=0,
        hovermode="x unified",
        paper_bgcolor="white",
        plot_bgcolor="white",
        title={
            "text": unit,
            "x": 0,
            "xref": "paper",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 4},
            "font": {"size": 11, "color": _MUTED},
        },
    )
    figure.update_xaxes(type="date", showline=True, linecolor=_MUTED, gridcolor=_GRID, ticks="")
    figure.update_yaxes(
        row=1, col=1, gridcolor=_GRID, zerolinecolor="#9ca3af", nticks=5, automargin=True
    )
    figure.update_yaxes(
        row=2,
        col=1,
        range=[0, 1],
        showticklabels=False,
        showgrid=False,
        zeroline=False,
        title={"text": "gaps", "font": {"size": 10, "color": _MUTED}, "standoff": 4},
    )
    return figure


def _short(value: float) -> str:
    """Three significant digits, never as a power of ten above one."""
    return page.number(value, 0) if abs(value) >= 1000 else f"{value:.3g}".replace("-", "−")


def _card(row: Coverage, values: Floats, ts_ms: NDArray[np.int64]) -> str:
    feature = FEATURES[row.name]
    parts = [f'<h3 id="{page.escape(row.name)}"><code>{page.escape(row.name)}</code></h3>']
    parts.append(page.paragraph(feature.formula))
    if row.first_ms is None or row.last_ms is None:
        parts.append(page.paragraph(f"Not evaluated: {row.reason}.", "note"))
    else:
        spread = (
            f"constant {_short(row.median)}"
            if row.state == "constant"
            else f"90 % of the values from {_short(row.low)} to {_short(row.high)}"
        )
        parts.append(page.figure(_figure(values, ts_ms, feature.unit), row.name))
        parts.append(
            page.paragraph(
                f"Known at {row.known:.1%} of the hours, {stamp(row.first_ms)[:10]} to "
                f"{stamp(row.last_ms)[:10]}; {spread}.",
                "note",
            )
        )
    parts.append(page.paragraph(f"Pitfall: {feature.pitfall}."))
    about = inspect.getdoc(feature.update) or ""
    parts.append(page.folded("The recursion", page.verbatim(about.replace("``", ""))))
    return f'<div class="card">{"".join(parts)}</div>'


def _summary(rows: Sequence[Coverage]) -> str:
    def cells(row: Coverage) -> list[str]:
        feature = FEATURES[row.name]
        name = page.escape(row.name)
        link = f'<a href="#{name}"><code>{name}</code></a>'
        span = ["–", "–", "not evaluated"]
        if row.first_ms is not None and row.last_ms is not None:
            span = [f"{row.known:.1%}", stamp(row.first_ms)[:10], stamp(row.last_ms)[:10]]
        return [link, page.escape(feature.unit), page.escape(feature.known_at), *span]

    head = ["feature", "unit", "known at", "known", "from", "to"]
    return page.table(head, [cells(row) for row in rows], left=3)


def feature_page(timeline: Timeline, features: FeatureMatrix, rows: Sequence[Coverage]) -> str:
    """HTML of the page.

    Parameters
    ----------
    timeline : Timeline
    features : FeatureMatrix
        Of this timeline.
    rows : sequence of Coverage
        One for each feature to show.
    """
    span = f"{stamp(int(timeline.ts_ms[0]))} to {stamp(int(timeline.ts_ms[-1]))} UTC"
    banner = "This market is synthetic: it proves plumbing, not edge."
    body = [
        "<h1>Features</h1>",
        page.paragraph(f"{span}, {len(timeline.ts_ms):,} hours, {len(rows)} features.", "span"),
        page.paragraph(banner, "synthetic") if timeline.synthetic else "",
        page.paragraph(
            "Each plot shows a feature as it was known at the time: the line is the median of a "
            "stretch of days, the bars reach from its least to its greatest value, and the strip "
            "below fills with the share of hours that have none. A feature here need not be an "
            "input of any model."
        ),
        _summary(rows),
        page.folded(
            "When a feature is known, and what cannot be evaluated",
            "<ul>"
            + "".join(
                f"<li>{page.escape(key)}: {page.escape(words)}</li>"
                for key, words in (*KNOWN_AT.items(), *UNAVAILABLE.items())
            )
            + "</ul>",
        ),
        '<div class="cards">',
        *(_card(row, features[row.name], timeline.ts_ms) for row in rows),
        "</div>",
    ]
    return page.document("Features", _STYLE + "\n".join(part for part in body if part))


def write_feature_page(
    timeline: Timeline, features: FeatureMatrix, rows: Sequence[Coverage], out: Path
) -> None:
    """Write the page, whole or not at all; an earlier file of that name is replaced.

    Raises
    ------
    FixConfig
        ``out`` is a folder, does not end in .html, or cannot be written.
    """
    if out.suffix != ".html" or out.is_dir():
        raise FixConfig("--plot", str(out), "a file ending in .html", "name one")
    text = feature_page(timeline, features, rows)
    partial = ""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=out.parent, prefix=".features-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(partial).chmod(0o644)
        Path(partial).replace(out)
    except OSError as error:
        raise FixConfig(
            "--plot", str(out), f"a file that can be written ({error})", "name another"
        ) from None
    finally:
        if partial:
            Path(partial).unlink(missing_ok=True)
