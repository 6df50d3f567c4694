"""The words of the page and what they mean: one definition each, shared by every study."""

from counterpoise.study.page import escape

DEFINITIONS = (
    (
        "Daily return",
        "P&L of the day ÷ (mean ETH held × that day's opening spot). Every policy of the "
        "study is measured on the same days.",
    ),
    ("Mean, vol", "Mean × 365 and sample standard deviation × √365 of daily returns."),
    (
        "CE5, CE20",
        "Certainty equivalent: mean − λ/2 · vol², λ = 5 or 20. The sure yearly return a "
        "holder with that risk aversion would accept instead.",
    ),
    (
        "CVaR95, CVaR99",
        "Mean loss of the worst 5 % (1 %) of days, a positive number. A fractional "
        "day counts with its fraction.",
    ),
    (
        "Max drawdown",
        "Deepest fall of the cumulated P&L below its highest point so far, starting "
        "at 0. P&L is summed, not compounded.",
    ),
    ("Hedge effectiveness", "1 − variance of the policy ÷ variance unhedged."),
    ("Funding", "Funding received by the short, per year. Negative: paid."),
    ("Cost", "Fees, half spread, market impact and liquidation fees paid, per year."),
    (
        "Capital",
        "Cost per year of the USDT paid in, margin and losses of the short alike, until it comes "
        "back (what came back beyond it earns the same), of a debt to the venue and of posted ETH. "
        "It is inside every P&L.",
    ),
    ("Turnover", "ETH traded ÷ ETH held, per year."),
    (
        "Matched static",
        "A constant hedge at the policy's own mean ratio, at the same costs: the "
        "baseline that a claim of timing has to beat.",
    ),
    (
        "Interval, p",
        "Paired stationary bootstrap of the daily returns, blocks twice as long as returns and "
        "squared returns remember, symmetric 95 % interval, widened for few blocks, and two-sided "
        "p-value of one test. Where volatility clusters for longer than that, p-values of vol and "
        "CVaR are too small: read them together with the placebos.",
    ),
    (
        "p (Holm)",
        "p-value adjusted for the pre-registered metrics tested together, or for all exploratory "
        "comparisons together. Exploratory ones are never called significant.",
    ),
    (
        "Placebo position",
        "Share of placebo paths, with confidence drawn at random or shifted in "
        "time, that the policy beats.",
    ),
)


def definitions() -> str:
    """Definition list of the page, as HTML."""
    pairs = (f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in DEFINITIONS)
    return f"<dl>{''.join(pairs)}</dl>"
