from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from groundup.retrieval.analyzer import Analyzer
from groundup.retrieval.answer import REFUSAL, AnswerPolicy, answer, confidence, quotable
from groundup.retrieval.index import Index, IndexStore
from tests.retrieval.stand_in import NOTES, WordEncoder

TEXTS = {document.id: document.text for document in NOTES}


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return IndexStore(tmp_path).refresh(NOTES)


@pytest.mark.parametrize("with_encoder", [False, True])
def test_quotes_are_word_for_word_and_cite_their_place(index: Index, with_encoder: bool) -> None:
    encoder = WordEncoder() if with_encoder else None
    found = answer(index, "When should I prune roses?", AnswerPolicy(threshold=0.05), encoder=encoder)
    assert not found.refused
    assert found.quotes[0].text.startswith("Prune roses in early spring.")
    assert "Prune roses in early spring. [1]" in found.text
    assert found.citations[0].place == "garden/roses.md:1"
    assert found.quotes[0].line == 3
    for quote in found.quotes:
        chunk = found.citations[quote.citation - 1].chunk
        assert TEXTS[chunk.document_id][quote.start : quote.end] == quote.text
    assert [citation.number for citation in found.citations] == list(range(1, len(found.citations) + 1))


def test_what_is_not_in_the_documents_is_refused(index: Index) -> None:
    found = answer(index, "Which zebra won the chess tournament?")
    assert (found.refused, found.quotes, found.citations, found.text) == (True, [], [], REFUSAL)
    assert found.confidence < found.threshold


def test_the_threshold_decides(index: Index) -> None:
    question = "prune roses with a zebra"
    value = answer(index, question).confidence
    assert 0 < value < 1
    assert not answer(index, question, AnswerPolicy(threshold=value)).refused
    assert answer(index, question, AnswerPolicy(threshold=value + 1e-6)).refused


@pytest.mark.parametrize("question", ["dough rise", "water sand clay", "count the words", "roses in June with soap"])
def test_the_best_passage_is_cited_first(index: Index, question: str) -> None:
    policy = replace(AnswerPolicy(), threshold=0.0, sentences=1)
    found = answer(index, question, policy)
    assert found.citations[0].chunk == found.hits[0].chunk
    assert confidence(index, question, policy) == (found.hits[0].chunk, found.confidence)


def test_code_is_quoted_by_paragraphs_without_its_indentation(index: Index) -> None:
    found = answer(index, "count words", AnswerPolicy(threshold=0.0))
    assert found.quotes[0].text.startswith("def count_words(text):")
    assert all(
        found.hits[0].chunk.text[a:b].strip() == found.hits[0].chunk.text[a:b] for a, b in quotable(found.hits[0].chunk)
    )


@pytest.mark.parametrize("question", ["prune roses", "prune prune roses with a zebra", "dough"])
def test_bm25_share_is_the_score_over_what_it_could_be(index: Index, question: str) -> None:
    terms = list(Analyzer("english").terms(question))
    could_be = float(index.idf(terms).sum())
    for explained in index.explain(question, 5, "bm25"):
        share = index.bm25_share(question, index.row_of(explained.hit.chunk))
        assert share == pytest.approx(explained.hit.score / could_be, rel=1e-5)
        assert 0 < share < 1


def test_confidence_is_the_same_before_and_after_passages_have_vectors(index: Index) -> None:
    encoder = WordEncoder()
    before = answer(index, "When should I prune roses?", encoder=encoder, system="bm25")
    index.embed_missing(encoder)
    after = answer(index, "When should I prune roses?", encoder=encoder, system="bm25")
    assert before.confidence == pytest.approx(after.confidence, rel=1e-5)


def test_an_empty_question_is_refused(index: Index) -> None:
    assert answer(index, "").refused
    assert answer(index, "the of and").refused
