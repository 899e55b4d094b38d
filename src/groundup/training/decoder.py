"""Training a decoder to predict the next token."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from groundup.nn.config import TransformerConfig
from groundup.nn.init import initialise
from groundup.nn.losses import summed_cross_entropy, token_nats
from groundup.nn.transformer import Transformer
from groundup.progress import Progress, silent
from groundup.tokens.loader import Batches
from groundup.tokens.shards import Shards
from groundup.training import checkpoints
from groundup.training.diagnostics import Meter, UpdateRatio
from groundup.training.formats import product_dtype, products_in
from groundup.training.optimizers import Optimizers
from groundup.training.plan import TrainingPlan


@dataclass
class TrainResult:
    """curve: one dict a report: step, tokens (targets seen), loss (nats per target), gradient_norm, rate_factor,
    update_ratio, spike, seconds of training; where held-out text was read: held_out_bits_per_byte."""

    model: Transformer
    curve: list[dict[str, float]]
    steps: int
    tokens: int
    seconds: float  # of training, without evaluations and saves, all starts together
    resumed_at: int | None  # the step it went on from
    spikes: int

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / max(self.seconds, 1e-9)


def train_decoder(
    shards: Shards,
    config: TransformerConfig,
    plan: TrainingPlan,
    work: Path,
    held_out: Shards | None = None,
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
    *,
    device: str = "cpu",
) -> TrainResult:
    """Train from scratch, or go on from the newest checkpoint in `work`: the weights come out the same to the bit.

    held_out: where bits per byte are read now and then, on a fixed part, for the curve alone.
    Raises ResumeError if the checkpoint is of another plan, shape, corpus or machine, RecipeError when the loss is no
    number any more, CorpusError without tokens, ValueError for shards of more tokens than the model has.
    """
    if shards.vocab_size > config.vocab_size:
        raise ValueError(f"the shards have {shards.vocab_size} tokens, the model {config.vocab_size}")
    identity = {
        "config": config.to_dict(),
        "plan": plan.to_dict(),
        "shards": shards.digest,
        "surroundings": checkpoints.surroundings(plan.number_format, device),
    }
    folder = work / "checkpoints"
    model = Transformer(config).to(device)
    initialise(model, plan.seed)
    optimizers = Optimizers(model, plan.rates, product_dtype(plan.number_format))
    batches = Batches(shards, plan.batch, plan.length, plan.seed)
    state = checkpoints.resume(folder, identity, model, optimizers)
    resumed_at = state.step or None
    schedule, meter = plan.schedule, Meter()
    step_tokens = plan.batch * plan.length  # the one divisor of a step's loss, whatever the micro-batches
    model.train()

    begun = clock() - state.seconds
    for step in range(state.step, plan.steps):
        if held_out is not None and step and due(step, plan.every(plan.evaluate_every_tokens)):
            # Here and not at the end of the step before: its save is done, and a run that was cut off lacks no point.
            paused = clock()
            state.note(step, step_tokens, held_out_bits_per_byte=estimate_bits_per_byte(model, held_out, plan))
            begun += clock() - paused

        report = due(step + 1, plan.report_every) or step + 1 == plan.steps
        ratio = UpdateRatio(model) if report else None
        tokens, targets = (torch.from_numpy(array).to(device) for array in batches.at(step))
        for first in range(0, plan.batch, plan.micro_batch):
            rows = slice(first, first + plan.micro_batch)
            with products_in(plan.number_format, device):
                nats, count = summed_cross_entropy(model, model(tokens[rows]), targets[rows])
            (nats / step_tokens).backward()  # type: ignore[no-untyped-call]
            meter.add(nats.detach(), count)
        meter.norm(optimizers.clip(plan.clip))
        optimizers.step(schedule.factor(step))

        if ratio is not None:  # the only place that waits for the device
            state.note(step + 1, step_tokens, **meter.read(step), update_ratio=ratio.read(), seconds=clock() - begun)
            progress(_label(state.curve), (step + 1) * step_tokens, plan.tokens)
        if due(step + 1, plan.every(plan.save_every_tokens)) or step + 1 == plan.steps:
            paused = clock()
            meter.check(step)  # a checkpoint with NaN in it would outlive its cause
            state.step, state.seconds = step + 1, paused - begun
            checkpoints.save(folder, identity, state, model, optimizers)
            begun += clock() - paused
    if held_out is not None:
        state.note(plan.steps, step_tokens, held_out_bits_per_byte=estimate_bits_per_byte(model, held_out, plan))
    model.eval()
    spikes = int(sum(point.get("spike", 0.0) for point in state.curve))
    return TrainResult(
        model, state.curve, plan.steps, plan.steps * step_tokens, state.seconds, resumed_at, spikes
    )  # fmt: skip


def _label(curve: list[dict[str, float]]) -> str:
    """What progress shows: the last training loss, and the last held-out figure beside it."""
    held_out = next((p["held_out_bits_per_byte"] for p in reversed(curve) if "held_out_bits_per_byte" in p), None)
    loss = next(point["loss"] for point in reversed(curve) if "loss" in point)
    return f"train decoder, loss {loss:.2f}" + ("" if held_out is None else f", held-out {held_out:.2f} bits/byte")


def due(step: int, every: int) -> bool:
    return step % every == 0


@torch.no_grad()
def estimate_bits_per_byte(model: Transformer, held_out: Shards, plan: TrainingPlan) -> float:
    """Bits per byte on windows spread evenly over the held-out stream, cut without overlap: a little higher than what
    evaluation.bits says with its strides, and cheap. Bytes are taken as tokens × the stream's mean bytes per token."""
    length, stream = plan.length, held_out.tokens
    windows = max(1, min(plan.evaluate_tokens // length, (len(stream) - 1) // length))
    starts = np.linspace(0, max(0, len(stream) - length - 1), windows).astype(np.int64)
    device = model.output_weight.device
    was_training = model.training
    model.eval()
    nats, count = 0.0, 0
    for first in range(0, windows, plan.micro_batch):
        rows = np.stack([stream[s : s + length + 1] for s in starts[first : first + plan.micro_batch]]).astype(np.int64)
        tokens: Tensor = torch.from_numpy(rows).to(device)
        with products_in(plan.number_format, device.type):
            hidden = model(tokens[:, :-1])
        nats += float(token_nats(model, hidden.float(), tokens[:, 1:]).double().sum())
        count += tokens[:, 1:].numel()
    model.train(was_training)
    bytes_per_token = int(held_out.text_bytes.sum()) / max(1, len(stream) - len(held_out))
    return nats / count / math.log(2) / bytes_per_token
