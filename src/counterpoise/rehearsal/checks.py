"""What must hold when a rehearsal is over, the run's memory held against the venue's own books."""

from collections.abc import Sequence
from dataclasses import dataclass

from counterpoise.execution.records import (
    FillBooked,
    FundingBooked,
    Moved,
    OrderSent,
)
from counterpoise.journal.chain import verify
from counterpoise.journal.reading import Reader
from counterpoise.rehearsal.at_venue import AtVenue

#: What the two counts may differ by: the venue books to the eighth decimal.
CENT_USD = 0.01
#: A tenth of the finest size step of a venue, ETH.
CRUMB_ETH = 1e-4
#: Kind of the orders that rest as protection.
STOP = "stop"
_OPEN = ("NEW", "PARTIALLY_FILLED")


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold: whether it does, and the numbers."""

    name: str
    ok: bool
    said: str


def checks_of(reader: Reader, account: AtVenue, start_usd: float) -> tuple[Check, ...]:
    """Hold a journal against the venue.

    Parameters
    ----------
    reader : Reader
    account : AtVenue
    start_usd : float
        In the wallet before the run.
    """
    sent, fills = reader.records(OrderSent), reader.fills(0)
    return (
        _chain(reader),
        _position(reader, account),
        _once(sent, account),
        _fills(fills, account),
        _wallet(reader, fills, account, start_usd),
        _settled(reader, account),
    )


def _chain(reader: Reader) -> Check:
    with reader.snapshot() as connection:
        found = verify(connection)
    said = f"{found.rows:,} rows, head {found.head[:16]}…"
    if found.findings:
        said += f"; {len(found.findings)} findings, the first: {found.findings[0].text}"
    return Check("The journal is as it was written", not found.findings, said)


def _position(reader: Reader, account: AtVenue) -> Check:
    counted = reader.counted_short() or 0.0
    return Check(
        "The position at the venue is the one counted",
        abs(counted - account.short_eth) < CRUMB_ETH,
        f"venue {account.short_eth:.3f} ETH short, counted {counted:.3f}",
    )


def _once(sent: Sequence[OrderSent], account: AtVenue) -> Check:
    ours = [order.client_id for order in sent]
    # An order that a stop became keeps the stop's name.
    stops = [name for name, _ in account.stops]
    orders = [name for name, _ in account.orders if name not in stops]
    twice = len(ours) - len(set(ours)) + len(orders + stops) - len({*orders, *stops})
    unknown = {*orders, *stops} - set(ours)
    return Check(
        "No order was sent twice, and none that was not written down before",
        not twice and not unknown,
        f"{len(orders) + len(stops):,} at the venue, {len(ours):,} in the journal, "
        f"{twice} twice, {len(unknown)} not written down",
    )


def _fills(fills: Sequence[FillBooked], account: AtVenue) -> Check:
    booked = {(fill.trade_id, fill.client_id, fill.price, fill.size) for fill in fills}
    there = {(one.trade_id, one.client_id, one.price, one.size) for one in account.trades}
    return Check(
        "Every fill of the venue is in the journal, and no other",
        booked == there and len(fills) == len(booked),
        f"{len(there):,} at the venue, {len(fills):,} in the journal, "
        f"{len(booked ^ there)} that differ",
    )


def _wallet(
    reader: Reader, fills: Sequence[FillBooked], account: AtVenue, start_usd: float
) -> Check:
    moved = sum(one.usd for one in reader.records(Moved) if one.status == "done")
    funding = sum(one.usd for one in reader.records(FundingBooked))
    fees = sum(fill.fee_usd for fill in fills)
    counted = start_usd + moved + funding - fees + realised_usd(fills)
    return Check(
        "The wallet at the venue is the one counted, to a cent",
        abs(counted - account.wallet_usd) <= CENT_USD,
        f"venue {account.wallet_usd:,.4f} USD, counted {counted:,.4f}: moved {moved:,.2f}, "
        f"funding {funding:,.4f}, fees {fees:,.4f}, realised {realised_usd(fills):,.4f}",
    )


def realised_usd(fills: Sequence[FillBooked]) -> float:
    """P&L of what was closed, by average cost, USD.

    Examples
    --------
    >>> from counterpoise.execution.records import FillBooked
    >>> def fill(side, price, size):
    ...     return FillBooked(0, "a", "1", 1, side, price, size, 0.0, True, price, 0.0)
    >>> realised_usd([fill("sell", 100.0, 2.0), fill("sell", 110.0, 2.0), fill("buy", 95.0, 1.0)])
    10.0
    """
    short = proceeds = realised = 0.0
    for fill in fills:
        signed = fill.size if fill.side == "sell" else -fill.size
        if short * signed >= 0.0:
            short, proceeds = short + signed, proceeds + signed * fill.price
            continue
        closed = min(abs(signed), abs(short)) * (1.0 if short > 0.0 else -1.0)
        entry = proceeds / short
        realised += closed * (entry - fill.price)
        opened = signed + closed
        short = round(short + signed, 9)
        proceeds = opened * fill.price if opened * short > 0.0 else short * entry
    return realised


def _settled(reader: Reader, account: AtVenue) -> Check:
    """Nothing of a schedule rests or is unknown; stops stay."""
    resting = [name for name, status in account.orders if status in _OPEN]
    unknown = [order for order in reader.unsettled_orders() if order.kind != STOP]
    return Check(
        "No order of a schedule rests, and the end of each is known",
        not resting and not unknown,
        f"{len(resting)} rest at the venue, {len(unknown)} of unknown end",
    )
