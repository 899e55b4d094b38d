"""Many texts at once: one forward pass for a token of each. For measurements, where nobody waits for the first token.

A row of a product costs a fraction of a product of its own: on two cores SmolLM2-135M's linear layers take 50 ms for
one row and 107 for sixteen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from groundup.generation.generator import Generator
from groundup.generation.logits import draw, processed
from groundup.generation.memory import Memory, Remembered
from groundup.generation.sampling import Sampling
from groundup.nn.cache import KVCache

ROWS = 48  # of a batch: where a product's time begins to grow with its rows, and 46 kB a position of SmolLM2 each


def continue_many(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    memories: Sequence[Memory | None] = (None,),
) -> list[list[list[int]]]:
    """For each memory the tokens that follow each prompt, without the one that ended it.

    Text i is the one that `Generator.stream` gives with seed + i and the mixture as target, but where rounding breaks
    a tie otherwise. Prompts must leave room for max_tokens; stop strings and top_logprobs aren't looked at.
    """
    texts: list[list[list[int]]] = [[] for _ in memories]
    step = max(1, ROWS // len(memories))
    for start in range(0, len(prompts), step):
        some = [list(prompt) for prompt in prompts[start : start + step]]
        seeded = [replace(sampling, seed=sampling.seed + start + i) for i in range(len(some))]
        with generator.turns.turn():
            for mine, found in zip(texts, _batch(generator, some, seeded, memories), strict=True):
                mine += found
    return texts


@torch.no_grad()
def _batch(
    generator: Generator, prompts: list[list[int]], samplings: list[Sampling], memories: Sequence[Memory | None]
) -> list[list[list[int]]]:
    model, drawable, most = generator.model, generator.drawable, samplings[0].max_tokens
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    longest = int(lengths.max())
    assert longest + most <= generator.context_length, "the caller leaves room"
    padded = torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts])  # (B, T)
    parameter = next(model.parameters())
    cache = KVCache.empty(model.config, len(prompts), longest + most, parameter.dtype, parameter.device)
    hidden = model(padded, lengths=lengths, cache=cache)  # (B, T, C)
    rows = model.logits(hidden[torch.arange(len(prompts)), lengths - 1])  # (B, V)
    # One prompt read, one row for each memory: M·B rows, those of a memory together.
    cache = KVCache(*([part.repeat(len(memories), 1, 1, 1) for part in parts] for parts in (cache.keys, cache.values)))
    cache.length = longest
    cache.set_lengths(lengths.repeat(len(memories)))
    rows = rows.repeat(len(memories), 1)
    prompts, samplings = prompts * len(memories), samplings * len(memories)
    remembered = [
        Remembered(memories[i * len(memories) // len(prompts)], prompt, "mixture", speculate=False)
        for i, prompt in enumerate(prompts)
    ]
    randoms = [np.random.default_rng(sampling.seed) for sampling in samplings]
    texts: list[list[int]] = [[] for _ in prompts]
    going = [True] * len(prompts)
    for place in range(most):
        chosen = [0] * len(prompts)  # of a text that has ended: read for nothing
        for i, prompt in enumerate(prompts):
            if not going[i]:
                continue
            logits = drawable.without_silent(remembered[i].mix(drawable.logits(rows[i])))
            token = draw(processed(logits, prompt, texts[i], samplings[i]), samplings[i], randoms[i])
            if token in drawable.ends:
                going[i] = False
                continue
            texts[i].append(token)
            remembered[i].advance(token)
            chosen[i] = token
        if not any(going) or place == most - 1:
            break
        hidden = model(torch.tensor(chosen)[:, None], cache=cache)  # (M·B, 1, C)
        rows = model.logits(hidden[:, 0])
    return [
        texts[m * len(texts) // len(memories) : (m + 1) * len(texts) // len(memories)] for m in range(len(memories))
    ]
