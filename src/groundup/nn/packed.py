"""Linear layers laid out as the processor's products of few rows read them, for models that generate.

A token at a time a product is as fast as its matrix comes from memory, and so are a few tokens at a time: those rows
cost nothing. torch's own linear layers lose that: two rows of SmolLM2-135M take 1.7 times as long as one, since the
matrix is laid out anew in each call. Laid out once, nine rows take 1.1 times as long as one (docs/benchmarks.md), and
drafts are worth their pass.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from groundup.nn.transformer import Transformer

ROWS = 8  # that the layout is for


class PackedLinear(nn.Module):
    """x Wᵀ + b, without gradients. weight: (out, in), fp32, on the processor."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
        self._bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """(…, out) from (…, in)."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return y


def packed(model: Transformer) -> Transformer:
    """A model that computes the same, up to rounding, without gradients; the given one stays as it is.

    Embeddings and norms are shared; the matrices are copies, so they take their memory twice while the given one lives.
    The given one itself where its weights are not fp32 on the processor, or torch comes without oneDNN.
    """
    if not _can_be_packed(model):
        return model
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    made = copy.deepcopy(model, shared)
    for module in made.modules():
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear) and name != "head":
                setattr(module, name, PackedLinear(layer.weight, layer.bias))
    made.packed_head = PackedLinear(model.output_weight, model.output_bias)
    return made


def _can_be_packed(model: Transformer) -> bool:
    known = hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    plain = all(p.dtype == torch.float32 and p.device.type == "cpu" for p in model.parameters())
    return known and plain and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
