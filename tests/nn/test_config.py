from __future__ import annotations

import itertools
from dataclasses import replace
from typing import get_args

import pytest
import torch

from groundup.nn.config import (
    Activation,
    Norm,
    NormPlacement,
    Position,
    RopeScaling,
    TransformerConfig,
    decoder_config,
    encoder_config,
)
from groundup.nn.losses import summed_cross_entropy
from groundup.nn.transformer import Transformer

SMALL = TransformerConfig(64, 24, 2, heads=4, kv_heads=2, head_dim=6, ffn_width=20, context_length=16)

SWITCHES = [
    {"causal": causal, "position": position, "norm_placement": placement, "norm": norm}
    for causal, position, placement, norm in itertools.product(
        (True, False), get_args(Position), get_args(NormPlacement), get_args(Norm)
    )
]
SWITCHES += [{"activation": name, "gated": gated} for name in get_args(Activation) for gated in (True, False)]
SWITCHES += [
    {"qk_norm": True, "fused_qkv": True},
    {"attention_bias": True, "fused_qkv": True},
    {"attention_bias": True, "attention_output_bias": True, "ffn_bias": True, "head_bias": True},
    {"tie_embeddings": False, "head_bias": True},
    {"token_types": 2, "embedding_norm": True},
    {"norm": "layernorm", "norm_bias": False, "embedding_norm": True},
    {"dropout": 0.1, "attention_dropout": 0.1},
    {"windows": (2, 0)},
    {"windows": (3, 1), "causal": False, "local_rope_theta": 100.0},
    {"windows": (0, 2), "position": "alibi"},
    {"attention_scale": 0.7, "attention_softcap": 2.0, "logit_softcap": 3.0},
    {"attention_softcap": 1.5, "position": "alibi", "windows": (2, 2)},
    {"rope_share": 0.7, "head_dim": 12},
    {"rope_interleaved": True},
    {"rope_interleaved": True, "rope_share": 0.5, "head_dim": 8},
    {"rope_scaling": RopeScaling("linear", 4.0)},
    {"rope_scaling": RopeScaling("dynamic", 2.0, 4)},
    {"rope_scaling": RopeScaling("yarn", 4.0, 32, attention_factor=1.1), "head_dim": 16},
    {"rope_scaling": RopeScaling("yarn", 4.0, 512, whole_bounds=False), "head_dim": 16, "rope_theta": 500.0},
    {"rope_scaling": RopeScaling("llama3", 8.0, 64), "head_dim": 16, "windows": (0, 3), "local_rope_theta": 50.0},
    {"norm_weight": False, "qk_norm": True},
    {"norm_weight": False, "norm": "layernorm"},
    {"norm_offset": True, "qk_norm": True, "norm_placement": "sandwich", "embedding_scale": 4.9},
    {"first_norm": False, "embedding_norm": True, "norm": "layernorm", "norm_bias": False},
    {"residual": False},
    {"residual_scale": 0.5},
    {"head_transform": True, "head_bias": True, "activation": "gelu"},
    {"head_transform": True, "head_transform_bias": False, "norm": "layernorm", "norm_bias": False},
    {"kv_heads": 1},
    {"kv_heads": 4},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda switches: "-".join(map(str, switches.values())))
def test_every_switch_gives_finite_gradients_to_every_weight(switches: dict[str, object]) -> None:
    config = replace(SMALL, **switches)
    model = Transformer(config)
    tokens = torch.arange(24).view(2, 12) * 5 % 64
    nats, count = summed_cross_entropy(model, model(tokens), tokens.roll(-1, 1))
    (nats / count).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert sum(parameter.numel() for parameter in model.parameters()) == config.parameters()


def test_configurations_come_back_from_plain_data() -> None:
    for config in (SMALL, decoder_config(512, 128, 2), encoder_config(512, 128, 2)):
        assert TransformerConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "heads .3. is no multiple of kv_heads .2."),
        ({"head_dim": 5}, "head_dim is 5, but rope rotates pairs"),
        ({"width": 0}, "width is 0; set a whole number"),
        ({"layers": 2.0}, "layers is 2.0; set a whole number"),
        ({"position": "rotary"}, "position is 'rotary'; set one of rope, learned"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"rope_theta": 0}, "rope_theta is 0"),
        ({"norm_eps": 0.0}, "norm_eps is 0.0"),
        ({"token_types": -1}, "token_types is -1"),
        ({"position": "sinusoidal", "width": 25}, "width is 25"),
        ({"causal": "no"}, "causal is 'no'; set True or False"),
        ({"qk_norm": 1}, "qk_norm is 1; set True or False"),
        ({"norm_eps": "x"}, "norm_eps is 'x'; set a number"),
        ({"attention_softcap": float("inf")}, "attention_softcap is inf; set a number"),
        ({"windows": 4}, "windows is 4; set a tuple"),
        ({"rope_scaling": "yarn"}, "rope_scaling is 'yarn'; set a RopeScaling"),
        ({"head_dim": 2, "rope_scaling": RopeScaling("dynamic", 2.0, 8)}, "one pair is rotated; set 4"),
    ],
)
def test_impossible_configurations_name_the_field(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_unknown_and_missing_settings_are_named() -> None:
    with pytest.raises(ValueError, match="unknown transformer settings: softcap"):
        TransformerConfig.from_dict({**SMALL.to_dict(), "softcap": 15})
    short = SMALL.to_dict()
    del short["heads"]
    with pytest.raises(ValueError, match="missing: heads"):
        TransformerConfig.from_dict(short)


def test_default_heads_divide_at_any_width() -> None:
    for width in range(32, 1025, 32):
        config = decoder_config(512, width, 1)
        assert config.heads % config.kv_heads == 0
        assert config.ffn_width % 64 == 0
