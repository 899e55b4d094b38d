"""How far memory is believed in one text, from how it did on the text so far: w, which λ is multiplied by.

A gate that was fitted on texts like the corpus has met no other, and there it gives memory too much say. What tells
such a text needs no decoder: where a text is of the corpus' kind, matches of three tokens and more foretell it better
than shorter ones do (by 1.25 nats a token in held-out files, .52 in held-out packages); in abstracts about aerodynamics
and medicine, beside a memory of Python, they do not (−.01 and −.03). So w is the chance that memory speaks of this
text, by Bayes: what all matches make of a token, in ln p, less what the short ones do, less a cost, is its evidence.
The odds fall back to the start little by little, since a text may change (as in Herbster & Warmuth 1998, who do so with
the chances themselves). The numbers were chosen for SmolLM2 beside a memory of Python, on 224 such abstracts and 76
Python files. Evidence from the decoder's own p of each token comes to the same within .2 % of the bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from groundup.infinigram.backoff import level_share
from groundup.infinigram.descent import Float64
from groundup.infinigram.survey import Survey

START = 0.6  # w before the first token
COST = 0.125  # nats a token that longer matches have to bring
PULL = 0.01  # of the way back to the start, after each token
SHORT = 2  # tokens of the longest match that any text of the language may have
LIMIT = 20.0  # of the log-odds: 90 tokens are enough to lose the greatest trust
LOOK_BACK = 512  # tokens that trust is earned on; of what came before, PULL would leave half a percent


def trust(survey: Survey, weights: Float64, last: Float64, separator: int) -> Float64:
    """(P + 1,) w before each token of a survey, and before the one that comes next.

    weights: of the backoff. last: (V,) its last level. The survey begins where a document does, or LOOK_BACK before the
    first token that is asked for; a separator begins another document. Some 6 µs a token.
    """
    evidence, trusts = np.empty(len(survey)), np.empty(len(survey) + 1)
    _weigh(survey.tokens, survey.lengths, survey.counts, survey.distinct, survey.hits, weights, last, evidence)
    _fold(evidence, survey.tokens == separator, trusts)
    return trusts


@numba.njit(cache=True, nogil=True)
def _weigh(
    tokens: Any, lengths: Any, counts: Any, distinct: Any, hits: Any, weights: Any, last: Any, evidence: Any
) -> None:
    for row in range(len(tokens)):
        p = short = 0.0
        rest = short_rest = 1.0  # Π (1 − λ) of the levels so far
        for level in range(lengths.shape[1]):
            if counts[row, level] == 0:
                break
            share = level_share(weights, lengths[row, level], counts[row, level], distinct[row, level])
            followed = share * hits[row, level] / counts[row, level]
            p += rest * followed
            rest *= 1 - share
            if lengths[row, level] <= SHORT:
                short += short_rest * followed
                short_rest *= 1 - share
        unmatched = last[tokens[row]]
        evidence[row] = np.log((p + rest * unmatched) / (short + short_rest * unmatched)) - COST


@numba.njit(cache=True, nogil=True)
def _fold(evidence: Any, ends: Any, trusts: Any) -> None:
    start = np.log(START / (1 - START))
    begin = 0
    for at in range(len(trusts)):
        if at and ends[at - 1]:
            begin = at
        odds = start
        for row in range(max(begin, at - LOOK_BACK), at):
            odds = (1 - PULL) * (odds + evidence[row]) + PULL * start
            odds = min(max(odds, -LIMIT), LIMIT)
        trusts[at] = 1 / (1 + np.exp(-odds))
