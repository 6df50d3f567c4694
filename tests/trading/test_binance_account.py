"""The account's own API over a real connection, with real signatures and every way to fail."""

import asyncio
import dataclasses
import logging
import time
import traceback

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from counterpoise.credentials import Credentials, Secret
from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.execution.events import Fill, OpenOrder
from counterpoise.trading.binance_account import BinanceAccount
from counterpoise.trading.binance_rest import (
    KINDS,
    WEIGHT_LIMIT,
    BinanceRest,
    Endpoints,
    UnknownFate,
    VenueRefused,
)
from counterpoise.venues.binance import USD_M
from tests.trading.venue import KEY, SECRET, Venue, credentials


@pytest.fixture
def venue():
    with Venue() as one:
        yield one


def asking(venue, what, *, keys=None, **options):
    """Run ``what(account)`` against a venue."""

    async def run():
        rest = BinanceRest(venue.endpoints, keys or credentials(), **options)
        try:
            return await what(BinanceAccount(rest, "ETHUSDT", lambda: 42))
        finally:
            await rest.close()

    return asyncio.run(run())


def test_a_snapshot_says_all_that_the_machines_need(venue):
    venue.order("cp-1", executedQty="0.500")
    venue.order("web_stranger", side="BUY", price="2900.00", reduceOnly=True)
    venue.order("cp-0", status="FILLED")
    venue.stop("cp-stop")
    venue.stop("cp-all", quantity="0", reduceOnly=False, closePosition=True)
    venue.trade(8, 1002)
    venue.trade(7, 1000, commission="0.001", commissionAsset="BNB", maker=False)
    found = asking(venue, lambda account: account.snapshot())
    assert (found.ts_ns, found.short_eth, found.entry, found.mark) == (42, 10.0, 2950.0, 3000.0)
    assert (found.liquidation, found.leverage, found.isolated) == (7100.5, 10.0, False)
    assert (found.wallet_usd, found.equity_usd, found.available_usd) == (
        200_500.0,
        200_000.0,
        197_000.0,
    )
    assert found.open_orders == (
        OpenOrder("cp-1", "sell", 1.5, 0.5, 3010.0, False),
        OpenOrder("web_stranger", "buy", 1.5, 0.0, 2900.0, True),
    )
    assert found.stops == (
        OpenOrder("cp-stop", "buy", 10.0, 0.0, 0.0, True, 3600.0),
        OpenOrder("cp-all", "buy", 0.0, 0.0, 0.0, True, 3600.0),
    )
    assert found.fills == (
        Fill(1_700_000_000_007_000_000, "cp-1", "7", "sell", 3010.0, 0.5, 0.6, False),
        Fill(1_700_000_000_008_000_000, "cp-0", "8", "sell", 3010.0, 0.5, 0.3, True),
    )


def test_a_snapshot_without_a_position_still_has_a_mark(venue):
    venue.position = 0.0
    found = asking(venue, lambda account: account.snapshot())
    assert (found.short_eth, found.entry, found.liquidation, found.mark) == (0, 0, 0, 3000.0)


def test_hedge_mode_is_refused(venue):
    venue.hedge_mode = True
    with pytest.raises(FixConfig, match="one-way mode"):
        asking(venue, lambda account: account.snapshot())


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_private_keys_sign_too(venue, kind):
    key = (
        ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else rsa.generate_private_key(65537, 2048)
    )
    venue.public_key = key.public_key()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    keys = Credentials(Secret(KEY), Secret(pem), "test")
    assert asking(venue, lambda account: account.wallet(), keys=keys).equity_usd == 200_000.0
    with pytest.raises(VenueRefused) as refused:
        asking(venue, lambda account: account.wallet())
    assert (refused.value.code, refused.value.kind) == (-1022, "key")


def test_an_order_is_found_by_its_client_id_with_its_fills(venue):
    venue.order("cp-1", executedQty="1.000", status="EXPIRED")
    venue.trade(3, 1000)
    venue.trade(2, 1000)
    venue.trade(1, 999)
    update, fills = asking(venue, lambda account: account.query_order("cp-1"))
    assert (update.status, update.filled_eth) == ("expired", 1.0)
    assert update.ts_ns == 1_700_000_000_000_000_000
    assert [(fill.trade_id, fill.client_id) for fill in fills] == [("2", "cp-1"), ("3", "cp-1")]


def test_an_order_nobody_knows_is_missing(venue):
    update, fills = asking(venue, lambda account: account.query_order("cp-9"))
    assert (update.status, update.code, fills) == ("missing", -2013, ())


@pytest.mark.parametrize("path", ["order", "algoOrder"])
def test_an_order_that_may_not_be_asked_for_is_not_missing(venue, path):
    venue.faults = [(f"GET /fapi/v1/{path}", "-2015")]
    with pytest.raises(VenueRefused, match="-2015"):
        asking(
            venue,
            lambda account: (
                account.query_order("cp-9") if path == "order" else account.query_stop("cp-9")
            ),
        )


