"""Which spans of a text are worth showing: pure functions over runs, (S, 2) start and end in tokens, both ascending.

What OLMoTrace asks of a span (Liu et al. 2025, section 3): whole words at both ends, no sentence end inside, and of
those that are left the rarest by the product of their tokens' unigram probabilities. Each is done after the search: a
run that keeps the rules lies within a maximal one, and within the longest part of it that keeps them, so the maximal
among these parts are all there are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]


def shrink(runs: Int64, may_begin: Bool, may_end: Bool) -> Int64:
    """Each run's longest part that begins and ends where it may; runs without one are left out.

    may_begin, may_end: (T + 1,), for the boundary before each token and the one behind the last.
    """
    places = np.arange(len(may_begin))
    following = np.minimum.accumulate(np.where(may_begin, places, len(places))[::-1])[::-1]
    preceding = np.maximum.accumulate(np.where(may_end, places, -1))
    shrunk = np.stack([following[runs[:, 0]], preceding[runs[:, 1]]], axis=1)
    return shrunk[shrunk[:, 0] < shrunk[:, 1]]


def cut(runs: Int64, borders: Bool) -> Int64:
    """The parts into which the borders, (T + 1,), divide the runs."""
    if not len(runs):
        return runs
    number = np.cumsum(borders)  # of the part that begins at or before each boundary
    first, last = number[runs[:, 0]], number[runs[:, 1] - 1]
    at = np.append(np.flatnonzero(borders), len(borders))  # where part number + 1 begins
    parts = last - first + 1
    row = np.repeat(np.arange(len(runs)), parts)
    part = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    begins = np.append(0, at)[part]
    return np.stack([np.maximum(runs[row, 0], begins), np.minimum(runs[row, 1], at[part])], axis=1)


def not_contained(runs: Int64) -> Int64:
    """Without the runs that lie within another, and each only once; from left to right."""
    if not len(runs):
        return runs
    ordered = runs[np.lexsort((-runs[:, 1], runs[:, 0]))]
    reached = np.maximum.accumulate(ordered[:, 1])
    return np.asarray(ordered[np.append(True, ordered[1:, 1] > reached[:-1])])


def at_least(runs: Int64, tokens: int) -> Int64:
    return runs[runs[:, 1] - runs[:, 0] >= tokens]


def apart(runs: Int64, most: float = 0.5) -> Int64:
    """Longest first (the first of equals), without those of whose tokens more than `most` lie in one already taken.

    What is taken stays whole, so it is still a span that can't be longer; neighbours may overlap.
    """
    if not len(runs):
        return runs
    covered = np.zeros(int(runs[:, 1].max()), np.bool_)
    taken = []
    for row in np.lexsort((runs[:, 0], runs[:, 0] - runs[:, 1])):
        start, end = runs[row]
        if covered[start:end].sum() <= most * (end - start):
            covered[start:end] = True
            taken.append(row)
    return np.asarray(runs[np.sort(taken)])


def log_probability(runs: Int64, ids: Int64, unigrams: Int64) -> Float64:
    """(S,) ln of the product of the tokens' shares in the corpus; unigrams: (V,) counts. A token never seen has 0."""
    shares = np.log(np.maximum(unigrams[ids], 1) / max(int(unigrams.sum()), 1))
    sums = np.append(0.0, np.cumsum(shares))
    return np.asarray(sums[runs[:, 1]] - sums[runs[:, 0]])


def rarest(runs: Int64, ids: Int64, unigrams: Int64, most: int) -> Int64:
    """The `most` runs of the lowest probability, the earlier of equals, from left to right."""
    order = np.argsort(log_probability(runs, ids, unigrams), kind="stable")
    return np.asarray(runs[np.sort(order[:most])])


def covered_by(runs: Int64, tokens: int) -> Bool:
    """(tokens,) which tokens lie in a run."""
    steps = np.zeros(tokens + 1, np.int64)
    np.add.at(steps, runs[:, 0], 1)
    np.add.at(steps, runs[:, 1], -1)
    return np.asarray(np.cumsum(steps)[:tokens] > 0)
