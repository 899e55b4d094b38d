"""A memory sorted anew: whatever was damaged, it ends as one made from nothing, and nobody's work is disturbed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from groundup.infinigram.errors import MemoryBusyError, MemoryFaultError
from groundup.infinigram.memory import Int64
from groundup.infinigram.segment import Segment
from groundup.infinigram.store import MemoryStore
from tests.infinigram.plain import Plain, agrees
from tests.infinigram.test_store import KIND, Asked, numbered, on_disk, parts, shortened, text_of, tokens_of, update


def renew(store: MemoryStore, numbers: Iterable[int]) -> list[str]:
    """Names that were asked for."""
    asked = Asked()
    store.renew(numbered(numbers), asked, **KIND)
    assert len(asked.names) <= 1
    return asked.names[0] if asked.names else []


def segments(root: Path) -> dict[str, bytes]:
    return {name: content for name, content in on_disk(root).items() if name.startswith("segments")}


def flip(root: Path, digest: str, name: str, at: int = -1) -> None:
    path = root / "segments" / digest / name
    content = bytearray(path.read_bytes())
    content[at] ^= 2
    path.write_bytes(content)


@pytest.fixture
def changed(tmp_path: Path) -> MemoryStore:
    """A base of 0 … 99, with 100 added and 0 removed."""
    store = MemoryStore(tmp_path / "memory")
    update(store, range(100))
    memory, _ = update(store, range(1, 101))
    assert [len(names) for names in parts(memory)] == [100, 1, 1]
    return store


def made_from_nothing(tmp_path: Path, numbers: Iterable[int]) -> dict[str, bytes]:
    store = MemoryStore(tmp_path / "other")
    store.rebuild(((name, tokens_of(name)) for name in numbered(numbers)), **KIND)
    return segments(store.root)


def test_it_is_what_a_memory_made_from_nothing_is_and_asks_for_what_is_new(
    changed: MemoryStore, tmp_path: Path
) -> None:
    assert renew(changed, range(2, 103)) == ["101", "102"]
    assert segments(changed.root) == made_from_nothing(tmp_path, range(2, 103))
    assert [len(names) for names in parts(changed.open())] == [101, 0, 0]


@pytest.mark.parametrize("name", ["tokens.bin", "ends.bin", "followers.bin", "starts.bin", "offsets.bin"])
@pytest.mark.parametrize("part", ["base", "added"])
def test_a_flipped_bit_ends_in_no_new_segment(changed: MemoryStore, tmp_path: Path, name: str, part: str) -> None:
    digest = getattr(changed.open(), part).digest
    flip(changed.root, digest, name)
    assert changed.fault() == ""
    assert name in changed.fault(thorough=True)
    of_the_part = numbered(range(1, 100) if part == "base" else [100])
    asked = renew(changed, range(1, 101))
    # Order and followers are found anew from the tokens; what isn't as written, or can't be opened, is asked for.
    assert asked == ([] if name in ("ends.bin", "followers.bin") else sorted(of_the_part))
    assert changed.fault(thorough=True) == ""
    assert segments(changed.root) == made_from_nothing(tmp_path, range(1, 101))


def test_a_segment_of_the_same_documents_is_written_anew_if_a_bit_of_it_is_flipped(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "memory")
    memory, _ = update(store, range(100))
    before = segments(store.root)
    flip(store.root, memory.base.digest, "ends.bin")
    assert renew(store, range(100)) == []
    assert segments(store.root) == before


@pytest.mark.parametrize("damage", ["list", "short", "none"])
def test_it_works_on_what_can_not_be_opened(changed: MemoryStore, tmp_path: Path, damage: str) -> None:
    if damage == "list":
        (changed.root / "current.json").write_text("{")
    elif damage == "short":
        shortened(changed.root)
    else:
        (changed.root / "current.json").unlink()
    with pytest.raises(MemoryFaultError):
        changed.open()
    asked = renew(changed, range(1, 101))
    assert len(asked) == (99 if damage == "short" else 100)
    assert segments(changed.root) == made_from_nothing(tmp_path, range(1, 101))


def test_another_tokenizers_memory_gives_nothing(changed: MemoryStore) -> None:
    asked = Asked()
    changed.renew(numbered(range(50)), asked, tokenizer="u", vocab_size=6, separator=0)
    assert len(asked.names[0]) == 50
    assert changed.open("u").tokenizer == "u"


@pytest.mark.parametrize("share", [0.0, 9.0])
def test_a_change_builds_on_no_flipped_bit(changed: MemoryStore, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Of the base where all is sorted anew, of what was added always: both become part of another segment."""
    monkeypatch.setattr("groundup.infinigram.store.REBUILD_SHARE", share)
    memory = changed.open()
    flip(changed.root, memory.added.digest, "tokens.bin")
    if share == 0:
        flip(changed.root, memory.base.digest, "tokens.bin")
    del memory
    wanted = numbered(range(1, 102))
    after = changed.update(wanted, lambda names: map(tokens_of, names), **KIND)
    agrees(after, Plain({name: text_of(name) for name in wanted}, 0), [0, 1, 2, 3])
    assert changed.fault(thorough=True) == ""


