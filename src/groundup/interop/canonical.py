"""One way of saying what can be said in several: two configurations that compute the same become equal.

Loads no torch.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from groundup.nn.config import RopeScaling, TransformerConfig


def canonical(config: TransformerConfig) -> TransformerConfig:
    """The same model with every setting that doesn't change its outputs at its default: dropouts and how weights are
    drawn (training's), how they lie in memory, and switches of what isn't there."""
    changes: dict[str, Any] = {
        "fused_qkv": False,
        "initialisation": "scaled",
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "rope_scaling": None if config.rope_scaling is None else _scaling(config.rope_scaling),
    }
    if config.norm == "rmsnorm" or not config.norm_weight:
        changes["norm_bias"] = True
    if not config.head_transform:
        changes["head_transform_bias"] = True
    if config.position != "rope":
        changes["rope_theta"] = 10000.0
    if not any(config.windows):
        changes["windows"] = ()
    if config.attention_scale == config.head_dim**-0.5:
        changes["attention_scale"] = 0.0
    if config.local_rope_theta == config.rope_theta and config.rope_scaling is None:
        changes["local_rope_theta"] = 0.0
    return replace(config, **changes)


def differences(wanted: TransformerConfig, got: TransformerConfig) -> list[str]:
    """ "name=value" of every setting of `wanted` that `got` has otherwise, if it changes the outputs."""
    wanted, got = canonical(wanted), canonical(got)
    names = [field.name for field in fields(wanted) if getattr(wanted, field.name) != getattr(got, field.name)]
    if "position" in names:  # what rotations have is nothing besides that there are none, or that there are
        names = [name for name in names if "rope" not in name]
    return [f"{name}={getattr(wanted, name)!r}" for name in names]


def _scaling(scaling: RopeScaling) -> RopeScaling:
    kind, factor, original = scaling.kind, scaling.factor, scaling.original_length
    if kind == "linear":
        return RopeScaling(kind, factor)
    if kind == "dynamic":
        return RopeScaling(kind, factor, original)
    if kind == "llama3":
        low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
        return RopeScaling(kind, factor, original, low_frequency_factor=low, high_frequency_factor=high)
    return replace(scaling, low_frequency_factor=1.0, high_frequency_factor=4.0)
