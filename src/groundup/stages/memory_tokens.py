"""Documents as one stream of a tokenizer's ids, each with the separator before it: what memories are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.document import Document
from groundup.infinigram.segment import Segment
from groundup.progress import Progress, silent
from groundup.tokens.index_encoder import IndexEncoder
from groundup.tokens.tokenizer import Tokenizer

AT_A_TIME = 1_000  # documents, between two words on how far it is


@dataclass(frozen=True)
class Stream:
    """tokens: (N,) int32. offsets: (D + 1,) int64, document d is tokens[offsets[d]:offsets[d + 1]]."""

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    encoder: IndexEncoder


def segment_of(tokenizer: Tokenizer, documents: Sequence[Document]) -> tuple[Segment, IndexEncoder]:
    """A memory's segment of the documents, and what encoded them. Needs a tokenizer with a separator."""
    stream = encode_documents(tokenizer, documents)
    assert tokenizer.separator_id is not None
    segment = Segment.build(
        stream.tokens,
        stream.offsets,
        [document.id for document in documents],
        tokenizer=tokenizer.digest,
        vocab_size=tokenizer.vocab_size,
        separator=tokenizer.separator_id,
    )
    return segment, stream.encoder


def encode_documents(
    tokenizer: Tokenizer, documents: Sequence[Document], encoder: str | None = None, progress: Progress = silent
) -> Stream:
    """Needs a tokenizer with a separator. encoder: name of the one that made what these are added to; None chooses."""
    assert tokenizer.separator_id is not None
    texts = [document.text for document in documents]
    chosen = tokenizer.index_encoder(texts, named=encoder)
    parts = []
    for start in range(0, max(1, len(texts)), AT_A_TIME):
        progress("encode documents", start, len(texts))
        parts.append(chosen.encode(texts[start : start + AT_A_TIME]))
    progress("sort", 0, 0)
    ids, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(counts + 1)]).astype(np.int64)
    tokens = np.empty(len(ids) + len(counts), np.int32)
    begins = np.zeros(len(tokens), bool)
    begins[offsets[:-1]] = True
    tokens[begins], tokens[~begins] = tokenizer.separator_id, ids
    return Stream(tokens, offsets, chosen)
