"""Configurations of Llama-class Hugging Face models, both ways.

What isn't carried exactly is refused by name: a model that is nearly right gives figures that are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundup.errors import ModelError
from groundup.nn.config import TransformerConfig

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


def read_config(config: Mapping[str, Any], place: str) -> TransformerConfig:
    """TransformerConfig of a Hugging Face config.json. Raises ModelError for whatever isn't carried exactly.

    A sliding window shorter than the context is carried by lowering context_length to it: up to there both are equal.
    """
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ModelError(
            f"its architecture {family!r} isn't known here",
            mend=f"Bring one of {', '.join(FAMILIES)} (SmolLM and SmolLM2 are llama)",
            place=place,
        )
    refuse_quantised(config, place)
    width, heads = _whole(config, "hidden_size", place), _whole(config, "num_attention_heads", place)
    head_dim = config.get("head_dim") or (128 if family == "qwen3" else width // heads)
    all_biases = bool(config.get("attention_bias", False)) if family in ("llama", "qwen3") else False
    activation = config.get("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise ModelError(f"its activation is {activation!r}, not silu", mend="Bring another model", place=place)
    try:
        return TransformerConfig(
            vocab_size=_whole(config, "vocab_size", place),
            width=width,
            layers=_whole(config, "num_hidden_layers", place),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(head_dim),
            ffn_width=_whole(config, "intermediate_size", place),
            context_length=_context(config, family, place),
            rope_theta=_rope_theta(config, place),
            norm_eps=float(config.get("rms_norm_eps", 1e-6)),
            qk_norm=family == "qwen3",
            tie_embeddings=bool(config.get("tie_word_embeddings", False)),
            attention_bias=all_biases or family == "qwen2",
            attention_output_bias=all_biases,
            ffn_bias=bool(config.get("mlp_bias", False)) if family == "llama" else False,
        )
    except (ValueError, TypeError) as error:
        raise ModelError(f"its configuration doesn't fit together ({error})", mend="Check it", place=place) from error


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """config.json of the family that carries this decoder exactly: Qwen3 with QK-norm, else Llama or Qwen2.

    Raises ModelError naming every switch that none of them has.
    """
    ours = {
        "causal": config.causal,
        "position": config.position,
        "activation": config.activation,
        "gated": config.gated,
        "norm": config.norm,
        "norm_placement": config.norm_placement,
        "head_bias": config.head_bias,
        "token_types": config.token_types,
        "embedding_norm": config.embedding_norm,
    }
    theirs: dict[str, Any] = {
        "causal": True, "position": "rope", "activation": "silu", "gated": True, "norm": "rmsnorm",
        "norm_placement": "pre", "head_bias": False, "token_types": 0, "embedding_norm": False,
    }  # fmt: skip
    unlike = [f"{name}={value!r}" for name, value in ours.items() if value != theirs[name]]
    biases = (config.attention_bias, config.attention_output_bias)
    family, extra = "llama", {"attention_bias": biases[0], "mlp_bias": config.ffn_bias, "head_dim": config.head_dim}
    if config.qk_norm:
        family, extra = "qwen3", {"attention_bias": biases[0], "head_dim": config.head_dim}
        unlike += ["ffn_bias with qk_norm"] if config.ffn_bias else []
    elif biases == (True, False):
        family, extra = "qwen2", {}
        unlike += ["ffn_bias without attention_output_bias"] if config.ffn_bias else []
        unlike += ["head_dim other than width / heads"] if config.head_dim * config.heads != config.width else []
    if family != "qwen2" and biases[0] != biases[1]:
        unlike.append(f"attention_bias={biases[0]} with attention_output_bias={biases[1]}")
    if unlike:
        raise ModelError(
            f"no Llama-class model of Hugging Face has {', '.join(unlike)}",
            mend="Train with the defaults of decoder_config to export, or load it here with load_decoder",
            place="export",
        )
    name = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[family]
    return {
        "architectures": [f"{name}ForCausalLM"],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.ffn_width,
        "max_position_embeddings": config.context_length,
        "rope_theta": config.rope_theta,  # read by vLLM and by transformers before version 5
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tie_embeddings,
        "use_sliding_window": False,
        "attention_dropout": 0.0,
        **extra,
    }


def refuse_quantised(config: Mapping[str, Any], place: str) -> None:
    quantisation = config.get("quantization_config")
    if quantisation:
        method = quantisation.get("quant_method", "unknown") if isinstance(quantisation, dict) else quantisation
        mend = "Bring the model in fp32, fp16 or bf16, or as a GGUF file"
        raise ModelError(f"its weights are quantised ({method})", mend=mend, place=place)


def _whole(config: Mapping[str, Any], name: str, place: str) -> int:
    value = config.get(name)
    if type(value) is not int or value < 1:
        raise ModelError(f"{name} is {value!r}, not a whole number", mend="Fetch config.json again", place=place)
    return value


def _context(config: Mapping[str, Any], family: str, place: str) -> int:
    context = _whole(config, "max_position_embeddings", place)
    window = config.get("sliding_window")
    windowed = family == "mistral" or (family in ("qwen2", "qwen3") and config.get("use_sliding_window", False))
    return min(context, window) if windowed and isinstance(window, int) else context


def _rope_theta(config: Mapping[str, Any], place: str) -> float:
    """rope_theta stands beside rope_scaling up to transformers 4, inside rope_parameters from 5 on."""
    parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = parameters.get("rope_type", parameters.get("type", "default")) if isinstance(parameters, dict) else "unknown"
    if kind not in ("default", None):
        raise ModelError(f"its rotary positions are scaled ({kind})", mend="Bring a model without", place=place)
    partial = config.get("partial_rotary_factor", parameters.get("partial_rotary_factor", 1.0))
    if partial not in (1, 1.0, None):
        raise ModelError(f"it rotates {partial} of a head only", mend="Bring a model that rotates all", place=place)
    return float(parameters.get("rope_theta") or config.get("rope_theta") or 10000.0)
