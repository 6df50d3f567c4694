"""Ask the compiled decision at every event: the slow signals of the bar, the fast prices of now.

It writes what ``decision.Desk`` reads. It sends nothing and keeps no orders.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from counterpoise.config import Settings
from counterpoise.decision.decide import Desk
from counterpoise.decision.explanation import chain_of, sentence
from counterpoise.decision.fast_band import Band, expected_funding_8h, fast_rule, moved_band
from counterpoise.decision.limits import alive_ratio, guard_rules, limits_of
from counterpoise.decision.moment import (
    CHAIN,
    COLLATERAL,
    COST,
    EQUITY,
    MINIMUM,
    ON_WAY,
    PRICE,
    SHARE,
    SHORT,
    STATE_AGE,
    STEP,
    TARGET,
    Reason,
)
from counterpoise.execution.account import Account
from counterpoise.execution.events import Mark, Quote, Signals
from counterpoise.features.fast import Fast, FastSignals
from counterpoise.units import NS_PER_HOUR, NS_PER_S
from counterpoise.venues.contract import Contract

#: Reasons for which a target must be reached now, whatever it costs.
URGENT = int(Reason.STOP | Reason.DRAWDOWN | Reason.KEPT_ALIVE)
_HALTED = int(Reason.HALTED)
#: Places in the desk's moment, in the order of ``decision.moment.Moment``.
(
    _NOW,
    _MARK_AGE,
    _EXPOSURE,
    _SPOT,
    _MARK,
    _EQUITY,
    _FLOW,
    _PNL,
    _EARNED,
    _FLOOR,
    _CLASS,
    _QUIET,
    _LEVERAGE,
    _LEVERAGE_MAX,
    _AVAILABLE,
    _WAITS,
) = range(16)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one decision says.

    Attributes
    ----------
    target_eth, collateral_usd : float
        Short and margin equity to hold.
    lo, hi : float
        Band in force.
    reasons : int
        Flags of ``Reason``.
    """

    target_eth: float
    collateral_usd: float
    lo: float
    hi: float
    reasons: int

    @property
    def urgent(self) -> bool:
        """Whether it is the guard that asks."""
        return bool(self.reasons & URGENT)


