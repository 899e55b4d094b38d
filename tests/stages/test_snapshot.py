"""Which files the models keep, which the index follows, and what share of them the models have not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.corpus.sources import SourceFile
from groundup.stages.snapshot import (
    Snapshot,
    compare,
    file_states,
    followed,
    read_snapshot,
    take_snapshot,
    write_snapshot,
)


def write(folder: Path, name: str, text: str) -> SourceFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    stat = path.stat()
    return SourceFile(path, name, name.partition("/")[0], stat.st_size, stat.st_mtime_ns)


@pytest.fixture
def files(tmp_path: Path) -> list[SourceFile]:
    return [write(tmp_path, f"{group}/{i}.md", f"{group}{i} " * 50) for group in ("a", "b") for i in range(5)]


def test_a_snapshot_reads_back_equal(files: list[SourceFile], tmp_path: Path) -> None:
    taken = take_snapshot(files, [], 1_000)
    write_snapshot(tmp_path / "snapshot.json", taken)
    assert read_snapshot(tmp_path / "snapshot.json") == taken


def test_a_new_file_in_a_group_taken_in_part_is_followed(files: list[SourceFile], tmp_path: Path) -> None:
    one_group = [file for file in files if file.group == "a"]
    taken = take_snapshot(one_group, [], sum(file.size for file in one_group) // 2)
    assert 0 < len(taken.files) < len(one_group)
    assert taken.left == ()
    new = write(tmp_path, "a/zebra.md", "stripes " * 40)
    sources = {file.source for file in followed(taken, [*one_group, new])}
    assert sources == {state.file.source for state in taken.files} | {"a/zebra.md"}


def test_a_group_left_out_whole_stays_out(files: list[SourceFile], tmp_path: Path) -> None:
    size_of_a = sum(file.size for file in files if file.group == "a")
    taken = take_snapshot(files, [], size_of_a)
    assert taken.left == ("b",)
    new = write(tmp_path, "b/late.md", "late " * 40)
    assert {file.group for file in followed(taken, [*files, new])} == {"a"}


def test_what_went_or_was_renamed_was_seen(files: list[SourceFile], tmp_path: Path) -> None:
    before = file_states(files)
    renamed = write(tmp_path, "a/renamed.md", files[0].path.read_text())
    change = compare(before, file_states([*files[2:], renamed]))
    assert change.removed == ("a/0.md", "a/1.md")
    assert change.added == ("a/renamed.md",)
    assert change.share == 0


def test_the_share_is_of_new_bytes(files: list[SourceFile], tmp_path: Path) -> None:
    before = file_states(files)
    new = write(tmp_path, "a/new.md", "x" * sum(file.size for file in files))
    assert compare(before, file_states([*files, new])).share == pytest.approx(0.5)


def test_digests_know_contents_not_times(files: list[SourceFile]) -> None:
    before = Snapshot(file_states(files)).digest
    files[0].path.touch()
    assert Snapshot(file_states(files)).digest == before
    files[0].path.write_text("other")
    assert Snapshot(file_states(files)).digest != before
