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
from groundup.evaluation.token_record import TokenRecord

__all__ = [
    "DocumentScore",
    "bits_per_byte",
    "computed_tokens",
    "cut",
    "record_documents",
    "score_documents",
    "windows",
]

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
    texts = [cut(document.text, max_bytes) for document in documents]
    scores, _ = _score(model, tokenizer, documents, texts, context, stride, batch_tokens, progress, False)
    return scores


def record_documents(
    model: Any,
    tokenizer: Tokenizes,
    documents: Sequence[Text],
    *,
    context: int,
    stride: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> tuple[list[DocumentScore], TokenRecord]:
    """As `score_documents`, with what the model said before each token."""
    texts = [cut(document.text, None) for document in documents]
    scores, record = _score(model, tokenizer, documents, texts, context, stride, batch_tokens, progress, True)
    assert record is not None
    return scores, record


def _score(
    model: Any,
    tokenizer: Tokenizes,
    documents: Sequence[Text],
    texts: Sequence[str],
    context: int,
    stride: int | None,
    batch_tokens: int,
    progress: Progress | None,
    keeps: bool,
) -> tuple[list[DocumentScore], TokenRecord | None]:
    stride = max(1, context // 2) if stride is None else stride
    limit = getattr(getattr(model, "config", None), "vocab_size", tokenizer.vocab_size)
    if tokenizer.vocab_size > limit:
        raise ModelError(
            f"the tokenizer has {tokenizer.vocab_size:,} tokens, the model {limit:,}",
            mend="Take the tokenizer that belongs to the model",
        )
    encoded = [np.asarray(ids, dtype=np.int64) for ids in tokenizer.encode_many(texts)]
    missing = [tokenizer.missing_bytes(text) for text in texts]
    nats = np.array(missing, dtype=np.float64) * 8 * math.log(2)
    record = TokenRecord.blank(encoded, tokenizer.vocab_size) if keeps else None
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
            _add_nats(nats, record, model, sequences, context, stride, batch_tokens, progress)
    finally:
        model.train(was_training)
    if not np.isfinite(nats).all():
        wrong = f"gives probabilities that are no numbers, first on document {documents[_first_bad(nats)].id}"
        raise ModelError(f"the model {wrong}", mend="Its weights are damaged, or training diverged; make it anew")
    scores = [
        DocumentScore(document.id, float(nats[i]), len(texts[i].encode()), len(encoded[i]), missing[i])
        for i, document in enumerate(documents)
    ]
    return scores, record


def _add_nats(
    nats: NDArray[np.float64],
    record: TokenRecord | None,
    model: Any,
    sequences: list[Int64],
    context: int,
    stride: int,
    batch_tokens: int,
    progress: Progress | None,
) -> None:
    """Adds −ln p of every token but a sequence's first to its document's place in `nats`; fills `record`, if any."""
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
        places = None if record is None else _places(record, sequences, batch)
        losses = _losses(model, picked, torch.from_numpy(np.concatenate(targets)).to(device), record, places)
        nats += np.bincount(np.concatenate(owners), weights=losses, minlength=len(nats))
        done += sum(end - start for _, start, end, _ in batch)
        if progress:
            progress("scoring tokens", done, total)


def _places(
    record: TokenRecord, sequences: list[Int64], batch: Sequence[tuple[int, int, int, int]]
) -> NDArray[np.int64]:
    """(N,) where in `record` the targets of a batch lie, in its order."""
    parts = []
    for i, _, end, first in batch:
        separators = len(sequences[i]) - int(record.offsets[i + 1] - record.offsets[i])  # 0 or 1
        parts.append(int(record.offsets[i]) - separators + np.arange(first + 1, end + 1))
    return np.concatenate(parts)


def _losses(
    model: Any,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    record: TokenRecord | None,
    places: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """−ln p of each target (N,), with logits for a few rows of hidden (N, C) at a time."""
    parts, start, size = [], 0, 1
    while start < len(targets):
        logits = model.logits(hidden[start : start + size]).float()
        parts.append(F.cross_entropy(logits, targets[start : start + size], reduction="none").double().cpu().numpy())
        if record is not None and places is not None:
            at = places[start : start + size]
            logp = F.log_softmax(logits, -1)
            best = logp.topk(record.best.shape[1])
            record.logp[at] = -parts[-1]
            record.entropy[at] = -(logp.exp() * logp).sum(-1).double().cpu().numpy()
            record.best[at] = best.indices.cpu().numpy()
            record.best_logp[at] = best.values.double().cpu().numpy()
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
