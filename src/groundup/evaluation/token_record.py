"""What a decoder said before every token of some documents: enough to mix another model in without running it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.infinigram.evidence import BEST

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class TokenRecord:
    """P tokens of D documents in a row. offsets: (D + 1,). tokens: (P,). logp: (P,) ln p of each. entropy: (P,) nats.
    best: (P, BEST) ids of the likeliest, best_logp their ln p."""

    offsets: NDArray[np.int64]
    tokens: NDArray[np.int64]
    logp: Float64
    entropy: Float64
    best: NDArray[np.int64]
    best_logp: Float64

    @classmethod
    def blank(cls, documents: list[NDArray[np.int64]], vocab_size: int) -> TokenRecord:
        """Every token under a uniform distribution, until something better is filled in."""
        offsets = np.cumsum([0, *(len(ids) for ids in documents)]).astype(np.int64)
        count, width = int(offsets[-1]), min(BEST, vocab_size)
        tokens = np.concatenate([np.zeros(0, np.int64), *documents])
        even = np.full(count, -np.log(vocab_size))
        best = np.tile(np.arange(width), (count, 1))
        return cls(offsets, tokens, even, -even, best, np.repeat(even[:, None], width, 1))

    def document(self, index: int) -> slice:
        """Where the tokens of one document lie."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def part(self, first: int, stop: int) -> TokenRecord:
        """The record of documents first to stop − 1."""
        at = slice(int(self.offsets[first]), int(self.offsets[stop]))
        offsets = self.offsets[first : stop + 1] - self.offsets[first]
        names = ("tokens", "logp", "entropy", "best", "best_logp")
        return TokenRecord(offsets, *(getattr(self, name)[at] for name in names))

    def save(self, path: Path) -> None:
        """In single precision: seven digits of a logarithm."""
        narrow = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32}
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        np.savez(path, **{name: array.astype(narrow[array.dtype]) for name, array in arrays.items()})

    @classmethod
    def load(cls, path: Path) -> TokenRecord:
        wide = {np.dtype(np.float32): np.float64, np.dtype(np.int32): np.int64}
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{name: stored[name].astype(wide[stored[name].dtype]) for name in cls.__dataclass_fields__})
