"""LayerNorm: shift and scale a row so that its numbers have mean 0 and variance 1 (Ba et al. 2016).

    r = 1 / √(var(x) + ε)        n = (x − mean(x))·r        y = n·w + b        over the last dimension, C numbers

Derivatives. w and b act on each column alike in all rows, so their gradients are sums over rows:

    d_w[c] = Σ d_y[c]·n[c]        d_b[c] = Σ d_y[c]

x[j] moves an output in three ways: directly, by moving the mean that all outputs subtract, and by moving the r that
all are multiplied by. With g = d_y·w, the gradient that reaches n:

    ∂n[i]/∂x[j] = r·((1 if i = j else 0) − 1/C − n[i]·n[j]/C)

    d_x = r·(g − mean(g) − n·mean(g·n))

In words: from g, take away its part along (1, 1, …, 1), because adding a constant to x changes nothing, and its part
along n, because stretching x changes nothing. RMSNorm, which subtracts no mean, has the last term alone.

Size of gradients: as RMSNorm's. Divided by the spread of x, never lengthened by the two projections, bounded by 1/√ε.
Each row's d_x sums to exactly zero: the norm never tells the layers before it to move all numbers up together.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Saved(NamedTuple):
    normed: Tensor  # n
    scale: Tensor  # r, (…, 1)
    weight: Tensor
    has_bias: bool


class Gradients(NamedTuple):
    x: Tensor
    weight: Tensor
    bias: Tensor | None


def forward(x: Tensor, weight: Tensor, bias: Tensor | None = None, eps: float = 1e-5) -> tuple[Tensor, Saved]:
    """x and the output: (…, C). weight: (C,). bias: (C,) or None."""
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + eps) ** -0.5  # divided by C, not C − 1
    normed = centred * scale
    y = normed * weight
    if bias is not None:
        y = y + bias
    return y, Saved(normed, scale, weight, bias is not None)


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    n, r, weight, has_bias = saved
    g = upstream * weight
    d_x = r * (g - g.mean(-1, keepdim=True) - n * (g * n).mean(-1, keepdim=True))
    d_y = upstream.reshape(-1, upstream.shape[-1])  # (N, C)
    d_weight = (d_y * n.reshape(d_y.shape)).sum(0)
    d_bias = d_y.sum(0) if has_bias else None
    return Gradients(d_x, d_weight, d_bias)
