"""RoPE: turn every pair of numbers of a head by an angle that grows with the position (Su et al. 2021).

Numbers d and d + D/2 of a head make a pair (a, b), the half-split layout of Hugging Face. At angle α

    a' = a·cos α − b·sin α
    b' = b·cos α + a·sin α        α = position · θ^(−2d/D)

Derivative. Read the slopes off: a moves a' by cos α and b' by sin α; b moves a' by −sin α and b' by cos α.

    d_a = d_a'·cos α + d_b'·sin α
    d_b = d_b'·cos α − d_a'·sin α

That is the same rotation by −α: a rotation's transpose is its inverse, so the gradient is turned back. The angles are
fixed, nothing here is learned.

Size of gradients: exactly kept. A rotation changes no length, so RoPE neither shrinks nor stretches a gradient, at any
position.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    cos: Tensor  # (T, D/2)
    sin: Tensor


def rotation(positions: Tensor, head_dim: int, theta: float = 10000.0) -> Rotation:
    """Cosines and sines in float64. positions: (T,). Raises ValueError if head_dim is odd."""
    if head_dim % 2:
        raise ValueError(f"head_dim is {head_dim}, but rope rotates pairs; set an even number")
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64, device=positions.device) / head_dim
    angles = positions.to(torch.float64)[:, None] * theta**-exponents
    return Rotation(angles.cos(), angles.sin())


def forward(x: Tensor, by: Rotation) -> tuple[Tensor, Rotation]:
    """x and the output: (…, T, D)."""
    return turned(x, by.cos, by.sin), by


def backward(saved: Rotation, upstream: Tensor) -> Tensor:
    return turned(upstream, saved.cos, -saved.sin)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
