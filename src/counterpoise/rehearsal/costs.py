"""What each schedule cost, beside what the simulator charges for the same order."""

import math
from dataclasses import dataclass

from counterpoise.config import Settings
from counterpoise.execution.records import Plan, Shortfall
from counterpoise.journal.reading import Reader
from counterpoise.rehearsal.at_venue import AtVenue
from counterpoise.units import BPS, DAY_MS, MINUTE_MS, NS_PER_MS
from counterpoise.venues import Contract


@dataclass(frozen=True, slots=True)
class Cost:
    """Implementation shortfall of a schedule beside what the simulator charges for it, USD.

    Attributes
    ----------
    notional_usd : float
        Filled size at the arrival mid.
    slippage_usd : float
        Spread, impact and delay.
    model_slippage_usd, model_fee_usd : float
        Of docs/simulation.md, step 6.
    participation, planned_participation : float
        Filled size over what the market traded meanwhile, and over its trailing volume.
    """

    schedule_id: int
    side: str
    start_ms: int
    end_ms: int
    size: float
    filled_eth: float
    arrival_mid: float
    average_price: float
    notional_usd: float
    spread_usd: float
    impact_usd: float
    delay_usd: float
    slippage_usd: float
    fee_usd: float
    opportunity_usd: float
    total_usd: float
    model_slippage_usd: float
    model_fee_usd: float
    maker_share: float
    participation: float
    planned_participation: float

    def bps(self, usd: float) -> float:
        """In bp of the notional; NaN where nothing was filled."""
        return usd / self.notional_usd / BPS if self.notional_usd else math.nan


def costs_of(
    reader: Reader, account: AtVenue, settings: Settings, contract: Contract
) -> tuple[Cost, ...]:
    """Shortfalls of the schedules that ended, each beside the cost model of the settings.

    Parameters
    ----------
    reader : Reader
    account : AtVenue
        What the market traded meanwhile.
    settings : Settings
    contract : Contract
        Its fees.
    """
    plans = {plan.schedule_id: plan for plan in reader.records(Plan)}
    return tuple(
        _cost(one, plans[one.schedule_id], account, settings, contract)
        for one in reader.shortfalls(0)
    )


def _cost(
    one: Shortfall, plan: Plan, account: AtVenue, settings: Settings, contract: Contract
) -> Cost:
    costs, numbers = settings.costs, plan.plan
    crossing = costs.taker_share + (1.0 - costs.taker_share) * numbers["urgency"]
    notional = one.filled_eth * one.arrival_mid
    day = one.filled_eth / numbers["volume_day_eth"]
    impact = costs.impact_coefficient * numbers["sigma_day"] * day**0.5
    fee = crossing * contract.taker_fee + (1.0 - crossing) * contract.maker_fee
    start_ms, end_ms = plan.start_ns // NS_PER_MS, one.ts_ns // NS_PER_MS
    traded = sum(
        eth for minute, eth in account.traded_eth.items() if start_ms - MINUTE_MS < minute <= end_ms
    )
    usual = numbers["volume_day_eth"] * (end_ms - start_ms) / DAY_MS
    return Cost(
        schedule_id=one.schedule_id,
        side=one.side,
        start_ms=start_ms,
        end_ms=end_ms,
        size=one.size,
        filled_eth=one.filled_eth,
        arrival_mid=one.arrival_mid,
        average_price=one.average_price,
        notional_usd=notional,
        spread_usd=one.spread_usd,
        impact_usd=one.impact_usd,
        delay_usd=one.delay_usd,
        slippage_usd=one.spread_usd + one.impact_usd + one.delay_usd,
        fee_usd=one.fee_usd,
        opportunity_usd=one.opportunity_usd,
        total_usd=one.total_usd,
        model_slippage_usd=notional * (crossing * costs.half_spread_bps * BPS + impact),
        model_fee_usd=notional * fee,
        maker_share=one.maker_share,
        participation=one.filled_eth / traded if traded else math.nan,
        planned_participation=one.filled_eth / usual if usual else math.nan,
    )
