"""Configuration of BERT-class encoders from a Hugging Face config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundup.errors import ModelError
from groundup.interop.huggingface import refuse_quantised
from groundup.nn.config import Activation, TransformerConfig

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}


def read_bert_config(config: Mapping[str, Any], place: str) -> TransformerConfig:
    """TransformerConfig of a BERT config.json. Raises ModelError for another architecture or an unknown switch."""
    family = config.get("model_type")
    if family != "bert":
        mend = "Bring a sentence-transformers folder of BERT class (all-MiniLM, bge-*-v1.5, e5-*-v2, gte-*)"
        raise ModelError(f"its architecture {family!r} isn't known here", mend=mend, place=place)
    refuse_quantised(config, place)
    kind = config.get("position_embedding_type") or "absolute"
    if kind != "absolute" or config.get("is_decoder", False):
        wrong = "it is a decoder" if kind == "absolute" else f"its positions are {kind}"
        raise ModelError(wrong, mend="Bring a plain BERT", place=place)
    activation = config.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise ModelError(f"its activation {activation!r} isn't known here", mend="Bring another", place=place)
    try:
        width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return TransformerConfig(
            vocab_size=int(config["vocab_size"]),
            width=width,
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=heads,
            head_dim=width // heads,
            ffn_width=int(config["intermediate_size"]),
            context_length=int(config["max_position_embeddings"]),
            causal=False,
            position="learned",
            activation=ACTIVATIONS[activation],
            gated=False,
            norm="layernorm",
            norm_eps=float(config.get("layer_norm_eps", 1e-12)),
            norm_placement="post",
            attention_bias=True,
            attention_output_bias=True,
            ffn_bias=True,
            token_types=int(config.get("type_vocab_size", 2)),
            embedding_norm=True,
        )
    except KeyError as error:
        raise ModelError(f"{error.args[0]} is missing", mend="Fetch config.json again", place=place) from error
    except (ValueError, TypeError) as error:
        raise ModelError(f"its configuration doesn't fit together ({error})", mend="Check it", place=place) from error