def test_cancelling_says_what_became_of_the_order(venue):
    venue.order("cp-1")
    venue.order("cp-2", status="FILLED", executedQty="1.500")
    venue.trade(3, 1001, qty="1.500")

    async def cancel_both(account):
        return [await account.cancel_order(name) for name in ("cp-1", "cp-2", "cp-3")]

    one, two, three = asking(venue, cancel_both)
    assert one[0].status == "canceled"
    assert two[0].status == "filled"
    assert [fill.size for fill in two[1]] == [1.5]
    assert three[0].status == "missing"


def test_a_stop_is_what_the_order_became_that_it_sent(venue):
    venue.stop("cp-stop")
    venue.stop("cp-hit", algoStatus="FINISHED", actualOrderId="1000")
    venue.order("autoclose-1", status="FILLED", executedQty="10.000", side="BUY")
    venue.trade(4, 1000, side="BUY", qty="10.000")

    async def both(account):
        return (
            await account.query_stop("cp-hit"),
            await account.cancel_stop("cp-stop"),
            await account.query_stop("cp-none"),
        )

    (hit, fills), (gone, _), (none, _) = asking(venue, both)
    assert (hit.client_id, hit.status, hit.filled_eth) == ("cp-hit", "filled", 10.0)
    assert [(fill.client_id, fill.side) for fill in fills] == [("cp-hit", "buy")]
    assert gone.status == "canceled"
    assert none.status == "missing"


def test_settings_are_set_and_setting_them_again_is_no_error(venue):
    venue.faults = [("POST /fapi/v1/marginType", "-4046")]

    async def change(account):
        await account.terms.set_margin_type(False)
        await account.terms.set_margin_type(True)
        await account.terms.set_leverage(3)
        await account.countdown(60_000)
        return await account.terms.setting()

    found = asking(venue, change)
    assert (found.leverage, found.isolated, found.max_notional) == (3, True, 320_000_000.0)
    assert "POST /fapi/v1/countdownCancelAll" in venue.calls


def test_terms_are_read_as_our_contract_has_them(venue):
    async def read(account):
        terms = account.terms
        return await terms.rules(), await terms.tiers(), await terms.fees(), await terms.rights()

    rules, tiers, fees, rights = asking(venue, read)
    assert (rules.status, rules.tick, rules.step, rules.min_notional) == (
        "TRADING",
        USD_M.tick_usd,
        USD_M.step_eth,
        USD_M.min_notional_usd,
    )
    assert tiers == USD_M.tiers
    assert fees == (USD_M.maker_fee, USD_M.taker_fee)
    assert (rights.futures, rights.withdrawals, rights.bound_to_ip) == (True, False, True)


def test_funding_comes_oldest_first(venue):
    venue.income = [
        {"asset": "USDT", "income": "-1.5", "time": 2},
        {"asset": "USDT", "income": "0.25", "time": 1},
    ]
    found = asking(venue, lambda account: account.funding(0))
    assert [(one.ts_ns, one.usd) for one in found] == [(1_000_000, 0.25), (2_000_000, -1.5)]


@pytest.mark.parametrize(
    "fault", ["done-503", "done-1007", "done-abort", "garbage", "-1001", "502"]
)
def test_what_may_have_been_executed_is_its_own_outcome(venue, fault):
    venue.order("cp-1")
    venue.faults = [("DELETE /fapi/v1/order", fault)]
    with pytest.raises(UnknownFate, match="may have been executed") as unknown:
        asking(venue, lambda account: account.cancel_order("cp-1"))
    assert not isinstance(unknown.value, VenueRefused | RetryLater)
    sent = [call for call in venue.calls if call.startswith("DELETE")]
    assert sent == ["DELETE /fapi/v1/order"]


@pytest.mark.parametrize("fault", ["done-503", "done-1007", "done-abort", "502"])
def test_a_query_that_got_no_answer_may_be_asked_again(venue, fault):
    venue.faults = [("GET /fapi/v3/account", fault)]
    with pytest.raises(RetryLater):
        asking(venue, lambda account: account.wallet())


def test_what_never_left_is_not_of_unknown_fate():
    nobody = Endpoints("http://127.0.0.1:9", None, "ws://127.0.0.1:9")

    async def run():
        rest = BinanceRest(nobody, credentials())
        try:
            await rest.call("POST", "/fapi/v1/leverage", {"leverage": 2})
        finally:
            await rest.close()

    with pytest.raises(RetryLater, match="no connection"):
        asyncio.run(run())


def test_a_slow_answer_to_a_change_is_of_unknown_fate(venue):
    venue.faults = [("DELETE /fapi/v1/order", "slow")]
    with pytest.raises(UnknownFate, match="ReadTimeout"):
        asking(venue, lambda account: account.cancel_order("cp-1"), timeout_s=0.05)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(-2019, "margin"), (-5022, "would_take"), (-4116, "duplicate"), (-2022, "reduce_only")],
)
def test_refusals_are_told_apart_by_their_code(venue, code, kind):
    venue.faults = [("POST /fapi/v1/leverage", str(code))]
    with pytest.raises(VenueRefused) as refused:
        asking(venue, lambda account: account.terms.set_leverage(2))
    assert (refused.value.code, refused.value.kind) == (code, kind)
    assert "because of a test" in str(refused.value)


