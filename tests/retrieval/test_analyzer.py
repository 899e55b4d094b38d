from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.retrieval.analyzer import LONGEST_TERM, Analyzer, count_terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("getUserName", ["getusername", "get", "user", "name"]),
        ("read_files", ["read_files", "read", "file"]),
        ("HTTPServer2", ["httpserver2", "http", "server", "2"]),
        ("the running of dogs", ["run", "dog"]),
        ("_x __init__", ["x", "init"]),
        ("Zürich STRASSE", ["zürich", "strass"]),
        ("漢字検索", ["漢字", "字検", "検索"]),
        ("don't", ["don"]),
        ("a" * 65, []),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert Analyzer().terms(text) == terms


def test_without_a_language_words_are_not_stemmed() -> None:
    assert Analyzer("").terms("running dogs") == ["running", "dogs"]


@given(st.lists(st.text(max_size=60), max_size=5))
def test_counted_terms_are_the_terms(texts: list[str]) -> None:
    analyzer = Analyzer()
    counted = count_terms(texts, analyzer)
    for row, text in enumerate(texts):
        low, high = counted.indptr[row], counted.indptr[row + 1]
        words = [counted.vocabulary[term] for term in counted.terms[low:high]]
        found = dict(zip(words, counted.counts[low:high].tolist(), strict=True))
        assert found == Counter(analyzer.terms(text))
        assert counted.lengths[row] == sum(found.values())
        assert list(counted.terms[low:high]) == sorted(counted.terms[low:high])
        assert all(0 < len(word) <= LONGEST_TERM for word in words)


def test_digest_follows_what_changes_terms() -> None:
    assert Analyzer().digest == Analyzer().digest
    assert len({Analyzer().digest, Analyzer("german").digest, Analyzer(stop_words=frozenset()).digest}) == 3
