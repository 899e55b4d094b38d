"""Spans against brute force: every run of the text looked for in every document."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.infinigram.memory import Memory
from groundup.infinigram.segment import Segment
from groundup.infinigram.span_filters import apart, covered_by, cut, log_probability, not_contained, rarest, shrink
from groundup.infinigram.spans import (
    Span,
    counts,
    longest_copied,
    match_lengths,
    maximal_runs,
    maximal_spans,
    seen_share,
)

VOCAB = 5
documents = st.lists(st.lists(st.integers(1, VOCAB - 1), max_size=9), max_size=6)


def segment(texts: Sequence[Sequence[int]], vocab: int = VOCAB) -> Segment:
    streams = [np.array([0, *text]) for text in texts]
    offsets = np.cumsum([0, *(len(stream) for stream in streams)])
    tokens = np.concatenate([np.zeros(0, np.int64), *streams])
    names = [f"d{i}" for i in range(len(streams))]
    return Segment.build(tokens, offsets, names, tokenizer="t", vocab_size=vocab, separator=0)


def times(texts: Sequence[Sequence[int]], run: Sequence[int]) -> int:
    size = len(run)
    return sum(list(text[i : i + size]) == list(run) for text in texts for i in range(len(text) - size + 1))


def brute(texts: Sequence[Sequence[int]], ids: Sequence[int]) -> list[Span]:
    runs = [
        (start, end)
        for start in range(len(ids))
        for end in range(start + 1, len(ids) + 1)
        if 0 not in ids[start:end] and times(texts, ids[start:end])
    ]
    inside = {(s, e) for s, e in runs for a, b in runs if a <= s and e <= b and (a, b) != (s, e)}
    return [Span(s, e, times(texts, ids[s:e])) for s, e in sorted(runs) if (s, e) not in inside]


@given(documents, documents, st.lists(st.booleans(), min_size=6, max_size=6), st.lists(st.integers(0, VOCAB - 1)))
@settings(max_examples=400, deadline=None)
def test_maximal_spans_are_those_of_brute_force(
    base: list[list[int]], added: list[list[int]], gone: list[bool], ids: list[int]
) -> None:
    removed = [text for text, away in zip(base, gone, strict=False) if away]
    left = [text for text, away in zip(base, gone, strict=False) if not away] + added
    memory = Memory(segment(base), segment(added), segment(removed))
    text = np.array(ids, np.int64)
    expected = brute(left, ids)
    assert maximal_spans(memory, text) == expected
    assert maximal_spans(memory, text, least=3) == [span for span in expected if span.end - span.start >= 3]
    best = max(expected, key=lambda span: span.end - span.start, default=None)
    assert longest_copied(memory, text) == best


@given(
    documents, st.lists(st.booleans(), min_size=6, max_size=6), st.lists(st.integers(0, VOCAB - 1)), st.integers(1, 5)
)
@settings(max_examples=400, deadline=None)
def test_seen_share_is_that_of_counted_n_grams(base: list[list[int]], gone: list[bool], ids: list[int], n: int) -> None:
    removed = [text for text, away in zip(base, gone, strict=False) if away]
    texts = [text for text, away in zip(base, gone, strict=False) if not away]
    memory = Memory(segment(base), None, segment(removed))
    grams = [ids[i : i + n] for i in range(len(ids) - n + 1) if 0 not in ids[i : i + n]]
    share = seen_share(memory, np.array(ids, np.int64), n)
    if not grams:
        assert math.isnan(share)
    else:
        assert share == pytest.approx(sum(times(texts, gram) > 0 for gram in grams) / len(grams))


@given(documents, st.lists(st.integers(1, VOCAB - 1), min_size=1, max_size=6), st.integers(-1, VOCAB - 1))
@settings(max_examples=200, deadline=None)
def test_counts_are_those_of_brute_force(texts: list[list[int]], ids: list[int], first: int) -> None:
    memory, text = Memory(segment(texts)), np.array(ids)
    runs = np.array([[0, len(ids)], [0, 0], [len(ids) - 1, len(ids)], [len(ids), len(ids)]])
    assert counts(memory, text, runs).tolist() == [times(texts, ids), 0, times(texts, ids[-1:]), 0]
    other = counts(memory, text, runs, np.full(4, first)).tolist()
    expected = [times(texts, [first, *ids[1:]]), 0, times(texts, [first]), 0]
    assert other == (expected if first > 0 else [0] * 4 if first < 0 else other)


def test_a_copied_document_costs_few_searches_and_is_one_span() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(1, 300, 400).tolist() for _ in range(20)]
    memory = Memory(segment(texts, 300))
    ids = np.array([0, *texts[3], 0, *texts[3][100:200], *texts[4][:50]])
    spans = maximal_spans(memory, ids, least=10)
    assert spans == [Span(1, 401, 1), Span(402, 502, 1), Span(502, 552, 1)]
    assert match_lengths(memory, ids, most=7).max() == 7


def test_a_run_that_slides_into_what_was_removed_is_not_seen() -> None:
    for texts, left in (([[1, 2, 3, 4], [2, 3]], [[1, 2, 3, 4]]), ([[1, 2, 3], [2, 3]], [[2, 3]])):
        away = [text for text in texts if text not in left]
        memory = Memory(segment(texts), None, segment(away))
        for n in (1, 2, 3):
            grams = [[1, 2, 3][i : i + n] for i in range(4 - n)]
            expected = sum(times(left, gram) > 0 for gram in grams) / len(grams)
            assert seen_share(memory, np.array([1, 2, 3]), n) == pytest.approx(expected)


def test_ids_outside_the_vocabulary_are_refused() -> None:
    memory = Memory(segment([[1, 2, 3]]))
    for wrong in ([1, VOCAB], [-1]):
        with pytest.raises(ValueError, match="outside the vocabulary"):
            maximal_spans(memory, np.array(wrong))


def test_nothing_is_found_in_nothing() -> None:
    empty, full = Memory(segment([])), Memory(segment([[1, 2]]))
    nothing = np.zeros(0, np.int64)
    assert maximal_spans(full, nothing) == [] == maximal_spans(empty, np.array([1, 2]))
    assert longest_copied(full, nothing) is None
    assert longest_copied(empty, np.array([1, 0])) is None


marks = st.lists(st.booleans(), min_size=13, max_size=13)


@given(documents, st.lists(st.integers(1, VOCAB - 1), max_size=12), marks, marks, marks)
@settings(max_examples=300, deadline=None)
def test_filtered_spans_are_the_maximal_ones_that_keep_the_rules(
    texts: list[list[int]], ids: list[int], begins: list[bool], ends: list[bool], breaks: list[bool]
) -> None:
    size = len(ids) + 1
    may_begin, may_end, borders = (np.array(row[:size]) for row in (begins, ends, breaks))
    runs = maximal_runs(Memory(segment(texts)), np.array(ids, np.int64))
    found = not_contained(shrink(cut(runs, borders), may_begin, may_end)).tolist()
    good = [
        [s, e]
        for s in range(size)
        for e in range(s + 1, size)
        if may_begin[s] and may_end[e] and not borders[s + 1 : e].any() and times(texts, ids[s:e])
    ]
    assert found == [[s, e] for s, e in good if not any(a <= s and e <= b and [a, b] != [s, e] for a, b in good)]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=8))
def test_spans_apart_are_covered_by_longer_ones_by_half_at_most(rows: list[tuple[int, int]]) -> None:
    runs = not_contained(np.array([(s, s + n) for s, n in rows], np.int64).reshape(-1, 2))
    taken = apart(runs).tolist()
    for start, end in runs.tolist():
        others = [run for run in taken if run[1] - run[0] >= end - start and run != [start, end]]
        covered = sum(any(a <= at < b for a, b in others) for at in range(start, end))
        assert [start, end] in taken or covered > (end - start) / 2
    covered = covered_by(runs, 40)
    assert covered.tolist() == [any(s <= at < e for s, e in runs.tolist()) for at in range(40)]


def test_the_rarest_have_the_lowest_product_of_unigram_shares() -> None:
    ids, unigrams = np.array([1, 1, 2, 3, 1]), np.array([2, 90, 6, 2])
    runs = np.array([[0, 2], [2, 3], [3, 4], [3, 5]])
    shares = unigrams / 100
    expected = [shares[1] ** 2, shares[2], shares[3], shares[3] * shares[1]]
    assert np.exp(log_probability(runs, ids, unigrams)) == pytest.approx(expected)
    assert rarest(runs, ids, unigrams, 2).tolist() == [[3, 4], [3, 5]]
    assert rarest(runs, ids, unigrams, 9).tolist() == runs.tolist()
