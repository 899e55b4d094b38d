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
CHUNK_BYTES = 2**26  # of logits alive at once; with half of it the weights' gradient is read and written twice as often
SMALL_CHUNK_NUMBERS = 2**20  # of them between two products: seven passes over 4 MB, which stay in the cache
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
    for part in _chunks(rows, model.output_weight):
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


def _chunks(rows: Tensor, weight: Tensor) -> list[slice]:
    """Slices over rows, each with logits of at most CHUNK_BYTES."""
    return _slices(len(rows), max(MIN_CHUNK_TOKENS, CHUNK_BYTES // (rows.element_size() * weight.shape[0])))


def _slices(total: int, largest: int) -> list[slice]:
    """Of sizes as equal as can be."""
    size = -(-total // max(1, -(-total // max(1, largest))))
    return [slice(begin, min(begin + size, total)) for begin in range(0, total, max(1, size))]


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
        d_weight = (torch.empty_like if len(rows) else torch.zeros_like)(weight) if need_weight else None
        d_bias = torch.zeros_like(bias) if need_bias and bias is not None else None
        wide = torch.promote_types(rows.dtype, torch.float32)
        total = rows.new_zeros((), dtype=wide)
        device = rows.device.type
        if torch.is_autocast_enabled(device):  # the three products in its format, all that lies between them in fp32
            rows, weight = (x.to(torch.get_autocast_dtype(device)) for x in (rows, weight))
        with torch.autocast(device, enabled=False):
            chunks = _chunks(rows, weight)
            largest = max((part.stop - part.start for part in chunks), default=0)
            memory = rows.new_empty(largest, weight.shape[0])  # one for all: fresh pages cost as much as a pass
            for part in chunks:
                h = rows[part]
                logits = torch.mm(h, weight.T, out=memory[: len(h)])
                if bias is not None:
                    logits += bias
                # From here on logits' memory holds their gradient, rows at a time that stay in the cache.
                for some in _slices(len(h), SMALL_CHUNK_NUMBERS // weight.shape[0]):
                    total += _to_gradient(logits[some], targets[part][some], shape)
                if d_rows is not None:
                    d_rows[part] = logits @ weight
                if d_bias is not None:
                    d_bias += logits.sum(0)
                if d_weight is not None and d_weight.dtype == logits.dtype:
                    d_weight.addmm_(logits.T, h, beta=0 if part.start == 0 else 1)  # 0: what was there isn't read
                elif d_weight is not None:
                    d_weight.copy_(logits.T @ h) if part.start == 0 else d_weight.add_(logits.T @ h)
        ctx.save_for_backward(d_rows, d_weight, d_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        d_rows, d_weight, d_bias = ctx.saved_tensors
        scaled = [None if d is None else d * upstream.to(d.dtype) for d in (d_rows, d_weight, d_bias)]
        return (*scaled, None, None)


def _to_gradient(logits: Tensor, target: Tensor, shape: _Shape) -> Tensor:
    """The sum over counted rows; logits (N, V) become its gradient. Computed in fp32 at least."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))  # itself where it is that already
    slope = None
    if shape.softcap:
        wide.copy_(softcapped(wide, shape.softcap))
        slope = 1 - (wide / shape.softcap).square()
    counted = target != IGNORE
    index = target.where(counted, target.new_zeros(()))[:, None]
    own, most = wide.gather(1, index), wide.amax(-1, keepdim=True)
    if shape.smoothing:
        own = own * (1 - shape.smoothing) + wide.mean(-1, keepdim=True) * shape.smoothing
    gradient = torch.softmax(wide, -1, out=wide)
    log_z = most - gradient.amax(-1, keepdim=True).log()  # the largest probability is exp(most) / z
    nats = log_z - own
    pull = torch.ones_like(nats)  # how often the softmax counts in the gradient
    if shape.z_loss:
        nats = nats + shape.z_loss * log_z.square()
        pull = pull + 2 * shape.z_loss * log_z
    once = counted[:, None].to(gradient.dtype)
    gradient.mul_(once * pull)  # 0 in rows that don't count
    if shape.smoothing:
        gradient.sub_(once * (shape.smoothing / gradient.shape[-1]))
    gradient.scatter_add_(1, index, once * (shape.smoothing - 1))
    if slope is not None:
        gradient.mul_(slope)
    if gradient.dtype != logits.dtype:
        logits.copy_(gradient)
    return nats.masked_fill(~counted[:, None], 0).sum()
