"""Attention on a processor, above all where gradients are wanted: a block of queries meets the keys it can see.

torch's fused kernel leaves its backward at a third of a processor's speed, and is no faster in bf16 than in fp32. Here
every product is a batched one of the linear-algebra library. Scores exist for one block, and the backward makes them
anew instead of keeping them (Dao et al. 2022), so memory grows with the positions, not with their square; but a block
sees all of its keys at once, and softmax needs no running maximum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundup.nn.masks import Mask

SCORES = 2**20  # of one block, 4 MB in fp32: with more, they leave the second-level cache between passes
CAUSAL_BLOCK = 64  # queries: half of a block's own square is wasted; with fewer, calls cost more than that
MIN_BLOCK = 16


def blocked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask, bias: Tensor | None, scale: float) -> Tensor:
    """As `attend.reference_attention`; products in v's format, but scores in fp32 at least where gradients are wanted.

    q: (B, H, T, D). k, v: (B, K, S, D), K dividing H. bias: as there, or None where everybody sees everybody or the
    causal triangle. Returns (B, H, T, D). Differentiable once, in q, k and v.
    """
    y: Tensor = _Blocked.apply(q.to(v.dtype), k.to(v.dtype), v, mask, bias, scale)  # type: ignore[no-untyped-call]
    return y


class _Blocked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Mask, bias: Tensor | None, scale: float) -> Tensor:
        ctx.shape = q.shape
        # Query heads under their key head, (B, K, share, T, D): one product serves them all.
        q, k, v = q.reshape(len(q), k.shape[1], -1, *q.shape[2:]), k.contiguous(), v.contiguous()
        y = torch.empty_like(q)
        trains = any(ctx.needs_input_grad)
        wide = torch.promote_types(q.dtype, torch.float32) if trains else q.dtype
        with torch.autocast(q.device.type, enabled=False):
            patterns = _Patterns(q, k, mask, bias, scale, wide)
            for piece in patterns.pieces:
                rows, queries, keys = piece
                mixed = patterns.of(piece) @ _flat(v[rows, :, keys])
                y[rows, :, :, queries] = mixed.view(y[rows, :, :, queries].shape)
        if trains:
            ctx.save_for_backward(q, k, v)
        ctx.rules = mask, bias, scale
        return y.view(ctx.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        mask, bias, scale = ctx.rules
        upstream = upstream.reshape(q.shape)
        d_q = torch.empty_like(q)
        wide = torch.promote_types(q.dtype, torch.float32)  # sums over blocks
        d_k, d_v = torch.zeros_like(k, dtype=wide), torch.zeros_like(v, dtype=wide)
        with torch.autocast(q.device.type, enabled=False):
            patterns = _Patterns(q, k, mask, bias, scale, wide)
            memory = torch.empty_like(patterns.memory, dtype=q.dtype)
            for piece in patterns.pieces:
                rows, queries, keys = piece
                pattern = patterns.of(piece)
                d_y = _flat(upstream[rows, :, :, queries])
                _add_product(_flat(d_v[rows, :, keys]), pattern.transpose(1, 2), d_y)
                d_scores = _view(memory, pattern.shape)
                torch.bmm(d_y, _flat(v[rows, :, keys]).transpose(1, 2), out=d_scores)  # of the pattern, as yet
                torch._softmax_backward_data(d_scores, pattern, -1, pattern.dtype, grad_input=d_scores)
                d_q[rows, :, :, queries] = (d_scores @ _flat(k[rows, :, keys])).view(d_q[rows, :, :, queries].shape)
                _add_product(_flat(d_k[rows, :, keys]), d_scores.transpose(1, 2), _flat(q[rows, :, :, queries]))
        d_q, d_k = d_q.mul_(scale), d_k.mul_(scale)
        return d_q.view(ctx.shape), d_k.to(k.dtype), d_v.to(v.dtype), None, None, None


class _Piece(NamedTuple):
    """Some rows of the batch with all their heads, a block of queries, and the keys it can see."""

    rows: slice
    queries: slice
    keys: slice


class _Patterns:
    """Makes the pattern of any piece, in a memory that all of them share: fresh pages cost as much as the products."""

    def __init__(self, q: Tensor, k: Tensor, mask: Mask, bias: Tensor | None, scale: float, wide: torch.dtype) -> None:
        B, K, share, T, _ = q.shape
        self.q, self.k, self.heads, self.format = q.to(wide), k.to(wide), K * share, q.dtype
        if bias is not None and bias.dtype == torch.bool:
            bias = torch.zeros_like(bias, dtype=wide).masked_fill_(~bias, -torch.inf)
        self.bias = None if bias is None else bias[(None,) * (4 - bias.dim())]  # (1 or B, 1 or H, T, S)
        self.scale = scale
        self.pieces = list(_pieces(mask, B, self.heads, T, k.shape[2]))
        most = max(self.heads * _size(p.rows) * _size(p.queries) * _size(p.keys) for p in self.pieces)
        self.memory = torch.empty(most, dtype=wide, device=q.device)
        self.narrow = None if wide == q.dtype else torch.empty(most, dtype=q.dtype, device=q.device)
        self.triangle: Tensor | None = None
        if bias is None and mask.causal and T > 1:
            side = _size(self.pieces[0].queries)
            self.triangle = torch.full((side, side), -torch.inf, dtype=wide, device=q.device).triu(1)

    def of(self, piece: _Piece) -> Tensor:
        """softmax(q kᵀ · scale + bias), (rows · K, share · t, s)."""
        rows, queries, keys = piece
        q, k = _flat(self.q[rows, :, :, queries]), _flat(self.k[rows, :, keys])
        scores = _view(self.memory, (len(q), q.shape[1], k.shape[1]))
        torch.baddbmm(scores, q, k.transpose(1, 2), beta=0, alpha=self.scale, out=scores)
        by_head = scores.view(_size(rows), self.heads, _size(queries), _size(keys))
        if self.triangle is not None:
            side = _size(queries)
            by_head[..., -side:] += self.triangle[:side, :side]
        elif self.bias is not None:
            by_head += self.bias[rows if len(self.bias) > 1 else slice(None), :, queries, keys]
        torch.softmax(scores, -1, out=scores)
        return scores if self.narrow is None else _view(self.narrow, scores.shape).copy_(scores)


def _pieces(mask: Mask, batch: int, heads: int, positions: int, keys: int) -> Iterator[_Piece]:
    block = min(positions, max(MIN_BLOCK, SCORES // (heads * keys)))
    if mask.causal:
        block = min(block, CAUSAL_BLOCK)
    for first in range(0, positions, block):
        queries = slice(first, min(first + block, positions))
        seen = mask.seen_from(queries.start, queries.stop)
        together = max(1, SCORES // (heads * _size(queries) * _size(seen)))
        for row in range(0, batch, together):
            yield _Piece(slice(row, min(row + together, batch)), queries, seen)


def _flat(x: Tensor) -> Tensor:
    """(n · K, share · t, D) from (n, K, share, t, D), a copy unless share is 1; (n · K, s, D) from (n, K, s, D)."""
    return x.flatten(0, 1) if x.dim() == 4 else x.flatten(2, 3).flatten(0, 1)


def _view(memory: Tensor, shape: tuple[int, ...]) -> Tensor:
    return memory[: torch.Size(shape).numel()].view(shape)


def _add_product(into: Tensor, a: Tensor, b: Tensor) -> None:
    if into.dtype == a.dtype:
        into.baddbmm_(a, b)
    else:
        into += a @ b


def _size(of: slice) -> int:
    return int(of.stop - of.start)
