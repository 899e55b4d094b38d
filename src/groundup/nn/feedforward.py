"""The layer that works on each position alone."""

from __future__ import annotations

from torch import Tensor, nn

from groundup.nn.activations import ACTIVATIONS
from groundup.nn.config import TransformerConfig
from groundup.nn.linear import Linear


class FeedForward(nn.Module):
    """down(activation(gate(x)) · up(x)) if gated (Shazeer 2020), else down(activation(up(x)))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gated = config.gated
        if config.gated:
            self.gate = Linear(config.width, config.ffn_width, bias=config.ffn_bias)
        self.up = Linear(config.width, config.ffn_width, bias=config.ffn_bias)
        self.down = Linear(config.ffn_width, config.width, bias=config.ffn_bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        if self.gated:
            y = self.activation(self.gate(x)) * self.up(x)
        else:
            y = self.activation(self.up(x))
        return self.down(y)  # type: ignore[no-any-return]
