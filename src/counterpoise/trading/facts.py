"""What the doctor looks at: facts of this machine and of the account, gathered without judging.

A fact that could not be had is :class:`Unknown`, with the reason; nothing here raises for it.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.config import Settings
from counterpoise.credentials import Credentials
from counterpoise.errors import CounterpoiseError, FixConfig, RetryLater
from counterpoise.trading.binance_account import BinanceAccount, Wallet
from counterpoise.trading.binance_rest import BinanceRest, Endpoints, VenueRefused
from counterpoise.trading.binance_terms import KeyRights, SymbolRules, SymbolSetting
from counterpoise.venues.contract import Tier

if TYPE_CHECKING:
    from counterpoise.journal.tables import Run

#: How long a stream may take to say its first word.
STREAM_WAIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be had.

    Attributes
    ----------
    why : str
        Ends with what to do next.
    kind : str
        As ``binance_rest.KINDS`` where the venue refused, else empty.
    """

    why: str
    kind: str = ""


type Fact[T] = T | Unknown


@dataclass(frozen=True, slots=True)
class HomeFacts:
    """Facts of this machine.

    Attributes
    ----------
    free_bytes : float
        On the disk of the state folder, which can be written.
    journal : Run or None
        Last run of the journal; None where there is none yet.
    stale : tuple of str
        Feeds of the lake that are not fresh.
    exposure_eth : float
    alert_addresses : int
    """

    free_bytes: Fact[float]
    journal: Fact["Run | None"]
    stale: Fact[tuple[str, ...]]
    exposure_eth: Fact[float]
    alert_addresses: Fact[int]


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """The account at the venue; what there is no question for is None.

    Attributes
    ----------
    skew_ms : float
        This machine's clock ahead of the venue's.
    stream_ms : float
        Until the first word of a websocket.
    rules : SymbolRules or None
        None where the venue does not list the symbol.
    mark : float
        USD.
    key : str
        Where it came from.
    rights : KeyRights or None
    wallet, setting, hedge_mode, multi_assets, tiers, fees
        As ``BinanceAccount`` gives them.
    """

    skew_ms: Fact[float]
    stream_ms: Fact[float]
    rules: Fact[SymbolRules | None]
    mark: Fact[float]
    key: Fact[str]
    rights: Fact[KeyRights] | None
    wallet: Fact[Wallet]
    setting: Fact[SymbolSetting]
    hedge_mode: Fact[bool]
    multi_assets: Fact[bool]
    tiers: Fact[tuple[Tier, ...]]
    fees: Fact[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was looked at; ``account`` is None where no venue was asked."""

    home: HomeFacts
    account: AccountFacts | None


def gather_home(settings: Settings) -> HomeFacts:
    """Facts of this machine; the state folder is made if there is none."""
    from counterpoise.watch.alerts import alert_addresses

    return HomeFacts(
        free_bytes=_tried(lambda: _free_bytes(settings.run.state)),
        journal=_tried(lambda: _last_run(settings)),
        stale=_tried(lambda: _stale(settings)),
        exposure_eth=_tried(lambda: _exposure(settings)),
        alert_addresses=_tried(lambda: len(alert_addresses())),
    )


async def gather_account(
    settings: Settings,
    endpoints: Endpoints,
    credentials: Fact[Credentials],
    now_s: Callable[[], float] = time.time,
) -> AccountFacts:
    """Facts of the account, asked all at once after the clock.

    Parameters
    ----------
    settings : Settings
    endpoints : Endpoints
    credentials : Credentials or Unknown
    now_s : callable
        The clock that should be the venue's: this machine's, or the market's of a replay.
    """
    symbol = settings.venue.symbol
    keys = None if isinstance(credentials, Unknown) else credentials
    rest = BinanceRest(endpoints, keys, now_s=now_s)
    account = BinanceAccount(rest, symbol)
    terms = account.terms
    try:
        skew = await _asked(rest.clock_skew_ms())

        async def signed[T](question: Callable[[], Coroutine[Any, Any, T]]) -> Fact[T]:
            if isinstance(credentials, Unknown):
                return credentials
            return await _asked(question())

        async with asyncio.TaskGroup() as together:
            ask = together.create_task
            stream = ask(_asked(_first_word(endpoints, symbol)))
            rules, mark = ask(_asked(terms.rules())), ask(_asked(terms.mark()))
            wallet, setting = ask(signed(account.wallet)), ask(signed(terms.setting))
            hedge, multi = ask(signed(terms.hedge_mode)), ask(signed(terms.multi_assets))
            tiers, fees = ask(signed(terms.tiers)), ask(signed(terms.fees))
            rights = ask(signed(terms.rights)) if rest.has_wallet else None
    finally:
        await rest.close()
    return AccountFacts(
        skew_ms=skew,
        stream_ms=stream.result(),
        rules=rules.result(),
        mark=mark.result(),
        key=credentials if isinstance(credentials, Unknown) else credentials.source,
        rights=None if rights is None else rights.result(),
        wallet=wallet.result(),
        setting=setting.result(),
        hedge_mode=hedge.result(),
        multi_assets=multi.result(),
        tiers=tiers.result(),
        fees=fees.result(),
    )


def _tried[T](look: Callable[[], T]) -> Fact[T]:
    try:
        return look()
    except (CounterpoiseError, OSError) as failed:
        return _unknown(failed)


async def _asked[T](question: Coroutine[Any, Any, T]) -> Fact[T]:
    try:
        return await question
    except (CounterpoiseError, OSError) as failed:
        return _unknown(failed)


def _unknown(failed: Exception) -> Unknown:
    kind = failed.kind if isinstance(failed, VenueRefused) else ""
    return Unknown(str(failed), kind)


def _free_bytes(state: Path) -> float:
    """Free bytes of the disk, once a file could be written there."""
    state.mkdir(parents=True, exist_ok=True)
    probe = state / f".doctor.{os.getpid()}"
    probe.write_bytes(b"written")
    probe.unlink()
    return float(shutil.disk_usage(state).free)


def _last_run(settings: Settings) -> "Run | None":
    """Last run of the journal; None where there is a place for one and nothing in it yet."""
    from sqlalchemy import inspect
    from sqlalchemy.exc import DBAPIError

    from counterpoise.journal.place import place_in, place_of, refusal
    from counterpoise.journal.reading import Reader
    from counterpoise.journal.tables import Run

    where = place_in(settings)
    place = place_of(where)
    if place.file is not None and not place.file.exists():
        return None
    engine = place.engine(writes=False)
    try:
        if not inspect(engine).get_table_names():
            return None
    except DBAPIError as error:
        raise refusal(place.name, error) from None
    finally:
        engine.dispose()
    with Reader(where) as reader:
        runs = reader.records(Run, newest=1)
    return runs[-1] if runs else None


def _stale(settings: Settings) -> tuple[str, ...]:
    from counterpoise.sources.update import standing

    if not settings.lake.is_dir():
        raise FixConfig(
            "lake", str(settings.lake), "a folder with market data", "counterpoise update"
        )
    found = standing(settings, round(time.time() * 1000))
    return tuple(str(one.feed.key) for one in found if one.feed.source and not one.fresh)


def _exposure(settings: Settings) -> float:
    from counterpoise.exposure.now import exposure_now
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake

    timeline = build_timeline(Lake(settings.lake), settings.venue.names, settings.venue.symbol)
    return exposure_now(settings, timeline).exposure_eth


async def _first_word(endpoints: Endpoints, symbol: str) -> float:
    """Milliseconds until the best bid and ask arrive over a websocket."""
    try:
        import aiohttp
    except ImportError:
        raise FixConfig(
            "extra", "not installed", "the extra trading", "pip install 'counterpoise[trading]'"
        ) from None
    url = f"{endpoints.stream}/public/ws/{symbol.lower()}@bookTicker"
    begun = time.monotonic()
    told = "no word"
    try:
        async with (
            asyncio.timeout(STREAM_WAIT_S),
            aiohttp.ClientSession() as session,
            session.ws_connect(url) as socket,
        ):
            word = await socket.receive()
            if word.type is aiohttp.WSMsgType.TEXT:
                return (time.monotonic() - begun) * 1000.0
    except (aiohttp.ClientError, OSError, TimeoutError) as failed:
        told = type(failed).__name__
    raise RetryLater(
        f"{url}: {told} within {STREAM_WAIT_S:g} s. Next: allow websockets to that host in the "
        "firewall or proxy."
    )
