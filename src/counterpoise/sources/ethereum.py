"""An Ethereum node over JSON-RPC: base fee and gas by hour, and blocks; its beacon node beside it.

Only blocks the chain has finalised are read, so that no reorganisation changes what was stored. The
validators come from ``beacon``, the other half of a node. How its answers are read is in
``ethereum_rows``.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from types import MappingProxyType
from typing import Any

from counterpoise.endpoints import SourceSettings
from counterpoise.errors import FixConfig, NotEnoughData, RejectData, RetryLater
from counterpoise.market.layouts import BLOCKS, GAS, VALIDATORS
from counterpoise.sources.beacon import Beacon
from counterpoise.sources.contract import SOURCES, Read, Request, Unit
from counterpoise.sources.ethereum_rows import (
    block_of,
    quantity,
    read_blocks,
    read_hours,
    time_of,
)
from counterpoise.sources.pages import AGAIN, documents, field_of, windows
from counterpoise.sources.transport import Transport
from counterpoise.units import DAY_MS, HOUR_MS

#: Percentiles of the priority fees that are asked for.
PERCENTILES = (10, 50, 90)
#: Blocks of one answer: the specification's bound of eth_feeHistory, and a modest batch.
MOST_FEES, MOST_BATCH = 1024, 100
#: Where a node names no finalised block: two epochs, after which Ethereum finalises.
FINAL_DEPTH = 64
#: Length of the windows: some 7,200 and 1,800 blocks.
_LENGTH = {"gas": DAY_MS, "blocks": 6 * HOUR_MS, "validators": DAY_MS}
#: What nodes say of history they have thrown away.
_PRUNED = ("pruned", "missing trie node", "not available", "history has been")
_LIMITED = -32005


class Ethereum:
    """The source ``ethereum``; parameters are the settings and, for tests, a transport."""

    kinds: Mapping[str, str] = MappingProxyType(
        {
            "gas": "base fee, gas used and priority fees by hour",
            "validators": "active validators, staked ETH and queues by day (a beacon node)",
            "blocks": "every block: gas used, gas limit, base fee, transactions",
        }
    )
    revises = False

    def __init__(self, settings: SourceSettings, transport: Transport | None = None) -> None:
        mine = settings.ethereum
        self._url, self._chain = mine.rpc_url, mine.chain_id
        self._transport = transport or Transport(
            settings,
            per_minute=mine.requests_per_minute,
            setting="sources.ethereum.rpc_url",
            secret=True,
        )
        self._beacon = Beacon(settings, transport) if mine.beacon_url else None
        both = (("gas", self._url), ("validators", mine.beacon_url))
        self.default_kinds = tuple(kind for kind, url in both if url) or ("gas",)
        #: Timestamps of blocks that were asked for, in seconds.
        self._seen: dict[int, int] = {}
        self._lock = Lock()

    def now_ms(self) -> int:
        """Return the time up to which the chain is final, or that of the beacon node."""
        if self._url is None and self._beacon is not None:
            return self._beacon.now_ms()
        return self._final()[1] * 1000

    def plan(self, request: Request, now_ms: int) -> list[Unit]:
        """Days of gas and validators, quarters of a day of blocks; up to what is final."""
        units: list[Unit] = []
        for kind in request.kinds:
            if kind == "validators":
                if self._beacon is None:
                    raise _unset("beacon_url", "http://127.0.0.1:3500")
                last = min(request.last_ms, now_ms // DAY_MS * DAY_MS)
                units += self._beacon.plan(request.first_ms, last)
                continue
            self._refuse_other_chain()
            first_block_ms = self._time(1) * 1000
            step = HOUR_MS if kind == "gas" else 1000
            last = min(request.last_ms, now_ms // step * step)
            first = max(request.first_ms, first_block_ms // step * step)
            key = GAS if kind == "gas" else BLOCKS
            units += windows(f"ethereum/{kind}", key, first, last, _LENGTH[kind], now_ms)
        return units

    def download(self, unit: Unit) -> bytes | None:
        """Fee histories hour by hour, or blocks; None where the node has thrown them away."""
        if unit.key == VALIDATORS:
            assert self._beacon is not None
            return self._beacon.download(unit)
        try:
            pages = self._hours(unit) if unit.key == GAS else self._blocks(unit)
            return b"\n".join(json.dumps(page).encode() for page in pages)
        except _PrunedAway:
            return None

    def instead(self, unit: Unit) -> Sequence[Unit]:
        """Nothing: another node may have it."""
        return ()

    def published(self, unit: Unit) -> None:
        """Nothing: blocks are their own checksum."""

    def read(self, unit: Unit, content: bytes) -> Read:
        """Rows of hours, blocks or days."""
        if unit.key == VALIDATORS:
            assert self._beacon is not None
            return self._beacon.read(unit, content)
        if unit.key == GAS:
            return read_hours(documents(content, unit.name), unit.name)
        return read_blocks(documents(content, unit.name), unit.name)

    def _refuse_other_chain(self) -> None:
        chain = quantity(self._call("eth_chainId", []), "result", "eth_chainId")
        if chain != self._chain:
            raise FixConfig(
                "sources.ethereum.rpc_url",
                f"a node of chain {chain}",
                f"a node of chain {self._chain}",
                "name another node, or set sources.ethereum.chain_id",
            )
        if self._call("eth_syncing", []) is not False:
            raise RetryLater(
                "the node of sources.ethereum.rpc_url is still syncing. Next: run this again when "
                "it has caught up."
            )

    def _final(self) -> tuple[int, int]:
        """Number and time of the newest block that is final."""
        try:
            block = self._call("eth_getBlockByNumber", ["finalized", False])
        except RejectData:
            block = None
        if not block:
            head = quantity(self._call("eth_blockNumber", []), "result", "eth_blockNumber")
            number = max(head - FINAL_DEPTH, 0)
            return number, self._time(number)
        number = quantity(field_of(block, "number", "the final block"), "number", "the final block")
        at = time_of(block, "the final block")
        with self._lock:
            self._seen[number] = at
        return number, at

    def _time(self, number: int) -> int:
        with self._lock:
            if number in self._seen:
                return self._seen[number]
        block = self._call("eth_getBlockByNumber", [hex(number), False])
        if not block:
            raise _PrunedAway(f"block {number}")
        at = time_of(block, f"block {number}")
        with self._lock:
            self._seen[number] = at
        return at

    def _first_at(self, at_s: int) -> int:
        """First block that is not before a time; the one after the newest known to be final."""
        with self._lock:
            seen = list(self._seen.items())
        earlier = [number for number, at in seen if at < at_s]
        later = [number for number, at in seen if at >= at_s]
        low = max(earlier, default=0)
        if not later:
            newest = self._final()
            if newest[1] < at_s:
                return newest[0] + 1
            later = [newest[0]]
        high = min(later)
        step = 0
        while high - low > 1:
            low_s, high_s = self._time(low), self._time(high)
            share = (at_s - low_s) / max(high_s - low_s, 1)
            # Blocks are nearly even in time; where they are not, halves get there as well.
            guess = low + round(share * (high - low)) if step % 3 < 2 else (low + high) // 2
            guess = min(max(guess, low + 1), high - 1)
            if self._time(guess) < at_s:
                low = guess
            else:
                high = guess
            step += 1
        return high if low or self._time(low) < at_s else low

    def _hours(self, unit: Unit) -> Iterator[dict[str, Any]]:
        begin = self._first_at(unit.first_ms // 1000)
        for hour in range(unit.first_ms, unit.last_ms, HOUR_MS):
            end = self._first_at((hour + HOUR_MS) // 1000)
            fees = []
            for first in range(begin, end, MOST_FEES):
                count = min(MOST_FEES, end - first)
                newest = hex(first + count - 1)
                found = self._call("eth_feeHistory", [hex(count), newest, list(PERCENTILES)])
                oldest = field_of(found, "oldestBlock", unit.name)
                if quantity(oldest, f"oldestBlock from {first} on", unit.name) != first:
                    raise _PrunedAway(f"the fees of block {first}")
                fees.append(found)
            yield {"hour": hour, "first": begin, "blocks": end - begin, "fees": fees}
            begin = end

    def _blocks(self, unit: Unit) -> Iterator[list[dict[str, Any]]]:
        begin = self._first_at(unit.first_ms // 1000)
        end = self._first_at(unit.last_ms // 1000)
        for first in range(begin, end, MOST_BATCH):
            numbers = range(first, min(first + MOST_BATCH, end))
            calls = [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
            page = []
            for number, block in zip(numbers, self._batch(calls), strict=True):
                if not block:
                    raise _PrunedAway(f"block {number}")
                page.append(block_of(block, number, unit.name))
            yield page

    def _call(self, method: str, params: list[Any]) -> Any:
        reply = self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, 1)
        return self._result(reply, method)

    def _batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Results of several calls in their order; one by one where a node takes no batches."""
        bodies = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(calls)
        ]
        replies = self._post(bodies, len(calls))
        if not isinstance(replies, list):
            return [self._call(method, params) for method, params in calls]
        by_id = {str(one.get("id")): one for one in replies if isinstance(one, dict)}
        return [
            self._result(by_id[str(number)], method)
            if str(number) in by_id
            else self._call(method, params)
            for number, (method, params) in enumerate(calls)
        ]

    def _post(self, body: Any, weight: float) -> Any:
        if self._url is None:
            raise _unset("rpc_url", "http://127.0.0.1:8545")
        reply = self._transport.post(self._url, body, weight=weight)
        if reply.status in (401, 403, 404):
            raise FixConfig(
                "sources.ethereum.rpc_url",
                f"{self._transport.shown(self._url)} (status {reply.status})",
                "an Ethereum node that may be asked",
                "check the address and its key",
            )
        return reply.json(f"the answer of {self._transport.shown(self._url)}")

    def _result(self, reply: Any, method: str) -> Any:
        if not isinstance(reply, dict) or ("result" not in reply and "error" not in reply):
            raise RejectData(method, "whole reply", str(reply)[:80], "a JSON-RPC result", AGAIN)
        if "error" not in reply or reply["error"] is None:
            return reply.get("result")
        told = reply["error"]
        code = told.get("code") if isinstance(told, dict) else None
        words = str(told.get("message") if isinstance(told, dict) else told)
        if code == _LIMITED:
            raise RetryLater(f"{method}: {words[:120]}. Next: run this again later.")
        if any(word in words.lower() for word in _PRUNED):
            raise _PrunedAway(f"what {method} asks for")
        raise RejectData(method, "error", words[:120], "a result", "check that the node knows it")


class _PrunedAway(NotEnoughData):
    """The node no longer has the history that was asked for."""

    def __init__(self, what: object) -> None:
        super().__init__(
            f"the node of sources.ethereum.rpc_url does not have {what}. Next: name an archive "
            "node, or a later span."
        )


def _unset(key: str, example: str) -> FixConfig:
    variable = f"COUNTERPOISE_SOURCES__ETHEREUM__{key.upper()}"
    return FixConfig(
        f"sources.ethereum.{key}",
        None,
        f"the address of a node, such as {example}",
        f"set it in the settings or in {variable}",
    )


_make: Callable[[SourceSettings], Ethereum] = Ethereum
SOURCES.add("ethereum", _make)
