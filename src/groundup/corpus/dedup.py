"""Exact and near duplicates: which documents go, and which belong together when a split is drawn.

Exact: the same text but for white space. Near: MinHash signatures (rensa's R-MinHash) in LSH bands propose pairs, and
the true Jaccard similarity of the two shingle sets decides. Of duplicates the one kept lies in the fewest folders
(copies lie in `_vendor/` and `old/`), then has the longest text, then comes first by source and id. A document goes
only if a document that is kept is itself similar enough: chains of small changes don't pull everything away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from groundup.corpus.document import Document
from groundup.corpus.funnel import Event, cut
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.shingles import Hashes, jaccard, ngram_hashes, shingles, word_hashes

EXACT_BYTES = 16
BUCKET_NEIGHBOURS = 64  # in one band, a document is paired with so many others of its bucket at most: bounds n² work
ESTIMATE_SLACK = 0.15  # an estimate so far below a threshold is not verified: 5 standard errors at 256 permutations
SHINGLE_SETS_KEPT = 2_048  # while verifying; a source file's set takes about 8 kB


@dataclass(frozen=True, slots=True)
class DedupResult:
    documents: list[Document]  # kept, in the order they came
    clusters: dict[str, str]  # document id -> cluster id, for all kept documents, at `cluster_jaccard`
    events: list[Event]


def signature(document: Document, policy: CorpusPolicy) -> bytes:
    """What deduplicate needs to know of a text: 16 bytes of hash, 4 of word count, then the MinHash, 4 a permutation.

    A pure function of the text and of the policy's shingle and MinHash fields, so that workers can compute it and
    caches keep it.
    """
    words, _ = word_hashes(document.text)
    grams = ngram_hashes(words, policy.shingle_words)
    if not len(grams):
        grams = shingles(document.text, policy.shingle_words)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        grams, [0, len(grams)], policy.minhash_permutations, policy.minhash_seed
    )
    exact = hashlib.sha256(" ".join(document.text.split()).encode("utf-8", "surrogatepass")).digest()[:EXACT_BYTES]
    count = min(len(words), 2**32 - 1).to_bytes(4, "little")
    return exact + count + np.asarray(matrix.to_rows()[0], dtype="<u4").tobytes()


def deduplicate(
    documents: Sequence[Document], policy: CorpusPolicy, signatures: Mapping[str, bytes] | None = None
) -> DedupResult:
    """Removes exact and near duplicates and clusters what is kept.

    signatures: by document id, as `signature` made them under this policy; missing ones are computed.
    The result does not depend on the order of the documents, but for the order of those kept.
    """
    ranked = sorted(documents, key=_preference)
    made = signatures or {}
    found = [made.get(document.id) or signature(document, policy) for document in ranked]
    kept, events = _drop_exact(ranked, found)

    minhashes = np.array([np.frombuffer(found[i][EXACT_BYTES + 4 :], dtype="<u4") for i in kept], dtype=np.uint32)
    words = np.array([int.from_bytes(found[i][EXACT_BYTES : EXACT_BYTES + 4], "little") for i in kept], dtype=np.int64)
    unique = [ranked[i] for i in kept]
    if len(unique) < 2:
        return DedupResult(list(unique), {document.id: document.id for document in unique}, events)

    pairs = _candidates(minhashes, policy)
    estimates = _estimates(minhashes, pairs)
    likely = estimates >= policy.cluster_jaccard - ESTIMATE_SLACK
    similarity = _Similarity(unique, policy)
    pairs, estimates = pairs[likely], estimates[likely]

    removed, near = _drop_near(unique, words, pairs, estimates, similarity, policy)
    clusters = _cluster(unique, removed, pairs, estimates, similarity, policy)
    keep = {document.id for i, document in enumerate(unique) if i not in removed}
    in_order = list({document.id: document for document in documents if document.id in keep}.values())
    return DedupResult(in_order, clusters, events + near)


def _preference(document: Document) -> tuple[int, int, str, str]:
    """Sorts the one to keep first."""
    folders = document.source.count("/") + document.source.count("!")
    return (folders, -len(document.text), document.source, document.id)


def _drop_exact(ranked: list[Document], found: list[bytes]) -> tuple[list[int], list[Event]]:
    first: dict[bytes, int] = {}
    kept, events = [], []
    for i, document in enumerate(ranked):
        original = first.setdefault(found[i][:EXACT_BYTES], i)
        if original == i:
            kept.append(i)
        else:
            events.append(_removal(document, "exact_duplicate", f"exact_duplicate: of {ranked[original].source}"))
    return kept, events


def _drop_near(
    unique: list[Document],
    words: NDArray[np.int64],
    pairs: NDArray[np.int64],
    estimates: NDArray[np.float64],
    similarity: _Similarity,
    policy: CorpusPolicy,
) -> tuple[set[int], list[Event]]:
    """Walks from the document most worth keeping down; one similar enough to a document already kept goes."""
    bound = policy.near_duplicate_jaccard
    earlier: dict[int, list[tuple[float, int]]] = {}
    for (first, second), estimate in zip(pairs.tolist(), estimates.tolist(), strict=True):
        if estimate >= bound - ESTIMATE_SLACK and words[second] >= policy.near_duplicate_min_words:
            earlier.setdefault(second, []).append((-estimate, first))
    removed: set[int] = set()
    events = []
    for later in sorted(earlier):
        for _, kept in sorted(earlier[later]):  # the likeliest first: most walks end at once
            if kept in removed:
                continue
            exact = similarity(kept, later)
            if exact >= bound:
                removed.add(later)
                reason = f"near_duplicate: {exact:.2f} >= {bound:.2f} of {unique[kept].source}"
                events.append(_removal(unique[later], "near_duplicate", reason))
                break
    return removed, events


def _cluster(
    unique: list[Document],
    removed: set[int],
    pairs: NDArray[np.int64],
    estimates: NDArray[np.float64],
    similarity: _Similarity,
    policy: CorpusPolicy,
) -> dict[str, str]:
    """Connected components over the kept documents; a cluster's id is its smallest document id."""
    parent = list(range(len(unique)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    # The likeliest pairs first, and none whose ends are joined already: components don't depend on the order, the
    # work does.
    for first, second in pairs[np.argsort(-estimates, kind="stable")].tolist():
        if first in removed or second in removed or root(first) == root(second):
            continue
        if similarity(first, second) >= policy.cluster_jaccard:
            parent[root(second)] = root(first)
    members: dict[int, list[str]] = {}
    for i, document in enumerate(unique):
        if i not in removed:
            members.setdefault(root(i), []).append(document.id)
    return {id_: cluster for ids in members.values() for cluster in [min(ids)] for id_ in ids}


def _candidates(minhashes: NDArray[np.uint32], policy: CorpusPolicy) -> NDArray[np.int64]:
    """Pairs (first < second), (P, 2), that share all rows of at least one band, sorted."""
    count, rows = len(minhashes), policy.minhash_permutations // policy.minhash_bands
    codes = []
    for band in range(policy.minhash_bands):
        keys = np.ascontiguousarray(minhashes[:, band * rows : (band + 1) * rows]).view(f"V{4 * rows}").ravel()
        _, bucket = np.unique(keys, return_inverse=True)
        order = np.argsort(bucket, kind="stable")  # documents of one bucket side by side, best to keep first
        bucket = bucket[order]
        for distance in range(1, min(BUCKET_NEIGHBOURS, count - 1) + 1):
            same = bucket[distance:] == bucket[:-distance]
            if not same.any():
                break
            codes.append(order[:-distance][same] * count + order[distance:][same])
        # In a bucket of many, everyone also meets the first, which is kept whatever the rest do.
        heads = order[np.searchsorted(bucket, bucket)]
        far = np.arange(count) - np.searchsorted(bucket, bucket) > BUCKET_NEIGHBOURS
        codes.append(heads[far] * count + order[far])
    found = np.unique(np.concatenate(codes)) if codes else np.zeros(0, np.int64)
    return np.stack([found // count, found % count], axis=1)


def _estimates(minhashes: NDArray[np.uint32], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of equal MinHash slots of each pair, (P,), the usual estimate of Jaccard similarity."""
    estimates = np.empty(len(pairs), np.float64)
    step = 1 << 15  # pairs at a time: 64 MB of gathered signatures
    for start in range(0, len(pairs), step):
        first, second = pairs[start : start + step].T
        estimates[start : start + step] = (minhashes[first] == minhashes[second]).mean(axis=1)
    return estimates


class _Similarity:
    """True Jaccard similarity of two documents' shingle sets, remembering recent sets and all answers."""

    def __init__(self, documents: list[Document], policy: CorpusPolicy) -> None:
        self._documents, self._words = documents, policy.shingle_words
        self._sets: dict[int, Hashes] = {}
        self._answers: dict[tuple[int, int], float] = {}

    def __call__(self, first: int, second: int) -> float:
        pair = (first, second)
        if pair not in self._answers:
            self._answers[pair] = jaccard(self._set(first), self._set(second))
        return self._answers[pair]

    def _set(self, i: int) -> Hashes:
        found = self._sets.pop(i, None)
        if found is None:
            found = shingles(self._documents[i].text, self._words)
        self._sets[i] = found  # the most recently used last
        if len(self._sets) > SHINGLE_SETS_KEPT:
            self._sets.pop(next(iter(self._sets)))
        return found


def _removal(document: Document, rule: str, reason: str) -> Event:
    return Event(
        action="removed",
        stage="dedup",
        rule=rule,
        reason=reason,
        source=document.source,
        document_id=document.id,
        bytes=len(document.text.encode("utf-8", "surrogatepass")),
        example=cut(document.text[:400]),
    )
