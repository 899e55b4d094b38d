"""Training an encoder: first to fill in masked tokens, then to bring a query and its passage together.

Two loops, each with checkpoints of its own; the second begins with the weights the first ends with.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groundup.nn.config import TransformerConfig
from groundup.nn.encode import embed, pad
from groundup.nn.init import initialise
from groundup.nn.losses import IGNORE, info_nce, masked_token_loss
from groundup.nn.transformer import Transformer
from groundup.progress import Progress, silent
from groundup.tokens.loader import Batches
from groundup.tokens.shards import Shards
from groundup.tokens.tokenizer import Tokenizer
from groundup.training import checkpoints
from groundup.training.diagnostics import Meter
from groundup.training.formats import product_dtype, products_in
from groundup.training.optimizers import Optimizers
from groundup.training.plan import EncoderPlan

MASK = "<|mask|>"
Pair = tuple[str, str]  # (query, passage)


@dataclass
class EncoderResult:
    """masked_curve, pair_curve: one dict a report: step, loss (nats per masked token, or per query), gradient_norm,
    seconds. A text goes in as its tokens alone, cut to plan.passage_length, and comes out as the mean of its states."""

    model: Transformer
    masked_curve: list[dict[str, float]]
    pair_curve: list[dict[str, float]]
    seconds: float


def train_encoder(
    shards: Shards,
    pairs: Sequence[Pair],
    tokenizer: Tokenizer,
    config: TransformerConfig,
    plan: EncoderPlan,
    work: Path,
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
    *,
    device: str = "cpu",
) -> EncoderResult:
    """Train both parts, or go on from the newest checkpoints in `work`. Without pairs the second part is left out.

    Raises ResumeError and RecipeError as train_decoder; ValueError for a causal config or a tokenizer without <|mask|>.
    """
    if config.causal:
        raise ValueError("the configuration is causal; an encoder sees both sides: set causal=False")
    if MASK not in tokenizer.special:
        raise ValueError(f"the tokenizer has no {MASK}; an encoder is trained with a tokenizer of our own")
    identity = {
        "config": config.to_dict(),
        "plan": plan.to_dict(),
        "shards": shards.digest,
        "surroundings": checkpoints.surroundings(plan.number_format, device),
    }
    model = Transformer(config).to(device)
    initialise(model, plan.seed)
    masked = _masked_tokens(model, shards, tokenizer.special[MASK], plan, identity, work / "masked", progress, clock)
    contrastive = checkpoints.State()
    if len(pairs) >= plan.pair_batch and plan.pair_steps:
        identity["pairs"] = _digest(pairs)
        contrastive = _pairs(model, pairs, tokenizer, plan, identity, work / "pairs", progress, clock)
    model.eval()
    return EncoderResult(model, masked.curve, contrastive.curve, masked.seconds + contrastive.seconds)


def _masked_tokens(
    model: Transformer,
    shards: Shards,
    mask_id: int,
    plan: EncoderPlan,
    identity: dict[str, Any],
    folder: Path,
    progress: Progress,
    clock: Callable[[], float],
) -> checkpoints.State:
    """Source: Devlin et al. 2019 (BERT); share of masked tokens: Warner et al. 2024 (ModernBERT)."""
    device = model.output_weight.device
    optimizers = Optimizers(model, plan.rates, product_dtype(plan.number_format))
    state = checkpoints.resume(folder, identity, model, optimizers)
    batches = Batches(shards, plan.batch, plan.length, plan.seed)
    schedule, meter = plan.schedule(plan.masked_steps), Meter()
    model.train()
    begun = clock() - state.seconds
    for step in range(state.step, plan.masked_steps):
        last = step + 1 == plan.masked_steps
        windows, _ = batches.at(step)
        tokens, targets = hide(windows, shards, mask_id, plan, step)
        with products_in(plan.number_format, device.type):
            nats, count = masked_token_loss(model, model(tokens.to(device)), targets.to(device))
        (nats / count.clamp(min=1)).backward()  # type: ignore[no-untyped-call]
        meter.add(nats.detach(), count)
        meter.norm(optimizers.clip(plan.clip))
        optimizers.step(schedule.factor(step))

        if last or (step + 1) % plan.report_every == 0:
            state.note(step + 1, tokens.numel(), **meter.read(step), seconds=clock() - begun)
            label = f"train encoder, masked tokens, loss {state.curve[-1]['loss']:.2f}"
            progress(label, (step + 1) * tokens.numel(), plan.masked_tokens)
        if last or (step + 1) % plan.save_every == 0:
            meter.check(step)
            state.step, state.seconds = step + 1, clock() - begun
            checkpoints.save(folder, identity, state, model, optimizers)
    return state


def hide(
    windows: np.ndarray[Any, np.dtype[np.int64]], shards: Shards, mask_id: int, plan: EncoderPlan, step: int
) -> tuple[Tensor, Tensor]:
    """(tokens with some hidden, targets: the hidden ones, IGNORE elsewhere), a function of (seed, step).

    Of the hidden, 8 in 10 become the mask, one another token, one stays: the model can't trust what it sees (BERT).
    """
    random = np.random.default_rng([plan.seed, step, 1])
    chosen = (random.random(windows.shape) < plan.masked_share) & (windows != shards.separator_id)
    fate = random.random(windows.shape)
    others = random.integers(0, shards.vocab_size, windows.shape)
    shown = np.where(chosen & (fate < 0.8), mask_id, np.where(chosen & (fate >= 0.9), others, windows))
    return torch.from_numpy(shown), torch.from_numpy(np.where(chosen, windows, IGNORE))


def _pairs(
    model: Transformer,
    pairs: Sequence[Pair],
    tokenizer: Tokenizer,
    plan: EncoderPlan,
    identity: dict[str, Any],
    folder: Path,
    progress: Progress,
    clock: Callable[[], float],
) -> checkpoints.State:
    """InfoNCE with in-batch negatives, both ways (van den Oord et al. 2018; Wang et al. 2022, E5)."""
    device = model.output_weight.device
    padding = tokenizer.special.get("<|pad|>", 0)
    optimizers = Optimizers(model, plan.pair_rates, product_dtype(plan.number_format))
    state = checkpoints.resume(folder, identity, model, optimizers)
    queries = _tokens([query for query, _ in pairs], tokenizer, plan.query_length)
    passages = _tokens([passage for _, passage in pairs], tokenizer, plan.passage_length)
    twins = _twins(pairs)
    schedule, meter = plan.schedule(plan.pair_steps), Meter()
    model.train()
    begun = clock() - state.seconds
    for step in range(state.step, plan.pair_steps):
        last = step + 1 == plan.pair_steps
        rows = pair_rows(len(pairs), plan.pair_batch, plan.seed, step)
        vectors = []
        for side in (queries, passages):
            tokens, lengths = pad([side[row] for row in rows], padding)
            with products_in(plan.number_format, device.type):
                vectors.append(embed(model, tokens.to(device), lengths.to(device)).float())
        same = twins[rows].to(device)
        nats, count = info_nce(vectors[0], vectors[1], plan.temperature, same=same, symmetric=True)
        (nats / count).backward()  # type: ignore[no-untyped-call]
        meter.add(nats.detach(), count)
        meter.norm(optimizers.clip(plan.clip))
        optimizers.step(schedule.factor(step))

        if last or (step + 1) % plan.report_every == 0:
            state.note(step + 1, plan.pair_batch, **meter.read(step), seconds=clock() - begun)
            label = f"train encoder, pairs, loss {state.curve[-1]['loss']:.2f}"
            progress(label, (step + 1) * plan.pair_batch, plan.pair_examples)
        if last or (step + 1) % plan.save_every == 0:
            meter.check(step)
            state.step, state.seconds = step + 1, clock() - begun
            checkpoints.save(folder, identity, state, model, optimizers)
    return state


def pair_rows(pairs: int, batch: int, seed: int, step: int) -> list[int]:
    """Which pairs a step takes: each epoch in a new order, its last few left out where they fill no batch."""
    epoch, place = divmod(step, pairs // batch)
    order = np.random.default_rng([seed, epoch, 2]).permutation(pairs)
    return [int(row) for row in order[place * batch : (place + 1) * batch]]


def _tokens(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> list[list[int]]:
    """Ids of each text, cut to `length`; an empty text is one separator, since a row needs a token."""
    empty = [tokenizer.separator_id or 0]
    return [row[:length].tolist() or empty for row in tokenizer.encode_many(texts)]


def _twins(pairs: Sequence[Pair]) -> Tensor:
    """(N,) int64: equal for pairs of one passage or one query, which are no negatives of each other."""
    numbers: dict[tuple[str, str], int] = {}
    rows = []
    for number, (query, passage) in enumerate(pairs):
        known = numbers.get(("passage", passage), numbers.get(("query", query), number))
        numbers.setdefault(("passage", passage), known)
        numbers.setdefault(("query", query), known)
        rows.append(known)
    return torch.tensor(rows, dtype=torch.int64)


def _digest(pairs: Sequence[Pair]) -> str:
    hashed = hashlib.sha256()
    for side in (side for pair in pairs for side in pair):
        hashed.update(hashlib.sha256(side.encode("utf-8", "replace")).digest())
    return hashed.hexdigest()
