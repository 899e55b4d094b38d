"""What stands between hidden states and the output matrix in some models."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groundup.nn.activations import ACTIVATIONS
from groundup.nn.config import TransformerConfig
from groundup.nn.linear import Linear
from groundup.nn.norms import make_norm


class HeadTransform(nn.Module):
    """norm(activation(W x + b)): BERT's and ModernBERT's way to predict masked tokens."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dense = Linear(config.width, config.width, bias=config.head_transform_bias)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = make_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.activation(self.dense(x)))
        return y


def softcapped(logits: Tensor, cap: float) -> Tensor:
    """cap · tanh(logits / cap): nearly the same for small ones, never beyond ±cap (Gemma 2). cap 0: as they are."""
    return cap * torch.tanh(logits / cap) if cap else logits
