"""What the event-driven backtest costs: quotes a second, beside the engine with an idle strategy.

Both run the same quotes and marks in the same process, taking turns.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.measure import Entry, median

DAYS, REPEATS, WARM_UP_H = 10, 3, 96


def _idle(timeline: Any, where: Any, intent: Any) -> int:
    """The engine alone: quotes in, a strategy that counts them."""
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.data import DataType, QuoteTick
    from nautilus_trader.model.enums import AccountType, OmsType
    from nautilus_trader.model.identifiers import ClientId, Venue
    from nautilus_trader.trading.config import StrategyConfig
    from nautilus_trader.trading.strategy import Strategy

    from counterpoise.market.quote_path import quote_path
    from counterpoise.trading import backtest as ours
    from counterpoise.trading.instrument import instrument_id_of, instrument_of, usdt
    from counterpoise.trading.shell import Told
    from counterpoise.trading.signal_rows import exposures_of, rows_of
    from counterpoise.venues import contract_at

    contract = contract_at("binance", int(where.ts_ms[0]))
    name = instrument_id_of(contract)

    class Idle(Strategy):  # type: ignore[misc]
        seen = 0

        def on_start(self) -> None:
            self.subscribe_quote_ticks(name)
            self.subscribe_data(DataType(Told))

        def on_quote_tick(self, tick: QuoteTick) -> None:
            self.seen += 1

        def on_data(self, data: Any) -> None:
            pass

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=Venue(name.venue.value),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[usdt(0.0)],
    )
    engine.add_instrument(instrument_of(contract))
    strategy = Idle(StrategyConfig(strategy_id="idle", order_id_tag="000"))
    engine.add_strategy(strategy)
    exposures, rows = exposures_of(where), rows_of(where, intent)
    path = quote_path(ours._bars(timeline, where), 10, 0.5, tick=contract.tick_usd)
    for _, data in ours._chunks(path, timeline, where, exposures, rows, name):
        engine.add_data(data, ClientId("COUNTERPOISE"))
        engine.run(streaming=True)
        engine.clear_data()
    engine.end()
    engine.dispose()
    return strategy.seen


def speed() -> dict[str, Any]:
    """Seconds of both over the same days, and how many quotes there were."""
    from counterpoise.config import Settings
    from counterpoise.hedging.intent import Intent
    from counterpoise.simulation.arena import arena
    from counterpoise.trading.backtest import backtest
    from tests.random_timeline import random_timeline

    timeline = random_timeline(WARM_UP_H + 24 * DAYS + 1, seed=1)
    settings = Settings(exposure={"eth": 100.0})
    hours = np.arange(len(timeline.ts_ms))
    target = 0.8 + 0.1 * np.sin(hours / 10.0)
    intent = Intent.around(target, 0.05, venues=1, cap=1.0)
    where = arena(timeline, settings, WARM_UP_H, WARM_UP_H + 24 * DAYS)
    backtest(timeline, arena(timeline, settings, WARM_UP_H, WARM_UP_H + 3), intent, settings)

    def timed(work: Callable[[], object]) -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    whole, idle = [], []
    for _ in range(REPEATS):
        idle.append(timed(lambda: _idle(timeline, where, intent)))
        whole.append(timed(lambda: backtest(timeline, where, intent, settings)))
    return {"quotes": 360 * 24 * DAYS, "seconds": whole, "idle": idle}


def main() -> None:
    """Print the entry as JSON, for ``bench``."""
    found = speed()
    rate = found["quotes"] / median(found["seconds"])
    bare = found["quotes"] / median(found["idle"])
    told = f"NautilusTrader with an idle strategy, {bare:,.0f} quotes/s"
    entry = Entry(rate, "quotes/s", told, rate / bare)
    print(json.dumps({"backtest_quotes_per_s": entry.__dict__}))


if __name__ == "__main__":
    main()
