"""What NautilusTrader's backtest does not do: settle funding, and liquidate.

Both are simulation modules of its exchange. They look before the exchange does, so that funding of
an hour is paid on the position held into it, as the simulator does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nautilus_trader.backtest.config import SimulationModuleConfig
from nautilus_trader.backtest.modules import SimulationModule
from nautilus_trader.common.component import Logger
from nautilus_trader.core.data import Data
from nautilus_trader.model.data import QuoteTick

from counterpoise.execution.account import Account
from counterpoise.risk.margin import maintenance_margin
from counterpoise.trading.instrument import usdt
from counterpoise.venues.contract import Contract, stack


@dataclass(frozen=True, slots=True)
class Settled:
    """A funding settlement of history: rate, and what a short receives, USD per ETH."""

    ts_ns: int
    rate: float
    usd_per_eth: float


class FundingModule(SimulationModule):  # type: ignore[misc]
    """Pays funding on the short held into each settlement.

    Parameters
    ----------
    settlements : sequence of Settled
        In order of time.
    account : callable
        The account as the controller counts it.
    paid : callable
        Told the time, the amount in USD and the rate of each settlement on a position.
    """

    def __init__(
        self,
        settlements: Sequence[Settled],
        account: Callable[[], Account],
        paid: Callable[[int, float, float], None],
    ) -> None:
        super().__init__(SimulationModuleConfig(component_id="counterpoise-funding"))
        self._settlements = settlements
        self._account = account
        self._paid = paid
        self._next = 0

    def pre_process(self, data: Data) -> None:
        """Pay what is due by the time of a quote."""
        while (
            self._next < len(self._settlements)
            and self._settlements[self._next].ts_ns <= data.ts_init
        ):
            due = self._settlements[self._next]
            self._next += 1
            short = self._account().short_eth
            if short > 0.0:
                received = short * due.usd_per_eth
                self.exchange.adjust_account(usdt(received))
                self._paid(due.ts_ns, received, due.rate)

    def process(self, ts_now: int) -> None:
        """Nothing is due between quotes."""

    def log_diagnostics(self, logger: Logger) -> None:
        """Nothing to add to the exchange's own."""

    def reset(self) -> None:
        """Begin again."""
        self._next = 0


class LiquidationModule(SimulationModule):  # type: ignore[misc]
    """Has the position closed where its margin is used up, by the venue's tiers.

    Parameters
    ----------
    contract : Contract
        Linear.
    account : callable
    liquidate : callable
        Told the time, the fraction of notional the venue takes, and the price.
    """

    def __init__(
        self,
        contract: Contract,
        account: Callable[[], Account],
        liquidate: Callable[[int, float, float], None],
    ) -> None:
        super().__init__(SimulationModuleConfig(component_id="counterpoise-liquidation"))
        rules = stack([contract])
        self._tiers = (rules.tier_cap[0], rules.tier_rate[0], rules.tier_amount[0])
        self._highest_rate = float(rules.highest_rate[0])
        self._fee = contract.liquidation_fee
        self._account = account
        self._liquidate = liquidate

    def pre_process(self, data: Data) -> None:
        """Look at the margin at the mark, which here is the middle of the quote."""
        account = self._account()
        if account.short_eth <= 0.0 or not isinstance(data, QuoteTick):
            return
        price = 0.5 * (data.bid_price.as_double() + data.ask_price.as_double())
        notional = account.short_eth * price
        equity = account.equity_usd(price)
        # Maintenance never exceeds its largest rate: most quotes need no tier.
        if equity > self._highest_rate * notional:
            return
        if equity <= maintenance_margin(notional, *self._tiers):
            self._liquidate(data.ts_init, self._fee, price)

    def process(self, ts_now: int) -> None:
        """Nothing happens between quotes."""

    def log_diagnostics(self, logger: Logger) -> None:
        """Nothing to add to the exchange's own."""

    def reset(self) -> None:
        """Nothing is remembered."""
