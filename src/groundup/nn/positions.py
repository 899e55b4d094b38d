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

from groundup.nn.config import RopeScaling

Rotation = tuple[Tensor, Tensor]  # cosines and sines, each (T, 1, R/2) or (B, T, 1, R/2)


def rope_table(
    positions: Tensor,
    rotated: int,
    theta: float,
    dtype: torch.dtype,
    scaling: RopeScaling | None = None,
    reach: int = 0,
) -> Rotation:
    """Cosines and sines that rotate a head at each position (Su et al. 2021).

    positions: (..., T) int64. rotated: R, dimensions of a head that turn; pair d turns by position · frequency d.
    reach: how many positions there are, for the scaling that depends on it. Returns (..., T, 1, R/2) twice, the 1 for
    the heads.
    """
    frequencies, factor = rope_frequencies(rotated, theta, scaling, reach)
    angles = (positions.to(torch.float64)[..., None] * frequencies.to(positions.device)).unsqueeze(-2)
    return (angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype)


def rope_frequencies(rotated: int, theta: float, scaling: RopeScaling | None, reach: int = 0) -> tuple[Tensor, float]:
    """((R/2,) float64 radians a position, factor on cosines and sines).

    Unscaled, pair d turns by theta^(-2d/R): from one radian a position down to 1/theta. Scaling slows pairs down, so
    that positions beyond the first training meet angles that were trained on.
    """
    exponents = torch.arange(0, rotated, 2, dtype=torch.float64) / rotated
    plain = theta**-exponents
    if scaling is None:
        return plain, 1.0
    if scaling.kind == "linear":  # all alike (Chen et al. 2023, position interpolation)
        return plain / scaling.factor, 1.0
    if scaling.kind == "dynamic":  # a larger base, the more positions there are (NTK-aware, bloc97 2023)
        stretch = scaling.factor * max(reach, scaling.original_length) / scaling.original_length - (scaling.factor - 1)
        return (theta * stretch ** (rotated / (rotated - 2))) ** -exponents, 1.0
    turns = scaling.original_length * plain / (2 * math.pi)  # of each pair, within the first training's positions
    if scaling.kind == "llama3":  # slow pairs whole, fast ones not, those between in proportion (Llama 3.1)
        low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        return plain * (kept + (1 - kept) / scaling.factor), 1.0
    return plain * _yarn(rotated, theta, scaling), scaling.attention_factor


def _yarn(rotated: int, theta: float, scaling: RopeScaling) -> Tensor:
    """(R/2,) what each pair's frequency is multiplied by: a ramp over pairs, not over turns (Peng et al. 2023)."""

    def pair(turns: float) -> float:  # the pair, as a fraction, that turns so often within the first training
        return rotated * math.log(scaling.original_length / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair(scaling.beta_fast), pair(scaling.beta_slow)
    if scaling.whole_bounds:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotated - 1)
    ramp = (torch.arange(rotated // 2, dtype=torch.float64) - low) / ((high - low) or 0.001)
    stretched = ramp.clamp(0, 1)
    return stretched / scaling.factor + (1 - stretched)


def rotate(x: Tensor, rotation: Rotation, interleaved: bool = False) -> Tensor:
    """x: (B, T, H, D), its first R dimensions turned pair by pair, each pair by its position's angle.

    Pairs are d and d + R/2 (Hugging Face's layout) or neighbours, 2d and 2d + 1 (GPT-J's, and Llama's own code).
    """
    if not torch.is_grad_enabled():  # one token at a time, autograd's own cost would be seen
        return _turned(x, *rotation, 1.0, interleaved)
    y: Tensor = _Rotate.apply(x, *rotation, interleaved)  # type: ignore[no-untyped-call]
    return y


class _Rotate(torch.autograd.Function):
    """Two passes over x without temporaries, where autograd's own chain takes four, and as many backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.interleaved = interleaved
        return _turned(x, cos, sin, 1.0, interleaved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors  # a rotation's transpose turns back
        return _turned(upstream, cos, sin, -1.0, ctx.interleaved), None, None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, direction: float, interleaved: bool) -> Tensor:
    x = x.to(cos.dtype)  # under autocast: mixed formats would make a temporary of each product
    y = torch.empty_like(x)
    rotated = 2 * cos.shape[-1]
    if rotated < x.shape[-1]:
        y[..., rotated:] = x[..., rotated:]
    (a, b), (ya, yb) = _pairs(x[..., :rotated], interleaved), _pairs(y[..., :rotated], interleaved)
    torch.mul(a, cos, out=ya).addcmul_(b, sin, value=-direction)
    torch.mul(b, cos, out=yb).addcmul_(a, sin, value=direction)
    return y


def _pairs(x: Tensor, interleaved: bool) -> tuple[Tensor, Tensor]:
    if interleaved:
        return x[..., 0::2], x[..., 1::2]
    a, b = x.chunk(2, -1)
    return a, b


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
    """Minus slope times distance, in both directions (causal masking is another matter).

    queries: (..., T), keys: (S,), where they stand. Returns (..., H, T, S).
    """
    distance = (queries[..., :, None] - keys).abs().to(torch.float64)  # (..., T, S)
    return (-alibi_slopes(heads).to(queries.device)[:, None, None] * distance.unsqueeze(-3)).to(dtype)
