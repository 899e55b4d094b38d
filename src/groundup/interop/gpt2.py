"""Configuration of GPT-2 in Hugging Face's form, both ways. Loads no torch."""

from __future__ import annotations

from typing import Any

from groundup.interop.fields import THEIR_ACTIVATIONS, Fields
from groundup.nn.config import TransformerConfig

# Names that transformers takes as well
SECOND_NAMES = {
    "hidden_size": "n_embd", "max_position_embeddings": "n_positions", "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}  # fmt: skip


def read_gpt2(fields: Fields) -> TransformerConfig:
    """Raises ModelError, naming field and file, for what isn't carried."""
    second = {first: fields.raw(name) for name, first in SECOND_NAMES.items() if name in fields}
    sizes = {name: fields.whole(name, second.get(name)) for name in SECOND_NAMES.values()}
    for name, value in second.items():
        if value != sizes[name]:
            fields.refuse(f"{name} is {sizes[name]} and {value!r}", "Take out what isn't true")
    width, heads = sizes["n_embd"], sizes["n_head"]
    inner = fields.raw("n_inner")
    fields.only("add_cross_attention", False)
    fields.only("scale_attn_by_inverse_layer_idx", False)
    fields.unused("n_ctx", "reorder_and_upcast_attn")  # the first is n_positions again; the second saves half precision
    fields.unused("predict_special_tokens", "summary_type", "summary_use_proj", "summary_activation")
    fields.unused("summary_proj_to_labels", "summary_first_dropout")
    ends, middle = fields.number("embd_pdrop", 0.1), fields.number("resid_pdrop", 0.1)
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        width=width,
        layers=sizes["n_layer"],
        heads=heads,
        kv_heads=heads,
        head_dim=fields.head_dim(width, heads),
        ffn_width=4 * width if inner is None else inner,
        context_length=sizes["n_positions"],
        attention_scale=0.0 if fields.flag("scale_attn_weights", True) else 1.0,
        attention_dropout=fields.number("attn_pdrop", 0.1),
        attention_bias=True,
        attention_output_bias=True,
        fused_qkv=True,
        position="learned",
        activation=fields.activation("activation_function", "gelu_new"),
        gated=False,
        ffn_bias=True,
        norm="layernorm",
        norm_eps=fields.number("layer_norm_epsilon", 1e-5),
        dropout=middle if ends == middle else 0.0,  # the core has one for both
        tie_embeddings=fields.flag("tie_word_embeddings", True),
        initialisation="gpt2",
    )


def write_gpt2(config: TransformerConfig) -> dict[str, Any]:
    activation = THEIR_ACTIVATIONS[config.activation]
    return {
        "vocab_size": config.vocab_size,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.ffn_width,
        "n_positions": config.context_length,
        "n_ctx": config.context_length,
        "activation_function": "gelu_new" if config.activation == "gelu_tanh" else activation,
        "layer_norm_epsilon": config.norm_eps,
        "scale_attn_weights": config.attention_scale != 1.0,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "attn_pdrop": config.attention_dropout,
        "tie_word_embeddings": config.tie_embeddings,
    }
