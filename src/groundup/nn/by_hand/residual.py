"""Residual addition: a layer adds to the stream instead of replacing it (He et al. 2015).

    y = x + s·f        x the stream, f what a branch computed from it, s a scale (1 unless said otherwise)

Derivatives. A sum hands its gradient to every term unchanged, a factor multiplies it on the way:

    d_x = d_y        d_f = s·d_y        d_s = Σ d_y·f

d_x here is only what comes back by the direct path. The branch also read x and sends its own gradient back; whoever
used x twice adds the two (see `block`).

Size of gradients: this is what makes depth possible. Without the addition, L layers of Jacobians J multiply to
J₁·J₂·…·J_L, which vanishes when they shrink. With it they multiply to (1 + s·J₁)·…·(1 + s·J_L) = 1 + s·ΣJ + …, whose
first term is the identity: the bottom layer hears the loss directly, however deep it lies. The price is growth: 2·L
branches (attention and feed-forward) of variance 1 bring the stream's variance to 1 + 2·L, so GPT-2 draws the matrix at
the end of each branch smaller by 1/√(2·L), which holds the sum at 2 whatever L; s = 1/√(2·L) does the same.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Saved(NamedTuple):
    branch: Tensor
    scale: float | Tensor


class Gradients(NamedTuple):
    stream: Tensor
    branch: Tensor
    scale: Tensor  # (), for those who learn it (ReZero, Bachlechner et al. 2020)


def forward(stream: Tensor, branch: Tensor, scale: float | Tensor = 1.0) -> tuple[Tensor, Saved]:
    """stream, branch and the output: one shape. scale: one number."""
    return stream + scale * branch, Saved(branch, scale)


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    branch, scale = saved
    return Gradients(upstream, scale * upstream, (upstream * branch).sum())
