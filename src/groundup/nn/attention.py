"""Attention: every position asks all others a question and takes a mixture of their answers.

    project    three linear maps of the stream make a query, a key and a value of each position, for each head
    rotate     queries and keys are turned by their position, if positions are RoPE's
    score      query · key / sqrt(head_dim): how much the query wants of that position
    mask       what must not be seen scores −∞
    softmax    scores become weights that sum to 1
    mix        the weighted mean of the values
    merge      the heads' results side by side, and one linear map back into the stream

The four in the middle are `attend.reference_attention`, and again, faster, `attend.attend`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from groundup.nn.attend import Probe, attend, bias_of, reference_attention, shown
from groundup.nn.cache import KVCache
from groundup.nn.config import TransformerConfig
from groundup.nn.flex import flex_attend
from groundup.nn.linear import Linear
from groundup.nn.masks import Mask
from groundup.nn.norms import RMSNorm
from groundup.nn.positions import Rotation, rotate


@dataclass(slots=True)
class Pass:
    """What the layers of one forward pass share."""

    mask: Mask
    rotation: Rotation | None = None
    local_rotation: Rotation | None = None  # of layers with a window, where theirs is another
    cache: KVCache | None = None
    probe: Probe | None = None
    _biases: dict[tuple[int, int], Tensor | None] = field(default_factory=dict)

    def bias(self, mask: Mask, alibi_heads: int, like: Tensor) -> Tensor | None:
        """`bias_of`, made once for all layers that see alike."""
        which = mask.window, mask.keys
        if which not in self._biases:
            self._biases[which] = bias_of(mask, len(like), alibi_heads, like.dtype, like.device)
        return self._biases[which]

    def see(self, name: str, value: Tensor) -> Tensor:
        return value if self.probe is None else self.probe(name, value)


class Attention(nn.Module):
    """Multi-head attention with H query heads on K key/value heads (H = K: plain, K = 1: multi-query)."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.window, self.place = layer, config.window(layer), f"blocks.{layer}."
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.scale, self.softcap = config.attention_scale or config.head_dim**-0.5, config.attention_softcap
        self.dropout, self.alibi_heads = config.attention_dropout, config.heads * (config.position == "alibi")
        self.local, self.interleaved = bool(self.window and config.local_rope_theta), config.rope_interleaved
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
            norm = config.head_dim, config.norm_eps, config.norm_weight, config.norm_offset
            self.q_norm, self.k_norm = RMSNorm(*norm), RMSNorm(*norm)

    def forward(self, x: Tensor, at: Pass) -> Tensor:
        """x and the result: (B, T, C)."""
        B, T, _ = x.shape
        q, k, v = self.project(x)
        q, k, v = q.view(B, T, -1, self.head_dim), k.view(B, T, -1, self.head_dim), v.view(B, T, -1, self.head_dim)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        rotation = at.local_rotation if self.local else at.rotation
        if rotation is not None:
            q, k = rotate(q, rotation, self.interleaved), rotate(k, rotation, self.interleaved)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H or K, T, D), no copy
        if at.cache is not None:
            k, v = at.cache.append(self.layer, k, v)
        y_BHTD = self.mix(q, k, v, at)
        y: Tensor = self.o(y_BHTD.transpose(1, 2).reshape(B, T, self.heads * self.head_dim))
        return y

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.fused:
            keys = self.kv_heads * self.head_dim
            q, k, v = self.qkv(x).split((self.heads * self.head_dim, keys, keys), -1)
            return q, k, v
        return self.q(x), self.k(x), self.v(x)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, at: Pass) -> Tensor:
        """(B, H, T, D) of q (B, H, T, D) on k and v (B, K, S, D)."""
        mask = at.mask.windowed(self.window)
        if mask.end_of_cache:  # one token sees the last of what is cached, and needs no mask for that
            k, v = k[:, :, -self.window - 1 :], v[:, :, -self.window - 1 :]
            mask = Mask(1, k.shape[2] - 1)
        dropout = self.dropout if self.training else 0.0
        if q.is_cuda and at.probe is None and not dropout and not self.plain(mask):
            return flex_attend(q, k, v, mask, scale=self.scale, softcap=self.softcap, alibi_heads=self.alibi_heads)
        bias = at.bias(mask, self.alibi_heads, q)
        if at.probe is None:
            return attend(q, k, v, mask, bias, scale=self.scale, softcap=self.softcap, dropout=dropout)
        q, k, v = (at.see(self.place + name, part) for name, part in (("query", q), ("key", k), ("value", v)))
        y = reference_attention(
            q, k, v, shown(mask, bias, q), scale=self.scale, softcap=self.softcap, dropout=dropout,
            probe=lambda name, value: at.see(self.place + name, value),
        )  # fmt: skip
        return at.see(self.place + "head_output", y)

    def plain(self, mask: Mask) -> bool:
        """Whether the fused kernel knows it without a dense mask."""
        return not self.softcap and not self.alibi_heads and (mask.everything or mask.triangle)
