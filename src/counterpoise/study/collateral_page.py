"""The report's table of the same hedge on each kind of collateral. It computes nothing."""

from collections.abc import Sequence

from counterpoise.study.collateral import OnCollateral
from counterpoise.study.page import escape, number, paragraph, percent, table
from counterpoise.units import stamp

_HEAD = (
    "Policy",
    "Collateral",
    "Mean /yr",
    "Vol /yr",
    "Trading /yr",
    "Capital /yr",
    "Tied up, mean",
    "Tied up, peak",
    "Most USDT, USD",
    "Most ETH posted",
    "Lowest margin",
    "Hours short of margin",
    "Liquidations",
)
_WORDS = (
    "The same decisions on USDT, on ETH in a multi-asset account after its haircut, and on the "
    "coin-margined contract, whose P&L is ETH. Tied up is USDT paid in or owed plus ETH posted, as "
    "a share of the exposure's value; the lowest margin is equity over notional at the worst mark "
    "of any hour. Returns are on what is then held: what a coin-margined account wins or loses is "
    "coins. It is priced with the bars and the funding of the linear contract."
)


def collateral_html(rows: Sequence[OnCollateral]) -> str:
    """Table of the rows, policy by policy, as HTML."""
    cells = [
        [
            escape(row.policy),
            escape(row.collateral),
            percent(row.mean),
            percent(row.vol),
            percent(row.cost),
            percent(row.capital),
            percent(row.tied_up_mean, 1),
            percent(row.tied_up_peak, 1),
            number(row.usdt_peak, 0),
            percent(row.posted_peak, 1),
            percent(row.margin_low, 1),
            number(row.unfunded_h, 0),
            number(row.liquidations, 0)
            + (f" (first {stamp(row.first_liquidation_ms)})" if row.first_liquidation_ms else ""),
        ]
        for row in rows
    ]
    return paragraph(_WORDS, "note") + table(_HEAD, cells, left=2)