def test_readers_keep_what_they_have(changed: MemoryStore) -> None:
    reader = changed.open()
    renew(changed, range(50, 200))
    agrees(reader, Plain({name: text_of(name) for name in numbered(range(1, 101))}, 0), [0, 1, 2, 3])


def without_checksums(store: MemoryStore) -> None:
    """As segments were written before there were any."""
    for manifest in store.root.glob("segments/*/segment.json"):
        fields = json.loads(manifest.read_text())
        assert fields.pop("checksums")
        manifest.write_text(json.dumps(fields))


def test_segments_without_checksums_are_served_built_upon_and_made_anew_of_their_own_tokens(
    changed: MemoryStore, tmp_path: Path
) -> None:
    without_checksums(changed)
    assert changed.fault("t") == ""
    agrees(changed.open("t"), Plain({name: text_of(name) for name in numbered(range(1, 101))}, 0), [0, 1, 2, 3])
    assert "was written without checksums" in changed.fault(thorough=True)
    assert update(changed, range(1, 102))[1] == ["101"]
    assert renew(changed, range(1, 102)) == []
    assert changed.fault(thorough=True) == ""
    assert segments(changed.root) == made_from_nothing(tmp_path, range(1, 102))


@pytest.mark.parametrize("killed_at", range(7))
def test_a_segment_in_use_is_replaced_without_a_moment_in_which_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    """Where the files of a segment are written anew under its own name: before and after each of them."""
    store = MemoryStore(tmp_path / "memory")
    before, _ = update(store, range(100))
    whole = segments(store.root)
    without_checksums(store)
    plain = Plain({name: text_of(name) for name in numbered(range(100))}, 0)
    replaced, calls = Path.replace, 0

    def stepwise(self: Path, target: Path) -> Path:
        nonlocal calls
        agrees(MemoryStore(store.root).open("t"), plain, [0, 1, 2, 3])
        if self.parent.name.startswith(".pending-"):
            calls += 1
            if calls == killed_at + 1:
                raise KeyboardInterrupt
        return replaced(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stepwise)
        with pytest.raises(KeyboardInterrupt):
            renew(store, range(100))
    assert calls == killed_at + 1
    agrees(store.open("t"), plain, [0, 1, 2, 3])
    agrees(before, plain, [0, 1, 2, 3])
    assert renew(store, range(100)) == []
    assert segments(store.root) == whole


def test_beside_another_writer_it_is_refused(changed: MemoryStore) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(names: list[str]) -> Iterable[Int64]:
        inside.set()
        assert go_on.wait(60)
        return map(tokens_of, names)

    first = threading.Thread(target=lambda: changed.update(numbered(range(120)), slow, **KIND))
    first.start()
    assert inside.wait(60)
    with pytest.raises(MemoryBusyError, match="another process is writing the memory in "):
        renew(changed, range(5))
    go_on.set()
    first.join()
    assert len(changed.open().documents()) == 120


# ------------------------------------------------------------------ what a disk may refuse


def test_a_full_disk_leaves_the_version_and_no_rubbish(changed: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = on_disk(changed.root)
    synced, calls = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(handle)

    for change in (lambda: renew(changed, range(150)), lambda: update(changed, range(150))):
        calls = 0
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left") as refused:
                change()
        assert refused.value.errno == errno.ENOSPC
        assert on_disk(changed.root) == before
    renew(changed, range(150))
    assert len(changed.open().documents()) == 150


def test_a_file_too_large_for_the_disk_says_so_and_nothing_is_lost(changed: MemoryStore) -> None:
    """By the kernel, in a process of its own: numpy's own way to write says neither what nor why."""
    before = on_disk(changed.root)
    program = (
        "import resource, sys; from pathlib import Path; from groundup.infinigram.store import MemoryStore\n"
        "from tests.infinigram.test_store import KIND, tokens_of, numbered\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "try: MemoryStore(Path(sys.argv[1])).renew(numbered(range(2000)), lambda n: map(tokens_of, n), **KIND)\n"
        "except OSError as error: print(error.errno)"
    )
    command = [sys.executable, "-c", program, str(changed.root)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"{errno.EFBIG}\n"
    assert on_disk(changed.root) == before
    assert len(changed.open().documents()) == 100


def test_a_folder_that_can_not_be_written_is_an_error_of_the_system(
    changed: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = on_disk(changed.root)

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(changed.root))

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "save", refused)
        for change in (lambda: renew(changed, range(150)), lambda: update(changed, range(150))):
            with pytest.raises(PermissionError, match="Permission denied"):
                change()
    assert on_disk(changed.root) == before
    (changed.root.parent / "file").write_text("not a folder")
    with pytest.raises(OSError, match="file"):
        update(MemoryStore(changed.root.parent / "file"), range(3))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where it may not")
def test_a_memory_in_a_read_only_folder_is_read(changed: MemoryStore) -> None:
    folders = [changed.root, *(path for path in changed.root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert len(changed.open().documents()) == 100
        assert changed.fault(thorough=True) == ""
        with pytest.raises(PermissionError):
            renew(changed, range(5))
    finally:
        for folder in folders:
            folder.chmod(0o755)
