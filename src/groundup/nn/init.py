"""How weights are drawn before training."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn

EMBEDDING_STD = 0.02  # GPT-2's; with tied weights and a normed stream, first logits stay near 0.02 · sqrt(width)


@torch.no_grad()
def initialise(model: nn.Module, seed: int) -> None:
    """Draws every weight of a Transformer in place, from `seed` alone and in the order of its parameters.

    Matrices: normal with std 1/sqrt(inputs), so that each keeps the scale of what goes in (LeCun 1998); those that
    write into the residual stream divided by sqrt(2 · layers), so that the stream's scale doesn't grow with depth
    (GPT-2). Embeddings: EMBEDDING_STD. Norm weights 1, biases 0. Drawn on the processor: a GPU gets the same weights.
    """
    generator = torch.Generator().manual_seed(seed)
    depth = math.sqrt(2 * len(cast(nn.ModuleList, model.blocks)))
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            continue
        std = EMBEDDING_STD if "embedding" in name else parameter.shape[1] ** -0.5
        if name.endswith(("attention.o.weight", "ffn.down.weight")):
            std /= depth
        parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))
