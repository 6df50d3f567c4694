"""A run loads as it was saved or says why not: damage, change, age, kills and rivals included."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as tensor_bytes

from counterpoise.errors import FixConfig, NotEnoughData, RejectData
from counterpoise.features.catalog import FEATURES as CATALOG
from counterpoise.features.fingerprint import fingerprint
from counterpoise.signals import store
from counterpoise.signals.bundle import Bundle, Member, Part
from tests.signals.bundles import FEATURES, NOW, alone, bundle


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved run nobody writes to."""
    return store.save(tmp_path_factory.mktemp("store"), bundle())


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(saved, tmp_path / saved.name))


def load(folder: Path, features: tuple[str, ...] = FEATURES, now: datetime = NOW) -> Bundle:
    return store.load(folder, features=features, now=now)


def reseal(folder: Path, **changed: object) -> None:
    """Rewrite part of a manifest with a seal that holds: not damage, but another content."""
    file = folder / "manifest.json"
    content = json.loads(file.read_text())["content"] | changed
    rewrite(file, 1, content)


def rewrite(file: Path, form: int, content: dict[str, Any]) -> None:
    def text(value: object) -> str:
        return json.dumps(value, indent=1, sort_keys=True)

    seal = hashlib.sha256(text(content).encode()).hexdigest()
    file.write_text(text({"format": form, "seal": seal, "content": content}) + "\n")


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Put another file in, manifest and all: what a faulty writer would leave."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text())["content"]["files"]
    files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    reseal(folder, files=files)


def test_a_run_comes_back_as_it_was_saved(saved: Path) -> None:
    before, after = bundle(), load(saved)
    for field in fields(Bundle):
        if field.name not in {"tensors", "metrics"}:
            assert getattr(after, field.name) == getattr(before, field.name), field.name
    assert after.metrics["auc"] == 0.54
    assert np.isnan(after.metrics["unknown"])
    assert after.tensors.keys() == before.tensors.keys()
    for group, arrays in before.tensors.items():
        for name, values in arrays.items():
            back = after.tensors[group][name]
            assert back.dtype == values.dtype
            assert back.shape == values.shape
            assert back.tobytes() == values.tobytes(), (group, name)


def test_nothing_on_disk_can_execute(saved: Path) -> None:
    assert {file.suffix for file in saved.iterdir()} == {".json", ".txt", ".safetensors"}
    for file in saved.glob("*.safetensors"):
        length = int.from_bytes(file.read_bytes()[:8], "little")
        assert isinstance(json.loads(file.read_bytes()[8 : 8 + length]), dict)


@pytest.mark.parametrize(
    "values",
    [np.arange(12.0).reshape(3, 4).T, np.arange(10.0)[::-2], np.arange(3, dtype=">f8"), np.eye(2)],
    ids=["transposed", "strided", "big-endian", "plain"],
)
def test_arrays_come_back_whatever_their_layout(values: np.ndarray, tmp_path: Path) -> None:
    path = store.save(tmp_path, bundle(tensors=bundle().tensors | {"w": {"w": values}}))
    assert np.array_equal(load(path).tensors["w"]["w"], values)


def test_every_flipped_bit_of_the_manifest_is_noticed(run: Path) -> None:
    file = run / "manifest.json"
    whole = file.read_bytes()
    for i in range(len(whole)):
        broken = bytearray(whole)
        broken[i] ^= 1 << (i % 8)
        file.write_bytes(broken)
        with pytest.raises(RejectData, match=r"manifest\.json"):
            load(run)
    file.write_bytes(whole)
    assert load(run).run == "run-1"


def test_flipped_bits_of_every_other_file_are_noticed(run: Path) -> None:
    rng = np.random.default_rng(0)
    names = sorted(file.name for file in run.iterdir() if file.name != "manifest.json")
    assert len(names) == 9
    for name in names:
        whole = (run / name).read_bytes()
        for bit in rng.integers(0, 8 * len(whole), 40):
            broken = bytearray(whole)
            broken[bit // 8] ^= 1 << (bit % 8)
            (run / name).write_bytes(broken)
            with pytest.raises(RejectData, match=rf"{name}: .*as saved.*Next: "):
                load(run)
        (run / name).write_bytes(whole)
    assert load(run).run == "run-1"


@pytest.mark.parametrize("name", ["manifest.json", "up.txt", "har.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "longer", "folder"])
def test_a_damaged_file_is_named_with_the_next_step(run: Path, name: str, damage: str) -> None:
    file = run / name
    whole = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes({"empty": b"", "cut": whole[:-9], "longer": whole + b" "}[damage])
    with pytest.raises(RejectData, match=rf"{name}: .*Next: train and save a new run, or restore"):
        load(run)


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"7",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": NaN}',
        b"null",
    ],
)
def test_a_manifest_that_is_none_is_refused(run: Path, text: bytes) -> None:
    (run / "manifest.json").write_bytes(text)
    with pytest.raises(RejectData, match="manifest"):
        load(run)


def test_a_manifest_laid_out_anew_is_refused(run: Path) -> None:
    file = run / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text())))
    with pytest.raises(RejectData, match=r"seal: .*a manifest is not edited"):
        load(run)


