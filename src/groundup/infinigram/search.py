"""Finding contexts in one segment: the longest match by one binary search, shorter ones by widening its interval.

The contexts that share their last n tokens with a query are one interval of ranks, and the interval of a shorter match
holds that of a longer one. The longest match lies beside the query's insertion point. All functions are kernels: no
allocation, no Python object, no bound checks beyond what the arrays promise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy.typing as npt


class View(NamedTuple):
    """The arrays of a segment, as kernels take them: see `suffix_array`."""

    tokens: npt.NDArray[Any]  # (N,) uint16 or uint32
    ends: npt.NDArray[Any]  # (N,) uint32
    followers: npt.NDArray[Any]  # (N,) as tokens
    starts: npt.NDArray[Any]  # (V + 1,) uint32


@numba.njit(cache=True, nogil=True, inline="always")
def agreement(tokens: Any, end: int, text: Any, at: int, begin: int, known: int) -> int:
    """How many tokens before `end` and before text[at], down to text[begin], are the same; `known` of them are."""
    limit = min(at - begin, end)
    while known < limit and tokens[end - 1 - known] == text[at - 1 - known]:
        known += 1
    return known


@numba.njit(cache=True, nogil=True)
def insertion(view: Any, text: Any, at: int, begin: int) -> tuple[int, int]:
    """(rank before which the context text[begin:at] belongs, length of its longest match); at > begin."""
    last = text[at - 1]
    low, high = numba.int64(view.starts[last]), numba.int64(view.starts[last + 1])
    first, stop = low, high
    low_agrees = high_agrees = 1 if high > low else 0  # all of a bucket agree in the last token
    longest = 0
    while low < high:
        middle = (low + high) >> 1
        end = numba.int64(view.ends[middle])
        # The order lets both sides' common part be taken for granted (Manber & Myers 1990).
        agrees = agreement(view.tokens, end, text, at, begin, min(low_agrees, high_agrees))
        longest = max(longest, agrees)
        if agrees == at - begin:  # the query is the beginning of this one: it stands before it
            high, high_agrees = middle, agrees
        elif agrees == end or view.tokens[end - 1 - agrees] < text[at - 1 - agrees]:
            low, low_agrees = middle + 1, agrees
        else:
            high, high_agrees = middle, agrees
    assert first <= low <= stop
    return low, longest


@numba.njit(cache=True, nogil=True)
def widen(view: Any, text: Any, at: int, length: int, low: int, high: int) -> tuple[int, int]:
    """The ranks [low, high) of contexts that share the last `length` tokens, from an interval of a longer match or an
    empty one at the insertion point; length ≥ 1. Galloping: the cost is the logarithm of what is added."""
    last = text[at - 1]
    first, stop = numba.int64(view.starts[last]), numba.int64(view.starts[last + 1])
    if length == 1:
        return first, stop
    return _reach(view, text, at, length, low, first - 1, -1), _reach(view, text, at, length, high - 1, stop, 1) + 1


@numba.njit(cache=True, nogil=True)
def _reach(view: Any, text: Any, at: int, length: int, inside: int, border: int, way: int) -> int:
    """The last rank on the way (1 up, −1 down) from `inside` to `border` that shares `length` tokens; `inside` does, or
    stands beside what does. `border` is one too far."""
    begin, step = at - length, way
    outside = inside + way
    while (border - outside) * way > 0 and _shares(view, text, at, begin, length, outside):
        inside, outside = outside, outside + step
        step *= 2
    if (outside - border) * way > 0:
        outside = border
    while abs(outside - inside) > 1:
        middle = (inside + outside) >> 1
        if _shares(view, text, at, begin, length, middle):
            inside = middle
        else:
            outside = middle
    return inside


@numba.njit(cache=True, nogil=True, inline="always")
def _shares(view: Any, text: Any, at: int, begin: int, length: int, rank: int) -> bool:
    return agreement(view.tokens, numba.int64(view.ends[rank]), text, at, begin, 1) >= length


@numba.njit(cache=True, nogil=True)
def matches(view: Any, text: Any, at: int, begin: int) -> tuple[int, int]:
    """The ranks [low, high) of contexts that end with text[begin:at], which has a token or more."""
    place, longest = insertion(view, text, at, begin)
    if longest < at - begin:
        return place, place
    return widen(view, text, at, at - begin, place, place)
