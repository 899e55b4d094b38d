"""Attention: each position takes a weighted average of other positions' values (Vaswani et al. 2017).

For each head, with T queries and S keys of D numbers:

    a = scale·q kᵀ            (T, S)    how well each query fits each key; scale = 1/√D
    c = cap·tanh(a/cap)       (T, S)    only with a soft cap (Gemma 2): scores stay within ±cap
    p = softmax(c)            (T, S)    −∞ where the mask forbids, so those shares are 0
    y = p v                   (T, D)

Derivatives, from the last line up. A product's factor gets upstream times the other factor, transposed to fit:

    d_v = pᵀ d_y              a value is sent to every query that looked at it, so it hears from all of them
    d_p = d_y vᵀ
    d_c = p·(d_p − Σ p·d_p)   softmax's own; forbidden places have p = 0 and get 0 by themselves
    d_a = d_c·(1 − (c/cap)²)  tanh's slope
    d_q = scale·d_a k
    d_k = scale·d_aᵀ q

Grouped-query attention (H query heads on K key/value heads, K dividing H): each key/value head is copied to H/K query
heads, and what is copied forward is added backward.

The row's Σ p·d_p equals Σ d_y·y, since y = p v: T numbers that need no (T, S) matrix. FlashAttention (Dao et al. 2022)
uses it to go back without keeping p, which here is saved whole.

Size of gradients: q·k of D independent numbers of variance 1 has variance D; undivided it would saturate softmax, whose
gradient then vanishes, and d_q and d_k with it. 1/√D keeps scores near 1, QK-norm bounds them, a soft cap does so
by a slope that vanishes at the cap. d_v has no such gate: values learn even where the pattern has frozen.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from groundup.nn.by_hand import softmax


class Saved(NamedTuple):
    q: Tensor
    k: Tensor
    v: Tensor
    pattern: softmax.Saved
    bend: Tensor | None  # tanh(a/cap)
    scale: float


class Gradients(NamedTuple):
    q: Tensor
    k: Tensor
    v: Tensor


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    softcap: float | None = None,
) -> tuple[Tensor, Saved]:
    """q: (B, H, T, D), k: (B, K, S, D), v: (B, K, S, E). Output: (B, H, T, E); E is D nearly always.

    mask: bool, True where attention is allowed, broadcastable to (B, H, T, S); see `causal`. A query that may see
    nothing gets zeros. scale: 1/√D if None. Raises ValueError if H is no multiple of K.
    """
    if q.shape[1] % k.shape[1]:
        raise ValueError(f"heads ({q.shape[1]}) is no multiple of kv_heads ({k.shape[1]}); set one that is")
    group = q.shape[1] // k.shape[1]
    if scale is None:
        scale = q.shape[-1] ** -0.5
    scores = scale * (q @ copied(k, group).mT)  # (B, H, T, S)
    bend = None
    if softcap is not None:
        bend = torch.tanh(scores / softcap)
        scores = softcap * bend
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    p, pattern = softmax.forward(scores)
    return p @ copied(v, group), Saved(q, k, v, pattern, bend, scale)


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    """upstream: (B, H, T, E)."""
    q, k, v, pattern, bend, scale = saved
    group = q.shape[1] // k.shape[1]
    d_v = pattern.p.mT @ upstream
    d_p = upstream @ copied(v, group).mT
    d_scores = softmax.backward(pattern, d_p)
    if bend is not None:
        d_scores = d_scores * (1 - bend**2)
    d_q = scale * (d_scores @ copied(k, group))
    d_k = scale * (d_scores.mT @ q)
    return Gradients(d_q, added(d_k, group), added(d_v, group))


def copied(x: Tensor, group: int) -> Tensor:
    """(B, K, S, D) to (B, H, S, D): query heads 0 … group − 1 use key/value head 0, and so on."""
    return x.repeat_interleave(group, 1)


def added(d_x: Tensor, group: int) -> Tensor:
    """(B, H, S, D) to (B, K, S, D): the derivative of `copied`."""
    B, H, S, D = d_x.shape
    return d_x.reshape(B, H // group, group, S, D).sum(2)


def causal(queries: int, keys: int) -> Tensor:
    """(T, S) bool, True where a query may see a key: those up to its own place, the last query at the last key."""
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
