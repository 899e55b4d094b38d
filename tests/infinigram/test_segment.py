"""Segments: what is refused when one is made or opened, what a folder holds, what it costs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from groundup.infinigram.errors import MemoryFaultError
from groundup.infinigram.memory import Memory
from groundup.infinigram.segment import MANIFEST, Segment, token_dtype
from tests.infinigram.plain import ALPHABETS, Plain, agrees, segment

ARRAYS = ("tokens", "ends", "followers", "starts", "offsets")
DOCUMENTS = {"a": [1, 2, 3, 1, 2], "b": [], "c": [2, 3, 1]}


@pytest.mark.parametrize(("vocab_size", "separator", "tokens"), ALPHABETS[:7])
def test_a_saved_segment_comes_back_as_it_was(
    tmp_path: Path, vocab_size: int, separator: int, tokens: tuple[int, ...]
) -> None:
    draw = np.random.default_rng(0)
    # Names that str.splitlines() and universal newlines would cut or change.
    names = ["é\u2028x", "tab\tb", "carriage\rreturn", "\x1cunit", "漢字", "\x85", "a b"]
    documents = {name: draw.choice(tokens, draw.integers(0, 12)).tolist() for name in names}
    made = segment(documents, vocab_size, separator)
    made.save(tmp_path / "s")
    opened = Segment.open(tmp_path / "s", tokenizer="t")
    for name in ARRAYS:
        array = getattr(opened, name)
        assert array.dtype == getattr(made, name).dtype
        assert array.tolist() == getattr(made, name).tolist()
    assert (opened.names, opened.separator, opened.vocab_size) == (names, separator, vocab_size)
    assert (opened.tokenizer, opened.digest) == ("t", made.digest)
    assert [opened.document(number).tolist() for number in range(len(names))] == [
        [separator, *text] for text in documents.values()
    ]
    agrees(Memory(opened), Plain(documents, separator), [separator, *draw.choice(tokens, 6).tolist()])


def test_an_empty_segment_can_be_saved_and_opened(tmp_path: Path) -> None:
    Segment.empty(tokenizer="t", vocab_size=7, separator=3).save(tmp_path)
    opened = Segment.open(tmp_path)
    assert (len(opened), opened.names, opened.vocab_size, opened.separator) == (0, [], 7, 3)


def test_digests_follow_from_all_that_a_segment_is() -> None:
    made = [
        segment(DOCUMENTS, 5),
        segment(DOCUMENTS, 6),
        segment(DOCUMENTS, 5, separator=4),
        segment(DOCUMENTS, 5, tokenizer="u"),
        segment({**DOCUMENTS, "c": [2, 3, 2]}, 5),
        segment({"a": [1, 2, 3, 1, 2], "d": [], "c": [2, 3, 1]}, 5),
    ]
    assert len({one.digest for one in made}) == len(made)
    assert segment(DOCUMENTS, 5).digest == made[0].digest


def test_building_leaves_the_callers_arrays_as_they_were() -> None:
    tokens, offsets = np.array([0, 1, 2, 0, 3], np.uint16), np.array([0, 3, 5])
    made = Segment.build(tokens, offsets, ["a", "b"], tokenizer="t", vocab_size=5, separator=0)
    assert tokens.flags.writeable
    offsets[1] = 4
    assert made.offsets.tolist() == [0, 3, 5]
    assert not made.tokens.flags.writeable


@pytest.mark.parametrize(
    ("tokens", "offsets", "names", "said"),
    [
        ([0, 1, 5], [0, 3], ["a"], "a token lies outside the vocabulary of 5"),
        ([0, 1, 2**16], [0, 3], ["a"], "a token lies outside the vocabulary of 5"),
        ([0, 1, -1], [0, 3], ["a"], "a token lies outside the vocabulary of 5"),
        ([1, 1, 2], [0, 3], ["a"], "begin with the separator"),
        ([0, 1, 0], [0, 3], ["a"], "to hold no other"),
        ([0, 1, 2], [0, 2], ["a"], "don't cover the tokens"),
        ([0, 1, 2], [0, 3], ["a", "b"], "don't cover the tokens"),
        ([0, 0], [0, 1, 1, 2], ["a", "b", "c"], "don't cover the tokens"),
        ([0, 0], [0, 1, 2], ["a", "a"], "two documents have one name"),
        ([0, 1], [0, 2], ["a\nb"], "has a line break"),
        ([0, 1], [0, 2], [""], "is empty"),
    ],
)
def test_what_no_segment_can_hold_is_refused(
    tokens: list[int], offsets: list[int], names: list[str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Segment.build(np.array(tokens), np.array(offsets), names, tokenizer="t", vocab_size=5, separator=0)
    with pytest.raises(ValueError, match=r"the separator, 9, is outside the vocabulary of 5"):
        Segment.build(np.array([9]), np.array([0, 1]), ["a"], tokenizer="t", vocab_size=5, separator=9)


def rewritten(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**manifest, **changes}))

    return change


def cut(name: str, by: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - by)


def overwritten(name: str, at: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[at] ^= 0xFF
        (folder / name).write_bytes(content)

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        *((cut(f"{name}.bin", 1), rf"{name}\.bin of .* has \d+ bytes instead of \d+") for name in ARRAYS),
        (cut("documents.txt", 1), r"documents\.txt of .* has 5 bytes instead of 6"),
        *((lambda folder, n=name: (folder / f"{n}.bin").unlink(), rf"{name}\.bin of .* is missing") for name in ARRAYS),
        (lambda folder: (folder / MANIFEST).unlink(), r"holds no whole segment: segment\.json is missing"),
        (cut(MANIFEST, 9), "not readable"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "not readable"),
        (rewritten(files={}), "not readable"),
        (rewritten(tokens="many"), "not readable"),
        (rewritten(separator=None), "not readable"),
        (rewritten(version=99), "is of version 99, this program reads version 1"),
        # manifest and files of different segments, each whole
        (rewritten(tokens=12), r"tokens\.bin of .* has \d+ bytes instead of \d+"),
        (rewritten(vocab_size=6), r"starts\.bin of .* has 24 bytes instead of 28"),
        (rewritten(documents=4), r"offsets\.bin of .* has 32 bytes instead of 40"),
        (overwritten("offsets.bin", 8), "the documents of .* don't fit its tokens"),
        (overwritten("documents.txt", 1), "don't fit its tokens|can't be read"),
        (overwritten("starts.bin", 4), "starts.bin of .* doesn't fit its tokens"),
        (rewritten(tokenizer="other"), "made with another tokenizer"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    folder = tmp_path / "s"
    segment(DOCUMENTS, 5).save(folder)
    Segment.open(folder, tokenizer="t")
    damage(folder)
    with pytest.raises(MemoryFaultError, match=said):
        Segment.open(folder, tokenizer="t")


def test_a_folder_half_written_is_no_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every file that is written, and before its manifest stands in its place."""
    synced = os.fsync
    for stop in range(1, 9):
        calls = 0

        def failing(handle: int, stop: int = stop) -> None:
            nonlocal calls
            calls += 1
            if calls == stop:
                raise OSError("the disk is gone")
            synced(handle)

        folder = tmp_path / str(stop)
        segment({"old": [1]}, 5).save(folder)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", failing)
            with pytest.raises(OSError, match="the disk is gone"):
                segment(DOCUMENTS, 5).save(folder)
        if stop < 8:
            with pytest.raises(MemoryFaultError, match="holds no whole segment"):
                Segment.open(folder)
        else:
            assert Segment.open(folder).names == list(DOCUMENTS)


@pytest.mark.parametrize(("vocab_size", "bytes_a_token"), [(2**16, 8), (2**16 + 1, 12)])
def test_a_token_takes_eight_bytes_on_disk_or_twelve(tmp_path: Path, vocab_size: int, bytes_a_token: int) -> None:
    draw = np.random.default_rng(0)
    count, length = 40, 500
    documents = {f"{i:032x}": draw.integers(1, 2**16, length - 1).tolist() for i in range(count)}
    segment(documents, vocab_size).save(tmp_path)
    data = sum(path.stat().st_size for path in tmp_path.iterdir() if path.name != MANIFEST)
    assert data == bytes_a_token * count * length + count * (8 + 33) + 8 + 4 * (vocab_size + 1)
    assert token_dtype(vocab_size).itemsize * 2 + 4 == bytes_a_token
