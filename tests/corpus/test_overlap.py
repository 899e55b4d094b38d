"""overlap against Python sets of word tuples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.overlap import overlap
from tests.corpus.test_dedup import words_of

WORDS = st.lists(st.sampled_from("the cat sat on a mat and then it slept".split()), max_size=40)  # noqa: SIM905


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = words_of(text)
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


@given(st.lists(WORDS, max_size=5), st.lists(WORDS, max_size=5), st.integers(1, 4))
def test_overlap_is_that_of_python_sets(train: list[list[str]], held_out: list[list[str]], n: int) -> None:
    seen = {gram for words in train for gram in grams(" ".join(words), n)}
    texts = {str(i): " ".join(words) for i, words in enumerate(held_out)}
    found = overlap((" ".join(words) for words in train), texts, words=n)
    wanted = {id_: [gram in seen for gram in grams(text, n)] for id_, text in texts.items()}
    assert found.ngrams == sum(map(len, wanted.values()))
    assert found.seen == sum(map(sum, wanted.values()))
    for id_, hits in wanted.items():
        assert found.by_document[id_] == pytest.approx(sum(hits) / len(hits) if hits else 0.0)


def test_a_text_seen_whole_has_share_one_and_a_new_one_none() -> None:
    text = " ".join(f"w{i}" for i in range(50))
    found = overlap(["before " + text.upper() + " after."], {"seen": text, "new": "other " * 20, "short": "w1 w2"})
    assert found.by_document == {"seen": 1.0, "new": 0.0, "short": 0.0}
    assert (found.ngrams, found.seen) == (39 + 9, 39)
    assert found.share == pytest.approx(39 / 48)


def test_nothing_held_out_is_no_overlap() -> None:
    assert overlap(["a text"], {}).share == 0.0
