"""Documents on their way into a segment: checked, put in the order of their names, laid one behind the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.infinigram.segment import Segment, token_dtype

Tokens = npt.NDArray[Any]  # (n,) of one document, its separator first
Row = tuple[str, Tokens]  # a document: its name and its tokens


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a memory's tokens are: the digest of the tokenizer that made them, its vocabulary and its separator."""

    tokenizer: str
    vocab_size: int
    separator: int

    def rows(self, documents: Iterable[Row]) -> list[Row]:
        """The documents in a segment's type; arrays that have it already are not copied.

        Raises ValueError, with the document's name, for one that doesn't begin with the separator and for tokens
        outside the vocabulary, before narrowing them could make others of them.
        """
        dtype = token_dtype(self.vocab_size)
        rows: list[Row] = []
        for name, tokens in documents:
            ids = np.asarray(tokens)
            if ids.dtype != dtype:
                if ids.dtype.kind not in "iu" or ids.ndim != 1:
                    raise ValueError(f"the tokens of document {name} are no row of whole numbers")
                if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size):
                    raise ValueError(f"document {name} has a token outside the vocabulary of {self.vocab_size:,}")
                ids = ids.astype(dtype)
            if not len(ids) or ids[0] != self.separator:
                raise ValueError(f"document {name} doesn't begin with the separator, {self.separator}")
            rows.append((name, ids))
        return rows

    def build(self, rows: list[Row]) -> Segment:
        """Their segment, in the order of their names, so that it follows from the documents alone.

        Empties `rows` on the way, lest all tokens are held twice while they are sorted.
        """
        rows.sort(key=lambda row: row[0], reverse=True)
        names = [name for name, _ in reversed(rows)]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(tokens) for _, tokens in reversed(rows)], out=offsets[1:])
        stream = np.empty(int(offsets[-1]), token_dtype(self.vocab_size))
        for start in offsets[:-1].tolist():
            _, tokens = rows.pop()
            stream[start : start + len(tokens)] = tokens
        return Segment.build(
            stream, offsets, names, tokenizer=self.tokenizer, vocab_size=self.vocab_size, separator=self.separator
        )
