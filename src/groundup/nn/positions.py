"""How a transformer learns where a token stands: learned, sinusoidal, RoPE, ALiBi or not at all.

Tables are computed in float64 and rounded once to the dtype of the activations: an inverse frequency rounded to fp32
first turns position 8,000 by up to 5e-4 radians too far.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Rotation = tuple[Tensor, Tensor]  # cosines and sines, each (T, 1, D/2) or (B, T, 1, D/2)


def rope_table(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> Rotation:
    """Cosines and sines that rotate a head at each position (Su et al. 2021).

    positions: (..., T) int64. Dimensions d and d + D/2 make a pair that turns by position · theta^(-2d/D): the
    half-split layout of Hugging Face. Returns (..., T, 1, D/2) twice, the 1 for the heads.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64, device=positions.device) / head_dim
    angles = (positions.to(torch.float64)[..., None] * theta**-exponents).unsqueeze(-2)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """x: (B, T, H, D), every pair turned by its position's angle."""
    if not torch.is_grad_enabled():  # one token at a time, autograd's own cost would be seen
        return _turned(x, *rotation, 1.0)
    y: Tensor = _Rotate.apply(x, *rotation)  # type: ignore[no-untyped-call]
    return y


class _Rotate(torch.autograd.Function):
    """Two passes over x without temporaries, where autograd's own chain takes four, and as many backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(upstream, cos, sin, -1.0), None, None  # a rotation's transpose turns back


def _turned(x: Tensor, cos: Tensor, sin: Tensor, direction: float) -> Tensor:
    y = torch.empty_like(x)
    (a, b), (ya, yb) = x.chunk(2, -1), y.chunk(2, -1)
    torch.mul(a, cos, out=ya).addcmul_(b, sin, value=-direction)
    torch.mul(b, cos, out=yb).addcmul_(a, sin, value=direction)
    return y


def sinusoidal_table(positions: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Sines on even and cosines on odd columns (Vaswani et al. 2017). positions: (...,) int64; returns (..., C)."""
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    angles = positions.to(torch.float64)[..., None] * 10000.0**-exponents
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).to(dtype)


def alibi_slopes(heads: int) -> Tensor:
    """(H,) float64: how much each head's score falls per position of distance (Press et al. 2022).

    A geometric sequence for powers of two; for other counts, every other slope of the next power fills the rest.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-8.0 * (i + 1) / (2 * power)) for i in range(0, 2 * power, 2)]
    return torch.tensor(slopes + between[: heads - power], dtype=torch.float64)


def alibi_bias(heads: int, queries: Tensor, keys: Tensor, dtype: torch.dtype) -> Tensor:
    """(H, T, S): minus slope times distance, in both directions (causal masking is another matter)."""
    distance = (queries[:, None] - keys[None, :]).abs().to(torch.float64)
    return (-alibi_slopes(heads).to(queries.device)[:, None, None] * distance).to(dtype)
