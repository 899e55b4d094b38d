"""Softmax: scores become shares that are positive and sum to 1.

    p[i] = e^x[i] / Σₖ e^x[k]        over the last dimension

Derivative. Raising x[j] raises the share of j and, since all shares sum to 1, lowers every other:

    ∂p[i]/∂x[j] = p[i]·((1 if i = j else 0) − p[j])

    d_x[j] = Σᵢ d_p[i]·∂p[i]/∂x[j] = p[j]·(d_p[j] − Σᵢ p[i]·d_p[i])

In words: Σ p·d_p is the average of the upstream, weighed by the shares. A score's gradient is how far its own upstream
stands above that average, times its share. Adding a constant to all x changes nothing, so each row of d_x sums to 0.

Size of gradients: p·(1 − p) is at most 1/4, and when one share is near 1 every entry of the Jacobian is near 0. A
saturated softmax passes hardly any gradient, be it right or wrong: that is why attention divides its scores by √D, and
why the loss is built on the logarithm of p instead (`cross_entropy`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    p: Tensor


def forward(x: Tensor) -> tuple[Tensor, Saved]:
    """x and the output: (…, N). A score of −∞ gets share 0; so does every score of a row of nothing but −∞."""
    top = x.amax(-1, keepdim=True)
    e = torch.exp(x - top.masked_fill(top == float("-inf"), 0))  # less the maximum: the same shares, and no overflow
    total = e.sum(-1, keepdim=True)
    p = e / total.masked_fill(total == 0, 1)
    return p, Saved(p)


def backward(saved: Saved, upstream: Tensor) -> Tensor:
    p = saved.p
    average = (p * upstream).sum(-1, keepdim=True)
    return p * (upstream - average)
