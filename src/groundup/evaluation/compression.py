"""zstd -19 with training text as its dictionary: what a compressor that has read the corpus makes of a document.

A baseline of another kind than n-grams: no probabilities, but long repeats from anywhere in the text it was given.

The dictionary is a sample of the training split, because indexing it takes most of the time: whole documents in a
random order, while they fit `dictionary_bytes`. Each held-out document is compressed alone, as raw blocks without the
frame's magic number, length or checksum, so that what is counted is the text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import zstandard

from groundup.evaluation.scores import DocumentScore, Progress, Text, cut

LEVEL = 19
# One core indexes 1 MB/s. Held-out bits per byte with 4, 8, 16, 32, 64 MiB of Python source: 1.49, 1.44, 1.38, 1.36,
# 1.38 (level 19 indexes no more than 16 M places), so that more than this costs time and gains nothing.
DICTIONARY_BYTES = 16 * 2**20


class Compressor:
    """zstd at LEVEL with `dictionary` before every text. Building it takes about a second per MB of dictionary."""

    def __init__(self, dictionary: bytes) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL,
            dict_size=len(dictionary),
            write_content_size=False,
            write_checksum=False,
            write_dict_id=False,
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        )
        if dictionary:
            before = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            before.precompute_compress(compression_params=parameters)
            self._compressor = zstandard.ZstdCompressor(compression_params=parameters, dict_data=before)
        else:
            self._compressor = zstandard.ZstdCompressor(compression_params=parameters)

    def compress(self, text: bytes) -> bytes:
        return self._compressor.compress(text)


def sample_dictionary(texts: Sequence[str], dictionary_bytes: int, seed: int) -> bytes:
    """Whole texts in a random order drawn with `seed`, leaving out each that no longer fits."""
    kept: list[bytes] = []
    left = dictionary_bytes
    for index in np.random.default_rng(seed).permutation(len(texts)):
        if left <= 0:
            break
        raw = texts[index].encode("utf-8", "replace")
        if len(raw) <= left:
            kept.append(raw)
            left -= len(raw)
    return b"".join(kept)


def score_documents(
    dictionary: bytes,
    documents: Sequence[Text],
    *,
    max_bytes: int | None = None,
    progress: Progress | None = None,
) -> list[DocumentScore]:
    """Bits of each document, cut as in `bits.py`, after zstd with the dictionary; every byte counts as a token."""
    compressor = Compressor(dictionary)
    scores = []
    for done, document in enumerate(documents, start=1):
        raw = cut(document.text, max_bytes).encode()
        bits = 8 * len(compressor.compress(raw)) if raw else 0
        scores.append(DocumentScore(document.id, bits * math.log(2), len(raw), len(raw)))
        if progress:
            progress("compressing documents", done, len(documents))
    return scores
