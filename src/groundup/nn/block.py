"""One layer: attention, then feed-forward, each added to the residual stream."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.attention import Attention, Pass
from groundup.nn.config import TransformerConfig
from groundup.nn.feedforward import FeedForward
from groundup.nn.norms import make_norm


class Block(nn.Module):
    """x + f(x) twice, with norms at one of three places:

    pre       x + f(norm(x)), which trains without warm-up (Xiong et al. 2020)
    post      norm(x + f(x)), BERT's
    sandwich  x + norm(f(norm(x))), which keeps what is added small too (Gemma 2 and 3)
    """

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.place = f"blocks.{layer}."
        self.post, self.dropout = config.norm_placement == "post", config.dropout
        self.residual, self.scale = config.residual, config.residual_scale
        sandwich, first = config.norm_placement == "sandwich", layer > 0 or config.first_norm
        self.attention_norm = make_norm(config, rounds=not self.post) if first else None
        self.attention = Attention(config, layer)
        self.attention_post_norm = make_norm(config) if sandwich else None
        self.ffn_norm = make_norm(config, rounds=not self.post)
        self.ffn = FeedForward(config)
        self.ffn_post_norm = make_norm(config) if sandwich else None

    def forward(self, x: Tensor, at: Pass) -> Tensor:
        attended = self.attention(_normed(x, None if self.post else self.attention_norm), at)
        x = self.joined(x, _normed(attended, self.attention_post_norm))
        x = at.see(self.place + "middle", _normed(x, self.attention_norm) if self.post else x)
        worked = self.ffn(_normed(x, None if self.post else self.ffn_norm))
        x = self.joined(x, _normed(worked, self.ffn_post_norm))
        return at.see(self.place + "stream", _normed(x, self.ffn_norm) if self.post else x)

    def joined(self, x: Tensor, added: Tensor) -> Tensor:
        """The stream with what a sublayer made of it."""
        if self.dropout:
            added = F.dropout(added, self.dropout, self.training)
        if not self.residual:
            return added
        return x + added if self.scale == 1 else x + self.scale * added


def _normed(x: Tensor, norm: nn.Module | None) -> Tensor:
    return x if norm is None else norm(x)
