"""The page of one hour: every live forecast, its interval, and what moved it."""

import math
from collections.abc import Mapping
from typing import Any

from counterpoise.appraisal.page import bars
from counterpoise.study import page

Json = Mapping[str, Any]

#: What a contribution is measured in.
_TOLD = {
    "log odds": "log odds before calibration, the members' mean by their weights",
    "logarithm": "its logarithm before the adaptive bound, the members' mean by their weights",
    "value": "its own unit; base and all contributions add up to the forecast",
}


def _figures(value: float) -> str:
    """Four significant digits: a funding rate is as small as a probability is large."""
    return f"{value:.4g}".replace("-", "−") if math.isfinite(value) else page.UNKNOWN


def _rows(found: Json) -> str:
    rows = [
        [
            page.escape(name),
            _figures(one["value"]),
            _figures(one["lower"]),
            _figures(one["upper"]),
            page.escape(one["about"]),
        ]
        for name, one in found["targets"].items()
    ]
    return page.table(["target", "forecast", "lower", "upper", "interval of"], rows)


def now_page(found: Json) -> str:
    """HTML of the page.

    Parameters
    ----------
    found : mapping
        From ``signals.current.current``.
    """
    c = found["c"]
    figures = [
        bars(one["contributions"], f"{name}, {one['unit']}", f"why-{name.replace('.', '-')}")
        for name, one in found["targets"].items()
        if one.get("contributions")
    ]
    units = dict.fromkeys(one["unit"] for one in found["targets"].values() if "unit" in one)
    notes = [
        f"{name}: {note}" for name, one in found["targets"].items() for note in one.get("notes", ())
    ]
    fallback = found["fallback"]
    body = [
        "<h1>Forecasts now</h1>",
        page.paragraph(
            f"As of {found['time']} UTC, by run {found['run']}, trained on what happened until "
            f"{found['trained_to']}, to be used until {found['expires']}.",
            "span",
        ),
        page.paragraph("This market is synthetic: it proves plumbing, not edge.", "synthetic")
        if found["synthetic"]
        else "",
        page.paragraph(f"Nothing here may be used: {fallback}, since {found['since']} UTC.")
        if fallback
        else "",
        page.section("Every target", _rows(found)),
        page.section(
            "C in its three readings",
            page.table(
                ["P(up 4 h)", "1 − P(up 4 h)", "P(hedge pays 4 h)"],
                [[page.number(c[key], 3) for key in ("literal", "bearish", "hedge_value")]],
                left=0,
            ),
        ),
        page.section(
            "What moved them",
            *(page.paragraph(f"In {unit}: {_TOLD[unit]}.") for unit in units),
            f'<div class="grid">{"".join(figures)}</div>',
            *(page.paragraph(note) for note in notes),
        )
        if figures
        else "",
    ]
    return page.document("Forecasts now", "\n".join(part for part in body if part))