class Judge:
    """The decision of one account on one venue, at every event.

    Parameters
    ----------
    settings : Settings
    contract : Contract
        Linear.
    exposure_eth : float
        Long ETH at the beginning.
    price : float
        Of the perpetual at the beginning, USD: it sizes the margin that keeps a short alive.

    Attributes
    ----------
    account : Account
    keep_alive : float
        Equity ÷ notional below which the short is cut.
    signals : Signals or None
        The last row of the bar clock.
    fast_rule : FastRule
        What fast numbers may do; off by default.
    fast : Fast or None
        Fast numbers of the last quote; None while they may do nothing.
    desk : Desk
        Its ``state`` and ``memory`` are all that a restart needs, with :meth:`carried`.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        *,
        exposure_eth: float,
        price: float,
    ) -> None:
        largest_usd = exposure_eth * price * settings.hedge.max_ratio
        limits = limits_of(settings)._replace(
            keep_alive=alive_ratio(settings, [contract], largest_usd)
        )
        self.keep_alive = limits.keep_alive
        self.desk = Desk(1, limits, guard_rules(settings))
        self.fast_rule = fast_rule(settings)
        self.fast: Fast | None = None
        self._signals = FastSignals(
            contract.funding,
            flow_half_life_s=settings.fast.flow_half_life_s,
            basis_half_life_s=settings.fast.basis_half_life_s,
        )
        self._horizon_h = float(settings.risk.funding.horizon_h)
        self._max_ratio = settings.hedge.max_ratio
        # Compiled here, so that the first decision is as quick as the others.
        Desk(1, limits, guard_rules(settings)).decide()
        self.account = Account()
        self.signals: Signals | None = None
        self.exposure_eth = exposure_eth
        budget = settings.capital.usdt_budget
        self._budget_usd = math.inf if budget is None else budget
        # What a person has to post is waited for from the first decision on.
        self._by_hand = settings.protection.transfers == "by_hand"
        self._transfer_ns = settings.capital.transfer_h * NS_PER_HOUR
        self._capital_cost = settings.capital.cost_per_year
        self._sections = settings.model_dump(include={"hedge", "safety", "capital", "risk"})
        self._exposed_before = math.nan
        self._first_ns: float = math.inf
        self._spot = self._price = self._mark = self._index_to_mark = math.nan
        self._priced_ns = self._marked_ns = 0
        book = self.desk.book
        book[SHARE, 0], book[STEP, 0] = 1.0, contract.step_eth
        book[MINIMUM, 0] = contract.min_notional_usd

    @property
    def price(self) -> float:
        """Last price of the perpetual, USD; NaN before the first quote."""
        return self._price

    @property
    def spot(self) -> float:
        """Last price of what is held, USD."""
        return self._spot

    def see_quote(self, quote: Quote) -> None:
        """Take in the best bid and ask; spot follows them by the basis of the last mark."""
        self._price, self._priced_ns = 0.5 * (quote.bid + quote.ask), quote.ts_ns
        self._spot = self._price * self._index_to_mark
        if self.fast_rule.active:
            self.fast = self._signals.quote(
                quote.ts_ns, quote.bid, quote.bid_size, quote.ask, quote.ask_size
            )

    def see_mark(self, mark: Mark) -> None:
        """Take in the venue's mark and index; the index stands for the spot price."""
        self._mark, self._spot, self._marked_ns = mark.mark, mark.index, mark.ts_ns
        self._index_to_mark = mark.index / mark.mark
        self._signals.mark(mark.index, mark.next_funding_ns)

    def decide(self, now_ns: int, committed_eth: float, *, bar: bool) -> Verdict | None:
        """Decide at an event.

        Parameters
        ----------
        now_ns : int
        committed_eth : float
            Short that is held when everything under way is done: a decision continues from there.
        bar : bool
            It is the decision of a bar, at the closes of its row; otherwise, and where the row
            does not know them, at the prices of now.

        Returns
        -------
        Verdict or None
            None before the first row of the bar clock: there is nothing to decide on.
        """
        row, desk, account = self.signals, self.desk, self.account
        if row is None:
            return None
        price, spot, mark = self._price, self._spot, self._mark
        if bar and math.isfinite(row.perp) and math.isfinite(row.spot):
            price, spot, mark = row.perp, row.spot, row.perp
        if bar and math.isfinite(price):
            account.charge(now_ns, self._capital_cost, price)
        book, moment = desk.book, desk.moment
        equity_usd = account.equity_usd(price)
        book[SHORT, 0], book[PRICE, 0], book[EQUITY, 0] = committed_eth, price, equity_usd
        book[SHARE, 0], book[ON_WAY, 0], book[COST, 0] = (
            1.0,
            max(account.coming_usd, 0.0),
            row.funding_cost,
        )
        pnl = account.pnl_usd(price)
        equity = self.exposure_eth * spot + pnl
        flow = 1.0
        arrived = self.exposure_eth - self._exposed_before
        if arrived != 0.0 and math.isfinite(arrived):
            before = equity - arrived * spot
            flow = equity / before if before > 0.0 else 0.0
        oldest_ns = min(self._priced_ns, self._marked_ns)
        moment[_NOW] = now_ns / NS_PER_HOUR
        moment[_MARK_AGE] = (now_ns - oldest_ns) / NS_PER_S
        moment[_EXPOSURE], moment[_SPOT], moment[_MARK] = self.exposure_eth, spot, mark
        moment[_EQUITY], moment[_FLOW], moment[_PNL] = equity, flow, pnl
        moment[_EARNED] = account.earned_usd
        moment[_FLOOR], moment[_CLASS] = row.event_floor, row.event_class
        moment[_QUIET] = row.quiet
        moment[_LEVERAGE], moment[_LEVERAGE_MAX] = row.leverage, row.leverage_max
        moment[_AVAILABLE] = self._budget_usd - account.paid_in_usd
        moment[_WAITS] = self._by_hand or self._waits(now_ns)
        desk.intent[:4] = self._band(row)
        age = float(desk.state[STATE_AGE])
        if not bar and not math.isfinite(row.lo + row.hi + row.to_lo + row.to_hi):
            # Age counts bars, not events.
            desk.state[STATE_AGE] = age - 1.0
        reasons = desk.decide()
        if reasons & _HALTED:
            # What cannot be decided on is not seen: a bar of it ages what is remembered.
            desk.state[STATE_AGE] = age + 1.0 if bar else age
        else:
            self._exposed_before = self.exposure_eth
            self._first_ns = min(self._first_ns, now_ns)
        return Verdict(
            float(book[TARGET, 0]),
            float(book[COLLATERAL, 0]),
            float(desk.intent[4]),
            float(desk.intent[5]),
            reasons,
        )

    def _band(self, row: Signals) -> Band:
        """Band of the row, where running funding did not move it."""
        band = row.lo, row.hi, row.to_lo, row.to_hi
        if self.fast is None or self.fast_rule.carry_bound <= 0.0:
            return band
        return moved_band(
            band,
            running_8h=self.fast.funding_8h,
            expected_8h=expected_funding_8h(row.funding_cost, self._horizon_h),
            sigma_day=row.sigma_day,
            cap=self._max_ratio,
            rule=self.fast_rule,
        )

    def _waits(self, now_ns: int) -> bool:
        """Whether collateral takes time; what the first bar sends is taken as there."""
        return self._transfer_ns > 0 and now_ns - self._first_ns >= NS_PER_HOUR

    def remembered(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """State and memory as they are now."""
        return tuple(self.desk.state.tolist()), tuple(self.desk.memory.tolist())

    def numbers(self) -> dict[str, float]:
        """Numbers behind the last decision, by the names of ``moment.CHAIN``."""
        return dict(zip(CHAIN, self.desk.chain.tolist(), strict=True))

    def carried(self) -> dict[str, float]:
        """What the account carries through a restart, and what the last decision read."""
        account = self.account
        return {
            "price": float(self.desk.book[PRICE, 0]),
            "spot": float(self.desk.moment[_SPOT]),
            "mark": float(self.desk.moment[_MARK]),
            "mark_age_s": float(self.desk.moment[_MARK_AGE]),
            "equity_usd": float(self.desk.book[EQUITY, 0]),
            "guarded_usd": float(self.desk.moment[_EQUITY]),
            "cash_usd": account.cash_usd,
            "paid_in_usd": account.paid_in_usd,
            "coming_usd": account.coming_usd,
            "charged_usd": account.charged_usd,
            "charged_s": account.charged_ns / NS_PER_S,
            "earned_usd": account.earned_usd,
            "fees_usd": account.fees_usd,
            "exposed_before_eth": self._exposed_before,
            "first_s": self._first_ns / NS_PER_S,
        }

    def resume(
        self,
        state: tuple[float, ...],
        memory: tuple[float, ...],
        carried: Mapping[str, float],
        short_eth: float,
    ) -> None:
        """Go on from the last decision of a journal; fills after it are booked by the caller."""
        self.desk.state[:], self.desk.memory[:] = np.array(state), np.array(memory)
        self._exposed_before = carried["exposed_before_eth"]
        self._first_ns = carried["first_s"] * NS_PER_S
        self.account = Account(
            short_eth=short_eth,
            cash_usd=carried["cash_usd"],
            paid_in_usd=carried["paid_in_usd"],
            coming_usd=carried["coming_usd"],
            charged_usd=carried["charged_usd"],
            earned_usd=carried["earned_usd"],
            fees_usd=carried["fees_usd"],
            charged_ns=round(carried["charged_s"] * NS_PER_S),
        )

    def because(self, verdict: Verdict, committed_eth: float) -> str:
        """The chain of the last decision as one sentence."""
        links = chain_of(verdict.reasons, self.numbers(), self._sections)
        held = committed_eth / self.exposure_eth if self.exposure_eth > 0.0 else 0.0
        target = verdict.target_eth / self.exposure_eth if self.exposure_eth > 0.0 else 0.0
        traded = abs(verdict.target_eth - committed_eth)
        told = sentence(links, held=held, target=target, traded_eth=traded)
        return (
            told if self.signals is None or not self.signals.why else (f"{told} {self.signals.why}")
        )
