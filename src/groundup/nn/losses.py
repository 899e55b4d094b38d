"""Losses, as sums and counts: who accumulates over batches or ranks divides once, by the global count.

The logits of a batch, tokens × vocabulary, are the largest tensor of a language model (4,096 tokens of a 49,152-token
vocabulary: 805 MB in fp32). Here they exist for one chunk of tokens at a time, and gradients are formed in the forward
pass while the chunk is there, so nothing is computed twice (the idea of Liger Kernel, Hsu et al. 2024).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundup.nn.head import softcapped

IGNORE = -100  # a target that isn't counted
CHUNK_NUMBERS = 2**23  # logits alive at once: 32 MB in fp32
MIN_CHUNK_TOKENS = 256  # below, the product for the weights' gradient re-reads (V, C) too often for too few tokens


class HasHead(Protocol):
    @property
    def output_weight(self) -> Tensor: ...
    @property
    def output_bias(self) -> Tensor | None: ...
    @property
    def logit_softcap(self) -> float: ...
    def readout(self, hidden: Tensor) -> Tensor: ...


def summed_cross_entropy(
    model: HasHead, hidden: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, z_loss: float = 0.0
) -> tuple[Tensor, Tensor]:
    """(sum of -ln p over counted targets, how many are counted), both scalars on the device.

    hidden: (…, C). targets: (…) int64; IGNORE marks those that don't count. Loss of a step: sum / global count.
    label_smoothing: this share of the target's mass lies evenly on all tokens (Szegedy et al. 2016).
    z_loss: this times (ln Σ exp logits)² is added for each target, which keeps logits from drifting (PaLM: 1e-4).
    Differentiable once, in hidden and in the head's weights.
    """
    if not 0 <= label_smoothing < 1 or z_loss < 0:
        raise ValueError(f"label_smoothing is {label_smoothing}, z_loss {z_loss}; set a share below 1, a number from 0")
    flat = targets.reshape(-1)
    rows = model.readout(hidden.reshape(-1, hidden.shape[-1]))
    shape = _Shape(model.logit_softcap, label_smoothing, z_loss)
    total = _ChunkedCrossEntropy.apply(rows, model.output_weight, model.output_bias, flat, shape)  # type: ignore[no-untyped-call]
    return total, (flat != IGNORE).sum()


def masked_token_loss(model: HasHead, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """As `summed_cross_entropy`, for few counted targets: only their rows (15 % of an encoder's, say) meet the head."""
    counted = targets != IGNORE
    return summed_cross_entropy(model, hidden[counted], targets[counted])


@torch.no_grad()
def token_nats(model: HasHead, hidden: Tensor, targets: Tensor) -> Tensor:
    """-ln p of every target, in the shape of targets, 0 where IGNORE; for evaluation, without gradients."""
    rows, flat = model.readout(hidden.reshape(-1, hidden.shape[-1])), targets.reshape(-1)
    nats = rows.new_zeros(len(flat))
    for part in _chunks(len(flat), model.output_weight.shape[0]):
        logits = softcapped(F.linear(rows[part], model.output_weight, model.output_bias), model.logit_softcap)
        nats[part] = F.cross_entropy(logits, flat[part], ignore_index=IGNORE, reduction="none")
    return nats.reshape(targets.shape)


def info_nce(
    queries: Tensor,
    documents: Tensor,
    temperature: float = 0.05,
    *,
    hard_negatives: Tensor | None = None,
    same: Tensor | None = None,
    symmetric: bool = False,
) -> tuple[Tensor, Tensor]:
    """(sum of -ln p(own document | query), count of terms), with in-batch negatives (van den Oord et al. 2018).

    queries, documents: (N, C), unit rows, row i belonging to row i; every other document is a negative of query i.
    hard_negatives: (M, C), negatives of all queries. same: (N,) int64, rows of equal number are each other's duplicates
    and no negatives. symmetric adds -ln p(own query | document), and the count doubles. temperature > 0: smaller is
    sharper.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; set a number above 0")
    own = torch.arange(len(queries), device=queries.device)
    scores = queries @ documents.T / temperature
    if same is not None:
        twins = (same[:, None] == same[None, :]) & (own[:, None] != own[None, :])
        scores = scores.masked_fill(twins, float("-inf"))
    against = scores
    if hard_negatives is not None and len(hard_negatives):
        against = torch.cat((scores, queries @ hard_negatives.T / temperature), 1)
    total = F.cross_entropy(against, own, reduction="sum")
    if symmetric:
        total = total + F.cross_entropy(scores.T, own, reduction="sum")
    return total, torch.tensor(len(queries) * (2 if symmetric else 1), device=queries.device)


def summed_squares(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """(Σ (student − teacher)², how many numbers): a student learns a teacher's vectors or scores, of equal shape."""
    return (student - teacher).square().sum(), torch.tensor(student.numel(), device=student.device)


def margin_squares(
    positive: Tensor, negative: Tensor, teacher_positive: Tensor, teacher_negative: Tensor
) -> tuple[Tensor, Tensor]:
    """Squares of differences between the student's and the teacher's margins, scores of a positive less a negative.

    Only distances are learned, so student and teacher may score on different scales (Hofstätter et al. 2020). All (N,).
    """
    return summed_squares(positive - negative, teacher_positive - teacher_negative)


def _chunks(tokens: int, vocabulary: int) -> list[slice]:
    """Slices over tokens, each with at most CHUNK_NUMBERS logits, of sizes as equal as can be."""
    largest = max(MIN_CHUNK_TOKENS, CHUNK_NUMBERS // vocabulary)
    size = -(-tokens // max(1, -(-tokens // largest)))
    return [slice(begin, min(begin + size, tokens)) for begin in range(0, tokens, max(1, size))]


class _Shape(NamedTuple):
    """What bends the plain cross-entropy."""

    softcap: float
    smoothing: float
    z_loss: float


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Σ over counted rows of lse(l) − (1 − ε) l[target] − ε mean(l) + ζ lse(l)², with l = cap(h Wᵀ + b)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, shape: _Shape) -> Tensor:
        need_rows, need_weight, need_bias, _, _ = ctx.needs_input_grad
        d_rows = torch.empty_like(rows) if need_rows else None
        d_weight = torch.zeros_like(weight) if need_weight else None
        d_bias = torch.zeros_like(bias) if need_bias and bias is not None else None
        total = rows.new_zeros((), dtype=torch.promote_types(rows.dtype, torch.float32))
        for part in _chunks(len(rows), weight.shape[0]):
            h, target = rows[part], targets[part]
            # In place: logits less their maximum, their exponentials, and at last their gradient share one memory.
            logits = F.linear(h, weight, bias)
            slope = None
            if shape.softcap:
                logits = softcapped(logits, shape.softcap)
                slope = 1 - (logits / shape.softcap).square()
            nats, gradient = _nats_and_gradient(logits, target, shape, need_rows or need_weight or need_bias)
            total += nats
            if gradient is None:
                continue
            if slope is not None:
                gradient.mul_(slope)
            if d_rows is not None:
                torch.mm(gradient, weight, out=d_rows[part])
            if d_weight is not None:
                d_weight.addmm_(gradient.T, h)
            if d_bias is not None:
                d_bias += gradient.sum(0)
        ctx.save_for_backward(d_rows, d_weight, d_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        d_rows, d_weight, d_bias = ctx.saved_tensors
        scaled = [None if d is None else d * upstream.to(d.dtype) for d in (d_rows, d_weight, d_bias)]
        return (*scaled, None, None)


def _nats_and_gradient(logits: Tensor, target: Tensor, shape: _Shape, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """(sum over counted rows, its gradient in the memory of `logits` (N, V), or None if not wanted)."""
    counted = target != IGNORE
    index = target.where(counted, target.new_zeros(()))[:, None]
    most = logits.amax(-1, keepdim=True)
    logits.sub_(most)
    own = logits.gather(1, index)
    if shape.smoothing:
        own = own * (1 - shape.smoothing) + logits.mean(-1, keepdim=True) * shape.smoothing
    exponentials = logits.exp_()
    z = exponentials.sum(-1, keepdim=True)
    log_z = z.log()
    nats = log_z - own
    pull = torch.ones_like(z)  # how often the softmax counts in the gradient
    if shape.z_loss:
        whole = log_z + most
        nats = nats + shape.z_loss * whole.square()
        pull = pull + 2 * shape.z_loss * whole
    total = nats.masked_fill(~counted[:, None], 0).sum()
    if not wanted:
        return total, None
    once = counted[:, None].to(exponentials.dtype)
    gradient = exponentials.mul_(once * pull / z)  # softmax, 0 in rows that don't count
    if shape.smoothing:
        gradient.sub_(once * (shape.smoothing / gradient.shape[-1]))
    gradient.scatter_add_(1, index, once * (shape.smoothing - 1))
    return total, gradient
