"""The attention layer: project to queries, keys and values; norm and rotate; attend; merge the heads.

    x ─┬─ q ─ norm ─ rope ─┐
       ├─ k ─ norm ─ rope ─┼─ attention ─ o ─ y
       └─ v ───────────────┘

Nothing here has a derivative of its own. Going back is the same picture read from the right: each part's upstream is
what the part after it returned, and x, which three projections read, gets the sum of the three that come back.

Size of gradients: QK-norm (Qwen3) is RMSNorm over each head, so every query and key has length √D before the norms'
weights, and no score exceeds √D times them, however large the projections grow: softmax is kept out of saturation,
where d_q and d_k vanish.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from groundup.nn.by_hand import attention, linear, rms_norm, rope


class Weights(NamedTuple):
    """Also the type of their gradients: every gradient has the shape of what it belongs to."""

    q: Tensor  # (H·D, C)
    k: Tensor  # (K·D, C)
    v: Tensor  # (K·D, C)
    q_norm: Tensor | None  # (D,), shared by all heads; None for a norm without weight
    k_norm: Tensor | None
    o: Tensor  # (C, H·D)


class Saved(NamedTuple):
    q: linear.Saved
    k: linear.Saved
    v: linear.Saved
    q_norm: rms_norm.Saved
    k_norm: rms_norm.Saved
    rotation: rope.Rotation
    attention: attention.Saved
    o: linear.Saved


class Gradients(NamedTuple):
    x: Tensor
    weights: Weights


def forward(
    x: Tensor, weights: Weights, rotation: rope.Rotation, mask: Tensor | None, eps: float = 1e-6
) -> tuple[Tensor, Saved]:
    """x and the output: (B, T, C). rotation: of the T positions. mask: as in `attention.forward`."""
    head_dim = 2 * rotation.cos.shape[-1]
    q, saved_q = linear.forward(x, weights.q)
    k, saved_k = linear.forward(x, weights.k)
    v, saved_v = linear.forward(x, weights.v)
    q, saved_q_norm = rms_norm.forward(split(q, head_dim), weights.q_norm, eps)
    k, saved_k_norm = rms_norm.forward(split(k, head_dim), weights.k_norm, eps)
    q, _ = rope.forward(q, rotation)
    k, _ = rope.forward(k, rotation)
    y, saved_attention = attention.forward(q, k, split(v, head_dim), mask=mask)
    y, saved_o = linear.forward(merged(y), weights.o)
    return y, Saved(saved_q, saved_k, saved_v, saved_q_norm, saved_k_norm, rotation, saved_attention, saved_o)


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    """upstream: (B, T, C)."""
    head_dim = saved.q_norm.normed.shape[-1]
    o = linear.backward(saved.o, upstream)
    heads = attention.backward(saved.attention, split(o.x, head_dim))
    q_norm = rms_norm.backward(saved.q_norm, rope.backward(saved.rotation, heads.q))
    k_norm = rms_norm.backward(saved.k_norm, rope.backward(saved.rotation, heads.k))
    q = linear.backward(saved.q, merged(q_norm.x))
    k = linear.backward(saved.k, merged(k_norm.x))
    v = linear.backward(saved.v, merged(heads.v))
    d_weights = Weights(q.weight, k.weight, v.weight, q_norm.weight, k_norm.weight, o.weight)
    return Gradients(q.x + k.x + v.x, d_weights)


def split(x: Tensor, head_dim: int) -> Tensor:
    """(B, T, H·D) to (B, H, T, D). Moves numbers about, so its derivative is `merged`, and the other way round."""
    B, T, width = x.shape
    return x.reshape(B, T, width // head_dim, head_dim).transpose(1, 2)


def merged(x: Tensor) -> Tensor:
    """(B, H, T, D) to (B, T, H·D)."""
    return x.transpose(1, 2).flatten(2)
