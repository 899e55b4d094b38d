"""Normalisation of the residual stream and of query and key heads."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from groundup.nn.config import TransformerConfig


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · weight over the last dimension (Zhang & Sennrich 2019), the mean in fp32 at least.

    offset: weights are stored less 1, so that weight decay pulls them to 1 (Gemma).
    rounds: nothing but products reads the result, so under autocast it is rounded once, instead of by each of them.
    """

    def __init__(self, width: int, eps: float, weight: bool = True, offset: bool = False, rounds: bool = False) -> None:
        super().__init__()
        self.width, self.eps, self.offset, self.rounds = width, eps, offset, rounds
        self.weight = nn.Parameter(torch.zeros(width) if offset else torch.ones(width)) if weight else None

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return F.rms_norm(_wide(x), (self.width,), None, self.eps).to(x.dtype)
        weight = 1 + self.weight if self.offset else self.weight
        if x.device.type == "cpu" and weight.dtype in _WIDE and torch.is_grad_enabled():
            dtype = x.dtype
            if torch.is_autocast_enabled("cpu"):
                dtype = torch.get_autocast_dtype("cpu") if self.rounds else weight.dtype
            y: Tensor = _RMSNorm.apply(x, weight, self.eps, dtype)  # type: ignore[no-untyped-call]
            return y
        return F.rms_norm(_wide(x), weight.shape, _wide(weight), self.eps).to(x.dtype)


_WIDE = (torch.float32, torch.float64)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype in _WIDE else x.float()


class _RMSNorm(torch.autograd.Function):
    """The same as F.rms_norm, whose gradient on a processor is a chain of element-wise steps.

    Here the sums over rows and columns of the gradient are matrix-vector products over one temporary.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        kept, x = x, _wide(x)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = (norm.square_() / x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(kept, weight, scale)
        y: Tensor = (x * scale).mul_(weight).to(dtype)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        kept, weight, scale = ctx.saved_tensors
        x, upstream = _wide(kept), _wide(upstream)
        products = (upstream * x).reshape(-1, x.shape[-1])
        with torch.autocast("cpu", enabled=False):
            d_weight = scale.reshape(-1) @ products if ctx.needs_input_grad[1] else None
            if not ctx.needs_input_grad[0]:
                return None, d_weight, None, None
            dots = (products @ weight).reshape(scale.shape)
        d_x = (upstream * weight).mul_(scale)
        d_x.addcmul_(x, dots.mul_(scale.pow(3)), value=-1.0 / x.shape[-1])
        return d_x.to(kept.dtype), d_weight, None, None


def make_norm(config: TransformerConfig, rounds: bool = False) -> nn.Module:
    """One norm over the width, as the configuration says; rounds: as `RMSNorm` has it."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.width, config.norm_eps, config.norm_weight, config.norm_offset, rounds)
    return nn.LayerNorm(config.width, config.norm_eps, config.norm_weight, bias=config.norm_bias)
