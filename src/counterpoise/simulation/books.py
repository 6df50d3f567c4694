"""What a run of the simulator writes on: its book, its memories, its sums. Layouts only."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.decision.moment import DECISION_ROWS, Limits
from counterpoise.risk.guard_rules import GuardRules
from counterpoise.simulation.arrays import AccountRules, CostRules
from counterpoise.venues.contract import VenueRules

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: What a bucket adds up: the P&L by component, then what is needed for the other columns.
DELTA, BASIS, FUNDING, FEES, SLIPPAGE, CAPITAL, LIQUIDATION = range(7)
TRADED, HELD, TICKS, MARGIN_LOW, SUMS = range(7, 12)
#: What a run carries from tick to tick, all venues together: ETH won, USD paid in, the band in
#: force, capital cost and funding so far, the exposure at the last decision, and whether collateral
#: takes time by now.
WON, PAID_IN, LO, HI, CHARGED, EARNED, EXPOSED, WAITS, CARRIED = range(9)
#: Rows of the book of a run beside those of a decision: cash (USD), coins (ETH), and what is on its
#: way (USD, or ETH).
CASH, COINS, COMING, ROWS = range(DECISION_ROWS, DECISION_ROWS + 4)
#: Amounts below this are rounding, USD.
SMALL = 1e-9


class Rules(NamedTuple):
    """Everything a run obeys besides prices and intent."""

    venue: VenueRules
    limits: Limits
    costs: CostRules
    account: AccountRules
    guard: GuardRules


class Desk(NamedTuple):
    """What a run writes on: book, memories of decision and guard, sums, transfers."""

    book: Floats
    state: Floats
    memory: Floats
    bound: Floats
    chain: Floats
    transit: Floats
    sums: Floats
    carried: Floats
    reasons: Integers
