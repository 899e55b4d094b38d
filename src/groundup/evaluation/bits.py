"""Bits per byte of a causal model on documents: every byte is scored, from a separator on, in a sliding window.

Bits per byte, not perplexity, because models with different tokenizers have to stand in one table (The Pile, Gao et al.
2020). What is scored and how:

- The text of a document is its first `max_bytes` bytes, cut back to a whole character; all of it where that is None.
- The first token's context is the tokenizer's separator. If it has none, the first token is charged ln(vocabulary), as
  under a uniform distribution.
- The first window scores up to `context` tokens. Each later one ends `stride` tokens further and scores those only, so
  that they see at least context − stride tokens before them.
- A byte that the vocabulary has no token for is charged 8 bits, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from groundup.errors import ModelError
from groundup.evaluation.scores import DocumentScore, Progress, Text, Tokenizes, bits_per_byte, cut

__all__ = ["DocumentScore", "bits_per_byte", "computed_tokens", "cut", "score_documents", "windows"]

BATCH_TOKENS = 4096  # positions per forward pass. Not studied: enough that a product is large, little memory
LOGITS_BYTES = 2**26  # of logits alive at a time; two such blocks with the softmax

Int64 = NDArray[np.int64]


def computed_tokens(tokens: int, context: int, stride: int) -> int:
    """Positions that a model computes to score a document of so many tokens: what scoring costs, for the planner."""
    return sum(end - start for start, end, _ in windows(tokens, context, stride))


def windows(tokens: int, context: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, first scored) of each window over `tokens` inputs. The scored parts lie end to end."""
    if not 1 <= stride <= context:
        raise ValueError(f"stride {stride} has to lie between 1 and the context, {context}")
    scored = 0
    while scored < tokens:
        end = min(scored + (stride if scored else context), tokens)
        yield max(0, end - context), end, scored
        scored = end


def score_documents(
    model: Any,
    tokenizer: Tokenizes,
    documents: Sequence[Text],
    *,
    context: int,
    stride: int | None = None,
    max_bytes: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> list[DocumentScore]:
    """Scores each document by the module's rules, in the order given.

    model: a causal `nn.Transformer`: model(tokens (B, T)) → hidden (B, T, C), model.logits(hidden) → (…, V). It is
    computed in the format of its weights; the softmax in fp32, sums in float64. stride: None is half the context.
    Windows of like length, from any document, share a pass; memory is bounded by `batch_tokens` and LOGITS_BYTES.
    Raises ModelError if tokenizer and model don't fit or a probability is not a number, ValueError for a wrong stride.
    """
    stride = max(1, context // 2) if stride is None else stride
    limit = getattr(getattr(model, "config", None), "vocab_size", tokenizer.vocab_size)
    if tokenizer.vocab_size > limit:
        raise ModelError(
            f"the tokenizer has {tokenizer.vocab_size:,} tokens, the model {limit:,}",
            mend="Take the tokenizer that belongs to the model",
        )
    texts = [cut(document.text, max_bytes) for document in documents]
    encoded = [np.asarray(ids, dtype=np.int64) for ids in tokenizer.encode_many(texts)]
    missing = [tokenizer.missing_bytes(text) for text in texts]
    nats = np.array(missing, dtype=np.float64) * 8 * math.log(2)
    sequences = []
    for index, ids in enumerate(encoded):
        if tokenizer.separator_id is not None:
            ids = np.concatenate([[tokenizer.separator_id], ids])
        elif len(ids):
            nats[index] += math.log(tokenizer.vocab_size)
        sequences.append(ids.astype(np.int64))

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():  # not inference_mode: tables that the model keeps for later would be unfit for training
            _add_nats(nats, model, sequences, context, stride, batch_tokens, progress)
    finally:
        model.train(was_training)
    if not np.isfinite(nats).all():
        wrong = f"gives probabilities that are no numbers, first on document {documents[_first_bad(nats)].id}"
        raise ModelError(f"the model {wrong}", mend="Its weights are damaged, or training diverged; make it anew")
    return [
        DocumentScore(document.id, float(nats[i]), len(texts[i].encode()), len(encoded[i]), missing[i])
        for i, document in enumerate(documents)
    ]


def _add_nats(
    nats: NDArray[np.float64],
    model: Any,
    sequences: list[Int64],
    context: int,
    stride: int,
    batch_tokens: int,
    progress: Progress | None,
) -> None:
    """Adds −ln p of every token but a sequence's first to its document's place in `nats`."""
    spans = [(i, *w) for i, ids in enumerate(sequences) for w in windows(max(0, len(ids) - 1), context, stride)]
    spans.sort(key=lambda span: (span[1] - span[2], span[0], span[1]))  # longest first: too little memory shows at once
    device = next(model.parameters()).device
    total, done = float(sum(end - start for _, start, end, _ in spans)), 0.0
    for batch in _batches(spans, batch_tokens):
        width = batch[0][2] - batch[0][1]
        tokens = np.zeros((len(batch), width), dtype=np.int64)  # padding on the right: no causal position looks there
        rows, columns, targets, owners = [], [], [], []
        for row, (i, start, end, first) in enumerate(batch):
            tokens[row, : end - start] = sequences[i][start:end]
            rows.append(np.full(end - first, row))
            columns.append(np.arange(first - start, end - start))
            targets.append(sequences[i][first + 1 : end + 1])
            owners.append(np.full(end - first, i))
        hidden = model(torch.from_numpy(tokens).to(device))
        picked = hidden[
            torch.from_numpy(np.concatenate(rows)).to(device), torch.from_numpy(np.concatenate(columns)).to(device)
        ]
        losses = _losses(model, picked, torch.from_numpy(np.concatenate(targets)).to(device))
        nats += np.bincount(np.concatenate(owners), weights=losses, minlength=len(nats))
        done += sum(end - start for _, start, end, _ in batch)
        if progress:
            progress("scoring tokens", done, total)


def _losses(model: Any, hidden: torch.Tensor, targets: torch.Tensor) -> NDArray[np.float64]:
    """−ln p of each target (N,), with logits for a few rows of hidden (N, C) at a time."""
    parts, start, size = [], 0, 1
    while start < len(targets):
        logits = model.logits(hidden[start : start + size]).float()
        parts.append(F.cross_entropy(logits, targets[start : start + size], reduction="none").double().cpu().numpy())
        start += size
        size = max(1, LOGITS_BYTES // (4 * logits.shape[-1]))  # the first row tells how wide the logits are
    return np.concatenate(parts)


def _batches(spans: list[tuple[int, int, int, int]], batch_tokens: int) -> Iterator[list[tuple[int, int, int, int]]]:
    """Runs of spans, longest first, whose padded area is at most `batch_tokens`, or single spans longer than that."""
    start = 0
    while start < len(spans):
        width = spans[start][2] - spans[start][1]
        size = max(1, batch_tokens // width)
        yield spans[start : start + size]
        start += size


def _first_bad(nats: NDArray[np.float64]) -> int:
    return int(np.flatnonzero(~np.isfinite(nats))[0])
