"""Sorted contexts and searches in them, against sorting and counting in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.infinigram.heads import frequent_contexts
from groundup.infinigram.memory import Memory
from groundup.infinigram.search import insertion, widen
from groundup.infinigram.suffix_array import bucket_starts, followers_of, sorted_contexts
from tests.infinigram.plain import ALPHABETS, Plain, agrees, pairs, segment, texts

BITS = [f"{size}" for size, _, _ in ALPHABETS]


@pytest.mark.parametrize(("vocab_size", "separator", "tokens"), ALPHABETS, ids=BITS)
def test_contexts_are_sorted_from_their_last_token_backwards(
    vocab_size: int, separator: int, tokens: tuple[int, ...]
) -> None:
    draw = np.random.default_rng(0)
    stream = draw.choice([separator, *tokens], 300).astype(np.uint16 if vocab_size <= 2**16 else np.uint32)
    whole = stream.tolist()
    expected = sorted(range(1, len(whole) + 1), key=lambda end: whole[:end][::-1])
    ends = sorted_contexts(stream, vocab_size)
    assert ends.tolist() == expected
    assert followers_of(stream, ends, separator).tolist() == [[*whole, separator][end] for end in expected]
    starts = bucket_starts(stream, vocab_size)
    for token in (separator, *tokens):
        assert [whole[end - 1] for end in ends[starts[token] : starts[token + 1]]] == [token] * whole.count(token)
    assert (starts[0], starts[-1], len(starts)) == (0, len(whole), vocab_size + 1)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_insertion_point_widens_to_the_interval_of_every_length(data: st.DataObject) -> None:
    vocab_size, separator, tokens = data.draw(st.sampled_from(ALPHABETS[:7]))
    documents = {str(i): text for i, text in enumerate(data.draw(texts(tokens)))}
    view = segment(documents, vocab_size, separator).view
    query = np.array(data.draw(st.lists(st.sampled_from((*tokens, separator)), min_size=1, max_size=8)), np.int64)
    whole = view.tokens.tolist()
    order = [whole[:end][::-1] for end in view.ends]
    backwards = query[::-1].tolist()
    rank, longest = insertion(view, query, len(query), 0)
    assert order[:rank] == [context for context in order if context < backwards]
    shared = [n for n in range(len(query) + 1) if n == 0 or any(c[:n] == backwards[:n] for c in order)]
    assert longest == max(shared)
    low = high = rank
    for length in range(len(query), 0, -1):
        low, high = widen(view, query, len(query), length, low, high)
        inside = [r for r, context in enumerate(order) if context[:length] == backwards[:length]]
        assert list(range(low, high)) == inside


@settings(max_examples=100, deadline=None)
@given(texts((1, 2)), st.integers(1, 4), st.lists(st.sampled_from((0, 1, 2)), max_size=6))
def test_heads_of_frequent_contexts_equal_plain_counting(
    documents: list[list[int]], least: int, text: list[int]
) -> None:
    named = {str(i): one for i, one in enumerate(documents)}
    built = segment(named, 3)
    plain = Plain(named, 0)
    heads = frequent_contexts(built.view, least)
    intervals = list(zip(heads.lows.tolist(), heads.highs.tolist(), strict=True))
    frequent: dict[tuple[int, int], list[tuple[int, int]]] = {}
    contexts = {tuple(one[:end]) for one in plain.documents.values() for end in range(1, len(one) + 1)}
    for run in {context[-n:] for context in contexts for n in range(1, len(context) + 1)}:
        ids = np.array(run, np.int64)
        low, high = widen(built.view, ids, len(run), len(run), *[insertion(built.view, ids, len(run), 0)[0]] * 2)
        if high - low > least:
            frequent[low, high] = sorted(plain.followers(run).items())
    # contexts that run into the document before are no queries; their heads may be there, unused
    assert set(frequent) <= set(intervals)
    assert intervals == sorted(set(intervals))
    for i, interval in enumerate(intervals):
        rows = slice(heads.offsets[i], heads.offsets[i + 1])
        if interval in frequent:
            assert pairs((heads.tokens[rows], heads.counts[rows])) == frequent[interval]
    memory = Memory(built)
    memory.__dict__["heads"] = heads  # so small a memory would not use any
    agrees(memory, plain, text)
