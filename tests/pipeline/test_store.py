"""store.py: artifacts appear whole, digests cover logical content, damage is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import StoreError
from groundup.pipeline.files import write_atomically, write_json
from groundup.pipeline.store import Artifact, Store

KEY = "a" * 64
FACTS: dict[str, Any] = {"metrics": {"n": 1}, "inputs": {}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def make(store: Store, files: dict[str, str], key: str = KEY, **logical: Any) -> Artifact:
    work = store.begin(key)
    for name, text in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    return store.commit("step", key, FACTS, **logical)


def test_artifact_is_found_with_what_was_written(store: Store) -> None:
    made = make(store, {"a.txt": "one", "sub/b.json": '{"x": 2}'})
    found = store.find("step", KEY)
    assert found == made
    assert made.file("a.txt").read_text() == "one"
    assert made.file("sub").is_dir()
    assert made.read_json("sub/b.json") == {"x": 2}
    assert made.metrics == {"n": 1}
    assert store.verify(made) == []
    assert list(store.work.iterdir()) == []
    assert store.find("step", "b" * 64) is None
    assert store.artifacts() == [made]


def test_digest_is_over_names_and_bytes(store: Store) -> None:
    contents = [{"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": "1", "c": "2"}, {"a": "12", "b": ""}, {"a": "1"}]
    digests = [make(store, files, key=f"{i:064}").digest for i, files in enumerate(contents)]
    assert len(set(digests)) == len(contents)
    assert make(store, {"b": "2", "a": "1"}, key=KEY).digest == digests[0]


def test_digest_leaves_out_what_is_not_logical(store: Store) -> None:
    made = [
        make(store, {"a": "1", "log/x": str(i), "time": str(i)}, key=f"{i:064}", not_logical=["log", "time", "absent"])
        for i in range(2)
    ]
    assert made[0].digest == made[1].digest
    assert make(store, {"a": "2", "log/x": "0", "time": "0"}, not_logical=["log", "time"]).digest != made[0].digest


def test_logical_digest_stands_for_a_folder_whose_names_differ(store: Store) -> None:
    one = make(store, {"lance/8f.bin": "x", "a": "1"}, key="0" * 64, replaced={"lance": "d1"})
    same = make(store, {"lance/9a.bin": "y", "a": "1"}, key="1" * 64, replaced={"lance": "d1"})
    other = make(store, {"lance/9a.bin": "y", "a": "1"}, key="2" * 64, replaced={"lance": "d2"})
    assert one.digest == same.digest != other.digest
    assert "lance/9a.bin" in same.manifest["files"]  # still verified


def test_a_step_may_not_vouch_for_what_it_did_not_write(store: Store) -> None:
    with pytest.raises(AssertionError, match="stand for b"):
        make(store, {"a": "1"}, replaced={"b": "d"})


def test_link_in_an_artifact_is_refused(store: Store) -> None:
    work = store.begin(KEY)
    (work / "link").symlink_to("/etc/hostname")
    with pytest.raises(AssertionError, match="is a link"):
        store.commit("step", KEY, FACTS)


def test_damage_is_named_and_mended_by_a_new_commit(store: Store) -> None:
    artifact = make(store, {"a.txt": "one", "b.txt": "two"})
    assert store.damage("step", KEY) == ""
    artifact.file("a.txt").write_text("longer")
    assert store.damage("step", KEY) == "its artifact is damaged: a.txt has 6 bytes instead of 3"
    artifact.file("a.txt").unlink()
    assert store.damage("step", KEY) == "its artifact is damaged: a.txt is missing"
    assert store.find("step", KEY) is None
    (artifact.path / "manifest.json").write_text("{")
    assert store.damage("step", KEY).startswith("its artifact is damaged: ")
    (artifact.path / "manifest.json").write_text("[]")
    assert store.damage("step", KEY).startswith("its artifact is damaged: ")
    (artifact.path / "manifest.json").unlink()
    assert store.damage("step", KEY) == "its artifact is missing"
    assert make(store, {"a.txt": "one", "b.txt": "two"}).digest == artifact.digest
    assert store.verify(artifact) == []


def test_verify_sees_what_sizes_do_not_show(store: Store) -> None:
    artifact = make(store, {"a.txt": "one", "b.txt": "two"})
    artifact.file("a.txt").write_text("eno")
    artifact.file("b.txt").unlink()
    assert [text.rpartition("/")[2] for text in store.verify(artifact)] == [
        "a.txt is not what was written",
        "b.txt is missing",
    ]


def test_manifest_written_by_another_version_is_not_served(store: Store) -> None:
    artifact = make(store, {"a": "1"})
    manifest = json.loads((artifact.path / "manifest.json").read_text())
    write_json(artifact.path / "manifest.json", {**manifest, "schema": 99})
    assert store.damage("step", KEY) == "its artifact was written by another version of groundup"


def test_work_starts_empty_unless_kept(store: Store) -> None:
    (store.begin(KEY) / "left").write_text("x")
    assert [path.name for path in store.begin(KEY, keep=True).iterdir()] == ["left"]
    assert list(store.begin(KEY).iterdir()) == []


def test_scratch_goes_at_commit_and_is_in_no_artifact(store: Store) -> None:
    work = store.begin(KEY)
    store.scratch(KEY).mkdir()
    (store.scratch(KEY) / "checkpoint").write_text("x")
    (work / "a").write_text("1")
    artifact = store.commit("step", KEY, FACTS)
    assert list(artifact.manifest["files"]) == ["a"]
    assert not store.scratch(KEY).exists()


def test_settle_finishes_a_commit_cut_off_before_its_rename(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise SystemError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        with pytest.raises(SystemError):
            make(store, {"a": "1"})
    assert store.find("step", KEY) is None
    settled = store.settle("step", KEY)
    assert settled is not None
    assert settled == store.find("step", KEY)
    assert store.settle("step", KEY) is None
    assert settled.digest == make(Store(store.root / "other"), {"a": "1"}).digest


def test_settle_takes_nothing_half_made(store: Store) -> None:
    work = store.begin(KEY)
    assert store.settle("step", KEY) is None
    (work / "a").write_text("1")
    entry = {"bytes": 2, "sha256": ""}
    write_json(work / "manifest.json", {"schema": 1, "step": "step", "key": KEY, "files": {"a": entry}})
    assert store.settle("step", KEY) is None
    write_json(work / "manifest.json", {"schema": 1, "step": "other", "key": KEY, "files": {}})
    assert store.settle("step", KEY) is None


def test_temporary_files_of_a_cut_off_write_are_no_part_of_the_artifact(store: Store) -> None:
    work = store.begin(KEY)
    (work / ".a.json.123.tmp").write_text("half")
    store.begin(KEY, keep=True)
    write_atomically(work / "a.json", "whole")
    assert list(store.commit("step", KEY, FACTS).manifest["files"]) == ["a.json"]


def test_commit_makes_things_durable_in_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut keeps what was fsynced: files before manifest, manifest before rename, then the parent."""
    seen: list[str] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def recorded_fsync(descriptor: int) -> None:
        seen.append(f"fsync {os.path.relpath(os.readlink(f'/proc/self/fd/{descriptor}'), store.root)}")
        fsync(descriptor)

    def recorded_rename(old: Path, new: Path) -> None:
        seen.append(f"rename to {os.path.relpath(new, store.root)}")
        rename(old, new)

    def recorded_replace(old: Path, new: Path) -> None:
        seen.append(f"replace {os.path.relpath(new, store.root)}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "rename", recorded_rename)
    monkeypatch.setattr(os, "replace", recorded_replace)
    make(store, {"a": "1", "sub/b": "2"})
    work, target = f"work/{KEY}", f"objects/step/{KEY}"
    manifest = seen.index(f"replace {work}/manifest.json")
    moved = seen.index(f"rename to {target}")
    for before in (f"fsync {work}/a", f"fsync {work}/sub/b", f"fsync {work}/sub"):
        assert seen.index(before) < manifest
    assert any(text.startswith(f"fsync {work}/.manifest.json") for text in seen[:manifest])
    assert f"fsync {work}" in seen[manifest:moved]
    assert "fsync objects/step" in seen[moved:]


def test_files_names_that_are_not_utf8_survive(store: Store) -> None:
    work = store.begin(KEY)
    (work / os.fsdecode(b"\xff.txt")).write_text("x")
    artifact = store.commit("step", KEY, FACTS)
    assert store.find("step", KEY) == artifact
    assert store.verify(artifact) == []


def test_store_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"can't be .*--store"), Store(tmp_path / "file").writing():
        pass
