"""Configuration of ModernBERT in Hugging Face's form, both ways. Loads no torch.

Two layers of three have a window, half as far each way as local_attention says, and rotate by another base.
"""

from __future__ import annotations

from typing import Any

from groundup.interop.fields import THEIR_ACTIVATIONS, Fields
from groundup.interop.llama import read_layer_kinds, write_layer_kinds
from groundup.interop.rope import FULL, SLIDING, local_theta, read_ropes, write_ropes
from groundup.nn.config import TransformerConfig

OLD_BASES = ("global_rope_theta", "local_rope_theta")
BASES = (160_000.0, 10_000.0)


def read_modernbert(fields: Fields, head: bool) -> TransformerConfig:
    """head: with the one that predicts masked tokens. Raises ModelError, naming field and file, for what isn't
    carried."""
    width, heads, layers = (
        fields.whole("hidden_size"), fields.whole("num_attention_heads"), fields.whole("num_hidden_layers"),
    )  # fmt: skip
    context = fields.whole("max_position_embeddings", 8192)
    windows = _windows(fields, layers)
    full, sliding = read_ropes(fields, context, OLD_BASES, BASES, scaled_alike=True)
    activation, of_head = (
        fields.activation("hidden_activation", "gelu"), fields.activation("classifier_activation", "gelu"),
    )  # fmt: skip
    if head and activation != of_head:
        fields.refuse(f"classifier_activation is {of_head}, hidden_activation {activation}", "Bring one with the same")
    fields.only("position_embedding_type", "absolute", "rope")
    fields.unused("layer_norm_eps", "initializer_cutoff_factor", "classifier_pooling", "deterministic_flash_attn")
    fields.unused("sparse_prediction", "sparse_pred_ignore_index", "reference_compile", "repad_logits_with_grad")
    biases, tied = fields.flag("attention_bias"), fields.flag("tie_word_embeddings", True)
    head_bias, transform_bias = fields.flag("decoder_bias", True), fields.flag("classifier_bias")
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=heads,
        head_dim=fields.head_dim(width, heads),
        ffn_width=fields.whole("intermediate_size"),
        context_length=context,
        causal=False,
        windows=windows,
        attention_bias=biases,
        attention_output_bias=biases,
        fused_qkv=True,
        rope_theta=full[0],
        local_rope_theta=local_theta(fields, full, sliding, windows),
        rope_scaling=full[1],
        activation=activation,
        ffn_bias=fields.flag("mlp_bias"),
        norm="layernorm",
        norm_eps=fields.number("norm_eps", 1e-5),
        norm_bias=fields.flag("norm_bias"),
        first_norm=False,
        embedding_norm=True,
        tie_embeddings=tied or not head,
        head_bias=head and head_bias,
        head_transform=head,
        head_transform_bias=transform_bias if head else True,
    )


def _windows(fields: Fields, layers: int) -> tuple[int, ...]:
    kinds, across = read_layer_kinds(fields, layers), fields.whole("local_attention", 128)
    every = fields.whole("global_attn_every_n_layers", 3)
    if kinds is None:
        kinds = [SLIDING if layer % every else FULL for layer in range(layers)]
    if SLIDING not in kinds:
        return ()
    if across < 2:
        fields.refuse(f"local_attention is {across}: such layers see nothing but the position", "Set 2 or more")
    return tuple(across // 2 if kind == SLIDING else 0 for kind in kinds)


def write_modernbert(config: TransformerConfig) -> dict[str, Any]:
    window = max(config.windows, default=0)
    said: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn_width,
        "max_position_embeddings": config.context_length,
        "local_attention": 2 * window if window else 128,
        "layer_types": write_layer_kinds(config),
        "rope_parameters": write_ropes(config),
        "attention_bias": config.attention_bias,
        "mlp_bias": config.ffn_bias,
        "hidden_activation": THEIR_ACTIVATIONS[config.activation],
        "norm_eps": config.norm_eps,
        "norm_bias": config.norm_bias,
        "tie_word_embeddings": config.tie_embeddings,
        "decoder_bias": config.head_bias,
        "classifier_bias": config.head_transform and config.head_transform_bias,
        "classifier_activation": THEIR_ACTIVATIONS[config.activation],
    }
    if config.rope_scaling is None:
        local = config.local_rope_theta or config.rope_theta
        said |= {"global_rope_theta": config.rope_theta, "local_rope_theta": local}
        every = _every(config)  # versions 4.4x know no layer_types
        said |= {"global_attn_every_n_layers": every} if every else {}
    return said


def _every(config: TransformerConfig) -> int | None:
    full = [config.window(layer) == 0 for layer in range(config.layers)]
    return next((n for n in range(1, config.layers + 1) if full == [i % n == 0 for i in range(config.layers)]), None)