def test_a_newer_format_asks_for_a_newer_program(run: Path) -> None:
    rewrite(run / "manifest.json", 2, {"anything": "else"})
    with pytest.raises(RejectData, match=r"format: got 2, expected 1 or less\. Next: update"):
        load(run)


def test_other_features_are_refused_by_the_first_that_differs(saved: Path) -> None:
    other = ("return_1h", "log_rv_24h", "basis", "hour_sin", "funding_last")
    with pytest.raises(RejectData, match="feature 3: got 'funding_last', expected 'hour_sin'"):
        load(saved, other)
    with pytest.raises(RejectData, match="features: got 5, expected the 4 asked for"):
        load(saved, FEATURES[:4])
    with pytest.raises(RejectData, match="features: got 5, expected the 6 asked for"):
        load(saved, (*FEATURES, "hour_cos"))


def test_a_feature_of_another_formula_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(CATALOG["basis"], formula="perp / spot")
    monkeypatch.setitem(CATALOG._items, "basis", changed)
    with pytest.raises(RejectData, match=r"feature basis: .*which has changed since the training"):
        load(saved)


def test_a_feature_that_is_gone_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CATALOG._items, "basis")
    with pytest.raises(RejectData, match="feature basis"):
        load(saved)


def test_an_expired_run_is_refused_from_that_moment_on(saved: Path) -> None:
    expires = bundle().expires
    assert load(saved, now=expires - timedelta(microseconds=1)).run == "run-1"
    with pytest.raises(RejectData, match=r"expires: got '2024-07-16.*Next: train and save a new"):
        load(saved, now=expires)


def test_a_run_that_has_seen_the_future_is_refused(saved: Path) -> None:
    ended = bundle().trained_to
    assert load(saved, now=ended).run == "run-1"
    with pytest.raises(RejectData, match=r"trained_to: .*Next: take an older run"):
        load(saved, now=ended - timedelta(hours=1))


