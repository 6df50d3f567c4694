"""The doctor refuses what must not trade, names the fix, and shows no secret.

The account's facts come over a real connection from a venue that verifies signatures.
"""

import asyncio
import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.cli import run_command
from counterpoise.config import Settings
from counterpoise.errors import FixConfig
from counterpoise.execution.records import Mode
from counterpoise.journal.store import Journal
from counterpoise.journal.tables import Run
from counterpoise.trading.binance_rest import Endpoints
from counterpoise.trading.doctor import examine, refuse_unfit
from counterpoise.trading.doctor_margin import margin_findings
from counterpoise.trading.facts import Facts, HomeFacts, Unknown, gather_account, gather_home
from counterpoise.venues.binance import USD_M
from tests.trading.venue import KEY, SECRET, Venue, credentials
from tests.watch.test_alerts import Receiver

HOME = HomeFacts(free_bytes=5e10, journal=None, stale=(), exposure_eth=100.0, alert_addresses=1)
RUN = Run(1, "run-1", "paper", "binance", "ETHUSDT", "0" * 16, "1", "0" * 16)


@pytest.fixture
def venue():
    with Venue() as one:
        yield one


def facts_of(venue, settings=None, keys=None, home=HOME) -> Facts:
    account = gather_account(settings or Settings(), venue.endpoints, keys or credentials())
    return Facts(home, asyncio.run(account))


def found(venue, settings=None, keys=None, home=HOME):
    return examine(facts_of(venue, settings, keys, home), settings or Settings())


def of(findings, check):
    return next(one for one in findings if one.check == check)


def refusal(findings) -> str:
    with pytest.raises(FixConfig) as refused:
        refuse_unfit(findings)
    said = str(refused.value)
    assert KEY not in said
    assert SECRET not in said
    assert "signature" not in said.lower().replace("signature for this request is not valid", "")
    return said


def test_a_fit_account_passes_every_check(venue):
    findings = found(venue)
    assert {one.status for one in findings} == {"OK"}, findings
    assert [one.check for one in findings] == [
        *("venue", "state folder", "journal", "lake", "exposure", "alerts"),
        *("connection", "clock", "websocket", "symbol", "key", "rights", "position mode"),
        *("filters", "margin type", "multi-assets mode", "brackets", "fees"),
        *("leverage allowed", "leverage set", "margin"),
    ]
    refuse_unfit(findings)


def test_a_wrong_key_is_refused(venue):
    said = refusal(found(venue, keys=credentials("another-key-000000")))
    assert said.startswith("key = ")
    assert "-2015" in said
    assert "counterpoise doctor" in said or "api-management" in said


def test_a_wrong_secret_is_refused(venue):
    said = refusal(found(venue, keys=credentials(KEY, "another-secret-000000")))
    assert said.startswith("key = ")
    assert "-1022" in said


def test_no_key_is_refused_with_how_to_set_one(venue):
    said = refusal(found(venue, keys=Unknown("no key. Next: export BINANCE_API_KEY=….")))
    assert "export BINANCE_API_KEY" in said


def test_wrong_permissions_are_refused(venue):
    venue.may_trade = False
    venue.rights["enableFutures"] = False
    said = refusal(found(venue))
    assert "futures are not enabled" in said
    assert "api-management: edit the key, Enable Futures" in said


def test_a_key_of_before_the_futures_account_is_refused(venue):
    venue.may_trade = False
    assert "must be made again" in refusal(found(venue))


def test_a_key_that_may_withdraw_is_refused(venue):
    venue.rights["enableWithdrawals"] = True
    assert "untick Enable Withdrawals" in refusal(found(venue))


def test_a_key_without_an_address_or_transfers_is_told(venue):
    venue.rights |= {"ipRestrict": False, "permitsUniversalTransfer": False}
    findings = found(venue)
    assert of(findings, "IP restriction").status == "WARN"
    assert of(findings, "transfers").status == "WARN"
    refuse_unfit(findings)


