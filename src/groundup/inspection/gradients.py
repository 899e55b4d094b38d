"""Gradients of one loss by group of parameters and along the residual stream: whether they vanish or explode."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from groundup.inspection.record import Gradients

GROUPS = ("attention", "feed-forward", "norms")


class GradientSum:
    """Gradients of losses that come in parts, added up; `.grad` of the parameters isn't touched."""

    def __init__(self, model: nn.Module) -> None:
        self._names, self._weights = zip(*model.named_parameters(), strict=True)
        self._tied = not any(name.startswith("head.") for name in self._names)
        self._sums: list[Tensor | None] = [None] * len(self._weights)
        self._stream: Tensor = torch.zeros(())  # (L + 1,) squares

    def add(self, loss: Tensor, streams: list[Tensor]) -> None:
        """streams: L + 1 tensors (R, T, C) that `loss` came from, of rows that no other part has."""
        found = torch.autograd.grad(loss, [*streams, *self._weights], allow_unused=True, materialize_grads=True)
        self._stream = self._stream + torch.stack([one.double().square().sum().cpu() for one in found[: len(streams)]])
        for index, one in enumerate(found[len(streams) :]):
            before = self._sums[index]
            self._sums[index] = one if before is None else before + one

    def read(self) -> Gradients:
        squares: dict[str, float] = {}  # by place
        weights: dict[str, float] = {}
        for name, weight, gradient in zip(self._names, self._weights, self._sums, strict=True):
            place = _place(name, self._tied)
            squares[place] = squares.get(place, 0.0) + _square(gradient)
            weights[place] = weights.get(place, 0.0) + _square(weight)
        layers = len(self._stream) - 1
        by_layer = [
            {group: np.array([math.sqrt(of[f"{layer}.{group}"]) for layer in range(layers)]) for group in GROUPS
             if f"{layers - 1}.{group}" in of}
            for of in (squares, weights)
        ]  # fmt: skip
        ends = [
            {place: math.sqrt(value) for place, value in of.items() if "." not in place} for of in (squares, weights)
        ]
        return Gradients(self._stream.sqrt().numpy(), by_layer[0], ends[0], by_layer[1], ends[1])


def _place(name: str, tied: bool) -> str:
    """ "3.attention" for a parameter of layer 3, else the end it belongs to."""
    if name.startswith("blocks."):
        _, layer, part = name.split(".", 2)
        return (
            f"{layer}.{'norms' if 'norm' in part else 'attention' if part.startswith('attention') else 'feed-forward'}"
        )
    if name.startswith("final_norm"):
        return "final norm"
    if name.startswith("head"):
        return "head"
    return "embedding and head" if tied else "embedding"


def _square(value: Tensor | None) -> float:
    return 0.0 if value is None else float(value.detach().double().square().sum())
