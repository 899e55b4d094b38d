"""How fast this machine trains a shape: a few timed steps, for the planner alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from groundup.nn.config import TransformerConfig
from groundup.nn.losses import summed_cross_entropy
from groundup.nn.transformer import Transformer
from groundup.training.formats import product_dtype, products_in
from groundup.training.optimizers import Optimizers, Rates

STEPS = 10  # timed, after one that isn't


def measure_rate(
    config: TransformerConfig,
    batch: int,
    length: int,
    *,
    number_format: str = "fp32",
    seconds: float = 3.0,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Tokens per second of whole training steps (forward, backward, optimizer) on random tokens; the fastest step.

    The fastest, since other programs can only slow a step down, and a plan should not shrink for a passing one.

    Takes one step to warm up and then up to STEPS, or as many as fit in `seconds`.
    """
    model = Transformer(config).to(device)
    optimizers = Optimizers(model, Rates(), product_dtype(number_format))
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocab_size, (batch, length + 1), generator=generator).to(device)
    times: list[float] = []
    for step in range(STEPS + 1):
        begun = clock()
        with products_in(number_format, device):
            nats, _ = summed_cross_entropy(model, model(tokens[:, :-1]), tokens[:, 1:])
        (nats / (batch * length)).backward()  # type: ignore[no-untyped-call]
        norm = optimizers.clip(1.0)
        optimizers.step(0.0)
        float(norm)  # waits for the device
        if step:
            times.append(clock() - begun)
            if sum(times) > seconds:
                break
    return batch * length / min(times)