@pytest.mark.parametrize(("skew_ms", "status"), [(2300, "FAIL"), (-2300, "FAIL"), (1300, "WARN")])
def test_a_clock_that_is_off_is_told_or_refused(venue, skew_ms, status):
    venue.skew_ms = skew_ms
    findings = found(venue)
    clock = of(findings, "clock")
    assert clock.status == status
    assert "timedatectl set-ntp true" in clock.fix
    if status == "FAIL":
        assert refusal(findings).startswith("clock = ")
        assert findings[-1].check == "clock"
    else:
        assert of(findings, "key").status == "OK"  # signed with the corrected time


def test_a_symbol_that_does_not_trade_is_refused(venue):
    venue.status = "SETTLING"
    said = refusal(found(venue))
    assert "ETHUSDT is SETTLING" in said
    assert "wait until the venue trades it again" in said


def test_hedge_mode_is_refused(venue):
    venue.hedge_mode = True
    said = refusal(found(venue))
    assert "hedge mode" in said
    assert "Position Mode, One-way Mode" in said


def test_a_bracket_that_is_too_small_is_refused(venue):
    venue.tiers = [(50_000, 0.004, 125, 0), (250_000, 0.5, 2, 0)]
    said = refusal(found(venue))
    assert "no more than 250,000 USD" in said
    assert "2x at 300,000 USD" in said
    assert "lower hedge.max_ratio" in said


def test_the_largest_hedge_is_what_max_ratio_allows(venue):
    venue.tiers = [(200_000, 0.004, 125, 0)]
    assert of(found(venue), "leverage allowed").status == "FAIL"
    half = Settings.model_validate({"hedge": {"max_ratio": 0.5, "base_ratio": 0.5}})
    assert of(found(venue, half), "leverage allowed").status == "OK"


def test_leverage_that_allows_too_little_is_refused(venue):
    venue.leverage = 110
    said = refusal(found(venue))
    assert "110x, up to 50,000 USD" in said
    assert "set it to 3x" in said


def test_leverage_below_what_is_meant_is_told(venue):
    venue.leverage = 2
    assert of(found(venue), "leverage set").status == "WARN"
    venue.tiers = [(500_000, 0.4, 1, 0)]
    assert "set capital.leverage to 1" in of(found(venue), "leverage allowed").fix


def test_insufficient_margin_is_refused_with_the_sum_that_is_missing(venue):
    venue.equity = 30_000.0
    said = refusal(found(venue))
    assert "30,000 USD" in said
    assert "at least 80,000 USD for 0.8 of 300,000 USD at 3x" in said
    assert "transfer USDT of at least 50,000 USD" in said
    venue.equity = 100_000.0
    assert of(found(venue), "margin").status == "WARN"


@pytest.mark.parametrize(
    "changes",
    [{"symbol": "ETHBTC"}, {"venue": "dydx"}, {"mode": "live"}],
)
def test_the_journal_of_another_configuration_is_refused(venue, changes):
    home = replace(HOME, journal=replace(RUN, **changes))
    said = refusal(found(venue, home=home))
    assert said.startswith("journal = ")
    assert next(iter(changes.values())) in said
    assert "set run.state" in said


def test_settings_of_another_venue_are_refused(venue):
    settings = Settings.model_validate({"venue": {"names": ["dydx"], "symbol": "ETH-USD"}})
    assert "set venue.names = ['binance']" in refusal(found(venue, settings))
    settings = Settings.model_validate({"venue": {"symbol": "ETH-USD"}})
    venue.listed = False
    said = refusal(found(venue, settings))
    assert "ETH-USD is not listed at Binance USD-M" in said


def test_a_coarser_grid_of_the_venue_is_refused_and_a_finer_one_told(venue):
    venue.tick = "0.10"
    assert "tick 0.1 USD: expected" in refusal(found(venue)).replace("'", "")
    venue.tick = "0.001"
    assert of(found(venue), "filters").status == "WARN"


def test_other_brackets_and_fees_are_named(venue):
    venue.tiers[0] = (50_000, 0.005, 100, 0)
    venue.maker = "0.000300"
    findings = found(venue)
    assert "up to 50,000: 0.500% and 100x (ours 0.400% and 125x)" in of(findings, "brackets").found
    assert of(findings, "fees").status == "WARN"
    assert "maker 0.0300%" in of(findings, "fees").found
    venue.maker = "0.000100"
    assert of(found(venue), "fees").status == "OK"


