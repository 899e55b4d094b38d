"""Followers of the most frequent contexts, counted once: " the" alone may stand before a million tokens.

A context seen more often than LEAST times is looked up; any other is counted when it is asked for, in some 50 µs at
most. A corpus has few of the former: their intervals of one length don't overlap, so there are at most N / LEAST.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

LEAST = 2**15  # occurrences; 40 M tokens of Python source have about 600 such contexts, 5 MB


class Heads(NamedTuple):
    """CSR over intervals in the order of (low, high): followers of heads.lows[i]:heads.highs[i] with their counts."""

    lows: npt.NDArray[np.int64]  # (I,)
    highs: npt.NDArray[np.int64]  # (I,)
    offsets: npt.NDArray[np.int64]  # (I + 1,)
    tokens: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    least: int


def frequent_contexts(view: Any, least: int = LEAST) -> Heads:
    """The heads of a segment: a pass over the followers of its frequent contexts, 1 ns each."""
    intervals: list[tuple[int, int]] = []
    sizes = np.diff(view.starts.astype(np.int64))
    level = [(int(view.starts[token]), int(view.starts[token + 1])) for token in np.flatnonzero(sizes > least)]
    length = 1
    while level:
        intervals += level
        narrower: list[tuple[int, int]] = []
        for low, high in level:
            for first, stop in _longer(view, low, high, length, least):
                narrower.append((int(first), int(stop)))
        level = narrower
        length += 1
    unique = sorted(set(intervals))
    lows = np.array([low for low, _ in unique], np.int64)
    highs = np.array([high for _, high in unique], np.int64)
    counts = np.zeros(len(view.starts) - 1, np.int64)
    rows = [_counted(view.followers, low, high, counts) for low, high in unique]
    offsets = np.concatenate([[0], np.cumsum([len(tokens) for tokens, _ in rows])]).astype(np.int64)
    nothing = np.zeros(0, np.int64)
    return Heads(
        lows,
        highs,
        offsets,
        np.concatenate([nothing, *(tokens for tokens, _ in rows)]),
        np.concatenate([nothing, *(found for _, found in rows)]),
        least,
    )


@numba.njit(cache=True, nogil=True)
def _longer(view: Any, low: int, high: int, length: int, least: int) -> Any:
    """Intervals inside [low, high) of contexts that agree in one token more, and are seen more than `least` times."""
    found = []
    # An interval of more than `least` ranks holds one of the probes, whichever it is.
    probe = low
    while probe < high:
        token = _token(view, probe, length)
        stop = _border(view, probe, high, length, token)
        first = _border(view, probe, low - 1, length, token) + 1
        if token >= 0 and stop - first > least:
            found.append((first, stop))
        probe += least * max(1, -(-(stop - probe) // least))
    return found


@numba.njit(cache=True, nogil=True, inline="always")
def _token(view: Any, rank: int, length: int) -> int:
    end = numba.int64(view.ends[rank])
    return numba.int64(view.tokens[end - 1 - length]) if end > length else -1


@numba.njit(cache=True, nogil=True)
def _border(view: Any, inside: int, outside: int, length: int, token: int) -> int:
    """Towards `outside`, on either side, the first rank whose token at that distance is another one; else `outside`."""
    while abs(outside - inside) > 1:
        middle = (inside + outside) >> 1
        if _token(view, middle, length) == token:
            inside = middle
        else:
            outside = middle
    return outside


@numba.njit(cache=True, nogil=True)
def _counted(followers: Any, low: int, high: int, counts: Any) -> Any:
    """(followers met, how often each), ascending by follower; `counts` (V,) is zeros before and after."""
    for rank in range(low, high):
        counts[followers[rank]] += 1
    tokens = np.flatnonzero(counts)
    found = counts[tokens]
    counts[tokens] = 0
    return tokens, found
