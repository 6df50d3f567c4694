"""The heartbeat of a run: what the machines say of themselves, put together for people."""

import math
import os
import time
from collections.abc import Mapping

from counterpoise.execution.controller import Controller
from counterpoise.execution.events import Snapshot
from counterpoise.journal.tables import Run
from counterpoise.units import NS_PER_MS, NS_PER_S
from counterpoise.watch.heartbeat import Heartbeat, Light

#: Age of the last quote from which on the market is no longer lit, market seconds.
QUIET_S = 60.0


def beat_of(
    run: Run,
    controller: Controller,
    now_ns: int,
    *,
    seen: Snapshot | None,
    last_alert: str,
    alert_failure: str,
    latencies_ms: Mapping[str, float],
    failure: str,
) -> Heartbeat:
    """State of a run.

    Parameters
    ----------
    run : Run
    controller : Controller
    now_ns : int
        Market time.
    seen : Snapshot or None
        The account as it was found last.
    last_alert, alert_failure : str
    latencies_ms : mapping of str to float
    failure : str
        Why the run can no longer be trusted; empty while it can.
    """
    judge, verdict, twap = controller.judge, controller.verdict, controller.pursuit.twap
    working = twap if twap is not None and twap.working else None
    row, quote = judge.signals, controller.quote
    exposure, price = judge.exposure_eth, judge.price
    notional = controller.short_eth * price
    blocked = controller.blocked()
    quote_age_s = math.inf if quote is None else (now_ns - quote.ts_ns) / NS_PER_S
    fresh = controller.reconciler.fresh(now_ns)
    most_ns = controller.settings.run.position_max_age_ms * NS_PER_MS
    intent = row is not None and math.isfinite(row.lo)
    lights = {
        "market": Light(
            quote_age_s < QUIET_S,
            "no quote yet" if quote is None else f"last quote {quote_age_s:.1f} s ago",
        ),
        "account": Light(
            seen is not None and now_ns - seen.ts_ns <= 2 * most_ns,
            "not seen yet" if seen is None else f"{_age(now_ns, seen.ts_ns)} ago",
        ),
        "orders": Light(
            controller.reconciler.ready, "" if controller.reconciler.ready else blocked
        ),
        "position": Light(fresh, "confirmed" if fresh else "not confirmed"),
        "signals": Light(
            intent,
            "no hour was told yet"
            if row is None
            else (f"{_age(now_ns, row.ts_ns)} ago" if intent else row.why),
        ),
        "journal": Light(not failure, failure or f"run {run.run_id}"),
    }
    return Heartbeat(
        ts_ms=time.time_ns() // NS_PER_MS,
        pid=os.getpid(),
        mode=run.mode,
        venue=run.venue,
        symbol=run.symbol,
        started_ms=run.ts_ns // NS_PER_MS,
        market_ts_ms=controller.now_ns // NS_PER_MS,
        exposure_eth=exposure,
        short_eth=controller.short_eth,
        target_eth=controller.pursuit.goal_eth,
        mid=price,
        mark=math.nan if seen is None else seen.mark,
        lo=math.nan if verdict is None else verdict.lo,
        hi=math.nan if verdict is None else verdict.hi,
        ratio=controller.short_eth / exposure if exposure > 0.0 else math.nan,
        reason=controller.because or blocked,
        twap_side="" if working is None else working.side,
        twap_size=0.0 if working is None else working.plan.size,
        twap_filled=0.0 if working is None else working.filled_eth,
        twap_end_ms=0 if working is None else working.plan.end_ns // NS_PER_MS,
        wallet_usd=math.nan if seen is None else seen.wallet_usd,
        equity_usd=judge.account.equity_usd(price),
        available_usd=math.nan if seen is None else seen.available_usd,
        leverage=math.nan if seen is None else seen.leverage,
        liquidation=math.nan if seen is None else seen.liquidation,
        margin_ratio=judge.account.equity_usd(price) / notional if notional > 0.0 else math.nan,
        lights=lights,
        halted_why=controller.halted_why,
        last_alert=last_alert,
        alert_failure=alert_failure,
        latencies_ms=dict(latencies_ms),
    )


def _age(now_ns: int, ts_ns: int) -> str:
    return f"{(now_ns - ts_ns) / NS_PER_S:.0f} s"
