"""The doctor on contract, leverage and margin: whether the intended hedge fits the account."""

import math
import time
from collections.abc import Iterator

from counterpoise.config import Settings
from counterpoise.trading.binance_account import Wallet
from counterpoise.trading.binance_terms import SymbolRules, SymbolSetting
from counterpoise.trading.facts import AccountFacts, Unknown
from counterpoise.trading.findings import FUTURES_PAGE, Finding, fail, ok, unknown, warn
from counterpoise.venues.contract import Contract, Tier, contract_at

#: Numbers of the venue and ours that differ by less are the same.
_SAME = 1e-9


def margin_findings(
    facts: AccountFacts, settings: Settings, exposure_eth: float
) -> Iterator[Finding]:
    """Judge contract rules, margin type, leverage, brackets and balance.

    Parameters
    ----------
    facts : AccountFacts
    settings : Settings
    exposure_eth : float
        NaN is unknown, and what depends on it is left out.
    """
    ours = contract_at("binance", round(time.time() * 1000))
    if isinstance(facts.rules, SymbolRules):
        yield from _filters(facts.rules, ours)
    yield _margin_type(facts, settings)
    yield _coins(facts, settings)
    if isinstance(facts.tiers, Unknown):
        yield unknown("brackets", facts.tiers, "margin brackets of the symbol")
    else:
        yield _tiers(facts.tiers, ours)
    yield _fees(facts, ours)
    if isinstance(facts.mark, Unknown):
        yield unknown("mark price", facts.mark, "a mark price")
        return
    if math.isnan(exposure_eth):
        return
    largest = exposure_eth * settings.hedge.max_ratio * facts.mark
    if not isinstance(facts.tiers, Unknown):
        yield _bracket(facts.tiers, largest, settings)
        yield _leverage(facts.setting, facts.tiers, largest, settings)
    yield _balance(facts.wallet, exposure_eth * facts.mark, settings)


def _filters(rules: SymbolRules, ours: Contract) -> Iterator[Finding]:
    """Say where the venue's grid is not ours; a coarser one would refuse our orders."""
    finer = []
    for name, theirs, mine, unit in (
        ("tick", rules.tick, ours.tick_usd, "USD"),
        ("step", rules.step, ours.step_eth, "ETH"),
        ("least notional", rules.min_notional, ours.min_notional_usd, "USD"),
    ):
        found, expected = f"{name} {theirs:g} {unit}", f"{mine:g} {unit}"
        if theirs > mine * (1 + _SAME):
            yield fail(
                "filters",
                found,
                expected,
                "update counterpoise: its rules of the contract (venues/binance.py) are older "
                "than the venue's",
            )
        elif theirs < mine * (1 - _SAME):
            finer.append(f"{found} (ours {expected})")
    if finer:
        yield warn("filters", ", ".join(finer), "our rules", "update counterpoise")
    else:
        yield ok("filters", f"tick {rules.tick:g}, step {rules.step:g}", "our rules")


def _margin_type(facts: AccountFacts, settings: Settings) -> Finding:
    if isinstance(facts.setting, Unknown):
        return unknown("margin type", facts.setting, "the symbol's margin type")
    if not facts.setting.isolated:
        return ok("margin type", "cross", "cross")
    if settings.capital.collateral == "eth":
        return fail(
            "margin type",
            "isolated",
            "cross: only that takes ETH as margin (capital.collateral = eth)",
            f"close the position, then {FUTURES_PAGE}: Cross",
        )
    return warn(
        "margin type",
        "isolated",
        "cross, so that the whole futures wallet stands behind the short",
        f"close the position, then {FUTURES_PAGE}: Cross; or keep it, and add margin by hand",
    )


def _coins(facts: AccountFacts, settings: Settings) -> Finding:
    check, collateral = "multi-assets mode", settings.capital.collateral
    if collateral == "coin-margined":
        return fail(
            check,
            "capital.collateral = coin-margined",
            "usdt or eth: this account's contract is linear",
            "set capital.collateral = 'usdt'",
        )
    if isinstance(facts.multi_assets, Unknown):
        return unknown(check, facts.multi_assets, "the account's assets mode")
    if collateral == "eth" and not facts.multi_assets:
        return fail(
            check,
            "single-asset",
            "multi-assets: ETH is to be margin (capital.collateral = eth)",
            f"{FUTURES_PAGE}: Asset Mode, Multi-Assets; or set capital.collateral = 'usdt'",
        )
    if collateral == "usdt" and facts.multi_assets:
        return warn(
            check,
            "multi-assets",
            "single-asset: USDT alone is to be margin (capital.collateral = usdt)",
            f"{FUTURES_PAGE}: Asset Mode, Single-Asset; or set capital.collateral = 'eth'",
        )
    return ok(check, "multi-assets" if facts.multi_assets else "single-asset", collateral)


