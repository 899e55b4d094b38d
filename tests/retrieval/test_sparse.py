from __future__ import annotations

import bm25s
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from groundup.retrieval.analyzer import Analyzer, TermCounts, count_terms
from groundup.retrieval.sparse import Postings, top_k

RNG = np.random.default_rng(0)
WORDS = [f"w{i}" for i in range(80)]
# A Zipf-like draw, with lengths that differ and an empty passage.
TEXTS = [" ".join(np.array(WORDS)[np.minimum(RNG.zipf(1.3, n), 80) - 1]) for n in (*RNG.integers(1, 60, 200), 0)]
QUERIES = [" ".join(RNG.choice(WORDS, 4, replace=False)) for _ in range(20)]
PLAIN = Analyzer("", frozenset())


@pytest.fixture(scope="module")
def counted() -> TermCounts:
    return count_terms([text.replace("w", "w") for text in TEXTS], PLAIN)


def terms(counted: TermCounts, query: str) -> list[int]:
    # "w12" is analysed as w12, w, 12: the peers get the same terms.
    place = {term: number for number, term in enumerate(counted.vocabulary)}
    return [place.get(term, -1) for term in PLAIN.terms(query)]


def test_bm25_equals_bm25s(counted: TermCounts) -> None:
    peer = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    peer.index([PLAIN.terms(text) for text in TEXTS], show_progress=False)
    postings = Postings.build(counted)
    for query in QUERIES:
        ids = terms(counted, query)
        expected = peer.get_scores([t for t in dict.fromkeys(PLAIN.terms(query)) if t in counted.vocabulary])
        ranking = postings.bm25(list(dict.fromkeys(ids)), len(TEXTS))
        scores = np.zeros(len(TEXTS))
        scores[ranking.rows] = ranking.scores
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        assert list(ranking.rows) == sorted(ranking.rows, key=lambda row: (-scores[row], row))


def test_tfidf_equals_scikit_learn(counted: TermCounts) -> None:
    vectorizer = TfidfVectorizer(analyzer=PLAIN.terms)
    matrix = vectorizer.fit_transform(TEXTS)
    postings = Postings.build(counted)
    for query in [*QUERIES, "w1 w1 w2"]:
        expected = (matrix @ vectorizer.transform([query]).T).toarray().ravel()
        ranking = postings.tfidf(terms(counted, query), len(TEXTS))
        scores = np.zeros(len(TEXTS))
        scores[ranking.rows] = ranking.scores
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_top_k_is_a_stable_sort() -> None:
    for k in (0, 1, 3, 50, 200):
        scores = RNG.integers(-3, 6, 100).astype(np.float32)
        expected = [int(row) for row in np.argsort(-scores, kind="stable") if scores[row] > 0][:k]
        rows, best = top_k(scores, k, 0.0)
        assert rows.tolist() == expected
        assert best.tolist() == scores[expected].tolist()


def test_unknown_terms_and_empty_indexes_find_nothing(counted: TermCounts) -> None:
    assert len(Postings.build(counted).bm25([-1], 5)) == 0
    assert len(Postings.build(count_terms([], PLAIN)).bm25([], 5)) == 0
    assert len(Postings.build(count_terms([""], PLAIN)).tfidf([], 5)) == 0
