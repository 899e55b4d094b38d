"""Activations: one function, applied to each number alone. Without a bend, layers of sums collapse into one layer.

    y = f(x)        d_x = d_y · f'(x)

Each output hangs on one input, so the Jacobian is diagonal and going back is one multiplication, number by number.
The slope f' is all that the gradient sees:

    name        f(x)                                 f'(x)                           slopes lie in
    relu        max(0, x)                            1 if x > 0 else 0               {0, 1}
    relu2       max(0, x)²                           2·max(0, x)                     0 … ∞
    sigmoid     σ = 1 / (1 + e⁻ˣ)                    σ·(1 − σ)                       0 … 1/4
    tanh        t = tanh x                           1 − t²                          0 … 1
    gelu        x·Φ(x)                               Φ(x) + x·φ(x)                   −.13 … 1.13
    gelu_tanh   x/2·(1 + t),  t = tanh u,            (1 + t)/2 + x/2·(1 − t²)·u'     −.13 … 1.13
                u = √(2/π)·(x + a·x³)                u' = √(2/π)·(1 + 3a·x²)
    silu        x·σ                                  σ·(1 + x·(1 − σ))               −.10 … 1.10
    identity    x                                    1                               {1}

Φ is the normal distribution's cumulative and φ its density e^(−x²/2)/√(2π); a = .044715. GELU and SiLU are x times
"how sure is it that x counts", so the product rule gives two terms: the gate itself, and x times the gate's slope.

Size of gradients: sigmoid's slope is at most 1/4, so ten layers of it leave at most a millionth; tanh's reaches 1 only
at 0, and both are flat (saturated) far from it. ReLU's slope is 1 wherever it is on, so it passes gradients undimmed,
and 0 wherever it is off: a unit that is off for every input gets no gradient and stays off ("dead"). GELU and SiLU keep
a small slope there, so units come back. ReLU²'s slope grows with x, so it needs norms that keep x in bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Activation(NamedTuple):
    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


class Saved(NamedTuple):
    x: Tensor
    name: str


def forward(x: Tensor, name: str) -> tuple[Tensor, Saved]:
    """x of any shape; the output has the same. Raises ValueError for a name that isn't in ACTIVATIONS."""
    return named(name).value(x), Saved(x, name)


def backward(saved: Saved, upstream: Tensor) -> Tensor:
    return upstream * named(saved.name).slope(saved.x)


def named(name: str) -> Activation:
    if name not in ACTIVATIONS:
        raise ValueError(f"activation is {name!r}; set one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def relu(x: Tensor) -> Tensor:
    return x.clamp(min=0)


def relu_slope(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype)  # at 0 there is a corner and no slope; 0 is the custom


def relu2(x: Tensor) -> Tensor:
    return relu(x) ** 2


def relu2_slope(x: Tensor) -> Tensor:
    return 2 * relu(x)


def sigmoid_slope(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 - s)


def tanh_slope(x: Tensor) -> Tensor:
    return 1 - torch.tanh(x) ** 2


def gelu(x: Tensor) -> Tensor:
    return x * normal_cumulative(x)


def gelu_slope(x: Tensor) -> Tensor:
    density = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return normal_cumulative(x) + x * density


def normal_cumulative(x: Tensor) -> Tensor:
    return (1 + torch.erf(x / math.sqrt(2))) / 2


CUBIC = 0.044715  # fitted by Hendrycks & Gimpel 2016
INNER = math.sqrt(2 / math.pi)


def gelu_tanh(x: Tensor) -> Tensor:
    return x / 2 * (1 + torch.tanh(INNER * (x + CUBIC * x**3)))


def gelu_tanh_slope(x: Tensor) -> Tensor:
    t = torch.tanh(INNER * (x + CUBIC * x**3))
    inner_slope = INNER * (1 + 3 * CUBIC * x**2)
    return (1 + t) / 2 + x / 2 * (1 - t**2) * inner_slope


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def silu_slope(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


ACTIVATIONS = {
    "relu": Activation(relu, relu_slope),
    "relu2": Activation(relu2, relu2_slope),
    "sigmoid": Activation(torch.sigmoid, sigmoid_slope),
    "tanh": Activation(torch.tanh, tanh_slope),
    "gelu": Activation(gelu, gelu_slope),
    "gelu_tanh": Activation(gelu_tanh, gelu_tanh_slope),
    "silu": Activation(silu, silu_slope),
    "identity": Activation(torch.clone, torch.ones_like),
}
