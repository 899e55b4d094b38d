"""How weights are drawn before training, by the names configurations use.

A layer's output has inputs · std² times the variance of its input: draw too wide and the stream grows from layer to
layer until the loss overflows, too narrow and it and its gradients fade. What is written into the residual stream adds
up besides, twice a layer; "scaled" and "gpt2" divide those matrices by sqrt(2 · layers).
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from groundup.nn.config import TransformerConfig

EMBEDDING_STD = 0.02  # GPT-2's; with tied weights and a normed stream, first logits stay near 0.02 · sqrt(width)
_STREAM_WRITERS = ("attention.o.weight", "ffn.down.weight")


@torch.no_grad()
def initialise(model: nn.Module, seed: int) -> None:
    """Draws every weight of a Transformer in place, from `seed` alone and in the order of its parameters.

    Matrices (m outputs, n inputs), by `config.initialisation`:

    scaled      normal, std 1/sqrt(n), so that each keeps the scale of what goes in (LeCun 1998); stream writers less
    gpt2        normal, std .02; stream writers less (Radford et al. 2019)
    normal      normal, std .02
    truncated   the same without what lies beyond two of it
    xavier      uniform, ±sqrt(6/(m + n)): a compromise between forward and backward (Glorot & Bengio 2010)
    kaiming     normal, std sqrt(2/n): makes up for the half that ReLU cuts off (He et al. 2015)
    orthogonal  random orthonormal rows or columns (Saxe et al. 2014)

    Embeddings: EMBEDDING_STD. Norm weights 1 (0 where they are stored less 1), biases 0. Drawn on the processor: a GPU
    gets the same weights.
    """
    config = cast(TransformerConfig, model.config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.fill_(1.0 if name.endswith("norm.weight") and not config.norm_offset else 0.0)
        elif "embedding" in name:
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, EMBEDDING_STD, generator=generator))
        else:
            drawn = _drawn(parameter.shape, config.initialisation, generator)
            if name.endswith(_STREAM_WRITERS) and config.initialisation in ("scaled", "gpt2"):
                drawn /= math.sqrt(2 * config.layers)
            parameter.copy_(drawn)


def _drawn(shape: torch.Size, how: str, generator: torch.Generator) -> Tensor:
    weight = torch.empty(shape)
    if how == "xavier":
        return nn.init.xavier_uniform_(weight, generator=generator)
    if how == "kaiming":
        return nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    if how == "orthogonal":
        return nn.init.orthogonal_(weight, generator=generator)
    if how == "truncated":
        return nn.init.trunc_normal_(weight, 0.0, EMBEDDING_STD, -2 * EMBEDDING_STD, 2 * EMBEDDING_STD, generator)
    return weight.normal_(0.0, shape[1] ** -0.5 if how == "scaled" else EMBEDDING_STD, generator=generator)
