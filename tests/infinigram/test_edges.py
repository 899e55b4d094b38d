"""The smallest corpora there are, as a memory, as a model and beside a decoder: each answers, and sums to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from groundup.infinigram.backoff import Backoff
from groundup.infinigram.checks import flaw
from groundup.infinigram.memory import Memory
from groundup.infinigram.mixture import Mixture
from groundup.infinigram.segment import Segment
from groundup.infinigram.spans import match_lengths, maximal_runs
from groundup.infinigram.store import MemoryStore
from groundup.infinigram.survey import survey
from tests.infinigram.plain import Plain, agrees, segment
from tests.infinigram.test_mixture import random_gate

VOCAB = 6
KIND = {"tokenizer": "t", "vocab_size": VOCAB, "separator": 0}
CORPORA: dict[str, dict[str, list[int]]] = {
    "no document": {},
    "one document": {"a": [1, 2, 3, 1, 2]},
    "an empty document": {"a": []},
    "empty documents": {"a": [], "b": [], "c": []},
    "documents of one token": {"a": [1], "b": [2], "c": [1]},
    "an empty one among others": {"a": [1, 2], "b": [], "c": [2, 1]},
    "the same text twice": {"a": [1, 2, 3], "b": [1, 2, 3]},
}
TEXT = [0, 1, 2, 3, 1, 2, 5, 0, 0, 2, 1]
corpora = pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)


def stored(root: Path, corpus: Mapping[str, Sequence[int]]) -> MemoryStore:
    store = MemoryStore(root)
    store.rebuild(((name, np.array([0, *text])) for name, text in corpus.items()), **KIND)
    return store


@corpora
def test_it_answers_as_its_documents_do_from_the_disk_too(tmp_path: Path, corpus: dict[str, list[int]]) -> None:
    agrees(Memory(segment(corpus, VOCAB)), Plain(corpus, 0), TEXT)
    store = stored(tmp_path, corpus)
    agrees(store.open("t"), Plain(corpus, 0), TEXT)
    assert store.fault("t", thorough=True) == ""
    (part,) = store.parts()
    assert (part.role, part.documents, part.tokens) == ("base", len(corpus), sum(len(t) + 1 for t in corpus.values()))
    assert part.bytes == sum(path.stat().st_size for path in tmp_path.glob("segments/*/*"))


@corpora
def test_one_emptied_by_removing_all_says_no_more_than_one_that_never_held_any(
    tmp_path: Path, corpus: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.infinigram.store.REBUILD_SHARE", 9.0)  # so that nothing is sorted anew
    memory = stored(tmp_path, corpus).open()
    assert len(memory.removed) == 0
    emptied = MemoryStore(tmp_path).update([], lambda names: [], **KIND)
    assert len(emptied.removed) == len(memory)
    agrees(emptied, Plain({}, 0), TEXT)
    recall = Mixture(emptied, Backoff(), random_gate(0)).recall(TEXT[:4])
    np.testing.assert_allclose(recall.distribution(), 1 / VOCAB)
    assert recall.draft(8) == []


@corpora
def test_its_model_is_a_distribution_after_every_context_and_scores_texts_by_it(corpus: dict[str, list[int]]) -> None:
    memory = Memory(segment(corpus, VOCAB))
    ids, recall = np.array(TEXT), Mixture(memory, Backoff(), None).recall(TEXT[:1])
    scored = Backoff().probabilities(survey(memory, ids), memory.unigrams)
    for row, token in enumerate(TEXT[1:]):
        p = recall.distribution()
        assert p.shape == (VOCAB,)
        assert p.min() > 0
        assert p.sum() == pytest.approx(1)
        assert scored[row] == pytest.approx(p[token])
        recall.advance(token)


@corpora
@pytest.mark.parametrize("rows", [VOCAB, VOCAB + 3, 2])
def test_beside_a_decoder_the_sum_of_its_logits_stays(corpus: dict[str, list[int]], rows: int) -> None:
    """rows: a model may have more rows than the tokenizer has tokens, or, brought with another one, fewer."""
    logits = np.random.default_rng(0).normal(size=rows)
    recall = Mixture(Memory(segment(corpus, VOCAB)), Backoff(), random_gate(0)).recall([])
    for token in TEXT:
        mixed = recall.mix(logits)
        assert np.isfinite(mixed).all()
        if rows >= VOCAB:  # else memory's share goes in part to tokens that the decoder doesn't have
            assert np.exp(mixed).sum() == pytest.approx(np.exp(logits).sum())
        if not recall.match_length():
            assert mixed is logits
        recall.advance(token)


def test_a_text_much_longer_than_the_corpus_is_surveyed_to_its_end() -> None:
    corpus = {"a": [1, 2, 3], "b": [2, 3, 4]}
    memory, plain = Memory(segment(corpus, VOCAB)), Plain(corpus, 0)
    text = [0, *[5] * 3_000, 1, 2, 3, 4]
    found = survey(memory, np.array(text))
    assert len(found) == len(text) - 1
    assert found.lengths[-4:, 0].tolist() == [plain.longest(text[:-n]) for n in (4, 3, 2, 1)] == [0, 1, 2, 3]
    assert maximal_runs(memory, np.array(text)).tolist() == [[3001, 3004], [3002, 3005]]
    recall = Mixture(memory, Backoff(), None).recall(text[:-2])
    assert recall.draft(9) == [3]


def test_an_empty_text_is_no_error_anywhere() -> None:
    memory, nothing = Memory(segment({"a": [1, 2, 3]}, VOCAB)), np.zeros(0, np.int64)
    assert len(survey(memory, nothing)) == 0
    assert len(Backoff().probabilities(survey(memory, nothing), memory.unigrams)) == 0
    assert maximal_runs(memory, nothing).shape == (0, 2)
    recall = Mixture(memory, Backoff(), None).recall([])
    assert recall.distribution().sum() == pytest.approx(1)
    assert (recall.match_length(), recall.draft(8)) == (0, [])


@pytest.mark.parametrize("token", [VOCAB, 2**16, 2**40, -1])
def test_ids_outside_the_vocabulary_are_refused_in_texts_and_end_a_context_in_generation(token: int) -> None:
    memory = Memory(segment({"a": [1, 2, 3]}, VOCAB))
    for ask in (survey, maximal_runs, match_lengths):
        with pytest.raises(ValueError, match=f"outside the vocabulary of {VOCAB}"):
            ask(memory, np.array([0, 1, token]))
    mixture = Mixture(memory, Backoff(), None)
    with pytest.raises(ValueError, match=f"token {token} lies outside the memory's vocabulary of {VOCAB}"):
        mixture.recall([0, token])
    recall = mixture.recall([0, 1])
    assert recall.match_length() == 2
    recall.advance(token)
    recall.advance(2)
    assert recall.match_length() == 1


def test_a_segment_of_another_version_is_a_flaw_and_is_not_opened(tmp_path: Path) -> None:
    made = segment({"a": [1]}, VOCAB)
    folder = tmp_path / made.digest
    made.save(folder)
    manifest = folder / "segment.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match="is of version 2, this program reads version 1"):
        Segment.open(folder)
    assert "is of version 2" in flaw(folder)
