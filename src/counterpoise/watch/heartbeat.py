"""The heartbeat: what the run says of itself every second, in one small file of the state folder.

It is a picture of now for people; what must not be lost is in the journal.
"""

import json
import math
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from counterpoise.units import json_ready

FILE = "status.json"
#: Age from which on a run is thought dead or stuck: it writes every second.
STALE_S = 10.0
#: The lights of a run, in the order they are shown.
LIGHTS = ("market", "account", "orders", "position", "signals", "journal")


@dataclass(frozen=True, slots=True)
class Light:
    """Health of one part: ``ok`` and, in words, since when or why not."""

    ok: bool
    said: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """State of a run at one moment; NaN is unknown.

    Attributes
    ----------
    ts_ms : int
        When it was written, by the machine's clock.
    pid : int
    mode : str
        ``paper``, ``testnet`` or ``live``.
    venue, symbol : str
    started_ms : int
    market_ts_ms : int
        The market's clock; 0 before the first quote.
    exposure_eth, short_eth, target_eth : float
    mid, mark : float
        USD.
    lo, hi, ratio : float
        Band in force, and S/L.
    reason : str
        Why the hedge is what it is, or is not moved, in one sentence.
    twap_side : str
        ``sell`` or ``buy`` while a schedule is worked, else empty.
    twap_size, twap_filled : float
        ETH.
    twap_end_ms : int
    wallet_usd, equity_usd, available_usd, leverage : float
    liquidation : float
        Mark price at which the venue takes over, USD; NaN or 0 without one.
    margin_ratio : float
        Equity ÷ notional.
    lights : dict of str to Light
        By the names of :data:`LIGHTS`.
    halted_why : str
        Empty while trading is allowed.
    last_alert, alert_failure : str
        Empty without one.
    latencies_ms : dict of str to float
        By what was measured.
    """

    ts_ms: int
    pid: int
    mode: str
    venue: str
    symbol: str
    started_ms: int
    market_ts_ms: int = 0
    exposure_eth: float = math.nan
    short_eth: float = math.nan
    target_eth: float = math.nan
    mid: float = math.nan
    mark: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
    ratio: float = math.nan
    reason: str = ""
    twap_side: str = ""
    twap_size: float = 0.0
    twap_filled: float = 0.0
    twap_end_ms: int = 0
    wallet_usd: float = math.nan
    equity_usd: float = math.nan
    available_usd: float = math.nan
    leverage: float = math.nan
    liquidation: float = math.nan
    margin_ratio: float = math.nan
    lights: dict[str, Light] = field(default_factory=dict)
    halted_why: str = ""
    last_alert: str = ""
    alert_failure: str = ""
    latencies_ms: dict[str, float] = field(default_factory=dict)

    @property
    def liquidation_distance(self) -> float:
        """Rise of the mark that liquidates, a fraction; NaN where there is none."""
        known = self.liquidation > 0 and self.mark > 0
        return self.liquidation / self.mark - 1.0 if known else math.nan


def write_heartbeat(state: Path, beat: Heartbeat) -> None:
    """Replace the heartbeat in one step: a reader sees the old one or the new one.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    draft = state / f".{FILE}.{beat.pid}"
    draft.write_text(json.dumps(json_ready(asdict(beat)), allow_nan=False), encoding="utf-8")
    os.replace(draft, state / FILE)


def read_heartbeat(state: Path) -> Heartbeat | None:
    """The last heartbeat; None where there is none, or none that can be read."""
    try:
        found = json.loads((state / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    try:
        return Heartbeat(
            **{one.name: _value(one.name, one.type, found) for one in fields(Heartbeat)}
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _value(name: str, kind: Any, found: dict[str, Any]) -> Any:
    """One field of a heartbeat; a file without it is none that a run wrote."""
    given = found[name]
    if name == "lights":
        return {str(key): Light(bool(one["ok"]), str(one["said"])) for key, one in given.items()}
    if name == "latencies_ms":
        return {str(key): _number(value) for key, value in given.items()}
    if kind in (int, "int"):
        return int(given)
    return _number(given) if kind in (float, "float") else str(given)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def process_lives(pid: int) -> bool:
    """Whether a process of this number runs on this machine."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
