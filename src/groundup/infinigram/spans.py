"""Which runs of a text stand verbatim in a memory: every maximal one, found with at most one search a token.

Let l(e) be the length of the longest match that ends before text[e]. A match that ends at e + 1 has, less its last
token, one that ends at e, so l(e + 1) ≤ l(e) + 1. The run of l(e) tokens can't grow to the left; it can to the right
just where l(e + 1) = l(e) + 1. So the maximal runs are those of the ends where it is less, and each is found once.
OLMoTrace (Liu et al. 2025) searches from beginnings instead; the runs are the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from groundup.infinigram.levels import climb
from groundup.infinigram.memory import Int64, Memory
from groundup.infinigram.search import agreement, insertion, matches

UNBOUNDED = 2**62
COPIED_TOKENS = 12  # of a run that counts as copied: what stands so far word for word was, in most texts


class Span(NamedTuple):
    """text[start:end], in tokens, and how often it stands in the memory."""

    start: int
    end: int
    occurrences: int  # a tuple has a `count` of its own


def maximal_spans(memory: Memory, ids: Int64, least: int = 1) -> list[Span]:
    """Every run of at least `least` tokens that occurs and is part of no longer one that does, from left to right.

    ids: (T,) of the memory's vocabulary. No span holds a separator: one in `ids` ends a text and begins the next.
    """
    runs = maximal_runs(memory, ids, least)
    return [Span(int(start), int(end), int(n)) for (start, end), n in zip(runs, counts(memory, ids, runs), strict=True)]


def maximal_runs(memory: Memory, ids: Int64, least: int = 1) -> Int64:
    """(S, 2) start and end of the maximal spans, both ascending."""
    lengths = match_lengths(memory, ids)
    ends = np.arange(1, len(lengths) + 1)
    grows = np.append(lengths[1:] > lengths[:-1], False)[: len(lengths)]
    kept = ~grows & (lengths >= max(least, 1))
    return np.stack([ends[kept] - lengths[kept], ends[kept]], axis=1)


def match_lengths(memory: Memory, ids: Int64, most: int = UNBOUNDED) -> Int64:
    """(T,) how many tokens, up to `most`, the longest match has that ends with each token; 0 for a separator."""
    text, _ = memory.query(ids, len(ids))
    found = np.empty(len(text), np.int64)
    _match_lengths(*memory.views, text, memory.separator, most, found)
    return found


def counts(memory: Memory, ids: Int64, runs: Int64, first: Int64 | None = None) -> Int64:
    """(S,) how often ids[start:end] occurs, for each row of `runs`, (S, 2); 0 for an empty run.

    first: (S,) a token to take in place of each run's first; where it is negative, the count is 0.
    """
    text, _ = memory.query(ids, len(ids))
    rows = np.ascontiguousarray(runs, np.int64).reshape(-1, 2)
    if first is None:
        first = np.append(text, -1)[rows[:, 0]]
    found = np.empty(len(rows), np.int64)
    _counts(*memory.views, text, rows, np.ascontiguousarray(first, np.int64), found)
    return found


def longest_copied(memory: Memory, ids: Int64) -> Span | None:
    """The longest run of the text that stands in the memory, the first of equals; None if not a token does."""
    lengths = match_lengths(memory, ids)
    if not len(lengths) or not lengths.max():
        return None
    end = int(lengths.argmax()) + 1
    run = np.array([[end - lengths[end - 1], end]])
    return Span(int(run[0, 0]), end, int(counts(memory, ids, run)[0]))


def seen_share(memory: Memory, ids: Int64, n: int) -> float:
    """The share of the text's n-grams that occur in the memory; nan if it has none. n ≥ 1.

    Several texts are joined by separators: no n-gram holds one.
    """
    text = np.asarray(ids, np.int64)
    room = _since_separator(text, memory.separator) >= n
    if not room.any():
        return float("nan")
    return float((match_lengths(memory, text, n)[room] >= n).mean())


def _since_separator(text: Int64, separator: int) -> Int64:
    """(T,) tokens behind the last separator, up to and with each token."""
    places = np.arange(1, len(text) + 1)
    return places - np.maximum.accumulate(np.where(text == separator, places, 0)) if len(text) else places


@numba.njit(cache=True, nogil=True)
def _match_lengths(base: Any, added: Any, removed: Any, text: Any, separator: int, most: int, found: Any) -> None:
    place = np.empty(2, np.int64)  # 0 base, 1 added; where the last match's last token stands there, from 1
    length, begin = 0, 0
    one, size, bounds = np.empty(1, np.int64), np.empty(1, np.int64), np.empty((1, 6), np.int64)
    for at in range(1, len(text) + 1):
        last = text[at - 1]
        if last == separator:
            length, begin = 0, at
            found[at - 1] = 0
            continue
        # The longest match can have grown by this token only; looking further back would be in vain.
        first = max(begin, at - min(most, length + 1))
        wanted = at - first
        # Where the known occurrence goes on like the text, it is a match as long as any can be: no search.
        # Its document is there still: those that were removed, whole, lacked the run by which it was found.
        if length and _goes_on(base, added, place, last):
            length = wanted
            place[1] += 1
            found[at - 1] = length
            continue
        length = _search(base, added, removed, text, at, first, place, one, size, bounds)
        found[at - 1] = length


@numba.njit(cache=True, nogil=True, inline="always")
def _goes_on(base: Any, added: Any, place: Any, token: int) -> bool:
    tokens = added.tokens if place[0] else base.tokens
    return bool(place[1] < len(tokens) and numba.int64(tokens[place[1]]) == token)


@numba.njit(cache=True, nogil=True)
def _search(
    base: Any, added: Any, removed: Any, text: Any, at: int, begin: int, place: Any, one: Any, size: Any, bounds: Any
) -> int:
    """Length of the longest match of text[begin:at]; `place` gets an occurrence of it."""
    rank, length = insertion(base, text, at, begin)
    other_rank, other = insertion(added, text, at, begin) if len(added.tokens) else (0, 0)
    if len(removed.tokens) and insertion(removed, text, at, begin)[1] >= max(length, other, 1):
        # All of its occurrences may be gone: only counting tells. Which are left isn't known, so none is remembered.
        place[0], place[1] = 0, len(base.tokens)
        return one[0] if climb(base, added, removed, text, at, begin, one, size, bounds) else 0
    if other > length:
        place[0], place[1] = 1, _beside(added, text, at, begin, other_rank, other)
        return other
    place[0], place[1] = 0, _beside(base, text, at, begin, rank, length)
    return length


@numba.njit(cache=True, nogil=True)
def _beside(view: Any, text: Any, at: int, begin: int, rank: int, length: int) -> int:
    """The end of a context beside `rank` that shares `length` tokens with the query; the stream's end for length 0."""
    if length == 0:
        return len(view.tokens)
    last = text[at - 1]
    if rank < numba.int64(view.starts[last + 1]):
        end = numba.int64(view.ends[rank])
        if agreement(view.tokens, end, text, at, begin, 1) >= length:
            return int(end)
    return int(view.ends[rank - 1])


@numba.njit(cache=True, nogil=True)
def _occurrences(view: Any, text: Any, at: int, begin: int) -> int:
    low, high = matches(view, text, at, begin)
    return high - low


@numba.njit(cache=True, nogil=True)
def _counts(base: Any, added: Any, removed: Any, text: Any, runs: Any, first: Any, found: Any) -> None:
    for row in range(len(runs)):
        size = runs[row, 1] - runs[row, 0]
        found[row] = 0
        if first[row] >= 0 and size > 0:
            query = text[runs[row, 0] : runs[row, 1]].copy()
            query[0] = first[row]
            found[row] = _occurrences(base, query, size, 0) + _occurrences(added, query, size, 0)
            found[row] -= _occurrences(removed, query, size, 0)
