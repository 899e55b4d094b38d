"""Whatever can be configured runs, forward, cached and backward, in finite numbers."""

from __future__ import annotations

from typing import Any, get_args

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from groundup.nn.cache import KVCache
from groundup.nn.config import (
    Activation,
    Initialisation,
    Norm,
    NormPlacement,
    Position,
    RopeScaling,
    TransformerConfig,
)
from groundup.nn.losses import summed_cross_entropy
from groundup.nn.transformer import Transformer

FLAGS = [
    "causal", "qk_norm", "attention_bias", "attention_output_bias", "fused_qkv", "gated", "ffn_bias", "norm_weight",
    "norm_bias", "norm_offset", "first_norm", "residual", "embedding_norm", "tie_embeddings", "head_bias",
    "head_transform", "head_transform_bias", "rope_interleaved",
]  # fmt: skip
SCALINGS = [None, RopeScaling("linear", 2.0), RopeScaling("dynamic", 2.0, 4), RopeScaling("yarn", 4.0, 64)]
SCALINGS += [RopeScaling("llama3", 8.0, 64)]


@st.composite
def configurations(draw: st.DrawFn) -> TransformerConfig:
    kv_heads, share, layers = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    values: dict[str, Any] = {flag: draw(st.booleans()) for flag in FLAGS}
    values |= {
        "windows": tuple(draw(st.lists(st.integers(0, 4), min_size=layers, max_size=layers)))
        if draw(st.booleans())
        else (),
        "attention_scale": draw(st.sampled_from([0.0, 0.3])),
        "attention_softcap": draw(st.sampled_from([0.0, 5.0])),
        "attention_dropout": draw(st.sampled_from([0.0, 0.2])),
        "position": draw(st.sampled_from(get_args(Position))),
        "local_rope_theta": draw(st.sampled_from([0.0, 100.0])),
        "rope_share": draw(st.sampled_from([1.0, 0.5])),
        "rope_scaling": draw(st.sampled_from(SCALINGS)),
        "activation": draw(st.sampled_from(get_args(Activation))),
        "norm": draw(st.sampled_from(get_args(Norm))),
        "norm_placement": draw(st.sampled_from(get_args(NormPlacement))),
        "residual_scale": draw(st.sampled_from([1.0, 0.5])),
        "dropout": draw(st.sampled_from([0.0, 0.2])),
        "embedding_scale": draw(st.sampled_from([1.0, 4.0])),
        "token_types": draw(st.sampled_from([0, 2])),
        "logit_softcap": draw(st.sampled_from([0.0, 10.0])),
        "initialisation": draw(st.sampled_from(get_args(Initialisation))),
    }
    try:
        return TransformerConfig(
            20, draw(st.sampled_from([8, 12, 16])), layers, kv_heads * share, kv_heads, draw(st.sampled_from([4, 8])),
            draw(st.integers(1, 9)), 16, **values,
        )  # fmt: skip
    except ValueError as error:
        message = str(error)
        assert "set" in message or "name each" in message, message  # says what to change
        if values["position"] != "rope":  # try on without what only RoPE takes: else few others are drawn
            values |= {"rope_scaling": None, "rope_share": 1.0, "rope_interleaved": False, "local_rope_theta": 0.0}
        if not any(values["windows"]):
            values["local_rope_theta"] = 0.0
        if values["norm"] != "rmsnorm" or not values["norm_weight"]:
            values["norm_offset"] = False
        values["first_norm"] |= values["norm_placement"] == "post"
        values["residual_scale"] = values["residual_scale"] if values["residual"] else 1.0
        return TransformerConfig(20, 8, layers, kv_heads * share, kv_heads, 8, draw(st.integers(1, 9)), 16, **values)


@given(configurations(), st.data())
@settings(deadline=None, max_examples=250)
def test_every_combination_of_switches_runs_and_is_finite(config: TransformerConfig, data: st.DataObject) -> None:
    model = Transformer(config)
    tokens = torch.tensor(data.draw(st.lists(st.integers(0, 19), min_size=8, max_size=8))).view(2, 4)
    lengths = torch.tensor([4, 2]) if data.draw(st.booleans()) else None
    nats, count = summed_cross_entropy(model, model(tokens, lengths=lengths), tokens.roll(-1, 1))
    (nats / count).backward()
    assert torch.isfinite(nats)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert sum(parameter.numel() for parameter in model.parameters()) == config.parameters()
    assert TransformerConfig.from_dict(config.to_dict()) == config


@given(configurations(), st.lists(st.integers(1, 3), min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
def test_every_causal_combination_caches_what_it_computes(config: TransformerConfig, steps: list[int]) -> None:
    # Dynamic scaling turns earlier keys anew with every position, which a cache of turned keys can't follow.
    assume(config.causal and (config.rope_scaling is None or config.rope_scaling.kind != "dynamic"))
    model = Transformer(config).double().eval()
    tokens = (torch.arange(2 * sum(steps)) * 7 % 20).view(2, -1)
    cache = KVCache.empty(config, 2, sum(steps), torch.float64)
    with torch.no_grad():
        parts = torch.cat([model(part, cache=cache) for part in tokens.split(steps, 1)], 1)
        torch.testing.assert_close(parts, model(tokens), rtol=1e-9, atol=1e-9)
