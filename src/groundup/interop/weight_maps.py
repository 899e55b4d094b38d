"""Names of weights in other projects' files → names in nn.Transformer, as data. `{i}` is the number of a layer.

A name ends in `weight` or `bias` on both sides; the maps hold what stands before, or a whole name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

# Llama, Mistral, Qwen2 and Qwen3 in Hugging Face folders
LLAMA: dict[str, str] = {
    "model.embed_tokens": "embedding",
    "model.layers.{i}.input_layernorm": "blocks.{i}.attention_norm",
    "model.layers.{i}.self_attn.q_proj": "blocks.{i}.attention.q",
    "model.layers.{i}.self_attn.k_proj": "blocks.{i}.attention.k",
    "model.layers.{i}.self_attn.v_proj": "blocks.{i}.attention.v",
    "model.layers.{i}.self_attn.o_proj": "blocks.{i}.attention.o",
    "model.layers.{i}.self_attn.q_norm": "blocks.{i}.attention.q_norm",
    "model.layers.{i}.self_attn.k_norm": "blocks.{i}.attention.k_norm",
    "model.layers.{i}.post_attention_layernorm": "blocks.{i}.ffn_norm",
    "model.layers.{i}.mlp.gate_proj": "blocks.{i}.ffn.gate",
    "model.layers.{i}.mlp.up_proj": "blocks.{i}.ffn.up",
    "model.layers.{i}.mlp.down_proj": "blocks.{i}.ffn.down",
    "model.norm": "final_norm",
    "lm_head": "head",
}

# The same families in GGUF files
GGUF: dict[str, str] = {
    "token_embd": "embedding",
    "blk.{i}.attn_norm": "blocks.{i}.attention_norm",
    "blk.{i}.attn_q": "blocks.{i}.attention.q",
    "blk.{i}.attn_k": "blocks.{i}.attention.k",
    "blk.{i}.attn_v": "blocks.{i}.attention.v",
    "blk.{i}.attn_output": "blocks.{i}.attention.o",
    "blk.{i}.attn_q_norm": "blocks.{i}.attention.q_norm",
    "blk.{i}.attn_k_norm": "blocks.{i}.attention.k_norm",
    "blk.{i}.ffn_norm": "blocks.{i}.ffn_norm",
    "blk.{i}.ffn_gate": "blocks.{i}.ffn.gate",
    "blk.{i}.ffn_up": "blocks.{i}.ffn.up",
    "blk.{i}.ffn_down": "blocks.{i}.ffn.down",
    "output_norm": "final_norm",
    "output": "head",
}

# GPT-2. Its matrices lie transposed in files, and query, key and value as one.
GPT2: dict[str, str] = {
    "transformer.wte": "embedding",
    "transformer.wpe": "position_embedding",
    "transformer.h.{i}.ln_1": "blocks.{i}.attention_norm",
    "transformer.h.{i}.attn.c_attn": "blocks.{i}.attention.qkv",
    "transformer.h.{i}.attn.c_proj": "blocks.{i}.attention.o",
    "transformer.h.{i}.ln_2": "blocks.{i}.ffn_norm",
    "transformer.h.{i}.mlp.c_fc": "blocks.{i}.ffn.up",
    "transformer.h.{i}.mlp.c_proj": "blocks.{i}.ffn.down",
    "transformer.ln_f": "final_norm",
    "lm_head": "head",
}

BERT: dict[str, str] = {
    "bert.embeddings.word_embeddings": "embedding",
    "bert.embeddings.position_embeddings": "position_embedding",
    "bert.embeddings.token_type_embeddings": "token_type_embedding",
    "bert.embeddings.LayerNorm": "embedding_norm",
    "bert.encoder.layer.{i}.attention.self.query": "blocks.{i}.attention.q",
    "bert.encoder.layer.{i}.attention.self.key": "blocks.{i}.attention.k",
    "bert.encoder.layer.{i}.attention.self.value": "blocks.{i}.attention.v",
    "bert.encoder.layer.{i}.attention.output.dense": "blocks.{i}.attention.o",
    "bert.encoder.layer.{i}.attention.output.LayerNorm": "blocks.{i}.attention_norm",
    "bert.encoder.layer.{i}.intermediate.dense": "blocks.{i}.ffn.up",
    "bert.encoder.layer.{i}.output.dense": "blocks.{i}.ffn.down",
    "bert.encoder.layer.{i}.output.LayerNorm": "blocks.{i}.ffn_norm",
    "cls.predictions.transform.dense": "head_transform.dense",
    "cls.predictions.transform.LayerNorm": "head_transform.norm",
    "cls.predictions.decoder.weight": "head.weight",
    "cls.predictions.bias": "head_bias",
}

# ModernBERT: query, key and value as one, gate above up as one
MODERNBERT: dict[str, str] = {
    "model.embeddings.tok_embeddings": "embedding",
    "model.embeddings.norm": "embedding_norm",
    "model.layers.{i}.attn_norm": "blocks.{i}.attention_norm",
    "model.layers.{i}.attn.Wqkv": "blocks.{i}.attention.qkv",
    "model.layers.{i}.attn.Wo": "blocks.{i}.attention.o",
    "model.layers.{i}.mlp_norm": "blocks.{i}.ffn_norm",
    "model.layers.{i}.mlp.Wi": "blocks.{i}.ffn.gate_up",
    "model.layers.{i}.mlp.Wo": "blocks.{i}.ffn.down",
    "model.final_norm": "final_norm",
    "head.dense": "head_transform.dense",
    "head.norm": "head_transform.norm",
    "decoder.weight": "head.weight",
    "decoder.bias": "head_bias",
}


def gemma3_map() -> dict[str, str]:
    """Llama's with two more norms a layer; what Llama calls the norm after attention stands elsewhere here."""
    here = {
        "model.layers.{i}.post_attention_layernorm": "blocks.{i}.attention_post_norm",
        "model.layers.{i}.pre_feedforward_layernorm": "blocks.{i}.ffn_norm",
        "model.layers.{i}.post_feedforward_layernorm": "blocks.{i}.ffn_post_norm",
    }
    return {**LLAMA, **here}


