"""What a memory has to answer, by looking through every document: slow, and plainly right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from groundup.infinigram.memory import Int64, Memory
from groundup.infinigram.segment import Segment

Documents = Mapping[str, Sequence[int]]  # name → tokens without the separator


class Plain:
    def __init__(self, documents: Documents, separator: int) -> None:
        self.separator = separator
        self.documents = {name: [separator, *tokens] for name, tokens in documents.items()}

    def places(self, run: Sequence[int]) -> list[tuple[str, int]]:
        """Where a run stands: (document, offset), the separator being number 0."""
        size = len(run)
        return [
            (name, at)
            for name, tokens in self.documents.items()
            for at in range(len(tokens) - size + 1)
            if tokens[at : at + size] == list(run)
        ]

    def followers(self, run: Sequence[int]) -> Counter[int]:
        closed = {name: [*tokens, self.separator] for name, tokens in self.documents.items()}
        return Counter(closed[name][at + len(run)] for name, at in self.places(run))

    def longest(self, context: Sequence[int]) -> int:
        return next((n for n in range(len(context), 0, -1) if self.places(context[-n:])), 0)

    def levels(self, context: Sequence[int]) -> list[tuple[int, int, int]]:
        """(length, count, distinct followers): from the longest on, each seen twice as often as the one before."""
        found: list[tuple[int, int, int]] = []
        for length in range(self.longest(context), 0, -1):
            met = self.followers(context[-length:])
            if met.total() >= (2 * found[-1][1] if found else 1):
                found.append((length, met.total(), len(met)))
        return found


def segment(documents: Documents, vocab_size: int, separator: int = 0, tokenizer: str = "t") -> Segment:
    streams = [np.array([separator, *tokens], np.int64) for tokens in documents.values()]
    offsets = np.cumsum([0, *(len(stream) for stream in streams)])
    tokens = np.concatenate([np.zeros(0, np.int64), *streams])
    names = list(documents)
    return Segment.build(tokens, offsets, names, tokenizer=tokenizer, vocab_size=vocab_size, separator=separator)


def context_of(text: Sequence[int], at: int, separator: int) -> list[int]:
    """text[:at] from its last separator on."""
    context = list(text[:at])
    begins = [place for place, token in enumerate(context) if token == separator]
    return context[begins[-1] :] if begins else context


def agrees(memory: Memory, plain: Plain, text: Sequence[int]) -> None:
    """Asserts that a memory answers as looking through the documents does, after every token of `text`."""
    ids = np.array(text, np.int64)
    assert sorted(memory.documents()) == sorted(plain.documents)
    assert len(memory) == sum(map(len, plain.documents.values()))
    for at in range(len(text) + 1):
        context = context_of(text, at, plain.separator)
        longest = memory.longest(ids, at)
        assert longest.length == plain.longest(context)
        levels = [(level.length, level.count, level.distinct) for level in memory.levels(ids, at)]
        assert levels == plain.levels(context)
        if levels:
            assert longest.count == levels[0][1]
        for length in range(1, len(context) + 2):
            run = context[-length:] if length <= len(context) else None
            met = plain.followers(run) if run else Counter()
            assert memory.count(ids, at, length) == met.total()
            assert pairs(memory.followers(ids, at, length)) == sorted(met.items(), key=lambda one: (-one[1], one[0]))
            stands = plain.places(run) if run else []
            assert sorted(memory.places(ids, at, length, len(stands) + 3)) == sorted(stands)
            few = memory.places(ids, at, length, 2)
            assert len(few) == min(2, len(stands))
            assert set(few) <= set(stands)


def pairs(found: tuple[Int64, Int64]) -> list[tuple[int, int]]:
    return list(zip(found[0].tolist(), found[1].tolist(), strict=True))


# (vocabulary, separator, tokens that occur): 8-, 16-, 24- and 32-bit suffix arrays, each with tokens whose bytes would
# come in another order if they were taken little-endian or cut.
ALPHABETS = [
    (3, 0, (1, 2)),
    (4, 3, (0, 1, 2)),
    (256, 7, (0, 6, 8, 255)),
    (257, 256, (0, 1, 255)),
    (2**16, 0, (1, 255, 256, 0x0100 + 255, 0xFF00, 0xFFFF)),
    (2**16 + 1, 2**16, (0, 1, 0x0100, 0xFFFF)),
    (151_936, 151_643, (0, 1, 0x010000, 0x010001, 0x020100, 151_935)),
    (2**24 + 2, 2**24, (0, 1, 0x010000, 0xFFFFFF, 2**24 + 1)),
]


def texts(tokens: Sequence[int]) -> st.SearchStrategy[list[list[int]]]:
    """Documents, few tokens each, so that runs repeat."""
    return st.lists(st.lists(st.sampled_from(tokens), max_size=9), max_size=7)
