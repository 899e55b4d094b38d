"""What a memory knows before every token of a text: its ladder of matches, what followed them, and the token itself.

Everything a language model, a gate or a report needs of a text that is known to its end, in one pass over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from groundup.infinigram.levels import MAX_LEVELS, climb, judged, tally
from groundup.infinigram.memory import Int64, Memory, context_begin

CONTEXT = 256  # tokens looked back on; a longer match names the same place


@dataclass(frozen=True)
class Survey:
    """(P, L) arrays for P positions and L levels, longest match first; zeros where there are fewer levels.

    lengths: tokens matched. counts: how often. distinct: different followers. hits: how often the token followed that
    came. favourite: (P,) the commonest follower of the longest match (the lowest of equals; −1 without a match), and
    favourite_hits how often it followed each. tokens: (P,) what came.
    """

    tokens: Int64
    lengths: Int64
    counts: Int64
    distinct: Int64
    hits: Int64
    favourite: Int64
    favourite_hits: Int64

    def __len__(self) -> int:
        return len(self.tokens)


def survey(memory: Memory, text: Int64, first: int = 1, most: int = MAX_LEVELS, context: int = CONTEXT) -> Survey:
    """Of the tokens text[first:], each after what stands before it in its document. Some 10 µs a token."""
    ids, _ = memory.query(text, len(text))
    positions = max(0, len(ids) - first)
    lengths, sizes, distinct, hits, favourite_hits = (np.zeros((positions, most), np.int64) for _ in range(5))
    favourite = np.full(positions, -1, np.int64)
    counts, touched = np.zeros(memory.vocab_size, np.int64), np.empty(memory.vocab_size, np.int64)
    _survey(
        *memory.views,
        memory.heads,
        ids,
        first,
        context,
        memory.separator,
        lengths,
        sizes,
        distinct,
        hits,
        favourite_hits,
        favourite,
        counts,
        touched,
    )
    return Survey(ids[first:], lengths, sizes, distinct, hits, favourite, favourite_hits)


@numba.njit(cache=True, nogil=True)
def _survey(
    base: Any,
    added: Any,
    removed: Any,
    heads: Any,
    text: Any,
    first: int,
    context: int,
    separator: int,
    lengths: Any,
    sizes: Any,
    distinct: Any,
    hits: Any,
    favourite_hits: Any,
    favourite: Any,
    counts: Any,
    touched: Any,
) -> None:
    bounds = np.empty((lengths.shape[1], 6), np.int64)
    for row in range(len(lengths)):
        at = first + row
        begin = max(context_begin(text, at, separator), at - context)
        levels = climb(base, added, removed, text, at, begin, lengths[row], sizes[row], bounds)
        for level in range(levels):
            met = tally(base, added, removed, heads, bounds[level], counts, touched)
            distinct[row, level], commonest = judged(counts, touched, met)
            if level == 0:
                favourite[row] = commonest
            hits[row, level] = counts[text[at]]
            favourite_hits[row, level] = counts[favourite[row]]
            for i in range(met):
                counts[touched[i]] = 0
