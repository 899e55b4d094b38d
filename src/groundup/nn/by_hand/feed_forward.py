"""The gated feed-forward layer, which works on each position alone: two projections up, a gate, one down.

    x ─┬─ gate ─┐
       └─ up ───┴─ f(gate)·up ─ down ─ y

Derivatives: those of its parts in reverse. x is read twice, so the two gradients that come back are added.

Size of gradients: with weights of variance 1/inputs (`linear`), going back through down multiplies the gradient's
variance by C/F, through gate or up by F/C. They cancel, and what is left is what the bend does.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from groundup.nn.by_hand import gated, linear


class Weights(NamedTuple):
    """Also the type of their gradients."""

    gate: Tensor  # (F, C)
    up: Tensor  # (F, C)
    down: Tensor  # (C, F)


class Saved(NamedTuple):
    gate: linear.Saved
    up: linear.Saved
    gated: gated.Saved
    down: linear.Saved


class Gradients(NamedTuple):
    x: Tensor
    weights: Weights


def forward(x: Tensor, weights: Weights, activation: str = "silu") -> tuple[Tensor, Saved]:
    """x and the output: (…, C)."""
    gate, saved_gate = linear.forward(x, weights.gate)
    up, saved_up = linear.forward(x, weights.up)
    hidden, saved_gated = gated.forward(gate, up, activation)
    y, saved_down = linear.forward(hidden, weights.down)
    return y, Saved(saved_gate, saved_up, saved_gated, saved_down)


def backward(saved: Saved, upstream: Tensor) -> Gradients:
    """upstream: (…, C)."""
    down = linear.backward(saved.down, upstream)
    halves = gated.backward(saved.gated, down.x)
    up = linear.backward(saved.up, halves.up)
    gate = linear.backward(saved.gate, halves.gate)
    return Gradients(gate.x + up.x, Weights(gate.weight, up.weight, down.weight))
