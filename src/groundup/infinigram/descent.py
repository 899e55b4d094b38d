"""Adam (Kingma & Ba 2015) over a few arrays: what fits the backoff and the gate, without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Gradients = Callable[[Sequence[Any]], Sequence[Any]]


def descend(gradients: Gradients, parameters: Sequence[Float64], *, steps: int, rate: float) -> list[Float64]:
    """Parameters after `steps` full-batch steps, the rate falling to zero in a straight line."""
    values = [np.array(value, np.float64) for value in parameters]
    mean = [np.zeros_like(value) for value in values]
    square = [np.zeros_like(value) for value in values]
    for step in range(1, steps + 1):
        now = rate * (1 - (step - 1) / steps)
        for at, gradient in enumerate(gradients(values)):
            mean[at] = 0.9 * mean[at] + 0.1 * gradient
            square[at] = 0.99 * square[at] + 0.01 * gradient**2
            unbiased = mean[at] / (1 - 0.9**step), square[at] / (1 - 0.99**step)
            values[at] = values[at] - now * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return values


def sigmoid(values: Float64) -> Float64:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))), np.float64)
