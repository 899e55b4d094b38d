"""A Transformer from mapped weights: built without memory, then given the tensors as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from groundup.errors import ModelError
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer


def assemble(config: TransformerConfig, weights: Mapping[str, Tensor], *, place: str) -> Transformer:
    """The model in evaluation mode with `weights` (our names) as its parameters, not copies of them.

    Raises ModelError naming the first weights that are missing, left over or of another shape.
    """
    with torch.device("meta"):
        model = Transformer(config)
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    missing = sorted(expected.keys() - weights.keys())
    left_over = sorted(weights.keys() - expected.keys())
    wrong = [name for name in expected if name in weights and tuple(weights[name].shape) != expected[name]]
    if missing or left_over or wrong:
        parts = [f"lacks {_some(missing)}"] if missing else []
        parts += [f"has {_some(left_over)} without a place"] if left_over else []
        parts += (
            [f"has {wrong[0]} in shape {tuple(weights[wrong[0]].shape)}, not {expected[wrong[0]]}"] if wrong else []
        )
        mend = "Take weights and configuration from one and the same model"
        raise ModelError(f"the weights don't fit the configuration: it {' and '.join(parts)}", mend=mend, place=place)
    for name, weight in weights.items():
        if not math.isfinite(float(weight.sum())):  # one pass over numbers that are read soon anyway
            broken = "Take an earlier checkpoint, or fetch the file again"
            raise ModelError(f"{name} holds numbers that are none (NaN or infinite)", mend=broken, place=place)
    model.load_state_dict(dict(weights), strict=True, assign=True)
    return model.eval()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
