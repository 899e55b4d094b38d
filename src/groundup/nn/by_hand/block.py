"""A whole pre-norm decoder block: attention and feed-forward, each reading a normed copy of the stream, adding to it.

    x ─┬──────────────────────── + ─┬─────────────────────── + ─ y
       └─ norm ─ attention ─ ·s ─┘  └─ norm ─ feed-forward ─ ·s ─┘

    m = x + s·attention(norm(x))
    y = m + s·feed_forward(norm(m))

Derivatives: the parts in reverse. At each fork, forward used one value twice, so backward adds two gradients:

    d_m = d_y + (what comes back through s, feed-forward and norm)
    d_x = d_m + (what comes back through s, attention and norm)

Size of gradients: read the left terms alone and d_x = d_y. That is the identity path of `residual`: through any number
of blocks, the gradient at the top reaches the bottom as it is, and the branches only add to it. Each branch starts with
a norm, on its own side road (pre-norm). A norm on the main road (post-norm: norm(x + branch)) multiplies that path by
its Jacobian once per addition, and deep models then need a warm-up to train (Xiong et al. 2020).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from groundup.nn.by_hand import attention_layer, feed_forward, residual, rms_norm, rope


class Weights(NamedTuple):
    """Also the type of their gradients."""

    attention_norm: Tensor | None  # (C,); None for a norm without weight
    attention: attention_layer.Weights
    ffn_norm: Tensor | None
    ffn: feed_forward.Weights


class Saved(NamedTuple):
    attention_norm: rms_norm.Saved
    attention: attention_layer.Saved
    attention_sum: residual.Saved
    ffn_norm: rms_norm.Saved
    ffn: feed_forward.Saved
    ffn_sum: residual.Saved


class Gradients(NamedTuple):
    x: Tensor
    weights: Weights


def forward(
    x: Tensor,
    weights: Weights,
    rotation: rope.Rotation,
    mask: Tensor | None,
    *,
    eps: float = 1e-6,
    activation: str = "silu",
    residual_scale: float = 1.0,
) -> tuple[Tensor, Saved]:
    """x and the output: (B, T, C). mask: `attention.causal(T, T)` for a decoder, None for an encoder."""
    normed, saved_attention_norm = rms_norm.forward(x, weights.attention_norm, eps)
    attended, saved_attention = attention_layer.forward(normed, weights.attention, rotation, mask, eps)
    m, saved_attention_sum = residual.forward(x, attended, residual_scale)

    normed, saved_ffn_norm = rms_norm.forward(m, weights.ffn_norm, eps)
    fed, saved_ffn = feed_forward.forward(normed, weights.ffn, activation)
    y, saved_ffn_sum = residual.forward(m, fed, residual_scale)

    return y, Saved(
        saved_attention_norm, saved_attention, saved_attention_sum, saved_ffn_norm, saved_ffn, saved_ffn_sum
    )


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    """upstream: (B, T, C)."""
    ffn_sum = residual.backward(saved.ffn_sum, upstream)
    ffn = feed_forward.backward(saved.ffn, ffn_sum.branch)
    ffn_norm = rms_norm.backward(saved.ffn_norm, ffn.x)
    d_m = ffn_sum.stream + ffn_norm.x

    attention_sum = residual.backward(saved.attention_sum, d_m)
    attention = attention_layer.backward(saved.attention, attention_sum.branch)
    attention_norm = rms_norm.backward(saved.attention_norm, attention.x)
    d_x = attention_sum.stream + attention_norm.x

    return Gradients(d_x, Weights(attention_norm.weight, attention.weights, ffn_norm.weight, ffn.weights))
