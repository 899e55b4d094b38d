"""Names of weights in other projects' files → names in nn.Transformer, as data. `{i}` is the number of a layer.

A name ends in `weight` or `bias` on both sides; the maps hold what stands before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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

# BERT in sentence-transformers folders, behind an optional "bert."
BERT: dict[str, str] = {
    "embeddings.word_embeddings": "embedding",
    "embeddings.position_embeddings": "position_embedding",
    "embeddings.token_type_embeddings": "token_type_embedding",
    "embeddings.LayerNorm": "embedding_norm",
    "encoder.layer.{i}.attention.self.query": "blocks.{i}.attention.q",
    "encoder.layer.{i}.attention.self.key": "blocks.{i}.attention.k",
    "encoder.layer.{i}.attention.self.value": "blocks.{i}.attention.v",
    "encoder.layer.{i}.attention.output.dense": "blocks.{i}.attention.o",
    "encoder.layer.{i}.attention.output.LayerNorm": "blocks.{i}.attention_norm",
    "encoder.layer.{i}.intermediate.dense": "blocks.{i}.ffn.up",
    "encoder.layer.{i}.output.dense": "blocks.{i}.ffn.down",
    "encoder.layer.{i}.output.LayerNorm": "blocks.{i}.ffn_norm",
}


def translate(names: Iterable[str], table: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """({their name: our name}, names the table doesn't know)."""
    known: dict[str, str] = {}
    unknown: list[str] = []
    for name in names:
        stem, _, kind = name.rpartition(".")
        layer = re.search(r"(?<=\.)\d+(?=\.)", name)
        pattern = stem if layer is None else stem.replace(f".{layer[0]}", ".{i}", 1)
        target = table.get(pattern)
        if target is None or kind not in ("weight", "bias"):
            unknown.append(name)
            continue
        known[name] = f"{target if layer is None else target.replace('{i}', layer[0])}.{kind}"
    return known, unknown


def inverted(table: Mapping[str, str]) -> dict[str, str]:
    return {ours: theirs for theirs, ours in table.items()}
