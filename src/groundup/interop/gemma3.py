"""Configuration of Gemma 3's text models in Hugging Face's form, both ways. Loads no torch.

Sandwich norms that multiply by 1 + weight, embeddings times sqrt(width), norms of query and key heads, and a window in
five layers of six, which rotate by another base.
"""

from __future__ import annotations

from typing import Any

from groundup.interop.fields import THEIR_ACTIVATIONS, Fields
from groundup.interop.llama import read_layer_kinds, windows_of, write_layer_kinds
from groundup.interop.rope import SLIDING, local_theta, read_ropes, write_ropes
from groundup.nn.config import TransformerConfig

OLD_BASES = ("rope_theta", "rope_local_base_freq")
BASES = (1_000_000.0, 10_000.0)


def read_gemma3(fields: Fields) -> TransformerConfig:
    """Raises ModelError, naming field and file, for what isn't carried."""
    width, heads, layers = (
        fields.whole("hidden_size"), fields.whole("num_attention_heads"), fields.whole("num_hidden_layers"),
    )  # fmt: skip
    fields.head_dim(width, heads)  # transformers asks for it, though heads don't share the width
    head_dim, context = fields.whole("head_dim", 256), fields.whole("max_position_embeddings", 131_072)
    scale = fields.whole("query_pre_attn_scalar", 256) ** -0.5
    kv_heads = fields.raw("num_key_value_heads", 4)
    windows = _windows(fields, layers)
    full, sliding = read_ropes(fields, context, OLD_BASES, BASES, scaled_alike=False)
    # transformers keeps this field and doesn't apply it: a model that needs it would be computed otherwise there
    fields.only("attn_logit_softcapping")
    fields.only("use_bidirectional_attention", False)
    cap = fields.raw("final_logit_softcapping")
    biases = fields.flag("attention_bias")
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size", 262_208),
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=heads if kv_heads is None else kv_heads,
        head_dim=head_dim,
        ffn_width=fields.whole("intermediate_size"),
        context_length=context,
        windows=windows,
        attention_scale=0.0 if scale == head_dim**-0.5 else scale,
        attention_dropout=fields.number("attention_dropout", 0.0),
        qk_norm=True,
        attention_bias=biases,
        attention_output_bias=biases,
        rope_theta=full[0],
        local_rope_theta=local_theta(fields, full, sliding, windows),
        rope_scaling=full[1],
        activation=fields.activation("hidden_activation", "gelu_pytorch_tanh"),
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        norm_offset=True,
        norm_placement="sandwich",
        embedding_scale=width**0.5,
        tie_embeddings=fields.flag("tie_word_embeddings", True),
        logit_softcap=0.0 if cap is None else fields.as_number(cap, "final_logit_softcapping"),
    )


def _windows(fields: Fields, layers: int) -> tuple[int, ...]:
    kinds, window = read_layer_kinds(fields, layers), fields.raw("sliding_window", 4096)
    pattern = fields.whole("sliding_window_pattern", 6)
    saved = fields.raw("_sliding_window_pattern")  # a private field that versions 4.5x save beside layer_types
    if kinds is None and saved not in (None, pattern):
        fields.refuse(f"_sliding_window_pattern is {saved!r} without layer_types", "Add layer_types")
    if kinds is not None:
        return windows_of(fields, window, [kind == SLIDING for kind in kinds])
    return windows_of(fields, window, [(layer + 1) % pattern != 0 for layer in range(layers)])


def write_gemma3(config: TransformerConfig) -> dict[str, Any]:
    window, local = max(config.windows, default=0), config.local_rope_theta
    said: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.ffn_width,
        "max_position_embeddings": config.context_length,
        "query_pre_attn_scalar": round(config.attention_scale**-2) if config.attention_scale else config.head_dim,
        "sliding_window": window + 1 if window else 4096,
        "layer_types": write_layer_kinds(config),
        "rope_parameters": write_ropes(config),
        "attention_bias": config.attention_bias,
        "attention_dropout": config.attention_dropout,
        "rms_norm_eps": config.norm_eps,
        "hidden_activation": THEIR_ACTIVATIONS[config.activation],
        "tie_word_embeddings": config.tie_embeddings,
        "final_logit_softcapping": config.logit_softcap or None,
        "attn_logit_softcapping": None,
        "use_bidirectional_attention": False,
    }
    if config.rope_scaling is None or local:  # old readers stretch no layer with a window
        said |= {"rope_theta": config.rope_theta, "rope_local_base_freq": local or config.rope_theta}
        scaling = said["rope_parameters"]["full_attention"]
        old = {name: value for name, value in scaling.items() if name != "rope_theta"}
        said |= {"rope_scaling": old} if config.rope_scaling is not None else {}
    return said
