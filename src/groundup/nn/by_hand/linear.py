"""Linear layer: every output is a weighted sum of the inputs.

    y = x Wᵀ + b        or, number by number,        y[n,o] = Σᵢ x[n,i]·W[o,i] + b[o]

x: (…, I), W: (O, I), b: (O,), y: (…, O). A row n is one position of one text; all rows share W and b.

Derivatives. Ask of each number which outputs it moves, and by how much:

    x[n,i] moves all outputs of its own row, each by W[o,i]          d_x[n,i] = Σₒ d_y[n,o]·W[o,i]      d_x = d_y W
    W[o,i] moves output o of every row, by x[n,i]                    d_W[o,i] = Σₙ d_y[n,o]·x[n,i]      d_W = d_yᵀ x
    b[o]   moves output o of every row, by 1                         d_b[o]   = Σₙ d_y[n,o]

The shapes leave no other choice: (N, O)·(O, I) is (N, I), and (O, N)·(N, I) is (O, I). The row index n vanishes from
d_W and d_b because the rows share them: used N times, so N gradients are added. Two products as large as the forward's
one: that is why a training step costs three forward passes.

Size of gradients: each entry of d_x is a sum of O terms, so weights of variance v multiply the gradient's variance by
O·v (and the forward's by I·v). Depth L makes that (O·v)ᴸ, which vanishes or explodes unless v ≈ 1/O; Xavier's
2/(I + O) serves both directions.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Saved(NamedTuple):
    x: Tensor
    weight: Tensor
    has_bias: bool


class Gradients(NamedTuple):
    x: Tensor
    weight: Tensor
    bias: Tensor | None


def forward(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Saved]:
    """x: (…, I), weight: (O, I), bias: (O,) or None. Output: (…, O)."""
    y = x @ weight.T
    if bias is not None:
        y = y + bias
    return y, Saved(x, weight, bias is not None)


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    """upstream: (…, O)."""
    x, weight, has_bias = saved
    d_y = upstream.reshape(-1, upstream.shape[-1])  # (N, O): rows of all batches alike
    rows = x.reshape(-1, x.shape[-1])  # (N, I)
    d_x = upstream @ weight
    d_weight = d_y.T @ rows
    d_bias = d_y.sum(0) if has_bias else None
    return Gradients(d_x, d_weight, d_bias)
