"""space.py: a full disk is one sentence that says how much is missing and where; a later run goes on."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from groundup.errors import CorpusError, StoreError
from groundup.pipeline import Context, Pipeline, Step, Store, space


def write_megabytes(context: Context) -> None:
    for i in range(context.config["megabytes"]):
        (context.work / f"{i}.bin").write_bytes(os.urandom(10**6))


def small(context: Context) -> None:
    (context.work / "a.txt").write_text("a")


def steps(megabytes: int, disk_bytes: int = 0) -> list[Step]:
    return [
        Step("before", small, {}),
        Step("big", write_megabytes, {"megabytes": megabytes}, disk_bytes=disk_bytes),
        Step("after", small, {}),
    ]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_is_named_and_the_rest_stands(tiny_disk: Path) -> None:
    store = Store(tiny_disk / "store")
    result = Pipeline(store, steps(6)).run()
    failure = result.failures["big"]
    assert isinstance(failure, StoreError)
    assert isinstance(failure.__cause__, OSError)
    assert str(failure).startswith(f"{store.root}: the disk is full: 0 MB free after step big wrote ")
    assert "--store" in failure.mend
    assert next(iter(result.artifacts)) == "before"
    assert not (store.objects / "big").exists()
    again = Pipeline(store, steps(1)).run()
    assert again.ok, again.failure
    assert again.records[0].state == "cached"


def test_step_that_asks_for_more_than_is_free_does_not_start(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_SPARE_BYTES", 0)
    store = Store(tiny_disk / "store")
    result = Pipeline(store, steps(1, disk_bytes=30_000_000)).run()
    failure = str(result.failures["big"])
    assert "step big will write about 30 MB, and 4 MB are free: " in failure
    assert "26 MB are missing" in failure
    assert not any((store.work).glob("*/*.bin"))
    assert Pipeline(store, steps(1, disk_bytes=1_500_000)).run().ok


def test_figures_of_a_missing_space_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free in (5_200_000, 7_000_001, 70_999_999):
        monkeypatch.setattr(space.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with pytest.raises(StoreError) as caught:
            space.require_space(tmp_path, "big", 30_300_000, present_bytes=1_000_000)
        said = re.search(
            r"about (\d+) MB, (\d+) MB \(64 MiB\) are kept free, and (\d+) MB are free: (\d+) MB are missing",
            str(caught.value),
        )
        assert said, str(caught.value)
        writes, kept, there, missing = map(int, said.groups())
        assert writes + kept - there == missing
        assert missing * 10**6 >= 29_300_000 + 64 * 2**20 - free


def test_full_disk_is_named_wherever_the_write_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Store(tmp_path / "store")
    for call in ("fsync", "replace"):  # before the first step
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(StoreError, match=r"the disk is full: .* free; at least"):
                Pipeline(store, steps(0)).run()
    assert list(store.runs.iterdir()) == [store.runs / "default"]
    assert Pipeline(store, steps(0)).run().ok
    for i, call in enumerate(("fsync", "replace", "rename")):  # in a step's commit
        changed = [Step("other", small, {"i": i})]
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            failure = Pipeline(store, changed).run().failure
        assert isinstance(failure, StoreError), call
        assert Pipeline(store, changed).run().ok


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EDQUOT, "x"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_full_disk_is_recognised_in_every_librarys_words(error: Exception) -> None:
    assert space.is_disk_full(error)
    outer = ValueError("could not save")
    outer.__cause__ = error
    assert space.is_disk_full(outer)
    outer.__cause__ = outer  # never loops
    assert not space.is_disk_full(outer)


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    assert not space.is_disk_full(OSError(errno.EACCES, "Permission denied"))
    error = CorpusError("nothing left", mend="Add documents.")

    def fail(context: Context) -> None:
        raise error

    assert Pipeline(Store(tmp_path), [Step("a", fail, {})]).run().failure is error
