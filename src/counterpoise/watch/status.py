"""How a run stands: from its heartbeat, kill switch and journal, each of which may be missing.

Looking never fails and never disturbs a run: what cannot be read is said to be so.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from counterpoise.errors import CounterpoiseError, printable
from counterpoise.execution.records import AlertRaised, Decision, FillBooked, OrderSent
from counterpoise.units import from_ms
from counterpoise.watch.heartbeat import (
    LIGHTS,
    STALE_S,
    Heartbeat,
    process_lives,
    read_heartbeat,
)
from counterpoise.watch.kill_switch import KillSwitch, Standing

#: Size step of the venues, and what two sizes that are the same differ by less than.
_STEP_ETH, _SAME_ETH = 0.001, 1e-6
#: Rows of each kind that a screen has room for.
_ROWS = 3


@dataclass(frozen=True, slots=True)
class FromJournal:
    """What the journal says last.

    Attributes
    ----------
    trouble : str
        Why there is nothing; empty where there is.
    decision : Decision or None
    short_eth : float
        As we counted it; NaN is unknown.
    unsettled : tuple of OrderSent
        Orders whose fate is not known to be final.
    fills : tuple of FillBooked
    alerts : tuple of AlertRaised
        The last ones, newest first.
    """

    trouble: str = ""
    decision: Decision | None = None
    short_eth: float = math.nan
    unsettled: tuple[OrderSent, ...] = ()
    fills: tuple[FillBooked, ...] = ()
    alerts: tuple[AlertRaised, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """How a run stands at a moment.

    Attributes
    ----------
    now_ms : int
    beat : Heartbeat or None
    lives : bool
        Whether the process of the heartbeat does.
    standing : Standing or None
        Of the kill switch.
    journal : FromJournal
    """

    now_ms: int
    beat: Heartbeat | None
    lives: bool
    standing: Standing | None
    journal: FromJournal

    @property
    def age_s(self) -> float:
        """Age of the heartbeat; NaN without one."""
        return math.nan if self.beat is None else (self.now_ms - self.beat.ts_ms) / 1000.0

    @property
    def running(self) -> bool:
        """Whether a run lives and beats."""
        return self.lives and self.age_s <= STALE_S


def look(state: Path, journal: str | Path, now_ms: int) -> Picture:
    """Look at a run.

    Parameters
    ----------
    state : Path
        Its folder.
    journal : str or Path
        As ``journal.place.place_in`` gives it.
    now_ms : int
        By this machine's clock.
    """
    beat = read_heartbeat(state)
    return Picture(
        now_ms=now_ms,
        beat=beat,
        lives=beat is not None and process_lives(beat.pid),
        standing=KillSwitch(state).standing(),
        journal=read_journal(journal),
    )


def read_journal(where: str | Path) -> FromJournal:
    """Read the end of a journal; what is wrong with it is told and not raised."""
    from counterpoise.journal.reading import Reader

    try:
        with Reader(where) as reader:
            short = reader.counted_short()
            return FromJournal(
                decision=reader.last_decision(),
                short_eth=math.nan if short is None else short,
                unsettled=tuple(reader.unsettled_orders()),
                fills=tuple(reader.records(FillBooked, newest=_ROWS)[::-1]),
                alerts=tuple(reader.records(AlertRaised, newest=_ROWS)[::-1]),
            )
    except CounterpoiseError as told:
        return FromJournal(trouble=str(told))
    except Exception as broken:
        # A page of status is looked at when something is broken; it must not break as well.
        return FromJournal(trouble=printable(f"it cannot be read ({type(broken).__name__})"))


def why_not_trading(picture: Picture) -> list[str]:
    """Say why no order leaves, most important first; empty while one is worked.

    Parameters
    ----------
    picture : Picture
    """
    told = list(_not_running(picture))
    beat, standing = picture.beat, picture.standing
    closing = picture.running and beat is not None and bool(beat.twap_side)
    if standing is not None and not (standing.order == "flatten" and closing):
        told.append(f"{standing}. Next: counterpoise resume.")
    if beat is None or not picture.running:
        return told
    if beat.halted_why and standing is None:
        told.append(f"halted by the run itself: {beat.halted_why}.")
    told += [
        f"{_NEEDS[name]}: {light.said or 'not well'}."
        for name in LIGHTS
        if (light := beat.lights.get(name)) is not None and not light.ok
        # The static hedge is worked without signals.
        if not (name == "signals" and beat.twap_side)
    ]
    if not beat.lights:
        told.append("the run has only just started: nothing is known yet.")
    if told or beat.twap_side:
        return told
    if in_band(beat):
        return [
            f"nothing to do: the ratio of {beat.ratio:.3f} rests in its band of {beat.lo:.3f} to "
            f"{beat.hi:.3f}."
        ]
    return [f"outside its band, but no order is worked: {beat.reason or 'no reason is given'}."]


#: What a light that is out keeps from happening.
_NEEDS = {
    "market": "no market data, so no price to trade at",
    "account": "no account stream, so fills would not be seen",
    "orders": "orders cannot be sent",
    "position": "the position is not confirmed, so no order may leave",
    "signals": "no signals, so the hedge holds its last band and then its static ratio",
    "journal": "the journal does not take records, so no order may leave",
}


def _not_running(picture: Picture) -> list[str]:
    beat = picture.beat
    if beat is None:
        return ["no run has left a heartbeat here. Next: counterpoise run."]
    when = from_ms(beat.ts_ms).strftime("%Y-%m-%d %H:%M:%S UTC")
    if not picture.lives:
        return [
            f"not running: the run (pid {beat.pid}) ended, its last heartbeat was at {when}; what "
            "rests at the venue, stops included, stays there. Next: counterpoise run."
        ]
    if picture.age_s > STALE_S:
        return [
            f"stuck: the run (pid {beat.pid}) lives, but its last heartbeat was "
            f"{picture.age_s:,.0f} s ago. Next: look at its log, then kill {beat.pid} and "
            "counterpoise run."
        ]
    return []


def in_band(beat: Heartbeat) -> bool:
    """Whether the hedge ratio rests in its band, the grid of sizes allowed for; unknown is no rest.

    A target at an edge is rounded to the grid, which may be a step beyond it.
    """
    there = abs(beat.short_eth - beat.target_eth) < _SAME_ETH
    slack = _STEP_ETH / beat.exposure_eth if there and beat.exposure_eth > 0.0 else 0.0
    return beat.lo - slack <= beat.ratio <= beat.hi + slack