@dataclass(frozen=True)
class Names:
    """How a family's weights are called in files, and what else a file may hold.

    table: their stem or whole name → ours; stems ending in .qkv or .gate_up stand for several of ours in one.
    prefix: what files of the bare model leave out. twins: {name: the name whose tensor it repeats} in models whose
    head is tied: the first may be absent, and if it isn't both must be equal. tied: the same of the head itself.
    of_heads: beginnings of what only heads use. ignored: beginnings or ends of what says nothing. transposed: our
    layers whose matrices lie the other way round.
    """

    table: Mapping[str, str]
    prefix: str
    tied: tuple[str, str]
    twins: Mapping[str, str] = field(default_factory=dict)
    of_heads: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    transposed: tuple[str, ...] = ()
    old_names: Mapping[str, str] = field(default_factory=dict)  # ends of names in old files


LLAMA_NAMES = Names(
    LLAMA,
    "model.",
    ("lm_head.weight", "model.embed_tokens.weight"),
    ignored=("rotary_emb.inv_freq",),  # old exports; recomputed exactly
)


def gemma3_names() -> Names:
    return replace(LLAMA_NAMES, table=gemma3_map())


GPT2_NAMES = Names(
    GPT2,
    "transformer.",
    ("lm_head.weight", "transformer.wte.weight"),
    ignored=(".attn.bias", ".attn.masked_bias"),  # the causal triangle, in old exports
    transposed=("attention.qkv", "attention.o", "ffn.up", "ffn.down"),
)
BERT_NAMES = Names(
    BERT,
    "bert.",
    ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    twins={"cls.predictions.decoder.bias": "cls.predictions.bias"},
    of_heads=("cls.",),
    ignored=(
        "bert.pooler.",
        "pooler.",
        "cls.seq_relationship.",
        "embeddings.position_ids",
        "embeddings.token_type_ids",
    ),
    old_names={".gamma": ".weight", ".beta": ".bias"},
)
MODERNBERT_NAMES = Names(
    MODERNBERT,
    "model.",
    ("decoder.weight", "model.embeddings.tok_embeddings.weight"),
    of_heads=("head.", "decoder."),
)


def translate(names: Iterable[str], table: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """({their name: our name}, names the table doesn't know)."""
    known: dict[str, str] = {}
    unknown: list[str] = []
    for name in names:
        stem, _, kind = name.rpartition(".")
        layer = re.search(r"(?<=\.)\d+(?=\.)", name)
        pattern = stem if layer is None else stem.replace(f".{layer[0]}", ".{i}", 1)
        if name in table:
            known[name] = table[name]
            continue
        target = table.get(pattern)
        if target is None or kind not in ("weight", "bias"):
            unknown.append(name)
            continue
        known[name] = f"{target if layer is None else target.replace('{i}', layer[0])}.{kind}"
    return known, unknown


def inverted(table: Mapping[str, str]) -> dict[str, str]:
    return {ours: theirs for theirs, ours in table.items()}
