"""A venue that plays a made market at this very moment, in a process of its own.

It stands in for the real one: ``python -m tests.rehearsal.now_market LAKE PORT`` writes a lake that
ends now, serves its future until told to end, and takes orders to misbehave on standard input.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import polars.selectors as cs

from counterpoise.market.history import history_until
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.rehearsal.bar_market import Quoting, from_lake
from counterpoise.rehearsal.binance_venue import Venue
from counterpoise.rehearsal.clock import MarketClock
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.filters import rules_of
from counterpoise.rehearsal.history import History
from counterpoise.units import HOUR_MS
from counterpoise.venues import contract_at


def lake_of_now(folder: Path, days: int = 40) -> tuple[Lake, Lake]:
    """A whole lake that reaches beyond now, and what is known of it by now, as a user has it."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = generate(7, midnight - timedelta(days=days), days + 2, with_gaps=False)
    tables = {key: _as_told(key.table, table) for key, table in made.items()}
    whole, known = Lake(folder / "whole"), Lake(folder / "known")
    whole.write(tables)
    now_ms = round(time.time() * 1000)
    history_until(whole, known, now_ms - 2 * HOUR_MS, wanted=lambda key: key.venue == "binance")
    return whole, known


def _as_told(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Numbers as they come over the wire, so that what is fetched again is the same."""
    prices = 2 if table in ("perp_bars", "spot_bars") else 8
    sizes = 4 if table == "spot_bars" else 3
    return rows.with_columns(
        cs.by_name(
            "open", "high", "low", "close", "mark_price", "funding_rate", require_all=False
        ).round(prices if table != "funding" else 8),
        cs.by_name("volume", "taker_buy_base", require_all=False).round(sizes),
        cs.by_name("quote_volume", "taker_buy_quote", require_all=False).round(5),
    )


def venue_of_now(whole: Lake, every_s: int = 1) -> Venue:
    """A venue whose market is at the wall's time."""
    now_ms = round(time.time() * 1000)
    contract = contract_at("binance", now_ms)
    rules = rules_of(contract)
    first_ms = now_ms // HOUR_MS * HOUR_MS
    market = from_lake(
        whole, rules, first_ms, first_ms + 6 * HOUR_MS, quoting=Quoting(every_s=every_s)
    )
    clock = MarketClock(now_ms, time.time(), 1.0)
    return Venue(Exchange([rules]), market, clock, contract, [], History.of_lake(whole))


async def _serve(whole: Lake, port: int) -> None:
    async with _Serving(venue_of_now(whole), port) as venue:
        print(venue.port, flush=True)
        loop = asyncio.get_running_loop()
        while order := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            if order == "gap":
                venue.skip_ids()
            elif order == "abort":
                venue.abort_connections()
            print(len(venue.streams.listeners), flush=True)


class _Serving:
    def __init__(self, venue: Venue, port: int) -> None:
        self.venue, self.port = venue, port

    async def __aenter__(self) -> Venue:
        await self.venue.start(self.port)
        return self.venue

    async def __aexit__(self, *_: object) -> None:
        await self.venue.stop()


if __name__ == "__main__":
    asyncio.run(_serve(Lake(Path(sys.argv[1])), int(sys.argv[2])))
