"""transformers' Llama-class models in true float64.

Two places of theirs compute in fp32 whatever the weights' dtype: the norms and the rotary table. Both are replaced by
the same formula in float64; everything else is theirs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Norm(nn.Module):
    def __init__(self, theirs: Any) -> None:
        super().__init__()
        self.weight, self.eps = theirs.weight, theirs.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class Rotary(nn.Module):
    def __init__(self, theta: float, head_dim: int) -> None:
        super().__init__()
        self.frequencies = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)

    def forward(self, x: Tensor, position_ids: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        angles = position_ids[..., None].double() * self.frequencies
        angles = torch.cat((angles, angles), -1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def in_float64(model: Any, theta: float, head_dim: int) -> Any:
    """The same model, changed in place."""
    model.double().eval()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm"):
                setattr(parent, name, Norm(child))
            elif type(child).__name__.endswith("RotaryEmbedding"):
                setattr(parent, name, Rotary(theta, head_dim))
    return model
