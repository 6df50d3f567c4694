"""Paper trading on the market of now: the live run, and a local venue that listens to a real one.

The venue is a process of its own. It ends with the run, and the account it keeps on the disk is
there again when the next one begins. No order leaves this machine.
"""

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from counterpoise.config import Settings
from counterpoise.credentials import Credentials, Secret
from counterpoise.errors import CounterpoiseError, FixConfig, NotEnoughData, RetryLater
from counterpoise.execution.records import Record
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.rehearsal.paper_account import PAPER_FILE
from counterpoise.trading.binance_rest import Endpoints
from counterpoise.trading.node import Wires
from counterpoise.trading.run import Where, run

#: Seconds in which the venue answers, and between two looks at whether it is still there.
ANSWER_S, LOOK_S = 60.0, 0.5
#: USDT of a new account, in full hedges.
HEDGES = 2.0


@dataclass(frozen=True)
class Paper:
    """Where the market comes from, and whose account trades on it.

    Attributes
    ----------
    file : Path
        Of the account.
    venue, symbol : str
    rest_url, stream_url : str
        Of the real market.
    usd : float or None
        USDT of a new account; None for ``HEDGES`` full hedges.
    exposure_eth : float
    """

    file: Path
    venue: str
    symbol: str
    rest_url: str
    stream_url: str
    usd: float | None
    exposure_eth: float


class PaperVenue:
    """The venue's process.

    Parameters
    ----------
    paper : Paper

    Attributes
    ----------
    url_http, url_ws : str
    credentials : Credentials
        Of the account.

    Raises
    ------
    RetryLater, FixConfig, RejectData
        The market cannot be reached, or the account cannot be opened.
    """

    def __init__(self, paper: Paper) -> None:
        context = multiprocessing.get_context("spawn")
        self._mine, theirs = context.Pipe()
        self.process = context.Process(target=_be_venue, args=(theirs, paper), daemon=True)
        self.process.start()
        theirs.close()
        try:
            self.url_http, self.url_ws, key, secret = self._answer()
        except BaseException:
            self.close()
            raise
        self.credentials = Credentials(Secret(key), Secret(secret), "made for this paper account")

    def account(self) -> dict[str, float]:
        """Short (ETH) and USDT as the venue has them."""
        with suppress(OSError):
            self._mine.send("account")
        answer: dict[str, float] = self._answer()
        return answer

    def refuse_end(self) -> None:
        """Raise what ended the venue, where it has ended."""
        if self._mine.poll() or not self.process.is_alive():
            self._answer()

    def close(self) -> None:
        """End the venue; what it keeps is on the disk already."""
        with suppress(OSError):
            self._mine.send("end")
        self.process.join(5.0)
        if self.process.is_alive():
            self.process.kill()
        self._mine.close()

    def _answer(self) -> Any:
        answer: Any = None
        with suppress(EOFError, OSError):
            answer = self._mine.recv() if self._mine.poll(ANSWER_S) else None
        if isinstance(answer, CounterpoiseError):
            raise answer
        if answer is None:
            raise RetryLater(
                "the paper venue ended or does not answer; its account is kept. Next: run the same "
                "command again."
            )
        return answer


def paper_of(settings: Settings, exposure_eth: float, usd: float | None) -> Paper:
    """What is to be traded, by the settings.

    Raises
    ------
    FixConfig
        An amount for an account that exists, a state folder with the journal of another one, or a
        lake of a made market.
    NotEnoughData
        The lake has no bars of the perpetual to go on from.
    """
    _refuse_other_lake(settings)
    state = settings.run.state
    file = state / PAPER_FILE
    if file.exists() and usd is not None:
        raise FixConfig(
            "--usd",
            usd,
            f"no amount: {state} has a paper account already",
            "leave it out, or begin a new account with another --state",
        )
    if not file.exists() and (state / "journal.sqlite").exists():
        raise FixConfig(
            "--state",
            str(state),
            "a folder without the journal of another account",
            "name a new folder with --state",
        )
    binance = settings.sources.binance
    return Paper(
        file,
        settings.venue.names[0],
        settings.venue.symbol,
        binance.futures_url,
        binance.stream_url,
        usd,
        exposure_eth,
    )


def _refuse_other_lake(settings: Settings) -> None:
    """Refuse a lake that the services of the real market cannot bring up to date."""
    key = DatasetKey("perp_bars", settings.venue.names[0], settings.venue.symbol, "1h")
    held = Lake(settings.lake).datasets().get(key)
    if held is None:
        raise NotEnoughData(
            f"the lake {settings.lake} has no hourly bars of {key.symbol} on {key.venue}. Next: "
            "counterpoise update, then run the same command again."
        )
    if held.synthetic:
        raise FixConfig(
            "lake", str(settings.lake), "a lake of the real market", "name another with --lake"
        )


