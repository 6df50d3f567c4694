"""HTML of a report page: numbers as text, tables, figures, style. Nothing is loaded from elsewhere.

Every text that came from outside is escaped here, and only here. No section and no wording of a
study lives in this module.
"""

import html
import math
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

UNKNOWN = "–"


def escape(text: object) -> str:
    """Text that is safe inside HTML, in elements and attributes."""
    return html.escape(str(text))


def number(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """Format a number; NaN and infinities are shown as a dash.

    Examples
    --------
    >>> number(-1234.5), number(float("nan")), number(0.5, sign=True)
    ('−1,234.50', '–', '+0.50')
    """
    if not math.isfinite(value):
        return UNKNOWN
    text = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    if not text.strip("+-0.,"):
        return text.lstrip("+-")
    return text.replace("-", "−")


def percent(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """Format a fraction as percent.

    Examples
    --------
    >>> percent(-0.0123), percent(0.0), percent(float("nan"))
    ('−1.23 %', '0.00 %', '–')
    """
    text = number(100.0 * value, digits, sign=sign)
    return text if text == UNKNOWN else f"{text} %"


def p_value(value: float) -> str:
    """Format a p-value; below 0.001 only that is said.

    Examples
    --------
    >>> p_value(0.0312), p_value(2e-4), p_value(float("nan"))
    ('0.031', '< 0.001', '–')
    """
    if math.isfinite(value) and value < 0.001:
        return "< 0.001"
    return number(value, 3)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 1,
    marked: Iterable[int] = (),
) -> str:
    """Table whose cells are already HTML-safe; it scrolls inside itself where the page is narrow.

    Parameters
    ----------
    head : sequence of str
        Column heads, escaped here.
    rows : iterable of sequence of str
        Cells, escaped by the caller with :func:`escape`.
    left : int
        How many leading columns hold words; the others are numbers, right-aligned.
    marked : iterable of int
        Rows to set in bold.
    """
    bold = set(marked)

    def cell(tag: str, column: int, text: str) -> str:
        kind = "" if column < left else ' class="n"'
        return f"<{tag}{kind}>{text}</{tag}>"

    lines = ["<tr>" + "".join(cell("th", i, escape(text)) for i, text in enumerate(head)) + "</tr>"]
    body = [
        f"<tr{' class="bold"' if r in bold else ''}>"
        + "".join(cell("td", i, text) for i, text in enumerate(row))
        + "</tr>"
        for r, row in enumerate(rows)
    ]
    return (
        f'<div class="scroll"><table><thead>{lines[0]}</thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def figure(drawn: go.Figure | None, name: str) -> str:
    """Figure as HTML, without the library, which the page holds once; nothing for ``None``."""
    if drawn is None:
        return ""
    body = str(
        drawn.to_html(
            full_html=False,
            include_plotlyjs=False,
            include_mathjax=False,
            div_id=f"figure-{name}",
            default_width="100%",
            config={
                "responsive": True,
                "displaylogo": False,
                "displayModeBar": False,
                "scrollZoom": False,
            },
        )
    )
    height = int(drawn.layout.height)
    return f'<div class="figure" style="min-height:{height}px">{body}</div>'


def section(title: str, *parts: str) -> str:
    """Titled section; empty parts leave no trace."""
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{escape(title)}</h2>\n{inside}\n</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of escaped text."""
    return f"<p{f' class="{kind}"' if kind else ''}>{escape(text)}</p>"


def folded(title: str, inside: str) -> str:
    """Return a part that opens on a click, and by itself in print."""
    return f"<details><summary>{escape(title)}</summary>{inside}</details>"


def verbatim(text: str) -> str:
    """Return lines as they were written, escaped; long ones scroll inside themselves."""
    return f'<pre class="scroll">{escape(text)}</pre>'


def document(title: str, body: str) -> str:
    """Complete page: style, the plotting library once, the body."""
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head>\n"
        f"<body><main>\n{body}\n</main><script>{_PRINT}</script></body></html>\n"
    )


# Plotly lays figures out for the window; paper is narrower, so they are redrawn for it and back.
# What is folded on the screen is open on paper.
_PRINT = """
(function () {
  function each(width) {
    document.querySelectorAll('.js-plotly-plot').forEach(function (plot) {
      var inGrid = plot.closest('.grid');
      Plotly.relayout(plot, width ? {autosize: false, width: inGrid ? width / 2 - 12 : width}
                                  : {autosize: true, width: null});
    });
  }
  window.addEventListener('beforeprint', function () {
    document.querySelectorAll('details').forEach(function (folded) { folded.open = true; });
    each(680);
  });
  window.addEventListener('afterprint', function () { each(0); });
})();
"""

_STYLE = """
:root { --ink: #1f2328; --muted: #57606a; --line: #d8dee4; --soft: #f6f8fa; --accent: #0072b2; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.55 system-ui, -apple-system,
  "Segoe UI", "Helvetica Neue", Arial, sans-serif; overflow-wrap: break-word; }
main { max-width: 1100px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 1.15rem; margin: 0 0 10px; padding-top: 18px; border-top: 1px solid var(--line); }
h3, summary { font-size: 0.95rem; font-weight: 700; margin: 16px 0 6px; }
summary { cursor: pointer; }
section { margin-top: 30px; }
p { margin: 0 0 12px; max-width: 78ch; }
.span, .note { color: var(--muted); font-size: 0.9rem; }
.verdict { font-size: 1.2rem; line-height: 1.5; margin: 18px 0 10px; padding: 14px 18px;
  background: var(--soft); border-left: 4px solid var(--ink); max-width: none; }
.synthetic { background: #fff7ed; border: 1px solid #fdba74; color: #7c2d12; font-weight: 600;
  padding: 10px 16px; border-radius: 4px; margin: 0 0 18px; max-width: none; }
.scroll { overflow-x: auto; margin: 0 0 14px; }
pre { font-size: 0.8rem; line-height: 1.4; background: var(--soft); padding: 10px 14px; }
table { border-collapse: collapse; width: 100%; font-size: 0.83rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--muted); vertical-align: bottom;
  border-bottom: 1.5px solid var(--ink); padding: 5px; }
td { border-bottom: 1px solid var(--line); padding: 5px; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; }
.n { text-align: right; white-space: nowrap; }
th.n { white-space: normal; }
tr.bold td { font-weight: 650; }
td .label { display: block; color: var(--muted); font-weight: 400; font-size: 0.92em;
  min-width: 20ch; }
.policy { white-space: nowrap; }
.swatch { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.figure { margin: 6px 0 14px; max-width: 100%; overflow: hidden; break-inside: avoid; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(330px, 100%), 1fr));
  gap: 6px 24px; }
.grid > div { min-width: 0; }
ul { margin: 0 0 12px; padding-left: 1.2em; }
li { margin-bottom: 4px; }
dl { display: grid; grid-template-columns: minmax(120px, 200px) 1fr; gap: 6px 18px; margin: 0;
  font-size: 0.92rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--ink); }
@media (max-width: 600px) {
  main { padding: 18px 14px 36px; }
  .verdict { font-size: 1.08rem; padding: 12px 14px; }
  h1 { font-size: 1.4rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; }
  .scroll th:first-child, .scroll td:first-child { position: sticky; left: 0; background: #fff; }
}
@page { size: A4; margin: 14mm; }
@media print {
  body { font-size: 10.5pt; }
  main { padding: 0; max-width: none; }
  .scroll { overflow: visible; }
  table { font-size: 7.2pt; } th, td { padding: 2.5px 3.5px; }
  .grid { grid-template-columns: 1fr 1fr; }
  section, tr { break-inside: auto; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; }
  .verdict, .synthetic { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
