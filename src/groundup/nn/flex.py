"""Attention on a GPU where the plain kernel knows no such mask: FlexAttention (Dong et al. 2024), from the same rules.

It compiles a kernel that asks `Mask.allows` block by block: neither scores nor a dense mask are ever held, and blocks
that nobody sees cost nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from groundup.nn.masks import Mask
from groundup.nn.positions import alibi_slopes


def flex_attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, scale: float, softcap: float, alibi_heads: int
) -> Tensor:
    """As `attend.reference_attention`, for q (B, H, T, D), k and v (B, K, S, D). Compiled where q is on a GPU."""
    from torch.nn.attention.flex_attention import create_block_mask

    slopes = alibi_slopes(alibi_heads).to(q.device, torch.float32) if alibi_heads else None
    past = mask.past

    def allowed(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return mask.allows(row, query, key)

    def scored(score: Tensor, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if softcap:
            score = softcap * torch.tanh(score / softcap)
        if slopes is not None:
            at = query + (past if isinstance(past, int) else past[row])
            score = score - slopes[head] * (at - key).abs()
        return score

    batch = len(q) if mask.by_row else None
    blocks = None if mask.everything else create_block_mask(allowed, batch, None, mask.new, mask.keys, str(q.device))
    bent = scored if softcap or slopes is not None else None
    y: Tensor = _kernel(q.is_cuda)(q, k, v, bent, blocks, scale, q.shape[1] != k.shape[1])
    return y


@cache
def _kernel(compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if compiled else flex_attention
