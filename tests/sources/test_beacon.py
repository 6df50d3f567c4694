"""Beacon nodes of two makes: counts by day, queues while they could be counted, and faults."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from counterpoise.endpoints import EthereumSource, SourceSettings
from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import VALIDATORS
from counterpoise.sources.contract import Request
from counterpoise.sources.ethereum import Ethereum
from counterpoise.sources.fetch import fetch
from counterpoise.units import DAY_MS, from_ms, to_ms
from tests.sources.server import Answer, Server, json_answer, not_there

GENESIS = 1_606_824_023
BEFORE = to_ms(datetime(2025, 5, 1, tzinfo=UTC))
AFTER = to_ms(datetime(2025, 6, 1, tzinfo=UTC))
NOW = to_ms(datetime(2025, 6, 4, 15, tzinfo=UTC))


def dated(now=NOW):
    """Return the header with the node's clock."""
    return {"Date": format_datetime(from_ms(now), usegmt=True)}


class Node:
    """Speaks as Prysm or as Lighthouse, of one truth.

    Attributes
    ----------
    pruned_ms : int
        Before it Prysm has no states.
    """

    def __init__(self, flavour, now=NOW):
        self.flavour, self.now, self.pruned_ms = flavour, now, 0

    def counts(self, slot):
        """Return counts of the statuses at a slot."""
        day = (GENESIS + 12 * slot) // 86_400
        return {
            "active_ongoing": 1_000_000 + day,
            "active_exiting": 100 + day % 7,
            "active_slashed": 3,
            "pending_queued": 50 + day % 5,
        }

    def answer(self, asked):
        """Answer one request, with the node's clock."""
        reply = self.told(asked.path)
        return Answer(reply.status, reply.content, dated(self.now))

    def told(self, path):
        """Return what the node says at a path."""
        parts = path.strip("/").split("/")
        if path == "/eth/v1/node/version":
            return json_answer({"data": {"version": f"{self.flavour}/v7.0.0/x86_64-linux"}})
        if path == "/eth/v1/beacon/genesis":
            return json_answer({"data": {"genesis_time": str(GENESIS)}})
        if path == "/eth/v1/config/spec":
            return json_answer({"data": {"SECONDS_PER_SLOT": "12", "SLOTS_PER_EPOCH": "32"}})
        if self.flavour == "Prysm" and path.endswith("validator_count"):
            slot = int(parts[-2])
            if (GENESIS + 12 * slot) * 1000 < self.pruned_ms:
                return not_there()
            rows = [{"status": k, "count": str(v)} for k, v in self.counts(slot).items()]
            return json_answer({"data": rows})
        if self.flavour == "Prysm" and path.endswith("participation"):
            return json_answer({"participation": {"currentEpochActiveGwei": "34000000000000000"}})
        if self.flavour == "Prysm" and path.endswith("pending_deposits"):
            return json_answer({"data": [{"amount": "64000000000"}, {"amount": "32000000000"}]})
        if self.flavour == "Lighthouse" and path == "/lighthouse/ui/validator_count":
            slot = (self.now // 1000 - GENESIS) // 12
            return json_answer({"data": self.counts(slot)})
        if self.flavour == "Lighthouse" and path.startswith("/lighthouse/validator_inclusion"):
            return json_answer({"data": {"current_epoch_active_gwei": 34000000000000000}})
        return not_there()


def source(url):
    """Return the source of a beacon node alone."""
    mine = EthereumSource(beacon_url=url, requests_per_minute=100_000)
    return Ethereum(SourceSettings(attempts=2, timeout_s=2.0, ethereum=mine))


def bring(lake, url, first, last=1 << 53):
    """Fetch validators of a span."""
    request = Request("ETH", ("validators",), "1h", first, last)
    return fetch(lake, "ethereum", source(url), request, parallel=2)


def test_prysm_tells_every_day(tmp_path):
    node, lake = Node("Prysm"), Lake(tmp_path)
    with Server(node.answer) as server:
        report = bring(lake, server.url, BEFORE, BEFORE + 4 * DAY_MS)
    assert not report.refused
    table = lake.read_key(VALIDATORS)
    assert table["ts"].dt.epoch("ms").to_list() == [BEFORE + n * DAY_MS for n in range(4)]
    day = BEFORE // DAY_MS
    assert table["active_validators"][0] == 1_000_000 + day + 100 + day % 7 + 3
    assert table["exit_queue_eth"][0] == 32.0 * (100 + day % 7)
    assert table["entry_queue_eth"][0] == 32.0 * (50 + day % 5)
    assert table["staked_eth"][0] == 34_000_000.0
    # A day's count is not known before the day is over.
    assert ((table["known_at"] - table["ts"]).dt.total_hours() >= 24).all()


def test_after_electra_deposits_are_the_queue_and_no_exit_queue_is_made_up(tmp_path):
    node, lake = Node("Prysm"), Lake(tmp_path)
    with Server(node.answer) as server:
        bring(lake, server.url, AFTER, AFTER + DAY_MS)
    (row,) = lake.read_key(VALIDATORS).iter_rows(named=True)
    assert row["entry_queue_eth"] == 96.0 + 32.0 * (50 + AFTER // DAY_MS % 5)
    assert row["exit_queue_eth"] is None


def test_days_without_a_state_are_missing_and_the_others_arrive(tmp_path):
    node, lake = Node("Prysm"), Lake(tmp_path)
    node.pruned_ms = AFTER + 2 * DAY_MS
    with Server(node.answer) as server:
        report = bring(lake, server.url, AFTER)
    assert [one.first_ms for one in report.missing] == [AFTER, AFTER + DAY_MS]
    assert lake.read_key(VALIDATORS).height == 1


def test_lighthouse_tells_of_the_day_that_just_ended(tmp_path):
    node, lake = Node("Lighthouse"), Lake(tmp_path)
    with Server(node.answer) as server:
        report = bring(lake, server.url, AFTER)
    (row,) = lake.read_key(VALIDATORS).iter_rows(named=True)
    assert to_ms(row["ts"]) == NOW // DAY_MS * DAY_MS - DAY_MS
    # Known from when it was read, not from the midnight before.
    assert to_ms(row["known_at"]) == NOW
    assert row["staked_eth"] == 34_000_000.0
    assert len(report.missing) == 2


def test_a_node_of_another_make_or_none_at_all_is_refused(tmp_path):
    with Server(Node("Teku").answer) as server, pytest.raises((FixConfig, RejectData)) as refused:
        bring(Lake(tmp_path), server.url, AFTER)
    assert "a Prysm or a Lighthouse node" in str(refused.value)
    page = Answer(200, b"<html>", dated())
    with Server(lambda asked: page) as server, pytest.raises((FixConfig, RejectData)):
        bring(Lake(tmp_path), server.url, AFTER)


@pytest.mark.parametrize(
    "spoil",
    [
        {"data": [{"status": "active_ongoing", "count": "5"}]},
        {"message": "overloaded"},
        {"data": [{"status": "active_ongoing"}]},
        {"data": [{"status": "active_ongoing", "count": "many"}]},
    ],
)
def test_a_count_that_is_none_is_refused_and_read_rightly_later(tmp_path, spoil):
    node, lake = Node("Prysm"), Lake(tmp_path)
    with Server(node.answer) as server:
        server.fault("/eth/v1/beacon/states", json_answer(spoil))
        report = bring(lake, server.url, BEFORE, BEFORE + 2 * DAY_MS)
        assert len(report.refused) == 1
        assert lake.read_key(VALIDATORS).height == 1
        bring(lake, server.url, BEFORE, BEFORE + 2 * DAY_MS)
    assert lake.read_key(VALIDATORS).height == 2


@pytest.mark.parametrize(
    ("flavour", "path", "spoil"),
    [
        ("Prysm", "/eth/v1/beacon/genesis", {"data": {}}),
        ("Prysm", "/eth/v1/beacon/genesis", {"data": {"genesis_time": "long ago"}}),
        ("Prysm", "/eth/v1/beacon/genesis", {"data": {"genesis_time": "9" * 18}}),
        ("Prysm", "/eth/v1alpha1/validators/participation", []),
        ("Prysm", "/eth/v1alpha1/validators/participation", {"participation": 7}),
        (
            "Prysm",
            "/eth/v1alpha1/validators/participation",
            {"participation": {"currentEpochActiveGwei": "-3"}},
        ),
        (
            "Prysm",
            "/eth/v1alpha1/validators/participation",
            {"participation": {"currentEpochActiveGwei": 3.5}},
        ),
        ("Prysm", "/eth/v1/beacon/states/11840399/pending_deposits", {"data": [{"amount": None}]}),
        ("Lighthouse", "/lighthouse/ui/validator_count", {"data": [1, 2]}),
        ("Lighthouse", "/lighthouse/ui/validator_count", {"data": {"active_ongoing": True}}),
        ("Lighthouse", "/lighthouse/validator_inclusion", {"data": "x"}),
        (
            "Lighthouse",
            "/lighthouse/validator_inclusion",
            {"data": {"current_epoch_active_gwei": "NaN"}},
        ),
    ],
)
def test_a_malformed_answer_of_any_kind_is_refused_and_nothing_is_stored(
    tmp_path, flavour, path, spoil
):
    lake = Lake(tmp_path)
    last = NOW // DAY_MS * DAY_MS
    with Server(Node(flavour).answer) as server:
        server.fault(path, Answer(200, json_answer(spoil).content, dated()))
        try:
            told = [one.reason for one in bring(lake, server.url, last - DAY_MS, last).refused]
        except RejectData as refused:
            told = [str(refused)]
        assert len(told) == 1
        assert not lake.datasets()
        assert not bring(lake, server.url, last - DAY_MS, last).refused
    assert lake.read_key(VALIDATORS).height == 1


@pytest.mark.parametrize("told", [{"data": {}}, {"data": None}, {"data": 7}, []])
def test_a_version_that_is_none_is_refused(tmp_path, told):
    reply = Answer(200, json_answer(told).content, dated())
    with Server(lambda _: reply) as server, pytest.raises(RejectData, match="/eth/v1/node/version"):
        bring(Lake(tmp_path), server.url, AFTER)
