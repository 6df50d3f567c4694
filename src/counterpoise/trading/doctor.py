"""The doctor: whether account, machine and configuration are fit to trade together.

:func:`examine` judges facts that ``facts`` gathered; it asks nobody. Findings come in the order in
which they should be mended, each with the exact command or page that mends it.
"""

import math
from collections.abc import Iterator, Sequence

from counterpoise.config import Settings
from counterpoise.errors import FixConfig
from counterpoise.trading.binance_rest import CLOCK_FAIL_MS, CLOCK_WARN_MS
from counterpoise.trading.doctor_margin import margin_findings
from counterpoise.trading.facts import AccountFacts, Facts, HomeFacts, Unknown
from counterpoise.trading.findings import (
    FUTURES_PAGE,
    KEYS_PAGE,
    Finding,
    fail,
    ok,
    unknown,
    warn,
)
from counterpoise.units import HOUR_MS
from counterpoise.venues.agreement import refuse_what_venues_refuse

#: Free disk of the state folder: below the first it is told, below the second it must not start.
SCARCE_BYTES, LEAST_BYTES = 2e9, 2e8


def examine(facts: Facts, settings: Settings) -> tuple[Finding, ...]:
    """Judge facts against settings; asks nobody.

    Parameters
    ----------
    facts : Facts
    settings : Settings
    """
    return tuple(_all(facts, settings))


def refuse_unfit(findings: Sequence[Finding]) -> None:
    """Keep a run from starting that must not trade.

    Raises
    ------
    FixConfig
        For the first finding that fails, with what mends it; it says how many others fail.
    """
    failed = [one for one in findings if one.status == "FAIL"]
    if failed:
        first = failed[0]
        more = f" ({len(failed) - 1} more: counterpoise doctor)" if len(failed) > 1 else ""
        raise FixConfig(first.check, first.found, first.expected, first.fix + more)


def _all(facts: Facts, settings: Settings) -> Iterator[Finding]:
    yield from _configuration(settings)
    yield from _home(facts.home, settings)
    if facts.account is None:
        yield ok("account", "not asked: paper mode brings its own venue")
        return
    exposure = facts.home.exposure_eth
    known = math.nan if isinstance(exposure, Unknown) else exposure
    yield from _account(facts.account, settings, known)


def _configuration(settings: Settings) -> Iterator[Finding]:
    """Settings that this venue cannot serve."""
    first = settings.venue.names[0]
    if first != "binance" or len(settings.venue.names) > 1:
        yield fail(
            "venue",
            f"venue.names = {', '.join(settings.venue.names)}",
            "binance alone: a run holds its short there",
            "set venue.names = ['binance']",
        )
        return
    try:
        refuse_what_venues_refuse(settings)
    except FixConfig as refused:
        found, _, step = str(refused).partition(" Next: ")
        yield fail("venue", found, "settings that the venue takes", step.rstrip("."))
    else:
        yield ok("venue", f"binance, {settings.venue.symbol}", "settings that the venue takes")


def _home(home: HomeFacts, settings: Settings) -> Iterator[Finding]:
    """State folder, journal, lake, exposure and addresses of alerts."""
    state = settings.run.state
    expected = f"a folder {state} that can be written, with {LEAST_BYTES / 1e9:g} GB free"
    if isinstance(home.free_bytes, Unknown):
        found = home.free_bytes.why
        yield fail("state folder", found, expected, f"mkdir -p {state}; check its permissions")
    else:
        found = f"{home.free_bytes / 1e9:.1f} GB free"
        if home.free_bytes < LEAST_BYTES:
            yield fail("state folder", found, expected, f"free some space: df -h {state}")
        elif home.free_bytes < SCARCE_BYTES:
            yield warn("state folder", found, expected, f"free some space: df -h {state}")
        else:
            yield ok("state folder", found, expected)
    yield _journal(home, settings)
    yield from _lake(home)
    if isinstance(home.exposure_eth, Unknown):
        yield unknown("exposure", home.exposure_eth, "what is hedged, in ETH")
    else:
        yield ok("exposure", f"{home.exposure_eth:,.3f} ETH")
    yield _alerts(home)


def _journal(home: HomeFacts, settings: Settings) -> Finding:
    """Whether the journal is that of this venue, symbol and mode."""
    if isinstance(home.journal, Unknown):
        return unknown("journal", home.journal, "a journal that can be opened")
    last = home.journal
    wanted = (settings.run.mode, settings.venue.names[0], settings.venue.symbol)
    if last is None:
        return ok("journal", "none yet: the run makes it")
    if (last.mode, last.venue, last.symbol) != wanted:
        return fail(
            "journal",
            f"of a run in {last.mode} mode on {last.venue}, {last.symbol}",
            f"one of {wanted[0]} mode on {wanted[1]}, {wanted[2]}",
            "give each its own folder: set run.state (and journal.url) to another one, or go back "
            "to the configuration of this journal",
        )
    return ok("journal", f"last run {last.run_id}", "of this venue, symbol and mode")


def _lake(home: HomeFacts) -> Iterator[Finding]:
    if isinstance(home.stale, Unknown):
        yield unknown("lake", home.stale, "market data up to now")
    elif home.stale:
        yield warn(
            "lake", f"not fresh: {', '.join(home.stale)}", "data up to now", "counterpoise update"
        )
    else:
        yield ok("lake", "fresh")


