"""RMSNorm: scale a row so that its numbers have a mean square of 1 (Zhang & Sennrich 2019).

    r = 1 / √(mean(x²) + ε)        n = x·r        y = n·w        over the last dimension, C numbers

Derivatives. The weight is simple: w[c] multiplies n[c] in every row, so d_w[c] = Σ over rows of d_y[c]·n[c].

The input isn't: x[j] moves its own output, and, through r, every other output of its row. Write g = d_y·w for the
gradient that reaches n. The slope of r is ∂r/∂x[j] = −r³·x[j]/C = −r²·n[j]/C, so

    ∂n[i]/∂x[j] = r·(1 if i = j else 0) − x[i]·r²·n[j]/C = r·((1 if i = j else 0) − n[i]·n[j]/C)

    d_x = r·(g − n·mean(g·n))

In words: take g, and subtract the part of it that points along n. Stretching x doesn't change y, so the loss can have
no slope in that direction, and d_x has none: x·d_x = 0 (up to ε).

Size of gradients: r divides by the size of x, so a row twice as long gets a gradient half as large, which holds
exploding activations back; for a row of nearly zeros r rises to 1/√ε, which is what ε is there to bound. The projection
only ever shortens. Weights that feed a norm feel it too: the longer they grow, the smaller their gradient.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Saved(NamedTuple):
    normed: Tensor  # n
    scale: Tensor  # r, (…, 1)
    weight: Tensor | None


class Gradients(NamedTuple):
    x: Tensor
    weight: Tensor | None


def forward(x: Tensor, weight: Tensor | None = None, eps: float = 1e-6) -> tuple[Tensor, Saved]:
    """x and the output: (…, C). weight: (C,), or None for no scaling afterwards."""
    scale = (x.square().mean(-1, keepdim=True) + eps) ** -0.5
    normed = x * scale
    y = normed if weight is None else normed * weight
    return y, Saved(normed, scale, weight)


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    n, r, weight = saved
    g = upstream if weight is None else upstream * weight
    d_x = r * (g - n * (g * n).mean(-1, keepdim=True))
    d_weight = None if weight is None else (upstream * n).reshape(-1, n.shape[-1]).sum(0)
    return Gradients(d_x, d_weight)
