"""A local venue in a process of its own: started, begun, asked for its own account at the end.

The market stands still until it is begun, so that what trades can get ready first.
"""

import asyncio
import multiprocessing
import secrets
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from counterpoise.errors import RetryLater
from counterpoise.rehearsal.at_venue import AtVenue, Counted, account_of
from counterpoise.rehearsal.clock import StagedClock
from counterpoise.rehearsal.faults import Kind

#: Market time that is over when the stage opens: enough for a book and marks.
BEFORE_MS = 3_600_000
#: Seconds in which the venue has to answer.
ANSWER_S = 60.0


@dataclass(frozen=True)
class Script:
    """What is played.

    Attributes
    ----------
    lake : Path
        History that the venue tells; its bars are the market where nothing is recorded.
    recording : Path or None
        A recorded book.
    first_ms, last_ms : int
        From where to where, ms UTC.
    speed : float
        Market seconds per second.
    wallet_usd, outside_usd : float
        In the futures wallet and beside it.
    symbol : str
    every_s : int
        Seconds between quotes of a market made of bars.
    half_spread_bps : float
    key, secret : str
        Of the account; made anew for each script.
    """

    lake: Path
    recording: Path | None
    first_ms: int
    last_ms: int
    speed: float
    wallet_usd: float
    outside_usd: float
    symbol: str
    every_s: int
    half_spread_bps: float
    key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)


class Stage:
    """The venue's process.

    Parameters
    ----------
    script : Script

    Attributes
    ----------
    clock : StagedClock
        The same as the venue's.
    url_http, url_ws : str
    """

    def __init__(self, script: Script) -> None:
        context = multiprocessing.get_context("spawn")
        self._mine, theirs = context.Pipe()
        self.clock = StagedClock(script.first_ms, script.speed)
        self.process = context.Process(target=_play, args=(theirs, script), daemon=True)
        self.process.start()
        theirs.close()
        try:
            self.url_http, self.url_ws = self._answer()
        except BaseException:
            self.close()
            raise

    def begin(self) -> float:
        """Let the market go on, here and there from the same moment; which wall time, s."""
        at_s = time.time()
        self.clock.begin(at_s)
        self._mine.send(("begin", at_s))
        return at_s

    def account(self) -> AtVenue:
        """The account as the venue itself has it."""
        self._mine.send(("account",))
        answer: AtVenue = self._answer()
        return answer

    def arm(self, kind: Kind, path: str = "", *, method: str = "", times: int = 1) -> None:
        """Let the next requests that fit meet a fault, see ``faults.Faults.arm``."""
        self._mine.send(("arm", kind, path, method, times))

    def close(self) -> None:
        """End the venue."""
        with suppress(OSError):
            self._mine.send(("end",))
        self.process.join(5.0)
        if self.process.is_alive():
            self.process.kill()
        self._mine.close()

    def _answer(self) -> Any:
        if not self._mine.poll(ANSWER_S):
            raise RetryLater("The local venue does not answer. Next: run the same command again.")
        try:
            return self._mine.recv()
        except EOFError:
            raise RetryLater(
                "The local venue ended unexpectedly. Next: run the same command again."
            ) from None


def _play(pipe: Connection, script: Script) -> None:
    """Be the venue until told to end, or until nobody is there any more."""
    # Who ends the run by a signal to all of its processes still needs a venue to leave in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_venue(pipe, script))


async def _venue(pipe: Connection, script: Script) -> None:
    from counterpoise.market.lake import Lake
    from counterpoise.rehearsal.bar_market import Quoting, from_lake
    from counterpoise.rehearsal.binance_signing import ApiKey
    from counterpoise.rehearsal.binance_venue import Venue
    from counterpoise.rehearsal.exchange import Exchange
    from counterpoise.rehearsal.feed import Market
    from counterpoise.rehearsal.filters import rules_of
    from counterpoise.rehearsal.history import History
    from counterpoise.rehearsal.recorded import read_recording
    from counterpoise.venues import contract_at

    contract = contract_at("binance", script.first_ms)
    rules = rules_of(contract)
    clock = StagedClock(script.first_ms, script.speed)
    lake = Lake(script.lake)
    market: Market
    if script.recording is not None:
        market = read_recording(script.recording, rules)
    else:
        quoting = Quoting(every_s=script.every_s, half_spread_bps=script.half_spread_bps)
        market = from_lake(
            lake, rules, script.first_ms - BEFORE_MS, script.last_ms, quoting=quoting
        )
    exchange = Exchange(
        [rules], Decimal(repr(script.wallet_usd)), Decimal(repr(script.outside_usd))
    )
    key = ApiKey(script.key, script.secret)
    counted = Counted(market, rules)
    venue = Venue(exchange, counted, clock, contract, [key], History.of_lake(lake))
    async with venue:
        pipe.send((venue.url_http, venue.url_ws))
        loop = asyncio.get_running_loop()
        while True:
            try:
                asked = await loop.run_in_executor(None, pipe.recv)
            except (EOFError, OSError):
                return
            match asked:
                case ("begin", at_s):
                    clock.begin(at_s)
                case ("account",):
                    pipe.send(account_of(venue, counted))
                case ("arm", kind, path, method, times):
                    venue.faults.arm(kind, path, method=method, times=times)
                case ("end",):
                    return
