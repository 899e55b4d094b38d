"""Shards and the loader against the documents they were made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import CorpusError, StoreError
from groundup.tokens.loader import Batches
from groundup.tokens.shards import Shards, write_shards
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe


@dataclass(frozen=True)
class Text:
    id: str
    text: str


DOCUMENTS = [Text(f"{i:032x}", f"document {i}: " + "größer " * (i % 7)) for i in range(50)] + [Text("f" * 32, "")]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe([d.text for d in DOCUMENTS], 300)


def ring(count: int) -> Shards:
    """Shards whose tokens are 0, 1, …: each position is known by its token."""
    none = np.zeros(0, np.int64)
    return Shards(np.arange(count, dtype=np.uint16), none, none, [], "", 0, count, "")


def test_every_document_comes_back_whole_behind_a_separator(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_shards(tmp_path, tokenizer, DOCUMENTS)
    shards = Shards.open(tmp_path)
    assert shards.document_ids == [d.id for d in DOCUMENTS]
    assert len(shards) == len(DOCUMENTS)
    for index, document in enumerate(DOCUMENTS):
        tokens = shards.document(index).tolist()
        assert tokens[0] == tokenizer.separator_id
        assert tokenizer.separator_id not in tokens[1:]
        assert tokenizer.decode(tokens[1:]) == document.text
        assert shards.text_bytes[index] == len(document.text.encode())
    assert shards.tokens.dtype == np.uint16
    assert isinstance(shards.tokens, np.memmap)


def test_digest_covers_content_and_order(tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_shards(tmp_path / "a", tokenizer, DOCUMENTS).digest
    monkeypatch.setattr("groundup.tokens.shards.BATCH_CHARACTERS", 100)
    assert write_shards(tmp_path / "b", tokenizer, DOCUMENTS).digest == first
    changed = [Text("0" * 32, "Document 0: "), *DOCUMENTS[1:]]
    moved = [Text(("e" + d.id[1:]) if i == 3 else d.id, d.text) for i, d in enumerate(DOCUMENTS)]
    others = [changed, moved, DOCUMENTS[::-1], DOCUMENTS[:-1]]
    assert len({first, *(write_shards(tmp_path / "c", tokenizer, docs).digest for docs in others)}) == 5


def test_shards_cut_short_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_shards(tmp_path, tokenizer, DOCUMENTS)
    (tmp_path / "tokens.bin").write_bytes((tmp_path / "tokens.bin").read_bytes()[:-2])
    with pytest.raises(StoreError, match="no whole token shards"):
        Shards.open(tmp_path)


def test_a_failure_half_way_leaves_no_shards(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_shards(tmp_path, tokenizer, DOCUMENTS)

    def broken() -> object:
        yield DOCUMENTS[0]
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_shards(tmp_path, tokenizer, broken())  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="no whole token shards"):
        Shards.open(tmp_path)


def test_no_documents_make_empty_shards(tokenizer: Tokenizer, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, tokenizer, [])
    assert len(shards) == 0
    assert len(shards.tokens) == 0
    assert json.loads((tmp_path / "shards.json").read_text())["documents"] == 0
    with pytest.raises(CorpusError, match="no tokens"):
        Batches(shards, 2, 8, 0)


@given(windows=st.integers(1, 12), length=st.integers(1, 9), batch=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_token_is_a_target_once_an_epoch(windows: int, length: int, batch: int, seed: int) -> None:
    count = windows * length
    if count < 2:
        return
    batches = Batches(ring(count), batch, length, seed)
    rows = [batches.at(step) for step in range(2 * windows)]
    tokens, targets = (np.concatenate([r[i] for r in rows]) for i in (0, 1))
    assert np.array_equal(targets, (tokens + 1) % count)  # what follows on the ring
    for epoch in range(2):
        seen = targets[epoch * windows : (epoch + 1) * windows].ravel()
        assert sorted(seen.tolist()) == list(range(count))


def test_what_no_window_reaches_is_less_than_one_window() -> None:
    batches = Batches(ring(103), 1, 10, 3)
    seen = {int(t) for step in range(10) for t in batches.at(step)[1].ravel()}
    assert len(seen) == 100
    assert {int(t) for step in range(10, 40) for t in batches.at(step)[1].ravel()} == set(range(103))


def test_any_step_can_be_asked_for_in_any_order() -> None:
    batches = Batches(ring(500), 3, 16, 7)
    forward = [batches.at(step) for step in range(30)]
    for step in (29, 0, 11, 10, 29):
        again = Batches(ring(500), 3, 16, 7).at(step)
        assert all(np.array_equal(a, b) for a, b in zip(forward[step], again, strict=True))
    other = Batches(ring(500), 3, 16, 8).at(0)
    assert not np.array_equal(forward[0][0], other[0])


def test_a_corpus_shorter_than_a_window_still_fills_one() -> None:
    tokens, targets = Batches(ring(5), 2, 8, 0).at(0)
    assert tokens.shape == targets.shape == (2, 8)
    assert np.array_equal(targets, (tokens + 1) % 5)
