"""One layer: attention, then feed-forward, each added to the residual stream."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.attention import Attention, Visibility
from groundup.nn.cache import KVCache
from groundup.nn.config import TransformerConfig
from groundup.nn.feedforward import FeedForward
from groundup.nn.norms import make_norm
from groundup.nn.positions import Rotation


class Block(nn.Module):
    """Pre-norm: x + f(norm(x)), which trains without warm-up (Xiong et al. 2020). Post-norm: norm(x + f(x)), BERT's."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.pre, self.dropout = layer, config.norm_placement == "pre", config.dropout
        self.attention_norm = make_norm(config)
        self.attention = Attention(config)
        self.ffn_norm = make_norm(config)
        self.ffn = FeedForward(config)

    def forward(self, x: Tensor, visible: Visibility, rotation: Rotation | None, cache: KVCache | None) -> Tensor:
        if self.pre:
            x = x + self.drop(self.attention(self.attention_norm(x), visible, rotation, cache, self.layer))
            return x + self.drop(self.ffn(self.ffn_norm(x)))
        x = self.attention_norm(x + self.drop(self.attention(x, visible, rotation, cache, self.layer)))
        return self.ffn_norm(x + self.drop(self.ffn(x)))  # type: ignore[no-any-return]

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x
