"""Linear layers in whole numbers of eight bits, for models that are only run: three to four times the speed of fp32.

Weights have one scale for each output, activations one for each position, found as it comes (Dettmers et al. 2022,
without their outliers): a text's result is its own, whatever stands beside it. Both lie evenly on −127 … 127, and sums
of their products are exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groundup.nn.attention import Attention
from groundup.nn.feedforward import FeedForward
from groundup.nn.linear import Linear
from groundup.nn.transformer import Transformer

ROWS = 256  # positions at a time: what lies between their quantisation and their result stays in the cache


class Int8Linear(nn.Module):
    """x Wᵀ + b as round(x / s) round(W / t)ᵀ · s t + b, s a position's scale and t an output's."""

    def __init__(self, weight: Tensor, bias: Tensor | None, most: int = 127) -> None:
        """weight: (out, in). most: the largest whole number of a weight."""
        super().__init__()
        scale = weight.detach().abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / most  # (out,)
        whole = (weight.detach() / scale[:, None]).round().to(torch.int8)
        self.weight, self.scale = nn.Buffer(whole), nn.Buffer(scale)
        self.bias = None if bias is None else nn.Buffer(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(…, out) from (…, in)."""
        rows = x.reshape(-1, x.shape[-1])
        y = rows.new_empty(len(rows), len(self.scale))
        for some, out in zip(torch.split(rows, ROWS), torch.split(y, ROWS), strict=True):
            scale = some.abs().amax(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny).div_(127)
            whole = (some / scale).round_().to(torch.int8)
            torch.mul(torch._int_mm(whole, self.weight.T), scale, out=out)
            if self.bias is None:
                out.mul_(self.scale)
            else:
                torch.addcmul(self.bias, out, self.scale, out=out)
        return y.view(*x.shape[:-1], -1)


def to_int8(model: Transformer) -> Transformer:
    """The model with its layers' matrices in eight bits, in place; embeddings, norms and head stay as they are."""
    most = largest_weight()
    for module in model.modules():
        if isinstance(module, Attention) and not module.fused:
            _join(module)
        if isinstance(module, (Attention, FeedForward)):
            for name, layer in list(module.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(module, name, Int8Linear(layer.weight, layer.bias, most))
    return model


def largest_weight() -> int:
    """127, or 63 where products of two are summed in 16 bits, as on processors with AVX2 but without VNNI."""
    most = torch.full((16, 64), 127, dtype=torch.int8)
    exact = torch.full((16, 16), 127 * 127 * 64, dtype=torch.int32)
    return 127 if torch.equal(torch._int_mm(most, most.T), exact) else 63


def _join(attention: Attention) -> None:
    """One matrix for query, key and value, so that what they all read is quantised once."""
    parts = attention.q, attention.k, attention.v
    joined = Linear(parts[0].in_features, sum(part.out_features for part in parts), bias=parts[0].bias is not None)
    joined.weight = nn.Parameter(torch.cat([part.weight for part in parts]))
    if parts[0].bias is not None:
        joined.bias = nn.Parameter(torch.cat([part.bias for part in parts]))
    attention.qkv, attention.fused = joined, True
    del attention.q, attention.k, attention.v
