"""The spool: downloads kept whole, refused files with their reason, the lock, and the ledger."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.layouts import DatasetKey
from counterpoise.sources.contract import Unit
from counterpoise.sources.spool import (
    LEDGER,
    LEFT,
    Left,
    Spool,
    Taken,
    load_ledger,
    load_left,
    save_ledger,
    save_left,
)

KEY = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")


def unit(name="binance/klines/ETHUSDT/1h/2024-05.zip", *, final=True):
    return Unit(name, KEY, 0, 3_600_000, final=final)


def below(folder: Path) -> list[str]:
    """Everything below a folder, folders included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "lake")


@pytest.mark.parametrize("final", [True, False])
def test_a_download_waits_until_it_is_dropped(spool, final):
    one = unit(final=final)
    with spool.held():
        assert not spool.has(one)
        spool.put(one, b"rows")
        assert spool.has(one)
        assert spool.get(one) == b"rows"
        assert not spool.has(unit(final=not final)), "windows that end and those that do not"
        spool.put(one, b"")
        assert spool.get(one) == b""
        spool.drop(one)
        assert not spool.has(one)
        spool.drop(one)
    assert not spool.lake.exists(), "nothing is left where nothing was fetched"


def test_what_waits_outlives_the_run(spool):
    with spool.held():
        spool.put(unit(), b"rows")
    assert below(spool.lake)[-1] == "spool/final/binance/klines/ETHUSDT/1h/2024-05.zip"
    again = Spool(spool.lake)
    with again.held():
        assert again.get(unit()) == b"rows"


def test_a_write_that_fails_keeps_what_was_there_and_leaves_nothing_half_written(spool):
    with spool.held():
        spool.put(unit(), b"rows")
        with pytest.raises(TypeError):
            spool.put(unit(), "no bytes")  # type: ignore[arg-type]
        assert spool.get(unit()) == b"rows"
        assert [name for name in below(spool.lake) if name.endswith(".tmp")] == []


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".hidden", "a b", "a\nb", "ä", "-a"]
)
def test_a_name_a_file_system_would_mind_is_a_defect(spool, name):
    with spool.held(), pytest.raises(ValueError, match="a unit named"):
        spool.put(unit(name), b"")
    assert not spool.lake.exists()


def test_a_refused_file_lies_apart_with_its_reason_until_it_was_read_after_all(spool):
    with spool.held():
        spool.put(unit(), b"bad rows")
        path = spool.quarantine(unit(), b"bad rows", "row 3, column close: got 'x'")
        assert not spool.has(unit())
        assert path.read_bytes() == b"bad rows"
        reason = path.with_name("2024-05.zip.reason.txt")
        assert reason.read_text() == "row 3, column close: got 'x'\n"
        spool.quarantine(unit(), b"worse rows", "row 2")
        assert (path.read_bytes(), reason.read_text()) == (b"worse rows", "row 2\n")
    folder = "quarantine/binance/klines/ETHUSDT/1h"
    assert [name for name in below(spool.lake) if name.startswith(f"{folder}/")] == [
        f"{folder}/2024-05.zip",
        f"{folder}/2024-05.zip.reason.txt",
    ]
    with spool.held():
        spool.release(unit())
        spool.release(unit())
    assert not any(spool.lake.rglob("*")), "no empty folder"


def test_windows_nobody_plans_any_more_are_forgotten_and_nothing_else(spool):
    kept, old, final = unit("a/new", final=False), unit("a/old", final=False), unit("a/old")
    with spool.held():
        for one in (kept, old, final):
            spool.put(one, b"rows")
        spool.forget_tails({kept.name: kept})
        assert (spool.has(kept), spool.has(old), spool.has(final)) == (True, False, True)


def test_a_second_fetch_is_kept_out_and_harms_nothing(spool):
    second = Spool(spool.lake)
    with spool.held():
        for _ in range(2):
            with pytest.raises(RetryLater, match="being fetched into by another process") as busy:
                second.held().__enter__()
            assert busy.value.exit_code == 6
        assert (spool.lake / "spool").is_dir(), "the folder the lock is on"
        (spool.lake / "spool" / "final" / "about-to-be-used").mkdir(parents=True)
        with pytest.raises(RetryLater):
            second.held().__enter__()
        assert (spool.lake / "spool" / "final" / "about-to-be-used").is_dir()
        spool.put(unit(), b"rows")
    with second.held():
        assert second.get(unit()) == b"rows"