def test_a_time_without_a_zone_is_refused(saved: Path) -> None:
    with pytest.raises(FixConfig, match=r"now = .*time zone"):
        load(saved, now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("trained", ["3.9.1", "40.0.0"])
def test_another_major_version_of_lightgbm_is_refused(run: Path, trained: str) -> None:
    reseal(run, libraries={"lightgbm": trained})
    with pytest.raises(RejectData, match=rf"lightgbm: .*Next: install lightgbm {trained}, or"):
        load(run)


def test_an_unknown_version_of_lightgbm_is_refused(run: Path) -> None:
    reseal(run, libraries={})
    with pytest.raises(RejectData, match=r"libraries\.lightgbm: got 'unknown'"):
        load(run)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(run: Path, value: float) -> None:
    spoilt = dict(bundle().tensors["har"]) | {"weights": np.array([1.0, value])}
    replace_file(run, "har.safetensors", tensor_bytes(spoilt))
    with pytest.raises(RejectData, match=r"tensors\.har\.weights .*expected finite numbers"):
        load(run)
    with pytest.raises(FixConfig, match=r"tensors\.har\.weights"):
        bundle(tensors={"har": spoilt})


def test_a_tree_that_is_no_number_is_refused(run: Path) -> None:
    text = (run / "up.txt").read_text().replace("leaf_value=", "leaf_value=nan ", 1)
    replace_file(run, "up.txt", text.encode())
    with pytest.raises(RejectData, match="leaf_value"):
        load(run)


@pytest.mark.parametrize(("name", "content"), [("up.txt", b"\xff"), ("har.safetensors", b"junk")])
def test_a_file_of_another_kind_is_refused(run: Path, name: str, content: bytes) -> None:
    replace_file(run, name, content)
    with pytest.raises(RejectData, match=rf"{name}: .*unreadable"):
        load(run)


@pytest.mark.parametrize("name", ["../up.txt", "/etc/passwd", "up.pickle", ".txt"])
def test_a_file_outside_the_run_is_refused(run: Path, name: str) -> None:
    content = json.loads((run / "manifest.json").read_text())["content"]
    reseal(run, files=content["files"] | {name: {"bytes": 1, "sha256": "0"}})
    with pytest.raises(RejectData, match="files: got"):
        load(run)


@pytest.mark.parametrize(
    "changed",
    [
        {"expires": "soon"},
        {"targets": [{"name": "x"}]},
        {"features_sha256": "0"},
        {"data_sha256": "no"},
        {"extra": 1},
        {"targets": []},
        {"run": "run-2"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_manifest_of_wrong_fields_is_refused(run: Path, changed: dict[str, object]) -> None:
    reseal(run, **changed)
    with pytest.raises(RejectData, match=rf"{next(iter(changed))}.*Next: "):
        load(run)


ONE = Part(("linear.har",))


def only(part: Part, **changed: object) -> dict[str, object]:
    return {"targets": (replace(alone("a", 4, part), **changed),)}  # type: ignore[arg-type]


def spoilt(group: str, **arrays: np.ndarray) -> dict[str, object]:
    whole = bundle().tensors
    return only(ONE) | {"tensors": dict(whole) | {group: dict(whole[group]) | arrays}}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"run": "../up"}, "name"),
        ({"texts": {"Up": "x"}}, "name"),
        ({"targets": ()}, "targets"),
        ({"targets": (alone("a", 4, ONE),) * 2}, "targets"),
        ({"targets": (alone("a/b", 4, ONE),)}, "target name"),
        (only(Part(("trees.none",))), "part"),
        (only(Part(("linear.lstm",))), "part"),
        (only(Part(("lstm.x",))), "part"),
        (only(Part(("lstm.2",))), "part"),
        (only(Part()), "part"),
        (only(Part(offset="hour_cos", factor=1.0)), "offset"),
        (only(Part(offset="basis", factor=np.inf)), "factor"),
        (only(Part(("linear.har",), "log")), "link"),  # type: ignore[arg-type]
        (only(ONE, members=(Member("m", -0.1, (ONE,)),)), "weight"),
        (only(ONE, members=(Member("m", np.nan, (ONE,)),)), "weight"),
        (only(ONE, members=(Member("m", 1.0, ()),)), "parts"),
        (only(ONE, members=(Member("m", 1.0, (ONE,)),) * 2), "members"),
        (only(ONE, members=()), "members"),
        (only(ONE, horizon_h=0), "horizon_h"),
        (only(ONE, output="odds"), "output"),
        (only(ONE, bounds="none"), "bounds"),
        (only(ONE, calibrator="up_calibrator"), "calibrator"),
        (only(ONE, output="probability", calibrator="lstm"), "calibrator"),
        ({"features": FEATURES[:4]}, "models"),
        ({"features": ("basis", "basis")}, "features"),
        ({"features": ("bassis",)}, "feature = 'bassis'"),
        ({"expires": NOW - timedelta(days=3)}, "expires"),
        ({"created_at": NOW.replace(tzinfo=None)}, "created_at"),
        ({"data_sha256": "AB" * 32}, "data_sha256"),
        (spoilt("har", mean=np.ones(3)), "tensors.har"),
        (spoilt("har", by=np.array([9])), "tensors.har.by"),
        (spoilt("har", first=np.array([0, 1])), "tensors.har.first"),
        (spoilt("har", columns=np.array([1, 5])), "tensors.har.columns"),
        (spoilt("har", weights=np.array(["x", "y"])), "tensors"),
        (spoilt("lstm", columns=np.array([0, 3, 4])), "networks of one shape"),
        (spoilt("lstm", columns=np.array([0, 9])), "columns"),
        (spoilt("lstm-1", shape=np.array([1])), "the arrays of a network"),
    ],
)
def test_a_bundle_that_could_not_be_used_is_not_made(changed: dict[str, object], told: str) -> None:
    with pytest.raises(FixConfig, match=told):
        bundle(**changed)


def test_a_run_is_never_written_over(saved: Path) -> None:
    before = {file.name: file.read_bytes() for file in saved.iterdir()}
    with pytest.raises(FixConfig, match=r"run = 'run-1'.*Next: choose another name"):
        store.save(saved.parent, bundle(metrics={}))
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["run-1"]


def test_a_store_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FixConfig, match="a folder that can be written"):
        store.save(tmp_path / "file", bundle())


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FixConfig, match="No space left"):
        store.save(tmp_path, bundle())
    assert list(tmp_path.iterdir()) == []