@pytest.mark.parametrize(
    ("collateral", "multi", "isolated", "check", "status"),
    [
        ("eth", False, False, "multi-assets mode", "FAIL"),
        ("eth", True, False, "multi-assets mode", "OK"),
        ("eth", True, True, "margin type", "FAIL"),
        ("usdt", True, False, "multi-assets mode", "WARN"),
        ("usdt", False, True, "margin type", "WARN"),
        ("coin-margined", False, False, "multi-assets mode", "FAIL"),
    ],
)
def test_collateral_and_the_accounts_modes_agree(venue, collateral, multi, isolated, check, status):
    venue.multi_assets, venue.isolated = multi, isolated
    settings = Settings.model_validate({"capital": {"collateral": collateral}})
    assert of(found(venue, settings), check).status == status


def test_a_venue_that_does_not_answer_is_refused():
    nobody = Endpoints("http://127.0.0.1:9", "http://127.0.0.1:9", "ws://127.0.0.1:9")
    account = asyncio.run(gather_account(Settings(), nobody, credentials()))
    said = refusal(examine(Facts(HOME, account), Settings()))
    assert said.startswith("connection = ")
    assert "check the network" in said


def test_a_websocket_that_is_silent_is_refused(venue):
    venue.endpoints = replace(venue.endpoints, stream="ws://127.0.0.1:9")
    assert "allow websockets to that host" in refusal(found(venue))


@pytest.mark.parametrize(
    ("changes", "check", "status", "fix"),
    [
        ({"free_bytes": 1e8}, "state folder", "FAIL", "df -h"),
        ({"free_bytes": 1e9}, "state folder", "WARN", "df -h"),
        ({"free_bytes": Unknown("read-only")}, "state folder", "FAIL", "mkdir -p"),
        ({"journal": Unknown("locked. Next: unlock it.")}, "journal", "FAIL", "unlock it"),
        ({"stale": ("gas eth",)}, "lake", "WARN", "counterpoise update"),
        ({"stale": Unknown("no lake. Next: make one.")}, "lake", "FAIL", "make one"),
        ({"exposure_eth": Unknown("none. Next: hold some.")}, "exposure", "FAIL", "hold some"),
        ({"alert_addresses": 0}, "alerts", "WARN", "ALERT_URLS"),
    ],
)
def test_this_machine_is_judged_too(changes, check, status, fix):
    findings = examine(Facts(replace(HOME, **changes), None), Settings())
    assert of(findings, check).status == status
    assert fix in of(findings, check).fix


def test_the_first_failure_is_told_and_the_others_counted():
    home = replace(HOME, free_bytes=1.0, exposure_eth=Unknown("none"))
    with pytest.raises(FixConfig, match=r"state folder.*\(1 more: counterpoise doctor\)"):
        refuse_unfit(examine(Facts(home, None), Settings()))


@given(st.floats(1, 1e5), st.floats(0, 1e7), st.integers(1, 125), st.floats(1.0, 50.0))
def test_more_exposure_never_makes_an_account_fit(venue_facts, exposure, equity, set_to, leverage):
    """Whatever the account: what is refused for an exposure is refused for twice of it."""
    capital = {"leverage": leverage, "leverage_max": leverage + 1}
    settings = Settings.model_validate({"capital": capital, "risk": {"keep_alive": 0.0}})
    most = max(tier.cap for tier in USD_M.tiers if tier.max_leverage >= set_to)
    account = replace(
        venue_facts,
        wallet=replace(venue_facts.wallet, equity_usd=equity),
        setting=replace(venue_facts.setting, leverage=set_to, max_notional=most),
    )
    rank = {"OK": 0, "WARN": 1, "FAIL": 2}
    once, twice = (
        {one.check: rank[one.status] for one in margin_findings(account, settings, eth)}
        for eth in (exposure, 2 * exposure)
    )
    assert all(twice[check] >= once[check] for check in once)


@pytest.fixture(scope="module")
def venue_facts():
    with Venue() as one:
        return facts_of(one).account


