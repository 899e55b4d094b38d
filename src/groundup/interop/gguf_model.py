"""A decoder from a GGUF file of architecture llama, qwen2 or qwen3."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from groundup.errors import ModelError
from groundup.interop.assemble import assemble
from groundup.interop.gguf import GGUFFile
from groundup.interop.weight_maps import GGUF, translate
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer

FAMILIES = ("llama", "qwen2", "qwen3")
ROPE_FACTORS = "rope_freqs.weight"


def read_gguf_config(file: GGUFFile) -> TransformerConfig:
    """TransformerConfig from metadata, and from which tensors there are (ties and biases aren't in the metadata).

    Raises ModelError for an architecture or a switch that isn't carried exactly.
    """
    place, metadata = str(file.path), file.metadata
    family = metadata.get("general.architecture")
    if family not in FAMILIES:
        mend = f"Bring a file of architecture {', '.join(FAMILIES)}"
        raise ModelError(f"its architecture {family!r} isn't known here", mend=mend, place=place)
    if metadata.get("split.count", 1) > 1:
        mend = "Join the parts with llama.cpp's gguf-split --merge"
        raise ModelError(f"it is one of {metadata['split.count']} parts", mend=mend, place=place)
    scaling = metadata.get(f"{family}.rope.scaling.type", "none")
    if scaling not in ("none", ""):
        raise ModelError(f"its rotary positions are scaled ({scaling})", mend="Bring a model without", place=place)
    if metadata.get(f"{family}.expert_count", 0):
        raise ModelError("it is a mixture of experts", mend="Bring a dense model", place=place)

    def whole(key: str, default: int | None = None) -> int:
        value = metadata.get(f"{family}.{key}", default)
        if type(value) is not int or value < 1:
            raise ModelError(f"{family}.{key} is {value!r}, not a whole number", mend="Fetch it again", place=place)
        return value

    width, heads = whole("embedding_length"), whole("attention.head_count")
    head_dim = whole("attention.key_length", width // heads)
    rotated, value_dim = whole("rope.dimension_count", head_dim), whole("attention.value_length", head_dim)
    if rotated != head_dim or value_dim != head_dim:
        wrong = f"its heads have {head_dim} dimensions, of which {rotated} are rotated, and values have {value_dim}"
        raise ModelError(wrong, mend="Bring a model where the three are equal", place=place)
    if "token_embd.weight" not in file.tensors:
        raise ModelError("it lacks token_embd.weight", mend="Fetch the file again", place=place)
    try:
        return TransformerConfig(
            vocab_size=file.tensors["token_embd.weight"].shape[0],
            width=width,
            layers=whole("block_count"),
            heads=heads,
            kv_heads=whole("attention.head_count_kv", heads),
            head_dim=head_dim,
            ffn_width=whole("feed_forward_length"),
            context_length=whole("context_length"),
            rope_theta=float(metadata.get(f"{family}.rope.freq_base", 10000.0)),
            norm_eps=float(metadata.get(f"{family}.attention.layer_norm_rms_epsilon", 1e-6)),
            qk_norm="blk.0.attn_q_norm.weight" in file.tensors,
            tie_embeddings="output.weight" not in file.tensors,
            attention_bias="blk.0.attn_q.bias" in file.tensors,
            attention_output_bias="blk.0.attn_output.bias" in file.tensors,
            ffn_bias="blk.0.ffn_down.bias" in file.tensors,
        )
    except (ValueError, TypeError) as error:
        raise ModelError(f"its metadata don't fit together ({error})", mend="Fetch it again", place=place) from error


def read_gguf_model(file: GGUFFile) -> Transformer:
    """The Transformer with its weights as fp32."""
    config, place = read_gguf_config(file), str(file.path)
    if ROPE_FACTORS in file.tensors and not bool((file.read(ROPE_FACTORS) == 1).all()):
        mend = "Bring a model whose rotary positions aren't scaled"
        raise ModelError("its rotary positions are scaled (rope_freqs)", mend=mend, place=place)
    names, unknown = translate((name for name in file.tensors if name != ROPE_FACTORS), GGUF)
    if unknown:
        raise ModelError(f"it has weights that aren't known here ({unknown[0]})", mend="Bring another", place=place)
    permuted = {"attn_q": config.heads, "attn_k": config.kv_heads} if _family(file) == "llama" else {}
    weights: dict[str, Tensor] = {}
    for theirs, ours in names.items():
        weight = torch.from_numpy(file.read(theirs))
        heads = permuted.get(theirs.split(".")[-2])
        weights[ours] = weight if heads is None else unpermute(weight, heads)
    return assemble(config, weights, place=place)


def unpermute(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key projection from llama.cpp's order for Llama (pairs side by side) to half-split order.

    llama.cpp's converter permutes them because its Llama rotates neighbours; its Qwen rotates halves, as we do.
    """
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return pairs.transpose(1, 2).reshape(weight.shape).contiguous()


def _family(file: GGUFFile) -> Any:
    return file.metadata.get("general.architecture")
