"""A protection beside an account."""

from counterpoise.execution.commands import (
    Alarm,
)
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.protection import Protection
from counterpoise.execution.records import OrderSent
from counterpoise.run_settings import ProtectionSettings, RunSettings
from tests.execution.account import CONTRACT, PREFIX, SECOND, START_NS, Account, only

RUN, BUY_ONLY = RunSettings(), ProtectionSettings()
FULL_HEDGE = ProtectionSettings(spot_stop=0.1)
#: The golden short of 727.934 ETH at 1,800 and 5×: liquidated at 2,147.35.
GOLDEN = Account(short=727.934, wallet=727.934 * 1_800 / 5, entry=1_800.0, mark=1_800.0)


def keys(out: Outbox) -> list[str]:
    return [alarm.key for alarm in only(Alarm, out.commands)]


class Desk:
    """A protection beside an account; what it asks is done at once unless a test holds it back."""

    def __init__(self, account: Account, want: ProtectionSettings = BUY_ONLY) -> None:
        self.account, self.now = account, START_NS
        self.ours: dict[str, OrderSent] = {}
        self.protection = Protection(PREFIX, CONTRACT, want, RUN, self.ours)

    def carry(self, out: Outbox) -> Outbox:
        for order in only(OrderSent, out.records):
            self.ours[order.client_id] = order
        for command in list(out.commands):
            for event in self.account.do(command, self.now):
                answer = Outbox()
                self.protection.handle(event, answer)
                out.commands += self.carry(answer).commands
        return out

    def start(self) -> Outbox:
        out = Outbox()
        self.protection.start((), 0, self.account.snapshot(self.now), out)
        return self.carry(out)

    def look(self, seconds: float = 5.0, *, halted: bool = False) -> Outbox:
        self.now += round(seconds * SECOND)
        out = Outbox()
        self.protection.handle(self.account.snapshot(self.now), out, halted=halted)
        return self.carry(out)

    def give(self, event: object) -> Outbox:
        out = Outbox()
        self.protection.handle(event, out)  # type: ignore[arg-type]
        return self.carry(out)

    def resting(self, side: str = "buy") -> list[str]:
        return [
            order.client_id
            for order in self.account.orders.values()
            if order.client_id in self.ours and order.side == side and order.status == "open"
        ]


def golden() -> Account:
    return Account(GOLDEN.short, GOLDEN.wallet, GOLDEN.entry, GOLDEN.mark)
