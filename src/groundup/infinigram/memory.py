"""A memory: what a base segment holds, plus what was added since, less what was removed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from groundup.infinigram.errors import MemoryFaultError
from groundup.infinigram.heads import Heads, frequent_contexts
from groundup.infinigram.levels import MAX_LEVELS, climb, tally
from groundup.infinigram.search import matches
from groundup.infinigram.segment import Segment

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Match:
    """The longest suffix of a context that occurs: its length in tokens, and how often."""

    length: int
    count: int


@dataclass(frozen=True, slots=True)
class Level:
    """One match length of a context: `count` occurrences, followed by `distinct` different tokens."""

    length: int
    count: int
    distinct: int


class Memory:
    """Counts are those of `base`, plus `added`, less `removed`; every one is exact.

    A query is text[:at]: a context that ends before text[at], looked back on to its last separator, since what stands
    before that is another document. text: (T,) int64, ids of the memory's vocabulary.
    Raises MemoryFaultError if the segments are not of one tokenizer.
    """

    def __init__(self, base: Segment, added: Segment | None = None, removed: Segment | None = None) -> None:
        kind = (base.tokenizer, base.vocab_size, base.separator)
        nothing = Segment.empty(tokenizer=kind[0], vocab_size=kind[1], separator=kind[2])
        self.base, self.added, self.removed = base, added or nothing, removed or nothing
        for other in (self.added, self.removed):
            if (other.tokenizer, other.vocab_size, other.separator) != kind:
                raise MemoryFaultError("its parts were made with different tokenizers")
        self.tokenizer, self.vocab_size, self.separator = kind
        self.views = (self.base.view, self.added.view, self.removed.view)

    def __len__(self) -> int:
        """How many tokens it holds, separators included."""
        return len(self.base) + len(self.added) - len(self.removed)

    @cached_property
    def heads(self) -> Heads:
        """Followers of the most frequent contexts of the base, counted on first use."""
        return frequent_contexts(self.base.view)

    @cached_property
    def unigrams(self) -> Int64:
        """(V,) how often each token occurs."""
        found = np.zeros(self.vocab_size, np.int64)
        for view, sign in zip(self.views, (1, 1, -1), strict=True):
            found += sign * (view.starts[1:].astype(np.int64) - view.starts[:-1])
        return found

    def longest(self, text: Int64, at: int) -> Match:
        lengths, sizes, _ = self._climb(text, at, 1)
        return Match(int(lengths[0]), int(sizes[0])) if len(lengths) else Match(0, len(self))

    def levels(self, text: Int64, at: int, most: int = MAX_LEVELS) -> list[Level]:
        """The longest match, then shorter ones that were seen at least twice as often, longest first."""
        return [
            Level(int(length), int(size), len(self._followers(bounds)[0]))
            for length, size, bounds in zip(*self._climb(text, at, most), strict=True)
        ]

    def count(self, text: Int64, at: int, length: int) -> int:
        """How often the last `length` tokens of the context occur; every token of the memory for length 0."""
        text, begin = self.query(text, at)
        if length == 0:
            return len(self)
        if not 0 < length <= at - begin:
            return 0
        bounds = _interval(*self.views, text, at, at - length)
        return int(bounds[1] - bounds[0] + bounds[3] - bounds[2] - bounds[5] + bounds[4])

    def followers(self, text: Int64, at: int, length: int) -> tuple[Int64, Int64]:
        """What follows the last `length` tokens of the context: (tokens, counts), the most frequent first, equal ones
        by token. The separator stands for the end of a document."""
        text, begin = self.query(text, at)
        if length == 0:
            tokens = np.flatnonzero(self.unigrams)
            return _ordered(tokens, self.unigrams[tokens])
        if not 0 < length <= at - begin:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return self._followers(_interval(*self.views, text, at, at - length))

    def documents(self) -> list[str]:
        """Names of the documents it holds: the base's, then those that were added."""
        kept = [name for name, gone in zip(self.base.names, self._gone, strict=True) if not gone]
        return kept + self.added.names

    def places(self, text: Int64, at: int, length: int, limit: int) -> list[tuple[str, int]]:
        """Where the last `length` tokens of the context stand: min(limit, count) times (document, offset).

        The offset is that of the run's first token among the document's tokens, of which the separator is number 0.
        Which ones are named where there are more than `limit` follows from the segments, not from the documents alone.
        """
        text, begin = self.query(text, at)
        found: list[tuple[str, int]] = []
        if not 0 < length <= at - begin:
            return found
        bounds = _interval(*self.views, text, at, at - length)
        nothing = np.zeros(len(self.added.names), np.bool_)
        for segment, gone, low, high in (
            (self.base, self._gone, int(bounds[0]), int(bounds[1])),
            (self.added, nothing, int(bounds[2]), int(bounds[3])),
        ):
            step = limit - len(found)
            while low < high and len(found) < limit:
                first = segment.ends[low : min(low + step, high)].astype(np.int64) - length
                documents = np.searchsorted(segment.offsets, first, side="right") - 1
                kept = np.flatnonzero(~gone[documents])[: limit - len(found)]
                offsets = first[kept] - segment.offsets[documents[kept]]
                found += [(segment.names[d], int(o)) for d, o in zip(documents[kept], offsets, strict=True)]
                low, step = low + step, 2 * step  # where most were removed, few chunks are looked at all the same
        return found

    @cached_property
    def _gone(self) -> npt.NDArray[np.bool_]:
        """(D,) which documents of the base were removed since, by name. Raises MemoryFaultError for one it lacks."""
        gone = np.zeros(len(self.base.names), np.bool_)
        if self.removed.names:
            numbers = {name: number for number, name in enumerate(self.base.names)}
            try:
                gone[[numbers[name] for name in self.removed.names]] = True
            except KeyError as name:
                raise MemoryFaultError(f"document {name} was removed from a memory that never held it") from None
        return gone

    def _climb(self, text: Int64, at: int, most: int) -> tuple[Int64, Int64, Int64]:
        """Lengths (L,), sizes (L,) and bounds (L, 6) of up to `most` levels."""
        text, begin = self.query(text, at)
        lengths, sizes, bounds = np.empty(most, np.int64), np.empty(most, np.int64), np.empty((most, 6), np.int64)
        found = climb(*self.views, text, at, begin, lengths, sizes, bounds)
        return lengths[:found], sizes[:found], bounds[:found]

    def _followers(self, bounds: Int64) -> tuple[Int64, Int64]:
        counts, touched = np.zeros(self.vocab_size, np.int64), np.empty(self.vocab_size, np.int64)
        met = tally(*self.views, self.heads, bounds, counts, touched)
        tokens = touched[:met][counts[touched[:met]] > 0]
        return _ordered(tokens, counts[tokens])

    def query(self, text: Int64, at: int) -> tuple[Int64, int]:
        """The text as kernels take it, and where the context begins. Raises ValueError outside the vocabulary."""
        ids = np.ascontiguousarray(text, np.int64)
        if not 0 <= at <= len(ids):
            raise ValueError(f"there is no place {at} in a text of {len(ids)} tokens")
        if at and not (int(ids[:at].min()) >= 0 and int(ids[:at].max()) < self.vocab_size):
            raise ValueError(f"a token lies outside the vocabulary of {self.vocab_size:,}")
        return ids, context_begin(ids, at, self.separator)


@numba.njit(cache=True, nogil=True)
def context_begin(text: Any, at: int, separator: int) -> int:
    """Where the document begins that text[at − 1] is part of: at its separator, or at 0."""
    begin = at - 1
    while begin > 0 and text[begin] != separator:
        begin -= 1
    return max(begin, 0)


@numba.njit(cache=True, nogil=True)
def _interval(base: Any, added: Any, removed: Any, text: Any, at: int, begin: int) -> Any:
    """(6,) ranks of the contexts that end with text[begin:at], in each of the three."""
    bounds = np.empty(6, np.int64)
    bounds[0], bounds[1] = matches(base, text, at, begin)
    bounds[2], bounds[3] = matches(added, text, at, begin)
    bounds[4], bounds[5] = matches(removed, text, at, begin)
    return bounds


def _ordered(tokens: Int64, counts: Int64) -> tuple[Int64, Int64]:
    order = np.lexsort((tokens, -counts))
    return tokens[order], counts[order]