def _alerts(home: HomeFacts) -> Finding:
    if isinstance(home.alert_addresses, Unknown):
        return unknown("alerts", home.alert_addresses, "addresses of alerts")
    if home.alert_addresses == 0:
        return warn(
            "alerts",
            "nobody is told",
            "at least one address",
            "export ALERT_URLS=tgram://TOKEN/CHAT (docs/operations.md), then counterpoise doctor "
            "--alert",
        )
    return ok("alerts", f"{home.alert_addresses} addresses")


def _account(facts: AccountFacts, settings: Settings, exposure_eth: float) -> Iterator[Finding]:
    """Judge connection, clock, symbol and key; only where those are well, the rest."""
    if isinstance(facts.skew_ms, Unknown):
        yield unknown("connection", facts.skew_ms, "the venue's REST interface")
        return
    yield ok("connection", "the venue answers")
    clock = _clock(facts.skew_ms, settings)
    yield clock
    if clock.status == "FAIL":
        # Nothing is signed with a wrong time, so nothing else can be known.
        return
    if isinstance(facts.stream_ms, Unknown):
        yield unknown("websocket", facts.stream_ms, "market data over a websocket")
    else:
        yield ok("websocket", f"first word after {facts.stream_ms:,.0f} ms")
    yield _symbol(facts, settings)
    key = list(_key(facts))
    yield from key
    if any(one.check == "key" and one.status == "FAIL" for one in key):
        return
    yield _position_mode(facts)
    yield from margin_findings(facts, settings, exposure_eth)


def _clock(skew_ms: float, settings: Settings) -> Finding:
    if settings.run.mode == "paper" and abs(skew_ms) > HOUR_MS:
        return ok("clock", "the market of another day is replayed", "any: it is a local venue")
    words = "ahead of" if skew_ms > 0 else "behind"
    found = f"{abs(skew_ms) / 1000:.2f} s {words} the venue's"
    fix = "sudo timedatectl set-ntp true (or sudo chronyc makestep)"
    expected = f"less than {CLOCK_WARN_MS / 1000:g} s off"
    if abs(skew_ms) >= CLOCK_FAIL_MS:
        return fail("clock", found, expected, fix)
    if abs(skew_ms) > CLOCK_WARN_MS:
        return warn("clock", found, expected, fix)
    return ok("clock", found, expected)


def _symbol(facts: AccountFacts, settings: Settings) -> Finding:
    symbol = settings.venue.symbol
    if isinstance(facts.rules, Unknown):
        return unknown("symbol", facts.rules, f"rules of {symbol}")
    if facts.rules is None:
        return fail(
            "symbol",
            f"{symbol} is not listed at Binance USD-M",
            "a symbol of this venue: is this the configuration of another one?",
            "set venue.symbol = 'ETHUSDT'",
        )
    if facts.rules.status != "TRADING":
        return fail(
            "symbol",
            f"{symbol} is {facts.rules.status}",
            "TRADING",
            "wait until the venue trades it again: https://www.binance.com/en/support/announcement",
        )
    return ok("symbol", f"{symbol} is TRADING", "TRADING")


def _key(facts: AccountFacts) -> Iterator[Finding]:
    """Judge the key: there, valid, and with the rights it needs and no others."""
    if isinstance(facts.key, Unknown):
        yield unknown("key", facts.key, "an API key")
        return
    rights = facts.rights
    if isinstance(rights, Unknown) and rights.kind == "key":
        yield unknown("key", rights, "a key that the venue knows")
        return
    if rights is not None and not isinstance(rights, Unknown) and not rights.futures:
        yield fail(
            "key",
            "futures are not enabled for it",
            "the right to trade futures",
            f"{KEYS_PAGE}: edit the key, Enable Futures",
        )
        return
    if isinstance(facts.wallet, Unknown):
        if facts.wallet.kind == "key":
            yield fail(
                "key",
                facts.wallet.why.partition(" Next: ")[0],
                "a key that may read this account and trade its futures, from this address",
                f"{KEYS_PAGE}: check key, secret, IP restriction and Enable Futures; a key made "
                "before the futures account was opened must be made again",
            )
        else:
            yield unknown("key", facts.wallet, "an answer about the account")
        return
    yield ok("key", f"valid, from {facts.key}")
    if rights is None:
        yield ok("rights", "not told: this venue has no page of rights")
    elif isinstance(rights, Unknown):
        yield unknown("rights", rights, "what the key may do")
    elif rights.withdrawals:
        yield fail(
            "rights",
            "the key may withdraw",
            "a key that cannot take coins out of the account",
            f"{KEYS_PAGE}: edit the key, untick Enable Withdrawals",
        )
    else:
        yield ok("rights", "futures, no withdrawals", "futures, no withdrawals")
        if not rights.bound_to_ip:
            yield warn(
                "IP restriction",
                "the key works from everywhere",
                "only from this machine's address",
                f"{KEYS_PAGE}: edit the key, Restrict access to trusted IPs only",
            )
        if not rights.transfers:
            yield warn(
                "transfers",
                "the key may not move collateral",
                "universal transfer, so that margin can be topped up",
                f"{KEYS_PAGE}: edit the key, Permits Universal Transfer; or top up by hand",
            )


def _position_mode(facts: AccountFacts) -> Finding:
    if isinstance(facts.hedge_mode, Unknown):
        return unknown("position mode", facts.hedge_mode, "one-way mode")
    if facts.hedge_mode:
        return fail(
            "position mode",
            "hedge mode",
            "one-way mode: one net short",
            f"close all positions and orders, then {FUTURES_PAGE}: Position Mode, One-way Mode",
        )
    return ok("position mode", "one-way", "one-way")
