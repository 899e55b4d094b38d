"""Attention itself, on queries, keys and values: as in the paper, and as fast as it goes.

Both read one description of who sees whom (`masks.Mask`) as a bias on the scores: −∞ or False where attention is not
allowed, ALiBi's slope times distance where it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.nn.blocked import blocked_attention
from groundup.nn.masks import Mask
from groundup.nn.positions import alibi_bias

Probe = Callable[[str, Tensor], Tensor]  # (name, value) → the value to go on with: to look at it, or to change it
WINDOW_STEP = (
    128  # queries that share a slice of keys where layers have a window: below, calls cost more than they save
)


def reference_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    *,
    scale: float,
    softcap: float = 0.0,
    dropout: float = 0.0,
    probe: Probe | None = None,
) -> Tensor:
    """softmax(q kᵀ · scale + bias) v, written as in the paper (Vaswani et al. 2017, eq. 1); scores are all held.

    q: (B, H, T, D). k, v: (B, K, S, D), each serving H / K query heads. bias: bool, True where allowed, or added to the
    scores. softcap: scores become cap · tanh(score / cap) before the bias (Gemma 2). Returns (B, H, T, D).
    """
    share = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)  # (B, H, S, D)
    scores = q @ k.transpose(-1, -2) * scale  # (B, H, T, S)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores.masked_fill(~bias, float("-inf")) if bias.dtype == torch.bool else scores + bias
    if probe is not None:
        scores = probe("scores", scores)
    pattern = torch.softmax(scores, -1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(v.dtype)
    if probe is not None:
        pattern = probe("pattern", pattern)
    return F.dropout(pattern, dropout, dropout > 0) @ v


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Mask, bias: Tensor | None, *, scale: float, softcap: float, dropout: float
) -> Tensor:
    """The same numbers as `reference_attention`, by the fastest way there is for the case; bias as `bias_of` makes it.

    The fused kernel never holds the scores; it has no softcap, which goes by the reference. It knows the causal
    triangle and skips its empty half, but not windows: there, slices of the queries meet only the keys they can see.
    """
    if softcap:
        return reference_attention(q, k, v, shown(mask, bias, q), scale=scale, softcap=softcap, dropout=dropout)
    grouped = q.shape[1] != k.shape[1]
    new, keys, past = q.shape[2], k.shape[2], mask.past
    if not dropout and _faster_blocked(q, mask, bias):
        return blocked_attention(q, k, v, mask, bias, scale)
    if new == 1 and bias is None and grouped and not dropout:
        # Query heads of one key head as so many queries: it is read once, a sixth faster at 4,000 cached positions.
        together = q.view(len(q), k.shape[1], -1, q.shape[3])
        return F.scaled_dot_product_attention(together, k, v, scale=scale).view(q.shape)
    if not mask.window or not isinstance(past, int) or mask.prefix is not None or keys <= mask.window + WINDOW_STEP:
        causal = bias is None and mask.triangle and new > 1
        return F.scaled_dot_product_attention(q, k, v, bias, dropout, causal, scale=scale, enable_gqa=grouped)
    assert bias is not None, "a window that is shorter than the row narrows what is seen"
    parts = []
    for first in range(0, new, WINDOW_STEP):
        last = min(first + WINDOW_STEP, new)
        near = mask.seen_from(first, last)
        part = F.scaled_dot_product_attention(
            q[:, :, first:last], k[:, :, near], v[:, :, near], bias[..., first:last, near], dropout,
            scale=scale, enable_gqa=grouped,
        )  # fmt: skip
        parts.append(part)
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _faster_blocked(q: Tensor, mask: Mask, bias: Tensor | None) -> bool:
    """Where blocks beat the fused kernel on two cores with AVX-512. Forward and backward: the triangle is 1.5 times as
    fast at 512 positions in fp32, 1.8 in bf16, and as fast at 2,048; an encoder of 128 in bf16 twice, in fp32 no
    faster. Forward alone: that encoder 1.6 times."""
    if q.device.type != "cpu":
        return False
    short_and_narrow = q.dtype in (torch.bfloat16, torch.float16) and mask.keys <= 256
    if not torch.is_grad_enabled():
        return short_and_narrow and not mask.causal
    return mask.keys <= 1024 if bias is None and mask.triangle else short_and_narrow


def shown(mask: Mask, bias: Tensor | None, like: Tensor) -> Tensor | None:
    """The bias with the triangle in it that a kernel would have known."""
    return mask.dense(1, like.device) if bias is None and mask.triangle else bias


def bias_of(mask: Mask, batch: int, alibi_heads: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """What is added to the scores, or where they are allowed: broadcastable to (B, H, T, S); None where a kernel knows.

    alibi_heads: H where positions are ALiBi's, else 0.
    """
    if not alibi_heads:
        return None if mask.everything or mask.triangle else mask.dense(batch, device)
    keys = torch.arange(mask.keys, device=device)
    past = mask.past if isinstance(mask.past, int) else mask.past[:, None]
    bias = alibi_bias(alibi_heads, torch.arange(mask.new, device=device) + past, keys, dtype)
    return bias if mask.everything else bias.masked_fill(~mask.dense(batch, device), float("-inf"))
