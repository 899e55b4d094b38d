"""Embedding: a token's number picks a row of a table.

    y[n] = E[token[n]]

E: (V, C), tokens: (…) whole numbers, y: (…, C).

Derivative. A token is a name, not an amount: it can't grow a little, so it has no gradient. Row v of the table moves
every position that holds token v, each by 1:

    d_E[v] = Σ d_y[n]  over the positions n with token[n] = v

Looking up copies a row, so going back adds. It is the linear layer's d_W with one-hot rows for x, without multiplying
by all the zeros.

Size of gradients: rows of tokens that the batch doesn't hold get exactly zero, rows of frequent ones the sum of many.
So rare tokens learn slowly under plain gradient descent; Adam, which divides by the usual size of a gradient, evens it
out.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Saved(NamedTuple):
    tokens: Tensor
    rows: int  # V


def forward(tokens: Tensor, weight: Tensor) -> tuple[Tensor, Saved]:
    """tokens: (…) int64, weight: (V, C). Output: (…, C)."""
    return weight[tokens], Saved(tokens, weight.shape[0])


def backward(saved: Saved, upstream: Tensor) -> Tensor:
    """upstream: (…, C). Gradient of the table: (V, C)."""
    d_weight = upstream.new_zeros(saved.rows, upstream.shape[-1])
    # Not d_weight[tokens] += …, which writes once where a token occurs twice.
    return d_weight.index_add_(0, saved.tokens.reshape(-1), upstream.reshape(-1, upstream.shape[-1]))