async def trade_on_paper(
    settings: Settings,
    venue: PaperVenue,
    *,
    tell: Callable[[str], None],
    watch: Callable[[Sequence[Record]], None],
    until: asyncio.Event,
) -> dict[str, float]:
    """Keep the hedge on paper until told to end.

    Parameters
    ----------
    settings : Settings
        ``lake`` is brought up to date from the configured services, as live.
    venue : PaperVenue
    tell, watch : callable
        As of ``trading.run.run``.
    until : asyncio.Event

    Returns
    -------
    dict
        The account as the venue has it in the end.

    Raises
    ------
    RetryLater, RejectData
        What ended the venue.
    """
    # Nobody moves collateral of a paper account by hand.
    protection = settings.protection.model_copy(update={"transfers": "automatic"})
    own = settings.model_copy(update={"protection": protection})
    where = Where(
        Endpoints(venue.url_http, venue.url_http, venue.url_ws),
        Wires(False, venue.url_http, venue.url_ws, f"{venue.url_ws}/ws-fapi/v1"),
    )
    looking = asyncio.create_task(_look(venue, until))
    try:
        await run(own, venue.credentials, where, tell=tell, until=until, watch=watch)
        return venue.account()
    except CounterpoiseError:
        # What ended the venue says more than that it does not answer.
        venue.refuse_end()
        raise
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError, CounterpoiseError):
            await looking


async def _look(venue: PaperVenue, until: asyncio.Event) -> None:
    """Let the run end where its venue has ended."""
    try:
        while True:
            venue.refuse_end()
            await asyncio.sleep(LOOK_S)
    finally:
        until.set()


def _be_venue(pipe: Connection, paper: Paper) -> None:
    """Be the venue until told to end, or until nobody is there any more."""
    # Who ends the run by a signal to all of its processes still needs a venue to leave in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        asyncio.run(_venue(pipe, paper))
    except CounterpoiseError as refused:
        with suppress(OSError):
            pipe.send(refused)


async def _venue(pipe: Connection, paper: Paper) -> None:
    from counterpoise.rehearsal.binance_signing import ApiKey
    from counterpoise.rehearsal.binance_venue import Venue
    from counterpoise.rehearsal.clock import MarketClock
    from counterpoise.rehearsal.filters import rules_of
    from counterpoise.rehearsal.history import History
    from counterpoise.rehearsal.live_market import LiveMarket
    from counterpoise.rehearsal.paper_account import PaperAccount
    from counterpoise.rehearsal.reports import VenueEvent
    from counterpoise.venues import contract_at

    now_s = time.time()
    now_ms = round(now_s * 1000)
    contract = contract_at(paper.venue, now_ms)
    rules = rules_of(contract)
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    async with LiveMarket(rules, paper.rest_url, paper.stream_url) as market:
        mark = await market.opening()
        usd = paper.usd
        if usd is None:
            usd = round(HEDGES * paper.exposure_eth * float(mark.mark), 2)
        with PaperAccount(paper.file, rules, Decimal(repr(usd)), now_ms) as kept:
            market.settled_ms = kept.settled_ms

            def keep(told: Sequence[VenueEvent]) -> None:
                kept.settled_ms = market.settled_ms
                try:
                    kept.save(told)
                except CounterpoiseError as refused:
                    # The process knows more than the disk: it ends, and the disk counts.
                    if not over.done():
                        over.set_exception(refused)
                    raise

            key = ApiKey(kept.holding.key, kept.holding.secret)
            clock = MarketClock(now_ms, now_s, 1.0)
            venue = Venue(kept.exchange, (), clock, contract, [key], History({}), keep=keep)
            venue.take(mark)
            await market.settle_missed(venue.take)

            def answer() -> None:
                try:
                    asked = pipe.recv()
                except (EOFError, OSError):
                    asked = "end"
                if asked == "account":
                    pipe.send(_account(venue, paper.symbol))
                elif not over.done():
                    over.set_result(None)

            async with venue:
                loop.add_reader(pipe.fileno(), answer)
                pipe.send((venue.url_http, venue.url_ws, key.key, key.secret))
                listening = asyncio.create_task(market.run(venue.take))
                await asyncio.wait((listening, over), return_when=asyncio.FIRST_COMPLETED)
                loop.remove_reader(pipe.fileno())
                if listening.done():
                    listening.result()
                listening.cancel()
                with suppress(asyncio.CancelledError, CounterpoiseError):
                    await listening
                over.result()


def _account(venue: Any, symbol: str) -> dict[str, float]:
    account = venue.exchange.account
    balance = account.balance()
    return {
        "short_eth": 0.0 - float(account.position(symbol).amount),
        "wallet_usd": float(balance.wallet),
        "equity_usd": float(balance.equity),
        "outside_usd": float(balance.outside),
    }
