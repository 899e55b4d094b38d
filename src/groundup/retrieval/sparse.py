"""TF-IDF and BM25 over one set of postings: for each term the passages that hold it, and how often.

Postings store counts (6 bytes each), not weights: both scores follow from the count, the passage's length or norm and
the term's idf, so one structure serves both systems and changing k1 or b rebuilds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import numpy.typing as npt

from groundup.retrieval.analyzer import Ids, TermCounts

K1, B = 1.5, 0.75
_LARGEST_COUNT = np.iinfo(np.uint16).max

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ranking:
    """`rows`: int64, best first, equal scores by row; `scores`: float32, all above zero."""

    rows: npt.NDArray[np.int64]
    scores: Floats

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Postings:
    """CSR by term: `rows[indptr[t]:indptr[t+1]]` ascending, with `counts` beside them; `lengths`: terms a passage.

    indptr (V+1,) int64, rows int32, counts uint16, lengths (N,) int32. All may be memory-mapped.
    """

    indptr: npt.NDArray[np.int64]
    rows: Ids
    counts: npt.NDArray[np.uint16]
    lengths: Ids

    @classmethod
    def build(cls, counted: TermCounts) -> Postings:
        """From passages' terms (`TermCounts`), by a counting sort over terms: linear."""
        indptr, rows, counts = transpose(counted.indptr, counted.terms, counted.counts, len(counted.vocabulary))
        return cls(indptr, rows, counts, counted.lengths)

    @property
    def passages(self) -> int:
        return len(self.lengths)

    def bm25_idf(self, terms: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """ln(1 + (N − df + ½) / (df + ½)), Lucene's form, never negative. (Robertson & Zaragoza 2009, section 3.1.)"""
        frequency = self._frequencies(terms)
        return np.log1p((self.passages - frequency + 0.5) / (frequency + 0.5))

    def tfidf_idf(self, terms: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """ln((1 + N) / (1 + df)) + 1, scikit-learn's smoothed form."""
        return np.log((1 + self.passages) / (1 + self._frequencies(terms))) + 1

    def bm25(self, terms: Sequence[int], k: int, k1: float = K1, b: float = B) -> Ranking:
        """Σ idf · tf / (tf + k1 (1 − b + b · length / mean length)): Lucene's variant, without its constant factor
        k1 + 1, as bm25s' "lucene" has it (Kamphuis et al. 2020). A term that a query repeats counts that often.
        """
        unique, repeats = _query(terms)
        weights = (self.bm25_idf(unique) * repeats).astype(np.float32)
        lengths = self._length_norms(k1, b)
        return _rank(_bm25_scores(self.indptr, self.rows, self.counts, lengths, unique, weights), k)

    def tfidf(self, terms: Sequence[int], k: int) -> Ranking:
        """Cosine of tf · idf vectors, as scikit-learn's TfidfVectorizer has them."""
        unique, repeats = _query(terms)
        idf = self.tfidf_idf(unique)
        length = float(np.sqrt(np.sum((idf * repeats) ** 2))) or 1.0
        weights = (idf * idf * repeats / length).astype(np.float32)
        return _rank(_cosine_scores(self.indptr, self.rows, self.counts, self.norms, unique, weights), k)

    @cached_property
    def mean_length(self) -> float:
        return float(np.mean(self.lengths)) if self.passages else 0.0

    @cached_property
    def norms(self) -> Floats:
        """(N,) 1 / length of each passage's tf · idf vector; one pass over the postings, on first use."""
        idf = self.tfidf_idf(np.arange(len(self.indptr) - 1))
        return _norms(self.indptr, self.rows, self.counts, idf, self.passages)

    def _length_norms(self, k1: float, b: float) -> Floats:
        """(N,) k1 (1 − b + b · length / mean length), kept for the k1 and b asked for last."""
        kept = self.__dict__.get("_kept_norms")
        if kept is None or kept[0] != (k1, b):
            mean = max(self.mean_length, 1e-9)
            kept = ((k1, b), (k1 * (1 - b + b * self.lengths / mean)).astype(np.float32))
            self.__dict__["_kept_norms"] = kept
        norms: Floats = kept[1]
        return norms

    def _frequencies(self, terms: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        at = np.asarray(terms, np.int64)
        return (self.indptr[at + 1] - self.indptr[at]).astype(np.float64)


def _query(terms: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Known terms in ascending order, so that sums are made in one order, with their repetitions."""
    known = np.array([term for term in terms if term >= 0], np.int64)
    return np.unique(known, return_counts=True)


def _rank(scores: Floats, k: int) -> Ranking:
    rows, best = top_k(scores, k, 0.0)
    return Ranking(rows, best)


@numba.njit(cache=True, nogil=True)
def _bm25_scores(
    indptr: npt.NDArray[np.int64],
    rows: Ids,
    counts: npt.NDArray[np.uint16],
    length_norms: Floats,
    terms: npt.NDArray[np.int64],
    weights: Floats,
) -> Floats:
    scores = np.zeros(len(length_norms), np.float32)
    for i in range(len(terms)):
        for j in range(indptr[terms[i]], indptr[terms[i] + 1]):
            count = np.float32(counts[j])
            scores[rows[j]] += weights[i] * count / (count + length_norms[rows[j]])
    return scores


@numba.njit(cache=True, nogil=True)
def _cosine_scores(
    indptr: npt.NDArray[np.int64],
    rows: Ids,
    counts: npt.NDArray[np.uint16],
    norms: Floats,
    terms: npt.NDArray[np.int64],
    weights: Floats,
) -> Floats:
    scores = np.zeros(len(norms), np.float32)
    for i in range(len(terms)):
        for j in range(indptr[terms[i]], indptr[terms[i] + 1]):
            scores[rows[j]] += weights[i] * counts[j]
    return scores * norms


@numba.njit(cache=True, nogil=True)
def _norms(
    indptr: npt.NDArray[np.int64],
    rows: Ids,
    counts: npt.NDArray[np.uint16],
    idf: npt.NDArray[np.float64],
    passages: int,
) -> Floats:
    squares = np.zeros(passages, np.float64)
    for term in range(len(indptr) - 1):
        for j in range(indptr[term], indptr[term + 1]):
            squares[rows[j]] += (counts[j] * idf[term]) ** 2
    norms = np.zeros(passages, np.float32)
    for row in range(passages):
        if squares[row] > 0:
            norms[row] = 1.0 / np.sqrt(squares[row])
    return norms


@numba.njit(cache=True, nogil=True)
def transpose(
    indptr: npt.NDArray[np.int64], terms: Ids, counts: npt.NDArray[np.integer], size: int
) -> tuple[npt.NDArray[np.int64], Ids, npt.NDArray[np.uint16]]:
    starts = np.zeros(size + 1, np.int64)
    for term in terms:
        starts[term + 1] += 1
    for term in range(size):
        starts[term + 1] += starts[term]
    place = starts[:-1].copy()
    rows = np.empty(len(terms), np.int32)
    out = np.empty(len(terms), np.uint16)
    for row in range(len(indptr) - 1):
        for j in range(indptr[row], indptr[row + 1]):
            at = place[terms[j]]
            place[terms[j]] += 1
            rows[at] = row
            out[at] = min(counts[j], _LARGEST_COUNT)
    return starts, rows, out


@numba.njit(cache=True, nogil=True)
def top_k(scores: Floats, k: int, floor: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """The k best rows with a score above `floor`, best first, equal scores by row. One pass with a heap of k."""
    k = max(min(k, len(scores)), 0)
    heap_scores = np.empty(k, np.float32)
    heap_rows = np.empty(k, np.int64)
    size = 0
    bar = np.float32(floor if k else np.inf)  # what a score has to pass: the floor, then the worst of k kept
    for row in range(len(scores)):
        score = scores[row]
        if score <= bar:
            continue  # rows come in ascending order, so an equal score never displaces an earlier row
        if size < k:
            at = size
            size += 1
            while at > 0:  # sift up
                parent = (at - 1) // 2
                if _before(score, row, heap_scores[parent], heap_rows[parent]):
                    break
                heap_scores[at], heap_rows[at] = heap_scores[parent], heap_rows[parent]
                at = parent
        else:
            at = 0
            while True:  # sift down from the root, the worst of the kept
                child = 2 * at + 1
                if child >= size:
                    break
                right = child + 1
                if right < size and _before(heap_scores[child], heap_rows[child], heap_scores[right], heap_rows[right]):
                    child = right
                if _before(heap_scores[child], heap_rows[child], score, row):
                    break
                heap_scores[at], heap_rows[at] = heap_scores[child], heap_rows[child]
                at = child
        heap_scores[at], heap_rows[at] = score, row
        if size == k:
            bar = heap_scores[0]
    order = np.argsort(heap_rows[:size])
    rows, best = heap_rows[:size][order], heap_scores[:size][order]
    order = np.argsort(-best, kind="mergesort")
    return rows[order], best[order]


@numba.njit(cache=True, nogil=True, inline="always")
def _before(score: float, row: int, other_score: float, other_row: int) -> bool:
    """Whether (score, row) ranks before the other."""
    return score > other_score or (score == other_score and row < other_row)
