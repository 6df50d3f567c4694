"""Records as machines write them."""

import math
from dataclasses import fields, replace
from typing import Any

from counterpoise.execution.records import (
    AccountSeen,
    AlertRaised,
    Decision,
    FillBooked,
    FundingBooked,
    Mode,
    Moved,
    OrderSent,
    OrderState,
    Plan,
    Record,
    Shortfall,
)
from counterpoise.journal.tables import LAYOUTS, Run

T0 = 1_700_000_000_000_000_000
RUN = Run(T0, "run-1", "paper", "binance", "ETHUSDT", "a1" * 16, "0.1.0", "b2" * 16)
NEXT_RUN = replace(RUN, ts_ns=T0 + 1, run_id="run-2")


def decision(number: int, ts_ns: int = T0) -> Decision:
    """A decision with everything a decision has, NaN and infinity included."""
    return Decision(
        ts_ns=ts_ns,
        decision_id=number,
        cause="bar",
        tick=473_000 + number,
        exposure_eth=500.0,
        short_eth=398.5,
        target_eth=400.0 + number,
        collateral_usd=350_000.125,
        lo=0.75,
        hi=0.85,
        reasons=5,
        because="funding is dear: σ up by ⅓",
        chain={"ratio": 0.1 + 0.2, "floor": math.nan},
        state=(0.1, math.nan, -math.inf, -0.0),
        memory=(math.inf, 5e-324),
        inputs={"bid": 1800.01, "age_ms": 12.0},
    )


def plan(number: int, schedule: int, status: str = "working") -> Plan:
    """A schedule of a decision."""
    return Plan(T0, schedule, number, "sell", 1.5, 1800.0, T0, T0 + 900, status, {"done": [1, 2]})


def order(number: int, client_id: str) -> OrderSent:
    """An order of a decision."""
    return OrderSent(
        T0, client_id, number, number, "post_only", "sell", 0.5, 1800.1, 0.0, False, 1800.05
    )


def state(client_id: str, status: Any, filled_eth: float = 0.0) -> OrderState:
    """What became of an order."""
    return OrderState(T0, client_id, status, filled_eth, 0, "")


def fill(client_id: str, trade_id: str, short_eth: float, ts_ns: int = T0) -> FillBooked:
    """A fill of an order."""
    return FillBooked(
        ts_ns, client_id, trade_id, 1, "sell", 1800.1, 0.5, 0.18, True, 1800.05, short_eth
    )


def account(counted_eth: float) -> AccountSeen:
    """The account as a query found it."""
    return AccountSeen(T0, 1.0, counted_eth, 1800.0, 2100.0, 9e5, 9e5, 4e5, 2.0, 1, 1, 0)


def moment_of(number: int) -> list[Record]:
    """What one decision leads to: itself, a plan, an order."""
    return [decision(number), plan(number, number), order(number, f"cp-{number}")]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, NaN equal to NaN, 0 to -0 as the databases hold them."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) in LAYOUTS:
        return type(one) is type(other) and all(
            same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)
        )
    return bool(type(one) is type(other) and one == other)


def one_of_each() -> list[Record]:
    """A row for every table but ``runs``."""
    return [
        *moment_of(1),
        state("cp-1", "unknown"),
        fill("cp-1", "t1", 0.5),
        FundingBooked(T0, -12.5, -0.0001),
        Shortfall(T0, 1, "sell", 1.5, 1.5, 1800.0, 1799.5, 0.1, 0.3, 0.2, 0.15, 0.0, 0.75, 0.5),
        account(0.5),
        AlertRaised(T0, "critical", "margin", "equity is short", "pay in"),
        Mode(T0, "halted", "operator", "looks odd"),
        Moved(T0, "cp-m-1", 1000.0, "asked", ""),
    ]
