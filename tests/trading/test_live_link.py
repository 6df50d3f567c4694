"""What the link does for a run that follows on another, against the local venue."""

import asyncio
import time

import pytest

from counterpoise.config import Settings
from counterpoise.execution.commands import Cancel, CancelStop
from counterpoise.execution.events import OrderUpdate, TransferDone
from counterpoise.execution.records import Moved
from counterpoise.trading import live_link
from counterpoise.trading.live_link import LiveLink
from counterpoise.watch.alerts import Alerts
from tests.rehearsal.steady import ready, venue
from tests.trading.test_local_venue import asking, place


class Ear:
    """Hears what a link delivers."""

    def __init__(self) -> None:
        self.heard = []

    def now_ns(self) -> int:
        return time.time_ns()

    def deliver(self, event) -> None:
        self.heard.append(event)


def heard(what, kind):
    """Events of a kind that ``what(link, account)`` led to."""

    async def ask(account, served):
        await ready(served)
        link = LiveLink(account, Alerts((), Settings().alerts))
        link.shell = Ear()
        await what(link, account)
        await link.close()
        return [event for event in link.shell.heard if isinstance(event, kind)]

    return asking(venue(), ask)


def test_orders_of_an_earlier_run_are_cancelled():
    async def cancel(link, account):
        resting = {"type": "LIMIT", "timeInForce": "GTX", "price": "3100.00"}
        await place(account, newClientOrderId="cp-1-0-0", **resting)
        stop = {"symbol": "ETHUSDT", "side": "SELL", "quantity": "0.5", "triggerPrice": "2800.00"}
        stop |= {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "clientAlgoId": "cp-stop-1"}
        await account.rest.call("POST", "/fapi/v1/algoOrder", stop)
        link.send(Cancel("cp-1-0-0"))
        link.send(CancelStop("cp-stop-1"))
        while len(link.shell.heard) < 2:
            await asyncio.sleep(0.01)
        assert await account.open_orders() == await account.open_stops() == ()

    ends = {one.client_id: one.status for one in heard(cancel, OrderUpdate)}
    assert ends == {"cp-1-0-0": "canceled", "cp-stop-1": "canceled"}


@pytest.mark.parametrize("arrived", [True, False])
def test_a_transfer_of_an_earlier_run_is_looked_up_and_not_repeated(monkeypatch, arrived):
    monkeypatch.setattr(live_link, "LOOK_S", 0.01)

    async def follow(link, account):
        begun_ns = time.time_ns() - 1_000_000_000
        if arrived:
            await account.transfer("cp-move-3", 250.0)
        before = await account.wallet()
        link.follow(Moved(begun_ns, "cp-move-3", 250.0, "asked", ""))
        while not any(isinstance(one, TransferDone) for one in link.shell.heard):
            await asyncio.sleep(0.01)
        assert (await account.wallet()).wallet_usd == before.wallet_usd

    (done,) = heard(follow, TransferDone)
    assert (done.client_id, done.usd, done.ok) == ("cp-move-3", 250.0, arrived)
    assert bool(done.reason) is not arrived
