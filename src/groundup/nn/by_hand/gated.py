"""Gated activation: one half of the hidden units decides how much of the other half passes (Shazeer 2020).

    y = f(g) · u        number by number; g, u and y all have the same shape

Derivatives, by the product rule. Each factor's gradient is the upstream times the other factor:

    d_u = d_y · f(g)
    d_g = d_y · u · f'(g)        the slope of f because g reaches y only through f

Size of gradients: the two halves scale each other. Where the gate is shut (f(g) ≈ 0) the content u isn't taught, and
where u ≈ 0 the gate isn't; where both are large, both gradients are. So there is a path without any saturating slope:
u meets d_y times a plain number.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from groundup.nn.by_hand.activations import named

FORMS = {"GLU": "sigmoid", "ReGLU": "relu", "GEGLU": "gelu", "SwiGLU": "silu"}  # papers' names, and the f they mean


class Saved(NamedTuple):
    gate: Tensor
    up: Tensor
    activation: str


class Gradients(NamedTuple):
    gate: Tensor
    up: Tensor


def forward(gate: Tensor, up: Tensor, activation: str) -> tuple[Tensor, Saved]:
    """gate, up and the output: one shape. activation: a name in `activations.ACTIVATIONS`, ValueError if it isn't."""
    return named(activation).value(gate) * up, Saved(gate, up, activation)


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    gate, up, activation = saved
    d_gate = upstream * up * named(activation).slope(gate)
    d_up = upstream * named(activation).value(gate)
    return Gradients(d_gate, d_up)
