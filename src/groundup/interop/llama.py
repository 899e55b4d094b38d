"""Configurations of Llama, Mistral, Qwen2 and Qwen3 in Hugging Face's form, both ways. Loads no torch.

One architecture; they differ in which biases there are, in norms of query and key heads, and in which layers have a
window. A window of w in their files holds the position itself: the core's windows are distances, w − 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from groundup.interop.fields import THEIR_ACTIVATIONS, Fields
from groundup.interop.rope import FULL, SLIDING, read_rope, write_rope
from groundup.nn.config import TransformerConfig

HIDDEN_ACT = "silu"


class Defaults(NamedTuple):
    """What transformers takes where a file says nothing."""

    kv_heads: int | None  # None: as many as heads
    head_dim: int | None  # None: width / heads
    context: int


DEFAULTS = {
    "llama": Defaults(None, None, 2048),
    "mistral": Defaults(8, None, 4096 * 32),
    "qwen2": Defaults(32, None, 32768),
    "qwen3": Defaults(32, 128, 32768),
}


def read_llama(fields: Fields) -> TransformerConfig:
    """TransformerConfig of any of the four, as model_type says. Raises ModelError, naming field and file."""
    family = fields.family
    default = DEFAULTS[family]
    width, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    layers = fields.whole("num_hidden_layers")
    kv_heads = fields.raw("num_key_value_heads", default.kv_heads)
    head_dim = fields.raw("head_dim")
    if head_dim is None:
        head_dim = default.head_dim or fields.head_dim(width, heads)
    context = fields.whole("max_position_embeddings", default.context)
    theta, scaling = read_rope(fields, context)
    biases = fields.flag("attention_bias") if family in ("llama", "qwen3") else False
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=heads if kv_heads is None else kv_heads,
        head_dim=head_dim,
        ffn_width=fields.whole("intermediate_size"),
        context_length=context,
        windows=_windows(fields, family, layers),
        attention_dropout=fields.number("attention_dropout", 0.0),
        qk_norm=family == "qwen3",
        attention_bias=biases or family == "qwen2",
        attention_output_bias=biases,
        rope_theta=theta,
        rope_scaling=scaling,
        activation=fields.activation("hidden_act", HIDDEN_ACT),
        ffn_bias=fields.flag("mlp_bias") if family == "llama" else False,
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        tie_embeddings=fields.flag("tie_word_embeddings"),
    )


def _windows(fields: Fields, family: str, layers: int) -> tuple[int, ...]:
    """For each layer how far a position sees; () if all see everything."""
    kinds = read_layer_kinds(fields, layers)
    if family == "llama":
        if kinds is not None and SLIDING in kinds:
            fields.refuse(f"layer_types names {SLIDING}, which llama has not", "Bring a plain llama")
        return ()
    given = fields.raw("sliding_window", 4096)
    if family == "mistral":
        if given is None:
            sliding = [False] * layers
        else:
            sliding = [True] * layers
        if kinds is not None and [kind == SLIDING for kind in kinds] != sliding:
            fields.refuse("layer_types and sliding_window disagree", "Bring a plain mistral: all layers are alike")
    else:
        on, first = fields.flag("use_sliding_window"), fields.whole("max_window_layers", 28, least=0)
        if not on:
            given = None
        if kinds is None:
            sliding = [given is not None and layer >= first for layer in range(layers)]
        else:
            sliding = [kind == SLIDING for kind in kinds]
    return windows_of(fields, given, sliding)


def windows_of(fields: Fields, window: Any, sliding: list[bool]) -> tuple[int, ...]:
    """Distances of a causal window, which holds the position itself, in the layers that have it."""
    if not any(sliding):
        return ()
    if type(window) is not int or window < 2:
        fields.refuse(f"sliding_window is {window!r} in layers that have one", "Set a whole number of 2 or more")
    return tuple(window - 1 if one else 0 for one in sliding)


def read_layer_kinds(fields: Fields, layers: int) -> list[str] | None:
    """layer_types, if given. Raises ModelError for kinds of attention that aren't known."""
    kinds = fields.raw("layer_types")
    if kinds is None:
        return None
    if not isinstance(kinds, list) or len(kinds) != layers or any(kind not in (FULL, SLIDING) for kind in kinds):
        wrong = f"layer_types is {str(kinds)[:80]}"
        fields.refuse(wrong, f"Bring a model whose {layers} layers are {FULL} or {SLIDING}")
    return kinds


def write_layer_kinds(config: TransformerConfig) -> list[str]:
    return [SLIDING if config.window(layer) else FULL for layer in range(config.layers)]


def write_llama(config: TransformerConfig) -> dict[str, Any]:
    return {
        **_shape(config),
        "head_dim": config.head_dim,
        "attention_bias": config.attention_bias,
        "mlp_bias": config.ffn_bias,
    }


def write_mistral(config: TransformerConfig) -> dict[str, Any]:
    window = max(config.windows, default=0)
    return {**_shape(config), "head_dim": config.head_dim, "sliding_window": window + 1 if window else None}


def write_qwen2(config: TransformerConfig) -> dict[str, Any]:
    return {**_shape(config), **_qwen_windows(config)}


def write_qwen3(config: TransformerConfig) -> dict[str, Any]:
    return {
        **_shape(config),
        **_qwen_windows(config),
        "head_dim": config.head_dim,
        "attention_bias": config.attention_bias,
    }


def _shape(config: TransformerConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.ffn_width,
        "max_position_embeddings": config.context_length,
        **write_rope(config),
        "rms_norm_eps": config.norm_eps,
        "hidden_act": THEIR_ACTIVATIONS[config.activation],
        "tie_word_embeddings": config.tie_embeddings,
        "attention_dropout": config.attention_dropout,
    }


def _qwen_windows(config: TransformerConfig) -> dict[str, Any]:
    """Old readers know a first layer from which on all have the window, new ones a kind for each layer."""
    window = max(config.windows, default=0)
    if not window:
        return {"use_sliding_window": False}
    first = next(layer for layer in range(config.layers) if config.window(layer))
    return {
        "use_sliding_window": True,
        "sliding_window": window + 1,
        "max_window_layers": first,
        "layer_types": write_layer_kinds(config),
    }
