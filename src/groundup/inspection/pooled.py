"""What the one vector of a text is made of, token by token, and what two texts have in common."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from groundup.inspection.reading import Reading
from groundup.inspection.record import Compared, Float, Pooled
from groundup.nn.encode import Pooling

TINY = 1e-30  # a vector of zeros is near nothing, as in search


def take_apart(hidden: Tensor, pooling: Pooling) -> Pooled:
    """hidden: (T, C) behind the last norm.

    A mean's length is the mean of what each token's vector measures along it, so each has a share and all are 1; some
    may be negative. A vector taken from the first token has no such parts.
    """
    x = _numbers(hidden)
    vector = _pool(x, pooling)
    along = x @ vector
    cosine = along / np.maximum(np.linalg.norm(x, axis=1) * np.linalg.norm(vector), TINY)
    share = along / max(len(x) * float(vector @ vector), TINY) if pooling == "mean" else None
    return Pooled(pooling, cosine, share)


def compare(hidden: Tensor, other: Tensor, text: str, reading: Reading, pooling: Pooling) -> Compared:
    """hidden: (T, C) of the text looked into; other: (S, C) of `text`, read as `reading`."""
    x, y = _numbers(hidden), _numbers(other)
    p, q = _pool(x, pooling), _pool(y, pooling)
    lengths = max(float(np.linalg.norm(p) * np.linalg.norm(q)), TINY)
    parts = x @ y.T / (len(x) * len(y) * lengths) if pooling == "mean" else None
    return Compared(text, reading.ids, reading.special, float(p @ q) / lengths, parts)


def _pool(x: Float, pooling: Pooling) -> Float:
    vector: Float = x.mean(axis=0) if pooling == "mean" else x[0]
    return vector


def _numbers(hidden: Tensor) -> Float:
    numbers: Float = hidden.detach().double().cpu().numpy()
    return numbers
