"""Is a derivative right? Measure the slope: move one number a little both ways and see how the loss answers.

    ∂L/∂x ≈ (L(x + h) − L(x − h)) / 2h        central difference

The formula is off by about h²·L'''/6, and rounding by about 1e-16·L/h: a small h is good for the first and bad for the
second. In float64 they balance at h ≈ 1e-5, where both are near 1e-11; in float32 at h ≈ 1e-2, where the error is near
1e-5 and hides mistakes. (A one-sided difference, (L(x + h) − L(x)) / h, is off by h·L''/2, never better than 1e-8.) It
costs two forward passes per number: good for a test, hopeless for training, which is what backpropagation is for.

>>> import torch
>>> from groundup.nn.by_hand import linear
>>> x, weight = torch.randn(3, 4).double(), torch.randn(2, 4).double()
>>> max(gradient_errors(linear.forward, linear.backward, x, weight)) < 1e-7
True

Where a function has a corner (ReLU at 0) the two sides differ and the measure lies between them: a difference there is
no mistake. Choose inputs away from corners.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STEP = 1e-5  # times the size of the number, if that is above 1


def numerical_gradient(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient of loss(x), a scalar, in the shape of x. Raises ValueError unless x is float64. x isn't changed."""
    if x.dtype != torch.float64:
        raise ValueError(f"x is {x.dtype}, in which differences drown in rounding; pass x.double()")
    gradient = torch.empty(x.numel(), dtype=x.dtype)
    for i in range(x.numel()):
        step = STEP * max(1.0, abs(float(x.reshape(-1)[i])))
        gradient[i] = (loss(_moved(x, i, step)) - loss(_moved(x, i, -step))) / (2 * step)
    return gradient.reshape(x.shape)


def gradient_errors(
    forward: Callable[..., tuple[Tensor, Any]], backward: Callable[[Any, Tensor], Any], *inputs: Tensor, seed: int = 0
) -> list[float]:
    """For each input, how far `backward` is from measured slopes, as a share of the largest slope.

    forward(*inputs) -> (output, saved). backward(saved, upstream) -> one gradient per input, in their order; a lone
    tensor if there is one. What isn't to be measured (a mask, a name) goes in by a lambda. The output is made a scalar
    by Σ output·upstream with a random upstream (seed), so that no error can hide in a sum of equal terms.
    """
    output, saved = forward(*inputs)
    upstream = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(seed))
    gradients = backward(saved, upstream)
    gradients = (gradients,) if isinstance(gradients, Tensor) else gradients
    errors = []
    for place, x in enumerate(inputs):

        def loss(moved: Tensor, place: int = place) -> Tensor:
            output, _ = forward(*inputs[:place], moved, *inputs[place + 1 :])
            return (output * upstream).sum()

        errors.append(relative_error(gradients[place], numerical_gradient(loss, x)))
    return errors


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """The largest difference, as a share of the reference's largest number (of 1e-3, if all are smaller: noise)."""
    if ours.shape != reference.shape:
        raise ValueError(f"the gradient is {tuple(ours.shape)}, its input {tuple(reference.shape)}; make them equal")
    if reference.numel() == 0:
        return 0.0
    return float((ours - reference).abs().max() / reference.abs().max().clamp(min=1e-3))


def _moved(x: Tensor, i: int, step: float) -> Tensor:
    moved = x.clone(memory_format=torch.contiguous_format)
    moved.view(-1)[i] += step
    return moved
