"""Gas by hour and blocks, read from a real node whose base fee the test drives."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from counterpoise.endpoints import EthereumSource
from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import BLOCKS, GAS
from counterpoise.sources.contract import Request
from counterpoise.sources.ethereum import Ethereum
from counterpoise.sources.fetch import fetch
from counterpoise.sources.transport import Transport
from counterpoise.units import HOUR_MS, to_ms
from tests.sources.server import Answer, Asked, Fault, Server, json_answer

START = datetime(2024, 3, 1, tzinfo=UTC)
START_S = round(START.timestamp())
GWEI = 10**9
#: Base fee that each hour begins with, in gwei, set through the node's own RPC.
SPIKES = (20, 150, 35, 900)


def source(quick, url, **more):
    settings = quick.model_copy(update={"ethereum": EthereumSource(rpc_url=url, **more)})
    transport = Transport(
        settings, per_minute=1e6, setting="sources.ethereum.rpc_url", secret=True,
        sleep=lambda _: None,
    )  # fmt: skip
    return Ethereum(settings, transport)


@pytest.fixture
def node(start_anvil):
    """Four hours of uneven blocks with transfers and spikes, and an epoch of empty ones after."""
    anvil = start_anvil(START_S - 60)
    rng = np.random.default_rng(4)
    one, other = anvil.rpc("eth_accounts")[:2]
    for hour, gwei in enumerate(SPIKES):
        times = np.sort(rng.choice(3600 // 12, 40, replace=False)) * 12 + hour * 3600 + START_S
        for place, at in enumerate(times):
            if place == 0:
                anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))
            for tip in rng.integers(1, 9, int(rng.integers(0, 4))):
                anvil.rpc(
                    "eth_sendTransaction",
                    {
                        "from": one,
                        "to": other,
                        "value": "0x1",
                        "gas": hex(21_000),
                        "maxPriorityFeePerGas": hex(int(tip) * GWEI),
                        "maxFeePerGas": hex(5_000 * GWEI),
                    },
                )
            anvil.rpc("evm_setNextBlockTimestamp", int(at))
            anvil.rpc("evm_mine")
    anvil.rpc("evm_setNextBlockTimestamp", START_S + 4 * 3600)
    anvil.rpc("anvil_mine", hex(100), hex(12))
    return anvil


def request(*kinds, hours=4):
    first = to_ms(START)
    return Request("ETHUSDT", kinds, "1h", first, first + hours * HOUR_MS)


def test_gas_by_hour_is_what_the_blocks_themselves_say(node, quick, tmp_path):
    lake = Lake(tmp_path / "lake")
    report = fetch(lake, "ethereum", source(quick, node.url), request("gas"), parallel=2)
    assert not report.refused
    assert not report.later
    table = lake.read_key(GAS)
    assert table["ts"].dt.epoch("ms").to_list() == [to_ms(START) + n * HOUR_MS for n in range(4)]
    blocks = [node.block(number) for number in range(1, node.height + 1)]
    for hour, row in enumerate(table.iter_rows(named=True)):
        inside = [
            one for one in blocks if 0 <= int(one["timestamp"], 16) - START_S - 3600 * hour < 3600
        ]
        fees = [int(one["baseFeePerGas"], 16) for one in inside]
        used = [int(one["gasUsed"], 16) / int(one["gasLimit"], 16) for one in inside]
        assert row["blocks"] == len(inside) == 40
        assert row["base_fee_first_wei"] == SPIKES[hour] * GWEI == fees[0]
        assert row["base_fee_mean_wei"] == pytest.approx(sum(fees) / len(fees))
        assert row["base_fee_max_wei"] == max(fees)
        assert row["base_fee_last_wei"] == fees[-1]
        assert row["gas_used_ratio"] == pytest.approx(sum(used) / len(used))
        assert GWEI <= row["priority_fee_p10_wei"] <= row["priority_fee_p90_wei"] <= 8 * GWEI
        known = row["known_at"].timestamp() - row["ts"].timestamp()
        assert known == 3660


def test_base_fees_move_by_the_rule_of_eip_1559_except_where_the_test_set_them(node, quick):
    ours = source(quick, node.url)
    (unit,) = ours.plan(request("blocks"), ours.now_ms())
    table = ours.read(unit, ours.download(unit)).table
    assert table.height == 160
    fee, used = table["base_fee_wei"].to_list(), table["gas_used"].to_list()
    target = [limit // 2 for limit in table["gas_limit"].to_list()]
    for n in range(1, len(fee)):
        if n % 40 == 0:
            continue
        change = fee[n - 1] * (used[n - 1] - target[n - 1]) / target[n - 1] / 8
        assert fee[n] == pytest.approx(fee[n - 1] + change, abs=2)


def test_blocks_are_stored_whole_and_once(node, quick, tmp_path):
    lake = Lake(tmp_path / "lake")
    for _ in range(2):
        fetch(lake, "ethereum", source(quick, node.url), request("blocks"), parallel=2)
    table = lake.read_key(BLOCKS)
    numbers = table["number"].to_list()
    assert numbers == list(range(numbers[0], numbers[0] + 160))
    for row in table.sample(10, seed=1).iter_rows(named=True):
        block = node.block(row["number"])
        assert row["ts"].timestamp() == int(block["timestamp"], 16)
        assert row["gas_used"] == int(block["gasUsed"], 16)
        assert row["tx_count"] == len(block["transactions"])


def test_what_is_not_final_yet_is_left_for_later(node, quick):
    ours = source(quick, node.url)
    final = ours.now_ms()
    head = int(node.block(node.height)["timestamp"], 16) * 1000
    assert final <= head - 64 * 12_000
    units = ours.plan(request("gas", hours=48), final)
    assert max(unit.last_ms for unit in units) <= final
    node.rpc("anvil_mine", hex(400), hex(12))
    assert ours.plan(request("gas", hours=48), ours.now_ms())[-1].last_ms > units[-1].last_ms


class Proxy:
    """The real node behind a server that can fail, and that counts."""

    def __init__(self, node, change=None):
        self.node, self.change = node, change

    def __call__(self, asked):
        import urllib.request

        body = json.loads(asked.body)
        if self.change is not None and (found := self.change(body)) is not None:
            return found
        headers = {"Content-Type": "application/json"}
        forwarded = urllib.request.Request(self.node.url, asked.body, headers)
        with urllib.request.urlopen(forwarded, timeout=10) as response:
            return Answer(200, response.read())


def test_a_node_that_stumbles_gives_the_same_rows(node, quick, tmp_path):
    plain = Lake(tmp_path / "plain")
    fetch(plain, "ethereum", source(quick, node.url), request("gas", "blocks"), parallel=1)
    patient = quick.model_copy(update={"attempts": 6})
    with Server(Proxy(node)) as server:
        server.fault("/", Answer(429, headers={"Retry-After": "1"}), Answer(503))
        server.fault("/", Fault("truncate"), Fault("close"))
        lake = Lake(tmp_path / "stumbled")
        report = fetch(
            lake, "ethereum", source(patient, server.url), request("gas", "blocks"), parallel=1
        )
    assert not report.later
    for key in (GAS, BLOCKS):
        assert lake.read_key(key).equals(plain.read_key(key))


def no_batches(body):
    refused = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
    return json_answer(refused) if isinstance(body, list) else None


def test_a_node_without_batches_is_asked_block_by_block(node, quick):
    with Server(Proxy(node, no_batches)) as server:
        ours, direct = source(quick, server.url), source(quick, node.url)
        (unit,) = ours.plan(request("blocks", hours=1), ours.now_ms())
        assert ours.download(unit) == direct.download(unit)


def test_replies_of_a_batch_in_another_order_are_put_right(node, quick):
    def shuffled(asked):
        answer = Proxy(node)(asked)
        replies = json.loads(answer.content)
        return json_answer(replies[::-1]) if isinstance(replies, list) else answer

    with Server(shuffled) as server:
        ours, direct = source(quick, server.url), source(quick, node.url)
        (unit,) = ours.plan(request("blocks", hours=1), ours.now_ms())
        assert ours.download(unit) == direct.download(unit)


def test_history_the_node_threw_away_is_missing_and_not_an_error(node, quick, tmp_path):
    def pruned(body):
        if not isinstance(body, list) and body["method"] == "eth_feeHistory":
            told = {"code": -32000, "message": "required history has been pruned"}
            return json_answer({"jsonrpc": "2.0", "id": 1, "error": told})
        return None

    with Server(Proxy(node, pruned)) as server:
        lake = Lake(tmp_path / "lake")
        report = fetch(lake, "ethereum", source(quick, server.url), request("gas"), parallel=1)
    assert [(one.first_ms, one.last_ms) for one in report.missing] == [
        (to_ms(START), to_ms(START) + 4 * HOUR_MS)
    ]
    assert lake.datasets() == {}


def test_a_node_of_another_chain_or_one_that_syncs_is_refused(node, quick):
    other = source(quick, node.url, chain_id=5)
    with pytest.raises(FixConfig, match="'a node of chain 1': expected a node of chain 5"):
        other.plan(request("gas"), 0)

    def syncing(body):
        if not isinstance(body, list) and body["method"] == "eth_syncing":
            return json_answer({"jsonrpc": "2.0", "id": 1, "result": {"currentBlock": "0x1"}})
        return None

    with Server(Proxy(node, syncing)) as server:
        ours = source(quick, server.url)
        with pytest.raises(RetryLater, match="still syncing"):
            ours.plan(request("gas"), ours.now_ms())


def test_the_key_in_an_address_is_never_shown(quick):
    with Server(lambda _: Answer(500)) as server:
        ours = source(quick, f"{server.url}/v3/my-secret-key")
        with pytest.raises(RetryLater) as refused:
            ours.now_ms()
    assert "my-secret-key" not in str(refused.value)
    assert "sources.ethereum.rpc_url" in str(refused.value)


def test_without_an_address_the_key_to_set_is_named(quick):
    with pytest.raises(FixConfig, match="COUNTERPOISE_SOURCES__ETHEREUM__RPC_URL"):
        Ethereum(quick).now_ms()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda block: block.update(number="0x3"), "expected 'block|expected block"),
        (lambda block: block.update(parentHash="0xbad"), "parent"),
        (lambda block: block.update(timestamp="0x1"), "a time after"),
    ],
)
def test_blocks_that_do_not_hang_together_are_refused_with_their_number(node, quick, change, says):
    ours = source(quick, node.url)
    (unit,) = ours.plan(request("blocks", hours=1), ours.now_ms())
    pages = [json.loads(line) for line in ours.download(unit).splitlines()]
    change(pages[0][7])
    with pytest.raises(RejectData, match=says):
        ours.read(unit, b"\n".join(json.dumps(page).encode() for page in pages))


#: Method, where in its result, what stands there instead (None takes the field away), and what the
#: refusal names.
SPOILT = [
    ("eth_chainId", (), True, "eth_chainId: result"),
    ("eth_chainId", (), "0xzz", "eth_chainId: result"),
    ("eth_getBlockByNumber", (), "0x1", "the final block"),
    ("eth_getBlockByNumber", ("timestamp",), None, "timestamp"),
    ("eth_getBlockByNumber", ("timestamp",), "0x" + "f" * 15, "timestamp"),
    ("eth_getBlockByNumber", ("number",), 7, "number"),
    ("eth_feeHistory", (), [], "oldestBlock"),
    ("eth_feeHistory", ("oldestBlock",), "first", "oldestBlock"),
    ("eth_feeHistory", ("baseFeePerGas",), None, "baseFeePerGas"),
    ("eth_feeHistory", ("baseFeePerGas", 3), "0x" + "f" * 40, "00:00, baseFeePerGas"),
    ("eth_feeHistory", ("baseFeePerGas", 3), -1, "00:00, baseFeePerGas"),
    ("eth_feeHistory", ("gasUsedRatio",), 0.5, "00:00, gasUsedRatio"),
    ("eth_feeHistory", ("gasUsedRatio", 3), "NaN", "00:00, gasUsedRatio"),
    ("eth_feeHistory", ("gasUsedRatio", 3), 1.5, "00:00, gasUsedRatio"),
    ("eth_feeHistory", ("reward", 3), "0x1", "00:00, reward"),
    ("eth_feeHistory", ("reward", 3, 0), {}, "00:00, reward"),
    ("batch", (), [1], "block 6"),
    ("batch", ("hash",), None, "block 6"),
    ("batch", ("gasUsed",), 21_000, "block 6, gasUsed"),
    ("batch", ("baseFeePerGas",), "0x", "block 6, baseFeePerGas"),
    ("batch", ("transactions",), 2, "block 6: transactions"),
]


def spoiling(node, method, place, instead):
    """Return a change of the node's answers to a method, as :class:`Proxy` takes it."""

    def change(body):
        if method != ("batch" if isinstance(body, list) else body["method"]):
            return None
        asked = Asked("POST", "/", {}, {}, json.dumps(body).encode())
        told = json.loads(Proxy(node)(asked).content)
        reply = told[5] if isinstance(told, list) else told
        *outer, last = ("result", *place)
        for step in outer:
            reply = reply[step]
        if place and instead is None:
            del reply[last]
        else:
            reply[last] = instead
        return json_answer(told)

    return change


def test_a_malformed_answer_is_refused_with_its_place_and_nothing_is_stored(node, quick, tmp_path):
    for number, (method, place, instead, says) in enumerate(SPOILT):
        lake = Lake(tmp_path / str(number))
        wanted = request("blocks" if method == "batch" else "gas")
        with Server(Proxy(node, spoiling(node, method, place, instead))) as server:
            ours = source(quick, server.url)
            try:
                told = [one.reason for one in fetch(lake, "e", ours, wanted, parallel=1).refused]
            except RejectData as refused:
                told = [str(refused)]
        assert [says in one for one in told] == [True], (method, place, instead, told)
        assert not lake.datasets()