@pytest.fixture
def at_home(tmp_path, monkeypatch, generated_lake):
    """A folder with a configuration, and no keys around."""
    for name in os.environ:
        if name.startswith(("BINANCE_", "ALERT_", "COUNTERPOISE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterpoise.toml").write_text(
        f'lake = "{generated_lake.path}"\n[exposure]\neth = 100.0\n'
    )
    return tmp_path


def test_the_command_examines_all_and_exits_by_what_it_found(venue, at_home, monkeypatch, capfd):
    monkeypatch.setenv("BINANCE_TESTNET_API_KEY", KEY)
    monkeypatch.setenv("BINANCE_TESTNET_API_SECRET", SECRET)
    command = ["doctor", "--json", "--url", venue.endpoints.rest]
    assert run_command(command) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["fit"] is True
    status = {one["check"]: one["status"] for one in told["findings"]}
    assert status["lake"] == "WARN"  # what was generated ends long ago
    assert status["exposure"] == status["margin"] == "OK"
    assert (at_home / "state").is_dir()
    assert list((at_home / "state").iterdir()) == []
    venue.hedge_mode = True
    assert run_command(command[:1] + command[2:]) == 3
    said = capfd.readouterr().out
    assert "FAIL position mode" in said
    assert "fix: close all positions and orders" in said
    assert "Not fit to trade: 1 to mend" in said
    assert SECRET not in said


def test_the_command_says_how_to_set_a_key(venue, at_home, capfd):
    assert run_command(["doctor", "--url", venue.endpoints.rest]) == 3
    assert "export BINANCE_TESTNET_API_KEY" in capfd.readouterr().out


def test_paper_mode_alone_asks_no_venue(at_home, capfd):
    assert run_command(["doctor"]) == 0
    assert "paper mode brings its own venue" in capfd.readouterr().out


def test_an_address_is_refused_where_the_venue_is_known(at_home, capfd):
    (at_home / "counterpoise.toml").write_text('[run]\nmode = "live"')
    assert run_command(["doctor", "--url", "http://127.0.0.1:9"]) == 3
    assert "leave it out" in capfd.readouterr().err


def test_a_test_alert_is_sent_and_said_to_have_arrived(at_home, monkeypatch, capfd):
    receiver = Receiver()
    monkeypatch.setenv("ALERT_URLS", receiver.address.reveal())
    assert run_command(["doctor", "--alert"]) == 0
    assert "test alert    1 messages delivered" in capfd.readouterr().out
    assert [one["title"] for one in receiver.got] == ["counterpoise INFO: test"]
    receiver.server.shutdown()
    receiver.server.server_close()
    (at_home / "counterpoise.toml").write_text(
        (at_home / "counterpoise.toml").read_text() + "[alerts]\nattempts = 1\n"
    )
    assert run_command(["doctor", "--alert"]) == 3
    said = capfd.readouterr().out
    assert "FAIL test alert" in said
    assert receiver.address.reveal().rpartition("/")[2] not in said


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1", "http://", "http://a b"])
def test_an_address_that_is_none_is_refused(at_home, capfd, url):
    assert run_command(["doctor", "--url", url]) == 3
    assert "an address such as" in capfd.readouterr().err


def test_the_last_run_of_the_journal_is_a_fact(at_home):
    settings = Settings.model_validate({"run": {"state": at_home}})
    assert gather_home(settings).journal is None
    with Journal.open(at_home / "journal.sqlite", run=RUN) as journal:
        journal.commit([Mode(2, "halt", "ops", "why")])
        assert gather_home(settings).journal == RUN
    other = settings.model_copy(
        update={"venue": settings.venue.model_copy(update={"symbol": "ETHUSDC"})}
    )
    findings = examine(Facts(gather_home(other), None), other)
    assert of(findings, "journal").status == "FAIL"


def test_a_state_folder_that_cannot_be_written_is_a_fact(at_home):
    (at_home / "state").write_text("a file")
    settings = Settings.model_validate({"run": {"state": at_home / "state"}})
    assert isinstance(gather_home(settings).free_bytes, Unknown)
