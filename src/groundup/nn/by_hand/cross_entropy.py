"""Softmax and cross-entropy together: how surprised the model was by the tokens that came.

For one position with logits x (V numbers) and target t:

    log Z = log Σᵥ e^x[v]        loss = log Z − x[t]        which is −ln p[t], with p = softmax(x)

Derivative. The slope of log Z by x[v] is e^x[v] / Z = p[v]; the slope of x[t] is 1 at t and 0 elsewhere:

    d_x = p − q        q: 1 at the target, 0 elsewhere

In words: predicted minus true. Two more terms change two letters of it:

    label smoothing ε    q = (1 − ε)·(1 at the target) + ε/V everywhere     loss = log Z − Σᵥ q[v]·x[v]
    z-loss ζ             loss += ζ·(log Z)²                                 d_x += 2·ζ·log Z·p

Smoothing gives the best logits a finite distance, where a plain target pulls x[t] up for ever. The logits have one
freedom that p doesn't see, adding a constant to all of them; z-loss pulls that constant to where Z = 1 (Chowdhery et
al. 2022, PaLM). Ignored positions add nothing and get a gradient of zero.

Size of gradients: no entry leaves −1 … 1 (z-loss aside), and where the model is surely wrong, p[t] ≈ 0, the target's is
−1, its largest. The logarithm undoes softmax's saturation: taking softmax's own backward after d_p[t] = −1/p[t] would
divide by the tiny number and multiply by it again. So a network's gradient starts out neither vanished nor exploded.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

IGNORE = -100  # as in torch and in groundup.nn.losses


class Saved(NamedTuple):
    p: Tensor  # (N, V) softmax of the logits: on real vocabularies a model's largest tensor
    q: Tensor  # (N, V) what the model should have said
    log_z: Tensor  # (N, 1)
    counted: Tensor  # (N, 1) bool; its sum is the number to divide by for a mean
    z_loss: float
    shape: torch.Size


def forward(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, z_loss: float = 0.0
) -> tuple[Tensor, Saved]:
    """Sum of the losses over positions whose target isn't IGNORE. For their mean, divide it and upstream by the count.

    logits: (…, V), finite. targets: (…) int64. Output: a scalar.
    """
    x = logits.reshape(-1, logits.shape[-1])  # (N, V)
    target = targets.reshape(-1, 1)  # (N, 1)
    counted = target != IGNORE
    top = x.amax(-1, keepdim=True)
    log_z = top + torch.exp(x - top).sum(-1, keepdim=True).log()
    p = torch.exp(x - log_z)
    q = torch.full_like(x, label_smoothing / x.shape[-1])
    q.scatter_add_(1, target.where(counted, 0), torch.full_like(log_z, 1 - label_smoothing))
    losses = log_z - (q * x).sum(-1, keepdim=True) + z_loss * log_z**2
    return losses.where(counted, 0).sum(), Saved(p, q, log_z, counted, z_loss, logits.shape)


def backward(saved: Saved, upstream: Tensor | float = 1.0) -> Tensor:
    """upstream: a scalar, 1 where the loss is the end of the chain. Gradient of the logits: (…, V)."""
    p, q, log_z, counted, z_loss, shape = saved
    d_x = p - q + 2 * z_loss * log_z * p
    return (upstream * d_x.where(counted, 0)).reshape(shape)