def _tiers(theirs: tuple[Tier, ...], ours: Contract) -> Finding:
    """Name the brackets that are not ours: margin would be counted differently."""
    differs = [
        f"up to {tier.cap:,.0f}: {tier.rate:.3%} and {tier.max_leverage:g}x (ours {mine})"
        for tier in theirs
        if (mine := _as_ours(tier, ours)) is not None
    ]
    if len(theirs) != len(ours.tiers):
        differs.append(f"{len(theirs)} of them (ours {len(ours.tiers)})")
    if not differs:
        return ok("brackets", f"{len(theirs)} brackets", "our rules")
    return warn(
        "brackets",
        "; ".join(differs),
        f"our rules of {ours.effective}",
        "update counterpoise; until then trust the venue's liquidation price, not ours",
    )


def _as_ours(tier: Tier, ours: Contract) -> str | None:
    """Our bracket of the same cap where it differs; None where it is the same."""
    mine = next((one for one in ours.tiers if math.isclose(one.cap, tier.cap)), None)
    if mine is None:
        return "none"
    same = math.isclose(mine.rate, tier.rate) and mine.max_leverage == tier.max_leverage
    return None if same else f"{mine.rate:.3%} and {mine.max_leverage:g}x"


def _fees(facts: AccountFacts, ours: Contract) -> Finding:
    if isinstance(facts.fees, Unknown):
        return unknown("fees", facts.fees, "fees of this account")
    maker, taker = facts.fees
    found = f"maker {maker:.4%}, taker {taker:.4%}"
    expected = f"maker {ours.maker_fee:.4%}, taker {ours.taker_fee:.4%}"
    same = math.isclose(maker, ours.maker_fee) and math.isclose(taker, ours.taker_fee)
    if same:
        return ok("fees", found, expected)
    if maker <= ours.maker_fee and taker <= ours.taker_fee:
        return ok("fees", f"{found}: less than ours", expected)
    return warn("fees", found, expected, "bands are too narrow for these fees: update counterpoise")


def _bracket(tiers: tuple[Tier, ...], largest: float, settings: Settings) -> Finding:
    """Whether one account may hold the largest hedge at the leverage that is meant."""
    check, expected = "leverage allowed", f"{settings.capital.leverage:g}x at {largest:,.0f} USD"
    lower = "lower hedge.max_ratio, or split the exposure over accounts"
    tier = next((tier for tier in tiers if largest <= tier.cap), None)
    if tier is None:
        return fail(check, f"no more than {tiers[-1].cap:,.0f} USD", expected, lower)
    found = f"{tier.max_leverage:g}x up to {tier.cap:,.0f} USD"
    if tier.max_leverage < settings.capital.leverage:
        return fail(
            check, found, expected, f"set capital.leverage to {tier.max_leverage:g}, or {lower}"
        )
    if tier.max_leverage < settings.capital.leverage_max:
        return warn(
            check,
            found,
            f"capital.leverage_max = {settings.capital.leverage_max:g}",
            f"set capital.leverage_max to {tier.max_leverage:g}",
        )
    return ok(check, found, expected)


def _leverage(
    setting: SymbolSetting | Unknown,
    tiers: tuple[Tier, ...],
    largest: float,
    settings: Settings,
) -> Finding:
    """Whether the leverage that is set lets the hedge be as large as it may get."""
    check, needed = "leverage set", math.ceil(settings.capital.leverage_max)
    if isinstance(setting, Unknown):
        return unknown(check, setting, "leverage of the symbol")
    found = f"{setting.leverage}x, up to {setting.max_notional:,.0f} USD"
    if setting.max_notional < largest:
        fits = max((tier.max_leverage for tier in tiers if tier.cap >= largest), default=1.0)
        return fail(
            check,
            found,
            f"a bracket of at least {largest:,.0f} USD",
            f"set it to {min(fits, needed):g}x on {FUTURES_PAGE}",
        )
    if setting.leverage < needed:
        return warn(
            check,
            found,
            f"{needed}x, so that the short can be held until collateral is topped up",
            f"set it to {needed}x on {FUTURES_PAGE}",
        )
    return ok(check, found, f"at least {needed}x")


def _balance(wallet: Wallet | Unknown, held_usd: float, settings: Settings) -> Finding:
    """Whether the margin equity carries the hedge, at the most and at the meant leverage."""
    if isinstance(wallet, Unknown):
        return unknown("margin", wallet, "balance of the futures wallet")
    hedge, capital = settings.hedge, settings.capital
    least = held_usd * hedge.base_ratio / capital.leverage_max
    ample = held_usd * hedge.max_ratio / capital.leverage
    found = f"{wallet.equity_usd:,.0f} USD"
    coin = "ETH" if capital.collateral == "eth" else "USDT"

    def more(usd: float) -> str:
        return (
            f"transfer {coin} of at least {usd - wallet.equity_usd:,.0f} USD to the futures wallet "
            "(https://www.binance.com/en/my/wallet/futures), or lower the hedge"
        )

    if wallet.equity_usd < least:
        return fail(
            "margin",
            found,
            f"at least {least:,.0f} USD for {hedge.base_ratio:g} of {held_usd:,.0f} USD at "
            f"{capital.leverage_max:g}x",
            more(least),
        )
    if wallet.equity_usd < ample:
        return warn(
            "margin",
            found,
            f"{ample:,.0f} USD for {hedge.max_ratio:g} of {held_usd:,.0f} USD at "
            f"{capital.leverage:g}x",
            more(ample),
        )
    return ok("margin", found, f"{ample:,.0f} USD")