def test_the_lock_is_free_again_after_a_run_that_failed(spool):
    with spool.held():
        spool.put(unit(), b"rows")
    with pytest.raises(ValueError, match="a unit named"), spool.held():
        spool.get(unit(".."))
    with spool.held():
        assert spool.has(unit())


def test_folders_that_were_there_before_stay(tmp_path):
    lake = tmp_path / "mine" / "lake"
    lake.mkdir(parents=True)
    with Spool(lake).held():
        pass
    assert lake.is_dir()
    assert below(lake) == []
    with Spool(tmp_path / "new" / "deep" / "lake").held():
        assert (tmp_path / "new" / "deep" / "lake" / "spool").is_dir()
    assert not (tmp_path / "new").exists()


def test_a_file_where_the_lake_should_be_is_a_setting_to_mend(tmp_path):
    (tmp_path / "lake").write_text("mine")
    with pytest.raises(FixConfig, match="lake = "):
        Spool(tmp_path / "lake").held().__enter__()
    assert (tmp_path / "lake").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_setting_to_mend(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(FixConfig, match="Permission denied"):
            Spool(tmp_path / "lake").held().__enter__()
    finally:
        tmp_path.chmod(0o700)


Names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.,=:+-]{0,9}(/[a-z0-9]{1,6}){0,3}", fullmatch=True)
Takens = st.builds(
    Taken, st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.integers(0, 1 << 40)
)


@settings(max_examples=40)
@given(units=st.dictionaries(Names, Takens, max_size=8))
def test_the_ledger_says_what_was_put_into_it_whatever_the_order(units, tmp_path_factory):
    lake = tmp_path_factory.mktemp("lake")
    save_ledger(lake, units)
    assert load_ledger(lake) == units
    written = (lake / LEDGER).read_bytes()
    save_ledger(lake, dict(reversed(units.items())))
    assert (lake / LEDGER).read_bytes() == written
    assert below(lake) == [LEDGER]


def test_without_a_ledger_nothing_is_known(tmp_path):
    assert load_ledger(tmp_path) == {}
    assert load_ledger(tmp_path / "no lake") == {}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"units": []}',
        b'{"units": {"a": 1}}',
        b'{"units": {"a": {"rows": 1}}}',
        b'{"units": {"a": {"rows": 1, "sha256": null, "more": 1}}}',
        b'{"units": {"a": {"rows": "1", "sha256": null}}}',
        b'{"units": {"a": {"rows": 1, "sha256": 7}}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_ledger_is_refused_with_what_to_do(tmp_path, damage):
    (tmp_path / LEDGER).write_bytes(damage)
    with pytest.raises(RejectData, match="remove the file: everything is then") as refused:
        load_ledger(tmp_path)
    assert str(tmp_path / LEDGER) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (tmp_path / LEDGER).read_bytes() == damage


@settings(max_examples=40)
@given(
    units=st.dictionaries(
        Names,
        st.builds(
            Left,
            st.sampled_from([KEY, DatasetKey("funding", "binance", "ETHUSDT", "8h")]),
            st.integers(0, 1 << 42),
            st.integers(0, 1 << 42),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_was_left_is_noted_until_nothing_is(units, tmp_path_factory):
    lake = tmp_path_factory.mktemp("lake")
    save_left(lake, units)
    assert load_left(lake) == units
    save_left(lake, {})
    assert load_left(lake) == {}
    assert below(lake) == []


@pytest.mark.parametrize(
    "damage",
    [b"", b"{}", b'{"units": {"a": 1}}', b'{"units": {"a": {"key": {}}}}', b'{"units": [1]}'],
)
def test_a_damaged_note_is_refused_with_what_to_do(tmp_path, damage):
    (tmp_path / LEFT).write_bytes(damage)
    with pytest.raises(RejectData, match="remove the file, and fetch the whole history once"):
        load_left(tmp_path)


def test_what_was_left_of_a_day_is_within_its_month_and_in_no_other_dataset():
    day = Left(KEY, 10, 20)
    assert day.within(Unit("a/b", KEY, 0, 20, final=True))
    assert not day.within(Unit("a/b", KEY, 0, 19, final=True))
    assert not day.within(
        Unit("a/b", DatasetKey("spot_bars", "binance", "ETHUSDT", "1h"), 0, 20, final=True)
    )