def test_runs_are_listed_from_oldest_to_newest(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="holds no trained models"):
        store.newest(tmp_path / "models")
    for run, days in (("b", 3), ("c", 1), ("a", 2)):
        store.save(tmp_path, bundle(run, created_at=NOW - timedelta(days=days)))
    (tmp_path / "0123abcd.txt").write_text("a cached model beside the runs")
    runs = store.list_runs(tmp_path)
    assert [run.path.name for run in runs] == ["b", "a", "c"]
    assert runs[0].expires == bundle().expires
    assert store.newest(tmp_path) == tmp_path / "c"
    (tmp_path / "a" / "manifest.json").write_text("{")
    with pytest.raises(RejectData, match=r"a/manifest\.json"):
        store.newest(tmp_path)


def test_what_killed_writers_left_is_swept_away_a_day_later(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".saving-old", tmp_path / ".saving-fresh"
    for left in (old, fresh):
        left.mkdir()
        (left / "up.txt").write_text("half")
    os.utime(old, (time.time() - 90_000,) * 2)
    store.save(tmp_path, bundle())
    assert not old.exists()
    assert fresh.exists()


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from counterpoise.signals.store import save
from tests.signals.bundles import bundle
store = Path(sys.argv[1])
begin = time.monotonic()
save(store, bundle("run-first"))
reach = 2.0 * (time.monotonic() - begin)
random.seed(7)
whole, left = [], []
# Kills land within a save or two, however slow the disk is; a few of each kind are wanted.
for attempt in range(200):
    child = os.fork()
    if child == 0:
        for i in range(1000):
            save(store, bundle(f"run-{attempt}-{i}"))
    time.sleep(random.uniform(0.0, reach))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = len(list(store.glob("run-*")))
    reach *= 0.8 if found > len(whole) + 1 else 1.1
    whole, left = list(store.glob("run-*")), list(store.glob(".saving-*"))
    if min(len(whole), len(left)) >= 8 and attempt >= 20:
        break
"""

RIVALS = """
import os, sys
from pathlib import Path
from counterpoise.errors import FixConfig
from counterpoise.signals.store import save
from tests.signals.bundles import bundle, text
import numpy as np
store = Path(sys.argv[1])
texts = {seed: dict(bundle().texts, up=text("binary", seed)) for seed in (11, 12)}
for seed in texts:
    if os.fork() == 0:
        won = 0
        for i in range(30):
            arrays = dict(bundle().tensors, tag={"tag": np.full(50_000, seed)})
            try:
                save(store, bundle(f"run-{i}", texts=texts[seed], tensors=arrays,
                                   metrics={"tag": seed}))
                won += 1
            except FixConfig:
                pass
        (store / f"{seed}.won").write_text(str(won))
        os._exit(0)
for _ in texts:
    assert os.wait()[1] == 0
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can fork")


def process(code: str, folder: Path) -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", code, str(folder)]
    subprocess.run(command, check=True, env=environment, timeout=300)


@forks
def test_a_writer_killed_at_any_moment_leaves_nothing_that_loads_in_part(tmp_path: Path) -> None:
    process(KILLED, tmp_path)
    whole = [path for path in tmp_path.iterdir() if not path.name.startswith(".saving-")]
    assert len(whole) >= 8
    for path in whole:
        assert load(path).run == path.name
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".saving-")]
    assert len(left) >= 8  # the kills did hit writers at work
    for path in left:
        with pytest.raises(RejectData):
            load(path)
    assert len(store.list_runs(tmp_path)) == len(whole)


@forks
def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    process(RIVALS, tmp_path)
    won = dict.fromkeys((11, 12), 0)
    runs = store.list_runs(tmp_path)
    assert len(runs) == 30
    for run in runs:
        both = load(run.path)
        seed = int(both.metrics["tag"])
        won[seed] += 1
        assert (both.tensors["tag"]["tag"] == seed).all()
        assert f"[seed: {seed}]" in both.texts["up"]
    assert {seed: int((tmp_path / f"{seed}.won").read_text()) for seed in won} == won
    assert not list(tmp_path.glob(".saving-*"))


def test_a_fingerprint_follows_the_meaning_not_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = CATALOG["log_rv_24h"]
    before = {name: fingerprint(name) for name in CATALOG}
    assert len(set(before.values())) == len(before)
    for changed in (
        replace(entry, formula="another"),
        replace(entry, inputs=("spot.close",)),
        replace(entry, memory=replace(entry.memory, ring=25)),
        replace(entry, update=CATALOG["downside_share_24h"].update),
    ):
        monkeypatch.setitem(CATALOG._items, "log_rv_24h", changed)
        assert fingerprint("log_rv_24h") != before["log_rv_24h"]
    monkeypatch.setitem(CATALOG._items, "log_rv_24h", replace(entry, pitfall="said in other words"))
    assert fingerprint("log_rv_24h") == before["log_rv_24h"]
