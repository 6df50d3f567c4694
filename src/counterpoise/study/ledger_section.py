"""The part of the page about what the user did: totals in USD, differences, and what was read.

It words and orders a :class:`Ledger` and computes nothing.
"""

import math

from counterpoise.study.actual import Ledger
from counterpoise.study.page import escape, number, paragraph, table
from counterpoise.units import stamp

_HEADS = {
    "delta": "Delta",
    "basis": "Basis",
    "funding": "Funding",
    "fees": "Fees",
    "slippage": "Slippage",
    "capital": "Capital",
    "liquidation": "Liquidation",
}


def ledger_section(ledger: Ledger, versus_recommended: str) -> str:
    """Tables and sentences of what was done, as HTML.

    Parameters
    ----------
    ledger : Ledger
    versus_recommended : str
        HTML table of the recommended policy minus what was done, by metric.
    """
    rows = [
        [
            f'{escape(row.name)}<span class="label">{escape(row.label)}</span>',
            *(number(row.usd[part], 0) for part in _HEADS),
            number(row.total_usd, 0),
            number(row.traded_eth, 1),
            number(row.mean_ratio, 3),
        ]
        for row in ledger.rows
    ]
    differences = [
        [
            escape(row.against),
            number(row.difference_usd, 0, sign=True),
            "–"
            if math.isnan(row.low_usd)
            else f"{number(row.low_usd, 0, sign=True)} … {number(row.high_usd, 0, sign=True)}",
        ]
        for row in ledger.differences
    ]
    slippage = (
        f", slippage {number(ledger.slippage_bps, 1, sign=True)} bp against the close of each "
        "fill's hour (negative is a cost)"
        if ledger.fills
        else ""
    )
    facts = (
        f"{ledger.fills} fills from {stamp(ledger.first_ms)} to {stamp(ledger.last_ms)} UTC: "
        f"{number(ledger.sold_eth, 1)} ETH sold, {number(ledger.bought_eth, 1)} bought, "
        f"{number(ledger.notional_usd, 0)} USD traded{slippage}; "
        f"{number(ledger.opening_short_eth, 1)} ETH short at the beginning."
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in ledger.notes)
    return "\n".join(
        (
            paragraph(facts),
            table(["USD", *_HEADS.values(), "Total", "ETH traded", "Mean S/L"], rows),
            table(["What you did minus", "USD", "95 % interval"], differences),
            paragraph(
                "Totals over the window, the coins held included. Slippage is the price of each "
                "fill against the close of its hour, so the market's move between the two is in "
                "it. What was posted as collateral is not in the fills: its cost is that of the "
                "leverage in the settings.",
                "note",
            ),
            f"<ul>{notes}</ul>",
            paragraph(
                "The recommended policy minus what you did, both at their own mean ratio; "
                "exploratory, Holm over all rules.",
                "note",
            ),
            versus_recommended,
        )
    )
