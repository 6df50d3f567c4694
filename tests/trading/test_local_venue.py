"""Account and doctor against the local venue: an exchange that matches, margins and refuses."""

import asyncio
from decimal import Decimal

import pytest

from counterpoise.config import Settings
from counterpoise.credentials import Credentials, Secret
from counterpoise.errors import FixConfig, RetryLater
from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.trading.binance_account import BinanceAccount
from counterpoise.trading.binance_rest import BinanceRest, Endpoints, UnknownFate, VenueRefused
from counterpoise.trading.doctor import examine, refuse_unfit
from counterpoise.trading.facts import Facts, gather_account
from tests.rehearsal.steady import KEY, venue
from tests.trading.test_doctor import HOME, of

ORDER = {"symbol": "ETHUSDT", "side": "SELL", "quantity": "0.500"}


def asking(local, what, key=KEY):
    """Run ``what(account, venue)`` while the venue is served from the same loop."""

    async def run():
        async with local as served:
            rest = BinanceRest(endpoints(served), credentials(key))
            account = BinanceAccount(rest, "ETHUSDT", lambda: served.now_ms() * 1_000_000)
            try:
                return await what(account, served)
            finally:
                await rest.close()

    return asyncio.run(run())


def endpoints(served) -> Endpoints:
    return Endpoints(served.url_http, served.url_http, served.url_ws)


def credentials(key: ApiKey) -> Credentials:
    return Credentials(Secret(key.key), Secret(key.secret), "test")


async def place(account, **given):
    return await account.rest.call("POST", "/fapi/v1/order", ORDER | given)


def test_what_was_traded_is_what_a_snapshot_and_a_query_find():
    async def trade(account, _served):
        await account.terms.set_leverage(5)
        taken = {"type": "LIMIT", "timeInForce": "IOC", "price": "2990.00"}
        await place(account, newClientOrderId="cp-take", **taken)
        rests = {"type": "LIMIT", "timeInForce": "GTX", "price": "3100.00"}
        await place(account, newClientOrderId="cp-rest", **rests)
        stop = {
            "algoType": "CONDITIONAL",
            "type": "STOP_MARKET",
            "side": "BUY",
            "triggerPrice": "3500.00",
            "workingType": "MARK_PRICE",
            "reduceOnly": "true",
            "clientAlgoId": "cp-stop",
        }
        await account.rest.call("POST", "/fapi/v1/algoOrder", ORDER | stop)
        before = await account.snapshot()
        fates = (
            await account.query_order("cp-take"),
            await account.cancel_order("cp-rest"),
            await account.cancel_stop("cp-stop"),
        )
        return before, fates, await account.snapshot()

    before, ((took, fills), (rest, _), (stop, _)), after = asking(venue(), trade)
    assert before.short_eth == 0.5
    assert before.leverage == 5.0
    assert before.entry == pytest.approx(2999.99)
    assert before.liquidation > before.mark > 0
    assert before.equity_usd < 10_000.0 < before.wallet_usd + fills[0].fee_usd + 1e-6
    assert [(one.client_id, one.size, one.price) for one in before.open_orders] == [
        ("cp-rest", 0.5, 3100.0)
    ]
    assert [(one.client_id, one.trigger, one.reduce_only) for one in before.stops] == [
        ("cp-stop", 3500.0, True)
    ]
    assert before.fills == fills
    assert [(one.client_id, one.side, one.maker) for one in fills] == [("cp-take", "sell", False)]
    assert fills[0].fee_usd == pytest.approx(0.5 * 2999.99 * 0.0005)
    assert (took.status, took.filled_eth) == ("filled", 0.5)
    assert rest.status == stop.status == "canceled"
    assert after.open_orders == after.stops == ()


def test_a_cancel_whose_answer_was_lost_is_found_out_by_a_query():
    async def lose(account, served):
        await place(
            account, type="LIMIT", timeInForce="GTX", price="3100.00", newClientOrderId="cp-1"
        )
        served.faults.arm("timeout", "/order", method="DELETE")
        with pytest.raises(UnknownFate):
            await account.cancel_order("cp-1")
        return await account.query_order("cp-1")

    assert asking(venue(), lose)[0].status == "canceled"


def test_collateral_moves_between_the_wallets():
    async def move(account, _served):
        done, refused = await account.transfer("out", -250.5), await account.transfer("in", 1e7)
        return done, refused, await account.wallet()

    done, refused, wallet = asking(venue(), move)
    assert done.ok
    assert not refused.ok
    assert "refused with code" in refused.reason
    assert wallet.wallet_usd == 9_749.5


def test_too_many_requests_are_followed_by_silence():
    async def flood(account, served):
        served.faults.arm("too-many", "/v3/account")
        with pytest.raises(RetryLater, match="too many requests"):
            await account.wallet()
        with pytest.raises(RetryLater, match="silence"):
            await account.wallet()

    asking(venue(), flood)


def examined(key=KEY, change=None, now_ms=None):
    """Findings about the local venue for 4 ETH, after ``change(account, venue)``."""

    async def look(account, served):
        if change is not None:
            await change(account, served)
        keys = credentials(key)
        return await gather_account(Settings(), endpoints(served), keys)

    facts = asking(venue(keys=(key,), now_ms=now_ms), look, key)
    home = HOME.__class__(**{n: getattr(HOME, n) for n in HOME.__slots__} | {"exposure_eth": 4.0})
    return examine(Facts(home, facts), Settings())


def test_the_local_venue_is_fit_to_trade():
    findings = examined()
    refuse_unfit(findings)
    assert {one.check for one in findings if one.status == "WARN"} <= {"leverage set"}


def test_a_local_venue_that_replays_another_day_is_fit_to_trade():
    findings = examined(now_ms=1_700_000_000_000)
    refuse_unfit(findings)
    assert "another day" in of(findings, "clock").found


def test_the_local_venue_in_hedge_mode_is_not():
    async def switch(account, _served):
        await account.rest.call("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": True})

    with pytest.raises(FixConfig, match="One-way Mode"):
        refuse_unfit(examined(change=switch))


@pytest.mark.parametrize(
    ("rights", "check", "status"),
    [
        ({"may_trade": False}, "key", "FAIL"),
        ({"may_withdraw": True}, "rights", "FAIL"),
        ({"may_transfer": False}, "transfers", "WARN"),
        ({"bound_to_addresses": False}, "IP restriction", "WARN"),
    ],
)
def test_rights_of_a_key_at_the_local_venue(rights, check, status):
    assert of(examined(ApiKey("test-key", "test-secret", **rights)), check).status == status


def test_a_symbol_that_the_local_venue_does_not_know_is_a_refusal():
    async def ask(account, _served):
        with pytest.raises(VenueRefused) as refused:
            await account.rest.call("GET", "/fapi/v1/openOrders", {"symbol": "NOSUCH"})
        return refused.value.code, await BinanceAccount(account.rest, "NOSUCH").terms.rules()

    assert asking(venue(), ask) == (-1121, None)


def test_amounts_are_sent_as_decimals():
    sent = []

    class Listening(BinanceRest):
        async def call(self, method, path, params=None, *, signed=True):
            sent.append(params)
            return {}

    nowhere = Endpoints("http://127.0.0.1:9", None, "ws://127.0.0.1:9")
    rest = Listening(nowhere, None)
    asyncio.run(BinanceAccount(rest, "ETHUSDT").transfer("t", 1e-7 + 0.1))
    assert Decimal(sent[0]["amount"]) == Decimal("0.10000010")
