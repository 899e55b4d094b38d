"""What a memory adds to a decoder by how much of the text before a token it knows: bands of matched length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

BOUNDS = ((0, 1), (2, 3), (4, 7), (8, 11), (12, 31), (32, None))  # longest match before a token, in tokens


@dataclass(frozen=True)
class Band:
    """Tokens whose longest match before them lies between `low` and `high` tokens. Bits are sums.

    saved_bits − cost_bits is decoder_bits − mixed_bits: what the mixture saves, and what it costs, token by token.
    """

    low: int
    high: int | None
    tokens: int
    text_bytes: int
    decoder_bits: float
    memory_bits: float
    mixed_bits: float
    decided: int  # tokens of which memory's part of the mixture is the larger
    worse: int  # tokens that the mixture makes less likely than the decoder alone
    saved_bits: float  # over the tokens it makes more likely
    cost_bits: float  # over those it makes less likely


def banded(
    lengths: Int64, decoder: Float64, memory: Float64, mixed: Float64, share: Float64, sizes: Int64
) -> list[Band]:
    """All (P,), by token: its longest match, its probability three ways, memory's weight in the mixture, its bytes."""
    gains = np.log2(mixed) - np.log2(decoder)

    def of(low: int, high: int | None, here: NDArray[np.bool_]) -> Band:
        gain = gains[here]
        return Band(
            low,
            high,
            tokens=int(here.sum()),
            text_bytes=int(sizes[here].sum()),
            decoder_bits=_bits(decoder[here]),
            memory_bits=_bits(memory[here]),
            mixed_bits=_bits(mixed[here]),
            decided=int((share * memory > (1 - share) * decoder)[here].sum()),
            worse=int((mixed < decoder)[here].sum()),
            saved_bits=float(gain[gain > 0].sum()),
            cost_bits=-float(gain[gain < 0].sum()),
        )

    return [
        of(low, high, (lengths >= low) & (lengths <= (np.iinfo(np.int64).max if high is None else high)))
        for low, high in BOUNDS
    ]


def total(bands: Sequence[Band]) -> Band:
    """Of all of them, as one band."""
    names = [name for name in Band.__dataclass_fields__ if name not in ("low", "high")]
    return Band(0, None, **{name: sum(getattr(band, name) for band in bands) for name in names})


def _bits(p: Float64) -> float:
    return -float(np.log2(p).sum())
