"""Configuration of BERT in Hugging Face's form, both ways. Loads no torch."""

from __future__ import annotations

from typing import Any

from groundup.interop.fields import THEIR_ACTIVATIONS, Fields
from groundup.nn.config import TransformerConfig

# Fields of the pooler and of Chinese BERT's data, which hidden states don't depend on
POOLER = (
    "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type",
    "directionality",
)  # fmt: skip


def read_bert(fields: Fields, head: bool) -> TransformerConfig:
    """head: with the one that predicts masked tokens. Raises ModelError, naming field and file, for a decoder or a
    switch that isn't known."""
    kind = fields.raw("position_embedding_type") or "absolute"
    if kind != "absolute":
        fields.refuse(f"its positions are {kind}", "Bring a plain BERT")
    for name in ("is_decoder", "add_cross_attention", "is_encoder_decoder"):
        fields.only(name, False)
    fields.unused(*POOLER)
    width, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    tied = fields.flag("tie_word_embeddings", True)
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        width=width,
        layers=fields.whole("num_hidden_layers"),
        heads=heads,
        kv_heads=heads,
        head_dim=fields.head_dim(width, heads),
        ffn_width=fields.whole("intermediate_size"),
        context_length=fields.whole("max_position_embeddings", 512),
        causal=False,
        attention_dropout=fields.number("attention_probs_dropout_prob", 0.1),
        attention_bias=True,
        attention_output_bias=True,
        position="learned",
        activation=fields.activation("hidden_act", "gelu"),
        gated=False,
        ffn_bias=True,
        norm="layernorm",
        norm_eps=fields.number("layer_norm_eps", 1e-12),
        norm_placement="post",
        dropout=fields.number("hidden_dropout_prob", 0.1),
        embedding_norm=True,
        token_types=fields.whole("type_vocab_size", 2),
        tie_embeddings=tied or not head,
        head_bias=head,
        head_transform=head,
    )


def write_bert(config: TransformerConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn_width,
        "max_position_embeddings": config.context_length,
        "type_vocab_size": config.token_types,
        "position_embedding_type": "absolute",
        "hidden_act": THEIR_ACTIVATIONS[config.activation],
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "tie_word_embeddings": config.tie_embeddings,
    }
