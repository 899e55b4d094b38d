"""How far held-out documents lie from training: their highest MinHash similarity with any training document.

The split keeps documents on one side from `CorpusPolicy.cluster_jaccard` up. Below it a held-out document may still
share whole functions with training; those below UNLIKE_JACCARD share little, so figures on them flatter nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.dedup import EXACT_BYTES

UNLIKE_JACCARD = 0.2  # of shingle sets, estimated; standard error there .025 at 256 permutations
BLOCK = 512  # training signatures compared at a time: their equalities fit a processor's cache, and bound memory


def nearest(held_out: Sequence[bytes], training: Sequence[bytes]) -> NDArray[np.float64]:
    """(H,) the highest estimate of Jaccard similarity of each held-out document with training; 0 without any.

    Both: signatures as `dedup.signature` makes them, under one policy. Every pair is compared: LSH would miss most
    pairs this far apart.
    """
    own = _minhashes(held_out)
    highest = np.zeros(len(own), np.int64)
    for start in range(0, len(training), BLOCK):
        block = _minhashes(training[start : start + BLOCK])
        for row, minhash in enumerate(own):
            highest[row] = max(highest[row], (block == minhash).sum(axis=1, dtype=np.int16).max())
    return np.asarray(highest / max(1, own.shape[1]), np.float64)


def _minhashes(signatures: Sequence[bytes]) -> NDArray[np.uint32]:
    """(N, permutations)."""
    found = np.frombuffer(b"".join(signature[EXACT_BYTES + 4 :] for signature in signatures), dtype="<u4")
    return found.reshape(len(signatures), -1) if signatures else found.reshape(0, 0)
