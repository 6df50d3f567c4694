"""A beacon node: how many validators there are, what they have staked, and who waits, day by day.

Prysm answers for any day its states reach back to; Lighthouse for the head only, so its reading is
kept for the day that just ended, known from when it was read. What a node cannot tell rightly stays
empty: after EIP-7251 a queue is no longer a number of validators times 32 ETH.
"""

import json
from typing import Any

import polars as pl

from counterpoise.endpoints import SourceSettings
from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.columns import TS
from counterpoise.market.layouts import VALIDATORS
from counterpoise.sources.contract import Read, Unit
from counterpoise.sources.pages import AGAIN, field_of, moment_ms, rows_of
from counterpoise.sources.transport import Reply, Transport
from counterpoise.units import DAY_MS, from_ms

SLOT_S, SLOTS_PER_EPOCH = 12, 32
#: Epoch of Pectra on the main net, from which a validator may hold 2,048 ETH (EIP-7251).
ELECTRA_EPOCH = 364_032
VALIDATOR_ETH, GWEI_PER_ETH = 32, 10**9
_ACTIVE = ("active_ongoing", "active_exiting", "active_slashed")
_WAITING = "pending_queued"


class Beacon:
    """One beacon node; parameters are the settings and, for tests, a transport."""

    def __init__(self, settings: SourceSettings, transport: Transport | None = None) -> None:
        assert settings.ethereum.beacon_url is not None
        self._url = settings.ethereum.beacon_url
        self._transport = transport or Transport(
            settings,
            per_minute=settings.ethereum.requests_per_minute,
            setting="sources.ethereum.beacon_url",
            secret=True,
        )
        self._genesis_s: int | None = None
        self._flavour = ""

    def now_ms(self) -> int:
        """Return the node's time, by the date it puts on its replies."""
        told = self._ask("/eth/v1/node/version").date_ms
        if told is None:
            raise RejectData("the beacon node", "header Date", "nothing", "its time", AGAIN)
        return told

    def plan(self, first_ms: int, last_ms: int) -> list[Unit]:
        """One unit a day, from genesis to the last day that is over."""
        path = "/eth/v1/node/version"
        version = str(field_of(self._data(path), "version", path))
        self._flavour = version.partition("/")[0].lower()
        if self._flavour not in ("prysm", "lighthouse"):
            raise FixConfig(
                "sources.ethereum.beacon_url",
                version,
                "a Prysm or a Lighthouse node, which count their validators",
                "name another node",
            )
        genesis_ms = self._genesis() * 1000
        first = max(first_ms, genesis_ms) // DAY_MS * DAY_MS
        return [
            Unit(
                f"ethereum/validators/{from_ms(day):%Y-%m-%d}", VALIDATORS, day, day + DAY_MS, True
            )
            for day in range(first, last_ms, DAY_MS)
        ]

    def download(self, unit: Unit) -> bytes | None:
        """Counts at the first slot of a day; None where the node does not have that state."""
        if self._flavour == "lighthouse":
            return self._head(unit)
        genesis = self._genesis()
        slot = max(-(-(unit.first_ms // 1000 - genesis) // SLOT_S), 0)
        statuses = "&".join(f"status={name}" for name in (*_ACTIVE, _WAITING))
        reply = self._transport.get(
            f"{self._url}/eth/v1/beacon/states/{slot}/validator_count?{statuses}"
        )
        if reply.status in (404, 400):
            return None
        rows = rows_of(self._checked(reply, unit.name), "data", ["status", "count"], unit.name)
        counts = {
            str(row["status"]): _whole(row["count"], row["status"], unit.name) for row in rows
        }
        epoch = slot // SLOTS_PER_EPOCH
        staked = self._ask(f"/eth/v1alpha1/validators/participation?epoch={epoch}", (404, 400, 501))
        gwei = None
        if staked.status == 200:
            told = staked.json(unit.name)
            gwei = _optional(told, ("participation", "currentEpochActiveGwei"), unit.name)
        deposits = None
        if epoch >= ELECTRA_EPOCH:
            waiting = self._ask(f"/eth/v1/beacon/states/{slot}/pending_deposits", (404, 400, 501))
            if waiting.status == 200:
                rows = rows_of(waiting.json(unit.name), "data", ["amount"], unit.name)
                deposits = sum(_whole(row["amount"], "amount", unit.name) for row in rows)
        return _document(counts, gwei, deposits, epoch, None)

    def _head(self, unit: Unit) -> bytes | None:
        reply = self._ask("/lighthouse/ui/validator_count")
        now_ms = reply.date_ms
        if now_ms is None or not unit.last_ms <= now_ms < unit.last_ms + DAY_MS:
            return None
        told_counts = self._checked(reply, unit.name)["data"]
        if not isinstance(told_counts, dict):
            raise RejectData(unit.name, "data", str(told_counts)[:80], "counts by status", AGAIN)
        counts = {name: _whole(count, name, unit.name) for name, count in told_counts.items()}
        epoch = (now_ms // 1000 - self._genesis()) // SLOT_S // SLOTS_PER_EPOCH
        told = self._ask(f"/lighthouse/validator_inclusion/{epoch - 1}/global", (404, 400, 500))
        gwei = None
        if told.status == 200:
            gwei = _optional(told.json(unit.name), ("data", "current_epoch_active_gwei"), unit.name)
        return _document(counts, gwei, None, epoch, now_ms)

    def read(self, unit: Unit, content: bytes) -> Read:
        """One row of the day."""
        told = json.loads(content)
        counts = told["counts"]
        missing = [name for name in (*_ACTIVE, _WAITING) if name not in counts]
        if missing:
            raise RejectData(unit.name, "statuses", ", ".join(counts), ", ".join(missing), AGAIN)
        row: dict[str, Any] = {
            "ts": unit.first_ms,
            "active_validators": float(sum(counts[name] for name in _ACTIVE)),
            "staked_eth": None if told["gwei"] is None else told["gwei"] / GWEI_PER_ETH,
        }
        if told["epoch"] < ELECTRA_EPOCH:
            row["entry_queue_eth"] = float(VALIDATOR_ETH * counts[_WAITING])
            row["exit_queue_eth"] = float(VALIDATOR_ETH * counts["active_exiting"])
        else:
            deposits = told["deposits"]
            waiting = VALIDATOR_ETH * counts[_WAITING]
            row["entry_queue_eth"] = None if deposits is None else deposits / GWEI_PER_ETH + waiting
            row["exit_queue_eth"] = None
        table = pl.DataFrame([row])
        if told["read_ms"] is not None:
            read = pl.Series("known_at", [told["read_ms"]], dtype=pl.Int64).cast(TS)
            table = table.with_columns(read)
        return Read(table)

    def _genesis(self) -> int:
        if self._genesis_s is None:
            path = "/eth/v1/beacon/genesis"
            told = field_of(self._data(path), "genesis_time", path)
            self._genesis_s = _whole(told, "genesis_time", path)
            moment_ms(self._genesis_s * 1000, "genesis_time", path)
        return self._genesis_s

    def _ask(self, path: str, answers: tuple[int, ...] = ()) -> Reply:
        reply = self._transport.get(f"{self._url}{path}")
        if reply.status != 200 and reply.status not in answers:
            self._checked(reply, path)
        return reply

    def _data(self, path: str) -> Any:
        return self._checked(self._ask(path), path)["data"]

    def _checked(self, reply: Reply, name: str) -> Any:
        found = reply.json(name) if reply.status == 200 else None
        if not isinstance(found, dict) or "data" not in found:
            shown = f"status {reply.status}: {reply.content[:80].decode('utf-8', 'replace')}"
            raise RejectData(name, "whole reply", shown, "an answer of a beacon node", AGAIN)
        return found


def _whole(value: Any, place: str, name: str) -> int:
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise RejectData(name, place, value, "a whole number", AGAIN)
    return int(text)


def _optional(told: Any, fields: tuple[str, str], name: str) -> int | None:
    """Whole number in an object in an object; None where the node does not tell it."""
    for field in fields:
        if not isinstance(told, dict | None):
            raise RejectData(name, "reply", str(told)[:80], f"an object with {field}", AGAIN)
        told = None if told is None else told.get(field)
    return None if told is None else _whole(told, fields[1], name)


def _document(
    counts: dict[str, int], gwei: int | None, deposits: int | None, epoch: int, read_ms: int | None
) -> bytes:
    found = {"counts": counts, "gwei": gwei, "deposits": deposits}
    return json.dumps(found | {"epoch": epoch, "read_ms": read_ms}, sort_keys=True).encode()
