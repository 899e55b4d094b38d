"""What a corpus memory adds to a decoder on held-out texts, from what the decoder said before each token.

Backoff and gate are fitted on some held-out documents and reported on others; memory holds neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundup.evaluation.bands import Band, banded
from groundup.evaluation.scores import DocumentScore
from groundup.evaluation.token_record import TokenRecord
from groundup.infinigram.backoff import Backoff, last_level
from groundup.infinigram.evidence import Evidence
from groundup.infinigram.gate import Gate, features
from groundup.infinigram.memory import Memory
from groundup.infinigram.spans import COPIED_TOKENS
from groundup.infinigram.survey import Survey, survey
from groundup.infinigram.trust import trust

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Surveyed:
    """A decoder's record of some documents, and memory's survey of each.

    starts: of each document, how many tokens were surveyed before the record's first: trust is earned there too.
    """

    record: TokenRecord
    surveys: list[Survey]
    starts: list[int]

    @classmethod
    def of(cls, memory: Memory, record: TokenRecord) -> Surveyed:
        documents = [record.tokens[record.document(i)] for i in range(len(record.offsets) - 1)]
        surveys = [survey(memory, np.concatenate([[memory.separator], ids])) for ids in documents]
        return cls(record, surveys, [0] * len(surveys))

    def joined(self) -> Survey:
        """Of the record's tokens."""
        parts = list(zip(self.surveys, self.starts, strict=True))
        names = Survey.__dataclass_fields__
        return Survey(*(np.concatenate([getattr(one, name)[start:] for one, start in parts]) for name in names))

    def trusts(self, memory: Memory, backoff: Backoff) -> Float64:
        """(P,) how far memory is believed before each of the record's tokens."""
        weights, last = np.array(backoff.weights), last_level(memory.unigrams)
        found = [trust(one, weights, last, memory.separator) for one in self.surveys]
        return np.concatenate([one[start:-1] for one, start in zip(found, self.starts, strict=True)])


@dataclass(frozen=True)
class Mixed:
    """Scores of memory alone and of the mixture by document, and both by the length of the match.

    long_match_share: (D,) share of each document's tokens that lie inside a match of COPIED_TOKENS tokens or more."""

    memory: list[DocumentScore]
    mixed: list[DocumentScore]
    bands: list[Band]
    long_match_share: list[float]


def fit(memory: Memory, fitting: Surveyed, seed: int, *, cautious: bool = False) -> tuple[Backoff, Gate]:
    """cautious: for a decoder that has read more than the corpus. Raises ValueError if there is no token to fit on."""
    backoff = Backoff.fit(fitting.surveys, memory.unigrams)
    joined = fitting.joined()
    seen = _features(backoff, memory, fitting.record, joined)
    decoder, own = np.exp(fitting.record.logp), backoff.probabilities(joined, memory.unigrams)
    return backoff, Gate.fit(seen, decoder, own, seed, cautious=cautious)


def mix(
    memory: Memory,
    backoff: Backoff,
    gate: Gate,
    surveyed: Surveyed,
    scores: Sequence[DocumentScore],
    token_bytes: NDArray[np.int64],
) -> Mixed:
    """scores: the decoder's, of the same documents. token_bytes: (V,) bytes of each token."""
    record, joined = surveyed.record, surveyed.joined()
    decoder, (share, own) = np.exp(record.logp), weighed(memory, backoff, gate, surveyed)
    mixed = (1 - share) * decoder + share * own
    alone, together, long_share = [], [], []
    for index, score in enumerate(scores):
        at = record.document(index)
        assert at.stop - at.start == score.tokens, score.document_id
        charged = 8 * math.log(2) * score.missing_bytes
        alone.append(_scored(score, own[at], charged))
        together.append(_scored(score, mixed[at], charged))
        long_share.append(float(_inside(joined.lengths[at, 0], COPIED_TOKENS).mean()) if score.tokens else 0.0)
    bands = banded(joined.lengths[:, 0], decoder, own, mixed, share, token_bytes[record.tokens])
    return Mixed(alone, together, bands, long_share)


def mixed_nats(memory: Memory, backoff: Backoff, gate: Gate, surveyed: Surveyed) -> Float64:
    """(P,) −ln p of each token under the mixture, of which `mix` gives the sums."""
    share, own = weighed(memory, backoff, gate, surveyed)
    return np.asarray(-np.log((1 - share) * np.exp(surveyed.record.logp) + share * own))


def weighed(memory: Memory, backoff: Backoff, gate: Gate, surveyed: Surveyed) -> tuple[Float64, Float64]:
    """(memory's weight, memory's probability) of each token, both (P,). Where nothing matches the decoder is alone."""
    joined = surveyed.joined()
    shares = gate.shares(_features(backoff, memory, surveyed.record, joined))
    if gate.cautious:
        shares = shares * surveyed.trusts(memory, backoff)
    return np.where(joined.counts[:, 0] > 0, shares, 0.0), backoff.probabilities(joined, memory.unigrams)


def _features(backoff: Backoff, memory: Memory, record: TokenRecord, joined: Survey) -> Float64:
    favourite = backoff.favourite_probabilities(joined, memory.unigrams)
    return features(joined, favourite, Evidence(record.entropy, record.best, record.best_logp))


def _scored(score: DocumentScore, p: Float64, charged: float) -> DocumentScore:
    nats = -float(np.log(p).sum()) + charged
    return DocumentScore(score.document_id, nats, score.text_bytes, score.tokens, score.missing_bytes)


def _inside(lengths: NDArray[np.int64], least: int) -> NDArray[np.bool_]:
    """(P,) whether each token is part of a match of `least` or more. lengths: of the match that ends before each."""
    covered = np.zeros(len(lengths) + 1, np.int64)
    for place in np.flatnonzero(lengths >= least):
        covered[max(0, place - lengths[place])] += 1
        covered[place] -= 1
    return np.asarray(np.cumsum(covered)[:-1] > 0)