def test_the_venues_own_code_decides_and_not_its_class():
    assert KINDS[-2013] == KINDS[-2011] == "missing"
    assert len(KINDS) == len(set(KINDS))


def test_silence_is_kept_after_too_many_requests(venue):
    venue.faults = [("GET /fapi/v3/account", "429")]

    async def ask_twice(account):
        for words in ("too many requests", "asked for silence"):
            with pytest.raises(RetryLater, match=words):
                await account.wallet()
        with pytest.raises(RetryLater, match="asked for silence"):
            await account.terms.set_leverage(2)

        return await account.terms.rights()

    assert asking(venue, ask_twice).futures  # the wallet has a budget of its own
    assert venue.calls == ["GET /fapi/v3/account", "GET /sapi/v1/account/apiRestrictions"]


def test_queries_leave_the_rest_of_the_minute_to_orders(venue):
    venue.weight = round(0.95 * WEIGHT_LIMIT)
    now_s = time.time()  # stands still: the minute does not end meanwhile

    async def ask_twice(account):
        await account.wallet()
        with pytest.raises(RetryLater, match="kept for orders"):
            await account.wallet()
        await account.terms.set_leverage(2)

    asking(venue, ask_twice, now_s=lambda: now_s)
    assert venue.leverage == 2


@pytest.mark.parametrize("skew_ms", [1500.0, -1500.0])
def test_a_clock_that_is_a_little_off_is_corrected_for_signing(venue, skew_ms):
    venue.skew_ms = skew_ms

    async def ask(account):
        found = await account.rest.correct_clock()
        await account.wallet()
        return found

    assert asking(venue, ask) == pytest.approx(-skew_ms, abs=200)


def test_a_clock_that_runs_off_is_corrected_at_the_first_refusal(venue):
    venue.skew_ms = -1500.0
    assert asking(venue, lambda account: account.wallet()).equity_usd == 200_000.0
    assert venue.calls.count("GET /fapi/v3/account") == 2


@pytest.mark.parametrize("skew_ms", [2500.0, -2500.0])
def test_a_clock_that_is_far_off_is_not_signed_with(venue, skew_ms):
    venue.skew_ms = skew_ms
    with pytest.raises(FixConfig, match=r"2\.5 s (ahead of|behind) the venue"):
        asking(venue, lambda account: account.rest.correct_clock())


def test_a_transfer_whose_answer_was_lost_is_looked_up(venue):
    venue.faults = [("POST /sapi/v1/asset/transfer", "done-abort")]
    done = asking(venue, lambda account: account.transfer("cp-t", 1234.5))
    assert (done.usd, done.ok) == (1234.5, True)
    assert [(row["type"], row["amount"]) for row in venue.transfers] == [
        ("MAIN_UMFUTURE", "1234.50000000")
    ]


def test_a_transfer_the_venue_refuses_says_so(venue):
    venue.faults = [("POST /sapi/v1/asset/transfer", "-5013")]
    done = asking(venue, lambda account: account.transfer("cp-t", -10.0))
    assert not done.ok
    assert "-5013" in done.reason
    assert venue.transfers == []


def test_an_answer_of_another_shape_is_refused(venue):
    venue.maker = None
    with pytest.raises(RejectData, match="commissionRate"):
        asking(venue, lambda account: account.terms.fees())


def shown(error: BaseException) -> str:
    """All that a traceback and the attributes of an error and its causes show."""
    told = "".join(traceback.format_exception(error))
    while error is not None:
        told += repr(error) + repr(vars(error)) + repr(error.args)
        error = error.__cause__ or error.__context__
    return told


@pytest.mark.parametrize("fault", ["done-abort", "done-503", "-2019", "429", "garbage"])
def test_no_failure_shows_key_secret_or_signature(venue, caplog, fault):
    venue.faults = [("POST /fapi/v1/leverage", fault)]
    with caplog.at_level(logging.DEBUG):
        try:
            asking(venue, lambda account: account.terms.set_leverage(2))
        except Exception as error:
            told = shown(error)
    assert "/fapi/v1/leverage" in told
    assert "httpcore" in caplog.text  # the library did log the request
    for text in (told, caplog.text):
        assert KEY not in text
        assert SECRET not in text
        assert "signature=" not in text.replace("signature=(hidden)", "")


def test_the_settings_of_a_client_do_not_show_the_key(venue):
    rest = BinanceRest(venue.endpoints, credentials())
    told = repr(vars(rest)) + repr(dataclasses.asdict(venue.endpoints))
    asyncio.run(rest.close())
    assert KEY not in told
    assert SECRET not in told
