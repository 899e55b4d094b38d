"""A memory's answers against looking through every document, and a changed one's against a rebuilt one's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.infinigram.errors import MemoryFaultError
from groundup.infinigram.heads import frequent_contexts
from groundup.infinigram.memory import Match, Memory
from tests.infinigram.plain import ALPHABETS, Plain, agrees, pairs, segment, texts


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_base_plus_added_less_removed_is_what_the_documents_say(data: st.DataObject) -> None:
    vocab_size, separator, tokens = data.draw(st.sampled_from(ALPHABETS[:7]))
    base = {f"b{i}": text for i, text in enumerate(data.draw(texts(tokens)))}
    added = {f"a{i}": text for i, text in enumerate(data.draw(texts(tokens)))}
    removed = {name: text for name, text in base.items() if data.draw(st.booleans())}
    left = {**{name: text for name, text in base.items() if name not in removed}, **added}
    query = data.draw(st.lists(st.sampled_from((*tokens, separator)), max_size=8))
    parts = [segment(documents, vocab_size, separator) for documents in (base, added, removed)]
    memory = Memory(*parts)
    memory.__dict__["heads"] = frequent_contexts(parts[0].view, data.draw(st.sampled_from((1, 3, 2**15))))
    plain = Plain(left, separator)
    agrees(memory, plain, query)
    rebuilt = Memory(segment(left, vocab_size, separator))
    agrees(rebuilt, plain, query)
    ids = np.array(query, np.int64)
    assert memory.unigrams.tolist() == rebuilt.unigrams.tolist()
    assert pairs(memory.followers(ids, len(ids), 0)) == pairs(rebuilt.followers(ids, len(ids), 0))
    assert memory.count(ids, len(ids), 0) == len(rebuilt)


def test_vocabularies_beyond_24_bits_are_counted_alike() -> None:
    vocab_size, separator, tokens = ALPHABETS[-1]
    draw = np.random.default_rng(1)
    documents = {str(i): draw.choice(tokens, 12).tolist() for i in range(20)}
    parts = dict(list(documents.items())[:15]), dict(list(documents.items())[15:]), {"3": documents["3"]}
    left = {name: text for name, text in documents.items() if name != "3"}
    memory = Memory(*(segment(part, vocab_size, separator) for part in parts))
    plain = Plain(left, separator)
    query = np.array([separator, *draw.choice(tokens, 6)], np.int64)
    for at in range(1, len(query) + 1):
        assert memory.longest(query, at).length == plain.longest(query[:at].tolist())
        for length in range(1, at + 1):
            met = plain.followers(query[at - length : at].tolist())
            assert memory.count(query, at, length) == met.total()
    length = memory.longest(query, len(query)).length
    assert dict(pairs(memory.followers(query, len(query), length))) == plain.followers(query[-length:].tolist())


def test_an_empty_text_and_an_empty_memory_answer_nothing() -> None:
    empty, full = Memory(segment({}, 5)), Memory(segment({"a": [1, 2, 3]}, 5))
    nothing, some = np.zeros(0, np.int64), np.array([1, 2])
    assert full.longest(nothing, 0) == Match(0, 4)
    assert full.longest(some, 0) == Match(0, 4)
    assert full.levels(nothing, 0) == []
    assert full.places(nothing, 0, 1, 9) == []
    assert pairs(full.followers(nothing, 0, 0)) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert empty.longest(some, 2) == Match(0, 0)
    assert empty.levels(some, 2) == []
    assert empty.documents() == []
    assert (empty.count(some, 2, 1), empty.places(some, 2, 1, 9), pairs(empty.followers(some, 2, 0))) == (0, [], [])


def test_a_context_longer_than_the_corpus_is_matched_as_far_as_it_goes() -> None:
    memory = Memory(segment({"a": [1, 2, 3], "b": [2, 3, 4]}, 5))
    text = np.array([4] * 1000 + [1, 2, 3], np.int64)
    assert memory.longest(text, len(text)) == Match(3, 1)
    assert memory.count(text, len(text), 500) == 0
    assert memory.count(text, len(text), 10**9) == 0
    assert pairs(memory.followers(text, len(text), 2)) == [(0, 1), (4, 1)]


@pytest.mark.parametrize("token", [5, 2**16, 2**16 + 1, 2**40, -1])
def test_ids_outside_the_vocabulary_are_refused(token: int) -> None:
    memory = Memory(segment({"a": [1, 2, 3]}, 5))
    text = np.array([1, token], np.int64)
    assert memory.longest(text, 1).length == 1  # what stands behind is no part of the query
    for ask in (memory.longest, memory.levels):
        with pytest.raises(ValueError, match="outside the vocabulary of 5"):
            ask(text, 2)
    for ask in (memory.count, memory.followers):
        with pytest.raises(ValueError, match="outside the vocabulary of 5"):
            ask(text, 2, 1)
    with pytest.raises(ValueError, match="no place 3 in a text of 2 tokens"):
        memory.longest(text, 3)


def test_parts_that_do_not_belong_together_are_refused() -> None:
    base = segment({"a": [1, 2]}, 5)
    for other in (segment({"b": [1]}, 6), segment({"b": [1]}, 5, separator=4), segment({"b": [1]}, 5, tokenizer="u")):
        with pytest.raises(MemoryFaultError, match="different tokenizers"):
            Memory(base, other)
    with pytest.raises(MemoryFaultError, match="'b' was removed from a memory that never held it"):
        Memory(base, None, segment({"b": [1]}, 5)).documents()
