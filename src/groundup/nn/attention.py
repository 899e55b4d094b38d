"""Attention: project, rotate, attend, merge."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.cache import KVCache
from groundup.nn.config import TransformerConfig
from groundup.nn.linear import Linear
from groundup.nn.norms import RMSNorm
from groundup.nn.positions import Rotation, alibi_bias, rotate


@dataclass(frozen=True, slots=True)
class Visibility:
    """Which positions see which, made once a forward pass and shared by all layers.

    causal: the kernel masks by itself (cheapest: it skips the upper half). mask: added to the scores if floating,
    True where attention is allowed if boolean; broadcastable to (B, H, T, S).
    """

    causal: bool = False
    mask: Tensor | None = None


class Attention(nn.Module):
    """Multi-head attention with H query heads on K key/value heads (H = K: plain, K = 1: multi-query)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.dropout = config.dropout
        queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
        if config.fused_qkv:
            self.qkv = Linear(config.width, queries + 2 * keys, bias=config.attention_bias)
        else:
            self.q = Linear(config.width, queries, bias=config.attention_bias)
            self.k = Linear(config.width, keys, bias=config.attention_bias)
            self.v = Linear(config.width, keys, bias=config.attention_bias)
        self.o = Linear(queries, config.width, bias=config.attention_output_bias)
        self.fused, self.qk_norm = config.fused_qkv, config.qk_norm
        if config.qk_norm:
            self.q_norm = RMSNorm(config.head_dim, config.norm_eps)
            self.k_norm = RMSNorm(config.head_dim, config.norm_eps)

    def forward(
        self, x: Tensor, visible: Visibility, rotation: Rotation | None, cache: KVCache | None, layer: int
    ) -> Tensor:
        """x and the result: (B, T, C)."""
        B, T, _ = x.shape
        q, k, v = self.project(x)
        q, k, v = q.view(B, T, -1, self.head_dim), k.view(B, T, -1, self.head_dim), v.view(B, T, -1, self.head_dim)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H or K, T, D), no copy
        if cache is not None:
            k, v = cache.append(layer, k, v)
        dropout = self.dropout if self.training else 0.0
        y_BHTD = F.scaled_dot_product_attention(
            q, k, v, visible.mask, dropout, is_causal=visible.causal, enable_gqa=self.heads != self.kv_heads
        )
        y: Tensor = self.o(y_BHTD.transpose(1, 2).reshape(B, T, self.heads * self.head_dim))
        return y

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.fused:
            keys = self.kv_heads * self.head_dim
            q, k, v = self.qkv(x).split((self.heads * self.head_dim, keys, keys), -1)
            return q, k, v
        return self.q(x), self.k(x), self.v(x)


def visibility(
    config: TransformerConfig, new: int, past: int, lengths: Tensor | None, dtype: torch.dtype, device: torch.device
) -> Visibility:
    """What `new` positions behind `past` cached ones may see.

    lengths: (B,) how many positions of each row are real, padding at the right; each at least 1. A causal model needs
    no mask for them: padding comes later than every real position, so none of them sees it.
    """
    if config.position == "alibi":
        return Visibility(mask=_alibi_mask(config, new, past, lengths, dtype, device))
    if not config.causal:
        return Visibility(mask=None if lengths is None else key_mask(lengths.to(device), new))
    if past == 0:
        return Visibility(causal=new > 1)
    return Visibility(mask=None if new == 1 else causal_mask(new, past, device))


def causal_mask(new: int, past: int, device: torch.device) -> Tensor:
    """(T, S) bool, True where position past + t may see s."""
    return torch.ones(new, past + new, dtype=torch.bool, device=device).tril(past)


def key_mask(lengths: Tensor, positions: int) -> Tensor:
    """(B, 1, 1, S) bool, True for real keys."""
    return (torch.arange(positions, device=lengths.device) < lengths[:, None])[:, None, None, :]


def _alibi_mask(
    config: TransformerConfig, new: int, past: int, lengths: Tensor | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    keys = torch.arange(past + new, device=device)
    bias = alibi_bias(config.heads, keys[past:], keys, dtype)
    if config.causal:
        return bias.masked_fill(~causal_mask(new, past, device), float("-inf"))
    return bias if lengths is None else bias.masked_fill(~key_mask(lengths.to(device), new), float("-inf"))
