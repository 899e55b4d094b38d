"""Versions of a memory: changed ones equal rebuilt ones, readers keep theirs, writers are alone, damage is named."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.infinigram.errors import MemoryBusyError, MemoryFaultError
from groundup.infinigram.memory import Int64, Memory
from groundup.infinigram.store import REBUILD_SHARE, MemoryStore
from tests.infinigram.plain import Plain, agrees

VOCAB = 6
KIND = {"tokenizer": "t", "vocab_size": VOCAB, "separator": 0}


def text_of(name: str) -> list[int]:
    draw = np.random.default_rng(int(name))
    return draw.integers(1, VOCAB, int(name) % 11).tolist()


def tokens_of(name: str) -> Int64:
    return np.array([0, *text_of(name)], np.int64)


def numbered(numbers: Iterable[int]) -> list[str]:
    return [str(number) for number in numbers]


class Asked:
    """Gives tokens, and remembers of what."""

    def __init__(self) -> None:
        self.names: list[list[str]] = []

    def __call__(self, names: list[str]) -> Iterable[Int64]:
        self.names.append(names)
        return map(tokens_of, names)


def update(store: MemoryStore, numbers: Iterable[int]) -> tuple[Memory, list[str]]:
    asked = Asked()
    memory = store.update(numbered(numbers), asked, **KIND)
    assert len(asked.names) <= 1
    return memory, asked.names[0] if asked.names else []


def parts(memory: Memory) -> tuple[list[str], list[str], list[str]]:
    return memory.base.names, memory.added.names, memory.removed.names


def on_disk(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sets(st.integers(0, 60), max_size=60), min_size=1, max_size=4),
    st.lists(st.integers(0, VOCAB - 1), max_size=6),
    st.sampled_from([0.0, 0.15, 0.6, 9.0]),
)
def test_any_history_of_changes_answers_as_the_documents_do(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    history: list[set[int]],
    query: list[int],
    share: float,
) -> None:
    monkeypatch.setattr("groundup.infinigram.store.REBUILD_SHARE", share)
    store = MemoryStore(tmp_path_factory.mktemp("store"))
    known: set[int] = set()
    for wanted in history:
        memory, asked = update(store, wanted)
        assert set(asked).isdisjoint(numbered(known & wanted))
        known = wanted
        plain = Plain({name: text_of(name) for name in numbered(wanted)}, 0)
        agrees(memory, plain, query)
    other = MemoryStore(tmp_path_factory.mktemp("other"))
    rebuilt = other.rebuild(((name, tokens_of(name)) for name in numbered(known)), **KIND)
    agrees(rebuilt, Plain({name: text_of(name) for name in numbered(known)}, 0), query)
    assert rebuilt.unigrams.tolist() == memory.unigrams.tolist()
    if share == 0:  # every change sorted all anew: the very same segment
        assert memory.base.digest == rebuilt.base.digest
        assert store.current == other.current


def test_a_version_follows_from_its_base_and_the_documents_not_from_the_way(tmp_path: Path) -> None:
    a, b = MemoryStore(tmp_path / "a"), MemoryStore(tmp_path / "b")
    for store in (a, b):
        update(store, range(100))
    update(a, range(2, 100))
    update(a, [*range(2, 100), 201, 200])
    made, asked = update(a, [*range(1, 100), 201])
    same, _ = update(b, [201, *range(99, 0, -1)])
    assert parts(made) == parts(same) == (sorted(numbered(range(100))), ["201"], ["0"])
    assert asked == []  # the one that came back was only no longer removed
    assert a.current == b.current
    back, asked = update(a, range(100))
    assert (parts(back)[1:], asked) == (([], []), [])


def test_only_new_documents_are_asked_for_once_and_in_order(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    assert update(store, range(100))[1] == sorted(numbered(range(100)))
    assert update(store, [*range(5, 100), 140, 101])[1] == ["101", "140"]
    assert update(store, [*range(5, 100), 140, 102])[1] == ["102"]
    memory, asked = update(store, range(50, 200))  # most changed: all is sorted anew, of tokens that are there
    assert asked == sorted(set(numbered(range(100, 200))) - {"102", "140"})
    assert parts(memory)[1:] == ([], [])


def test_beyond_the_stated_share_all_is_sorted_anew(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    base, _ = update(store, range(1000))
    below = int(REBUILD_SHARE * len(base)) - 20
    wanted = list(range(1000))
    size = 0
    for number in range(1000, 2000):
        if size + len(tokens_of(str(number))) > below:
            break
        size += len(tokens_of(str(number)))
        wanted.append(number)
    memory, _ = update(store, wanted)
    assert len(memory.added) == size
    memory, _ = update(store, [number for number in wanted if not 0 <= number < 10])
    assert (len(memory.added), len(memory.removed)) == (0, 0)
    assert len(memory.base.names) == len(wanted) - 10


def test_equal_documents_change_nothing(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    update(store, range(40))
    update(store, range(1, 42))
    before, serial = on_disk(tmp_path), store.current
    _, asked = update(store, reversed(range(1, 42)))
    assert (asked, store.current) == ([], serial)
    assert on_disk(tmp_path) == before


def test_removed_documents_are_no_sources(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    tokens = {name: np.array([0, 1, 2, 3]) for name in numbered(range(50))}
    store.rebuild(tokens.items(), **KIND)
    memory = store.update([*numbered(range(3, 50)), "new"], lambda _: [np.array([0, 4, 1, 2, 3])], **KIND)
    query = np.array([1, 2, 3])
    found = memory.places(query, 3, 3, 99)
    assert sorted(found) == sorted([*((name, 1) for name in numbered(range(3, 50))), ("new", 2)])
    assert memory.count(query, 3, 3) == len(found) == 48
    assert len(memory.places(query, 3, 3, 7)) == 7
    assert memory.places(query, 3, 3, 0) == []
    assert set(memory.documents()) == {*numbered(range(3, 50)), "new"}


def test_a_reader_keeps_its_version_and_the_last_reader_lets_it_go(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    update(store, range(100))
    first, _ = update(store, range(1, 101))
    query = tokens_of("100")[:4]
    held = {first.base.digest, first.added.digest, first.removed.digest}
    for extra in range(3):
        update(store, [*range(100), 110 + extra])
    agrees(first, Plain({name: text_of(name) for name in numbered(range(1, 101))}, 0), query.tolist())
    segments = {path.name for path in (tmp_path / "segments").iterdir()}
    assert held <= segments
    assert len(segments) == 4
    del first
    update(store, range(100))
    assert {path.name for path in (tmp_path / "segments").iterdir()} == {store.open().base.digest}


def test_a_version_replaced_while_it_is_opened_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, writer = MemoryStore(tmp_path), MemoryStore(tmp_path)
    update(writer, range(50))
    original = MemoryStore._open
    opened = 0

    def late(self: MemoryStore, *arguments: object) -> Memory:
        nonlocal opened
        if self is store:
            opened += 1
            if opened < 4:  # between reading the name and opening, all that it names goes away
                update(writer, range(50 * opened, 50 * opened + 50))
        return original(self, *arguments)

    monkeypatch.setattr(MemoryStore, "_open", late)
    assert sorted(store.open().documents()) == sorted(numbered(range(150, 200)))
    assert opened == 4


def test_two_writers_are_told_so_and_nothing_is_lost(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    update(store, range(20))
    inside, go_on = threading.Event(), threading.Event()

    def slow(names: list[str]) -> Iterable[Int64]:
        inside.set()
        assert go_on.wait(60)
        return map(tokens_of, names)

    first = threading.Thread(target=lambda: store.update(numbered(range(21)), slow, **KIND))
    first.start()
    assert inside.wait(60)
    for change in (lambda: update(store, range(5)), lambda: store.rebuild([], **KIND)):
        with pytest.raises(MemoryBusyError, match="another process is writing the memory in "):
            change()
    assert len(store.open().documents()) == 20
    go_on.set()
    first.join()
    assert len(store.open().documents()) == 21


def test_another_process_is_kept_out_too(tmp_path: Path) -> None:
    update(MemoryStore(tmp_path), range(20))
    program = (
        "import sys; from pathlib import Path; from groundup.infinigram.store import MemoryStore\n"
        "try: MemoryStore(Path(sys.argv[1])).rebuild([], tokenizer='t', vocab_size=6, separator=0)\n"
        "except ValueError as error: print(type(error).__name__, error)"
    )
    with open(tmp_path / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == f"MemoryBusyError another process is writing the memory in {tmp_path}\n"
    assert len(MemoryStore(tmp_path).open().documents()) == 20


def test_documents_that_can_not_be_held_leave_the_version_as_it_was(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    update(store, range(20))
    before = on_disk(tmp_path)
    for tokens, said in (
        ([0, VOCAB], f"document new has a token outside the vocabulary of {VOCAB}"),
        ([0, 2**16], "document new has a token outside"),  # narrowed to 16 bits it would be a separator
        ([0, -1], "document new has a token outside"),
        ([0, 1.5], "no row of whole numbers"),
        ([1, 2], "document new doesn't begin with the separator, 0"),
        (np.zeros(0, np.int64), "document new doesn't begin with the separator, 0"),
        ([0, 1, 0], "to hold no other"),
    ):
        with pytest.raises(ValueError, match=said):
            store.update([*numbered(range(20)), "new"], lambda _, tokens=tokens: [np.array(tokens)], **KIND)
    with pytest.raises(ValueError, match="two documents have one name"):
        store.rebuild([("a", np.array([0])), ("a", np.array([0]))], **KIND)
    with pytest.raises(ValueError, match="shorter"):
        store.update([*numbered(range(20)), "x", "y"], lambda _: [np.array([0])], **KIND)
    assert on_disk(tmp_path) == before
    assert store.fault() == ""


def test_no_memory_is_said_and_another_tokenizers_is_refused_and_replaced(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "m")
    assert store.current is None
    assert store.fault().endswith("holds no memory")
    with pytest.raises(MemoryFaultError, match="holds no memory"):
        store.open()
    update(store, range(30))
    assert store.fault("t") == ""
    assert store.fault("u").endswith("was made with another tokenizer")
    with pytest.raises(MemoryFaultError, match="was made with another tokenizer"):
        store.open("u")
    asked = Asked()
    store.update(numbered(range(30)), asked, tokenizer="u", vocab_size=VOCAB, separator=0)
    assert asked.names == [sorted(numbered(range(30)))]
    assert store.open("u").tokenizer == "u"


def damaged_list(content: str) -> Callable[[Path], None]:
    return lambda root: (root / "current.json").write_text(content) and None


def shortened(root: Path) -> None:
    digest = json.loads((root / "current.json").read_text())["base"]
    path = root / "segments" / digest / "ends.bin"
    os.truncate(path, path.stat().st_size // 2)


def other_version(root: Path) -> None:
    fields = json.loads((root / "current.json").read_text())
    (root / "current.json").write_text(json.dumps({**fields, "schema": 99}))


def vanished(root: Path) -> None:
    digest = json.loads((root / "current.json").read_text())["added"]
    (root / "segments" / digest / "segment.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shortened, r"ends\.bin of .* has [\d,]+ bytes instead of [\d,]+"),
        (vanished, r"holds no whole segment: segment\.json is missing"),
        (other_version, r"current\.json is of version 99, this program reads version 1"),
        (damaged_list("{"), r"current\.json is not readable"),
        (damaged_list("[1]"), r"current\.json is not readable"),
        (damaged_list('{"schema": 1, "base": 5, "added": null, "removed": null, "serial": 1}'), "is not readable"),
        (damaged_list('{"schema": 1, "base": "x", "added": null, "removed": null, "serial": "1"}'), "is not readable"),
        (damaged_list('{"schema": 1, "base": null, "added": null, "removed": null, "serial": 1}'), "is not readable"),
        (damaged_list('{"schema": 1, "base": "../x", "added": null, "removed": null, "serial": 1}'), "is not readable"),
    ],
)
def test_damage_is_named_and_the_next_update_mends_it(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    store = MemoryStore(tmp_path)
    update(store, range(99))
    update(store, range(100))
    damage(tmp_path)
    with pytest.raises(MemoryFaultError, match=said):
        store.open()
    with pytest.raises(MemoryFaultError, match=said):
        raise MemoryFaultError(store.fault())
    memory, asked = update(store, range(100))
    assert len(asked) == 100
    assert store.fault() == ""
    agrees(memory, Plain({name: text_of(name) for name in numbered(range(100))}, 0), [0, 1, 2, 3])
    assert len(list((tmp_path / "segments").iterdir())) == 1


def test_a_segment_that_is_damaged_is_written_anew_though_its_name_is_there(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    update(store, range(100))
    shortened(tmp_path)
    memory, _ = update(store, range(100))
    assert len(memory) == sum(len(tokens_of(name)) for name in numbered(range(100)))
