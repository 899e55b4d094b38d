"""What a corpus memory adds to a decoder on held-out texts, from what the decoder said before each token.

Backoff and gate are fitted on some held-out documents and reported on others; memory holds neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundup.evaluation.scores import DocumentScore
from groundup.evaluation.token_record import TokenRecord
from groundup.infinigram.backoff import Backoff
from groundup.infinigram.evidence import Evidence
from groundup.infinigram.gate import Gate, features
from groundup.infinigram.memory import Memory
from groundup.infinigram.survey import Survey, survey

Float64 = NDArray[np.float64]

LONG_MATCH = 12  # tokens: what stands so far word for word was copied, in most texts
BANDS = ((0, 1), (2, 3), (4, 7), (8, 11), (12, 31), (32, None))  # longest match before a token, in tokens


@dataclass(frozen=True)
class Surveyed:
    """A decoder's record of some documents, and memory's survey of each."""

    record: TokenRecord
    surveys: list[Survey]

    @classmethod
    def of(cls, memory: Memory, record: TokenRecord) -> Surveyed:
        documents = [record.tokens[record.document(i)] for i in range(len(record.offsets) - 1)]
        return cls(record, [survey(memory, np.concatenate([[memory.separator], ids])) for ids in documents])

    def joined(self) -> Survey:
        names = Survey.__dataclass_fields__
        return Survey(*(np.concatenate([getattr(one, name) for one in self.surveys]) for name in names))


@dataclass(frozen=True)
class Band:
    """Tokens whose longest match before them lies between `low` and `high` tokens. Bits are sums."""

    low: int
    high: int | None
    tokens: int
    text_bytes: int
    decoder_bits: float
    memory_bits: float
    mixed_bits: float
    decided: int  # tokens of which memory's part of the mixture is the larger
    worse: int  # tokens that the mixture makes less likely than the decoder alone


@dataclass(frozen=True)
class Mixed:
    """Scores of memory alone and of the mixture by document, and both by the length of the match.

    long_match_share: (D,) share of each document's tokens that lie inside a match of LONG_MATCH tokens or more."""

    memory: list[DocumentScore]
    mixed: list[DocumentScore]
    bands: list[Band]
    long_match_share: list[float]


def fit(memory: Memory, fitting: Surveyed, seed: int) -> tuple[Backoff, Gate]:
    """Raises ValueError if there is no token to fit on."""
    backoff = Backoff.fit(fitting.surveys, memory.unigrams)
    joined = fitting.joined()
    seen = _features(backoff, memory, fitting.record, joined)
    decoder, own = np.exp(fitting.record.logp), backoff.probabilities(joined, memory.unigrams)
    return backoff, Gate.fit(seen, decoder, own, seed)


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
    decoder, own = np.exp(record.logp), backoff.probabilities(joined, memory.unigrams)
    matched = joined.counts[:, 0] > 0
    share = np.where(matched, gate.shares(_features(backoff, memory, record, joined)), 0.0)
    mixed = (1 - share) * decoder + share * own
    alone, together, long_share = [], [], []
    for index, score in enumerate(scores):
        at = record.document(index)
        assert at.stop - at.start == score.tokens, score.document_id
        charged = 8 * math.log(2) * score.missing_bytes
        alone.append(_scored(score, own[at], charged))
        together.append(_scored(score, mixed[at], charged))
        long_share.append(float(_inside(joined.lengths[at, 0], LONG_MATCH).mean()) if score.tokens else 0.0)
    bands = [
        _band(low, high, joined.lengths[:, 0], decoder, own, mixed, share, token_bytes[record.tokens])
        for low, high in BANDS
    ]
    return Mixed(alone, together, bands, long_share)


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


def _band(
    low: int,
    high: int | None,
    lengths: NDArray[np.int64],
    decoder: Float64,
    own: Float64,
    mixed: Float64,
    share: Float64,
    sizes: NDArray[np.int64],
) -> Band:
    here = (lengths >= low) & (lengths <= (np.iinfo(np.int64).max if high is None else high))
    bits = [-float(np.log2(p[here]).sum()) for p in (decoder, own, mixed)]
    decided = int((share * own > (1 - share) * decoder)[here].sum())
    worse = int((mixed < decoder)[here].sum())
    return Band(low, high, int(here.sum()), int(sizes[here].sum()), bits[0], bits[1], bits[2], decided, worse)
