"""What a memory knows of a context, as a ladder of matches: the longest first, then ever shorter ones seen more often.

A shorter match that was seen no more often than a longer one says nothing new, so it is no level. Counts are those of
the base segment, plus the added one, less the removed one.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from groundup.infinigram.search import insertion, widen

MAX_LEVELS = 12  # 40 M tokens double 25 times; contexts of text meet about six levels
GROWTH = 2  # a next level has been seen so many times as often, or it is passed over


@numba.njit(cache=True, nogil=True)
def climb(
    base: Any, added: Any, removed: Any, text: Any, at: int, begin: int, lengths: Any, sizes: Any, bounds: Any
) -> int:
    """The levels of the context text[begin:at], longest match first; returns how many there are.

    lengths: (L,) tokens matched. sizes: (L,) how often. bounds: (L, 6) ranks in base, added, removed.
    """
    if at <= begin:
        return 0
    now = np.empty(6, np.int64)  # intervals of the last length tried
    wide = np.empty(6, np.int64)
    place, longest = insertion(base, text, at, begin)
    now[0] = now[1] = place
    place, other = insertion(added, text, at, begin)
    now[2] = now[3] = place
    longest = max(longest, other)
    place, other = insertion(removed, text, at, begin)
    now[4] = now[5] = place
    level, size, length = 0, 0, longest + 1
    while length > 1 and level < len(lengths):
        needed = max(size + 1, GROWTH * size)
        # The next level is the longest of those seen often enough: step back ever further, then halve.
        step, missed = 1, length
        found = False
        while missed > 1:
            tried = max(1, missed - step)
            if _widened(base, added, removed, text, at, tried, now, wide) >= needed:
                found = True
                break
            missed = tried
            now[:] = wide
            step *= 2
        if not found:
            break
        while missed - tried > 1:
            middle = (missed + tried) >> 1
            if _widened(base, added, removed, text, at, middle, now, wide) >= needed:
                tried = middle
            else:
                missed = middle
                now[:] = wide
        size = _widened(base, added, removed, text, at, tried, now, wide)
        now[:] = wide
        lengths[level], sizes[level] = tried, size
        bounds[level] = wide
        level += 1
        length = tried
    return level


@numba.njit(cache=True, nogil=True)
def _widened(base: Any, added: Any, removed: Any, text: Any, at: int, length: int, now: Any, wide: Any) -> int:
    """Fills `wide` with the intervals of a shorter match; returns how often it was seen."""
    wide[0], wide[1] = widen(base, text, at, length, now[0], now[1])
    wide[2], wide[3] = widen(added, text, at, length, now[2], now[3])
    wide[4], wide[5] = widen(removed, text, at, length, now[4], now[5])
    seen: int = (wide[1] - wide[0]) + (wide[3] - wide[2]) - (wide[5] - wide[4])
    return seen


@numba.njit(cache=True, nogil=True)
def tally(base: Any, added: Any, removed: Any, heads: Any, bounds: Any, counts: Any, touched: Any) -> int:
    """Adds up what followed the contexts within `bounds` (6,).

    counts: (V,) zeros, gets the count of each follower. touched: (V,), gets the followers met, in no order; some may
    have come to zero. Returns how many. Whoever called sets counts[touched[:n]] back to zero.
    """
    met = _head(heads, bounds[0], bounds[1], counts, touched)
    if met == 0:
        met = _add(base.followers, bounds[0], bounds[1], 1, counts, touched, 0)
    met = _add(added.followers, bounds[2], bounds[3], 1, counts, touched, met)
    return _add(removed.followers, bounds[4], bounds[5], -1, counts, touched, met)


@numba.njit(cache=True, nogil=True)
def judged(counts: Any, touched: Any, met: int) -> tuple[int, int]:
    """Of a tally: (different followers, the most frequent one, of equals the lowest; −1 without any)."""
    different, favourite, most = 0, -1, 0
    for i in range(met):
        token = touched[i]
        found = counts[token]
        if found > 0:
            different += 1
            if found > most or (found == most and token < favourite):
                favourite, most = token, found
    return different, favourite


@numba.njit(cache=True, nogil=True)
def _add(followers: Any, low: int, high: int, sign: int, counts: Any, touched: Any, met: int) -> int:
    for rank in range(low, high):
        token = followers[rank]
        if counts[token] == 0:
            touched[met] = token
            met += 1
        counts[token] += sign
    return met


@numba.njit(cache=True, nogil=True)
def _head(heads: Any, low: int, high: int, counts: Any, touched: Any) -> int:
    """As `_add`, from the table of a frequent context; 0 if it has none."""
    if high - low <= heads.least:
        return 0
    first, stop = 0, len(heads.lows)
    while first < stop:
        middle = (first + stop) >> 1
        if heads.lows[middle] < low or (heads.lows[middle] == low and heads.highs[middle] < high):
            first = middle + 1
        else:
            stop = middle
    if first == len(heads.lows) or heads.lows[first] != low or heads.highs[first] != high:
        return 0
    met = 0
    for entry in range(heads.offsets[first], heads.offsets[first + 1]):
        token = heads.tokens[entry]
        counts[token] = heads.counts[entry]
        touched[met] = token
        met += 1
    return met
