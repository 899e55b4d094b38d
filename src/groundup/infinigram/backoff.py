"""A language model from counts alone: the longest match's followers, smoothed with those of shorter and shorter ones.

    p_k(w) = λ_k · count_k(w) / count_k + (1 − λ_k) · p_(k+1)(w)         levels k from the longest match to the shortest
    p_last(w) = share of w among all tokens, mixed with the uniform distribution

λ_k depends on how long the match is, how often it was seen and how many different tokens followed it, by one logistic
function whose weights are fitted on held-out text (Jelinek & Mercer 1980, with a function in place of their buckets).
So it adds over segments and subtracts over deletions, sums to one, and no token ever has none. Witten–Bell's formula
over the same levels needs 2 % more bits on held-out files, 4 % more on held-out packages (docs/memory.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from groundup.infinigram.descent import Float64, descend, sigmoid
from groundup.infinigram.survey import Survey

Int64 = npt.NDArray[np.int64]

UNIFORM = 1e-3  # share of the uniform distribution in the last level: what a token never seen is left
# Where there is nothing to fit on: the weights that 290 held-out Python files of the default corpus gave.
UNFITTED = (-1.03, 0.40, 0.016, -0.64, -1.34, -0.47, 0.68, -0.04, -0.09, -0.50, 0.14, 0.45, 0.39, 1.22, 0.56)


@dataclass(frozen=True)
class Backoff:
    """weights: (15,) of the logistic function of a level that gives its share λ; see `_describe`."""

    weights: tuple[float, ...] = UNFITTED

    @classmethod
    def fit(cls, surveys: Sequence[Survey], unigrams: Int64, steps: int = 150) -> Backoff:
        """Weights that make the surveyed texts likeliest. They must be no part of the memory, nor near copies of it."""
        if not sum(len(one) for one in surveys):
            return cls()
        levels = [_Levels.of(one, one.tokens, one.hits, unigrams) for one in surveys]
        data = _Levels(
            np.concatenate([one.described for one in levels]),
            np.concatenate([one.mask for one in levels]),
            np.concatenate([one.shares for one in levels]),
            np.concatenate([one.last for one in levels]),
        )
        (weights,) = descend(lambda now: [data.gradient(now[0])], [np.array(UNFITTED)], steps=steps, rate=0.05)
        return cls(tuple(float(value) for value in weights))

    def probabilities(self, survey: Survey, unigrams: Int64) -> Float64:
        """(P,) p of the token that came, at each position of the survey."""
        return _Levels.of(survey, survey.tokens, survey.hits, unigrams).probabilities(np.array(self.weights))

    def favourite_probabilities(self, survey: Survey, unigrams: Int64) -> Float64:
        """(P,) p of the longest match's favourite; without a match, of token 0."""
        tokens = np.maximum(survey.favourite, 0)
        return _Levels.of(survey, tokens, survey.favourite_hits, unigrams).probabilities(np.array(self.weights))


def last_level(unigrams: Int64) -> Float64:
    """(V,) the distribution that stands below all matches."""
    total = max(1, int(unigrams.sum()))
    return np.asarray((1 - UNIFORM) * unigrams / total + (UNIFORM if unigrams.any() else 1.0) / len(unigrams))


@dataclass(frozen=True)
class _Levels:
    """described: (M, 15) of the M levels there are, in order of position. mask: (P, L) where they are. shares: (P, L)
    the token's share of what followed. last: (P,) its share below all levels."""

    described: Float64
    mask: npt.NDArray[np.bool_]
    shares: Float64
    last: Float64

    @classmethod
    def of(cls, survey: Survey, tokens: Int64, hits: Int64, unigrams: Int64) -> _Levels:
        mask = survey.counts > 0
        described = np.empty((int(mask.sum()), len(UNFITTED)))
        _describe_all(survey.lengths[mask], survey.counts[mask], survey.distinct[mask], described)
        return cls(described, mask, hits / np.maximum(survey.counts, 1), last_level(unigrams)[tokens])

    def probabilities(self, weights: Float64) -> Float64:
        return self._ladder(self._lambdas(weights))[:, 0]

    def gradient(self, weights: Float64) -> Float64:
        """Of the mean of −ln p, by the weights."""
        lambdas = self._lambdas(weights)
        ladder = self._ladder(lambdas)
        slopes = np.empty_like(lambdas)
        above = np.ones(len(ladder))  # Π (1 − λ) of the levels above
        for level in range(lambdas.shape[1]):
            share = lambdas[:, level]
            gain = (self.shares[:, level] - ladder[:, level + 1]) / ladder[:, 0]
            slopes[:, level] = above * gain * share * (1 - share)
            above = above * (1 - share)
        return np.asarray(-(slopes[self.mask] @ self.described) / len(ladder))

    def _lambdas(self, weights: Float64) -> Float64:
        lambdas = np.zeros(self.mask.shape)
        lambdas[self.mask] = sigmoid(self.described @ weights)
        return lambdas

    def _ladder(self, lambdas: Float64) -> Float64:
        """(P, L + 1) p from each level down; the whole model's stands in column 0."""
        ladder = np.empty((len(lambdas), lambdas.shape[1] + 1))
        ladder[:, -1] = self.last
        for level in range(lambdas.shape[1] - 1, -1, -1):
            share = lambdas[:, level]
            ladder[:, level] = share * self.shares[:, level] + (1 - share) * ladder[:, level + 1]
        return ladder


@numba.njit(cache=True, nogil=True)
def _describe_all(lengths: Any, counts: Any, distinct: Any, described: Any) -> None:
    for at in range(len(lengths)):
        _describe(lengths[at], counts[at], distinct[at], described[at])


@numba.njit(cache=True, nogil=True, inline="always")
def _describe(length: int, count: int, distinct: int, out: Any) -> None:
    """What is known of a level, (15,): the inputs of the logistic function."""
    log_length, log_count, ratio = np.log(float(length)), np.log(float(count)), distinct / count
    once, sure = 1.0 if count == 1 else 0.0, 1.0 if distinct == 1 else 0.0
    out[0] = 1.0
    out[1] = log_count
    out[2] = log_count * log_count
    out[3] = np.log(float(distinct))
    out[4] = ratio
    out[5] = ratio * ratio
    out[6] = log_length
    out[7] = log_length * log_length
    out[8] = once
    out[9] = sure
    out[10] = sure * log_count
    out[11] = once * log_length
    out[12] = sure * log_length
    out[13] = 1.0 if length == 1 else 0.0
    out[14] = 1.0 if length == 2 else 0.0


@numba.njit(cache=True, nogil=True)
def level_share(weights: Any, length: int, count: int, distinct: int) -> float:
    """λ of one level."""
    described = np.empty(len(weights))
    _describe(length, count, distinct, described)
    total = 0.0
    for at in range(len(weights)):
        total += weights[at] * described[at]
    return float(1 / (1 + np.exp(-min(max(total, -60.0), 60.0))))
