"""A decoder from a GGUF file of architecture llama, qwen2 or qwen3."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from groundup.errors import ModelError
from groundup.interop.assemble import assemble
from groundup.interop.gguf import GGUFFile
from groundup.interop.gguf_rope import ROPE_FACTORS, decimal, read_rope
from groundup.interop.weight_maps import GGUF, translate
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer

FAMILIES = ("llama", "qwen2", "qwen3")
CARRIED = (
    "vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
)  # fmt: skip
# Switches with the values at which they change nothing; at any other, and any other switch, the file is refused.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "expert_count": (0,), "expert_used_count": (0,), "attention.causal": (True,), "use_parallel_residual": (False,),
    "logit_scale": (0, 1), "residual_scale": (0, 1), "embedding_scale": (0, 1), "attention.scale": (0,),
    "attn_logit_softcapping": (0,), "final_logit_softcapping": (0,), "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,), "tensor_data_layout": ("Meta AI original pth", "reference"),
    "pooling_type": (0,), "swin_norm": (False,), "rescale_every_n_layers": (0,),
}  # fmt: skip


def read_gguf_config(file: GGUFFile) -> TransformerConfig:
    """TransformerConfig from metadata, and from which tensors there are (ties and biases aren't in the metadata).

    Raises ModelError for an architecture or a switch that isn't carried exactly, or isn't known.
    """
    place, metadata = str(file.path), file.metadata
    family = metadata.get("general.architecture")
    if family not in FAMILIES:
        mend = f"Bring a file of architecture {', '.join(FAMILIES)}"
        raise ModelError(f"its architecture {family!r} isn't known here", mend=mend, place=place)
    if metadata.get("general.type", "model") != "model":
        wrong = f"it holds no model but a part of one ({metadata['general.type']})"
        raise ModelError(wrong, mend="Bring the model's own file", place=place)
    if metadata.get("split.count", 1) > 1:
        mend = "Join the parts with llama.cpp's gguf-split --merge"
        raise ModelError(f"it is one of {metadata['split.count']} parts", mend=mend, place=place)
    if metadata.get(f"{family}.expert_count", 0):
        raise ModelError("it is a mixture of experts", mend="Bring a dense model", place=place)
    _refuse_strangers(metadata, family, place)

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
    window, context = metadata.get(f"{family}.attention.sliding_window", 0), whole("context_length")
    if window and not (type(window) is int and window >= context):
        wrong = f"its attention sees {window!r} of {context} positions (sliding_window)"
        raise ModelError(wrong, mend="Bring a model whose attention sees them all", place=place)
    layers = whole("block_count")
    if layers > len(file.tensors):  # said before a model of that size is built
        wrong = f"{family}.block_count is {layers}, but it holds {len(file.tensors)} tensors"
        raise ModelError(wrong, mend="Fetch the file again", place=place)
    if "token_embd.weight" not in file.tensors:
        raise ModelError("it lacks token_embd.weight", mend="Fetch the file again", place=place)
    vocabulary = file.tensors["token_embd.weight"].shape[0]
    if whole("vocab_size", vocabulary) != vocabulary:
        wrong = f"{family}.vocab_size is {whole('vocab_size')}, but token_embd.weight has {vocabulary} rows"
        raise ModelError(wrong, mend="Fetch the file again", place=place)
    try:
        return TransformerConfig(
            vocab_size=vocabulary,
            width=width,
            layers=layers,
            heads=heads,
            kv_heads=whole("attention.head_count_kv", heads),
            head_dim=head_dim,
            ffn_width=whole("feed_forward_length"),
            context_length=context,
            norm_eps=decimal(metadata.get(f"{family}.attention.layer_norm_rms_epsilon", 1e-6)),
            qk_norm="blk.0.attn_q_norm.weight" in file.tensors,
            tie_embeddings="output.weight" not in file.tensors,
            attention_bias="blk.0.attn_q.bias" in file.tensors,
            attention_output_bias="blk.0.attn_output.bias" in file.tensors,
            ffn_bias="blk.0.ffn_down.bias" in file.tensors,
            **read_rope(file, family),
        )
    except (ValueError, TypeError) as error:
        raise ModelError(f"its metadata don't fit together ({error})", mend="Fetch it again", place=place) from error


def read_gguf_model(file: GGUFFile) -> Transformer:
    """The Transformer with its weights as fp32."""
    config, place = read_gguf_config(file), str(file.path)
    names, unknown = translate((name for name in file.tensors if name != ROPE_FACTORS), GGUF)
    if unknown:
        raise ModelError(f"it has weights that aren't known here ({unknown[0]})", mend="Bring another", place=place)
    permuted = permuted_heads(file.metadata["general.architecture"], config)
    weights: dict[str, Tensor] = {}
    for theirs, ours in names.items():
        weight = torch.from_numpy(file.read(theirs))
        heads = permuted.get(theirs.split(".")[-2])
        fits = heads is not None and weight.shape[0] % (2 * heads) == 0
        weights[ours] = unpermute(weight, heads) if heads is not None and fits else weight
    return assemble(config, weights, place=place)


def permuted_heads(family: str, config: TransformerConfig) -> dict[str, int]:
    """Heads of the projections whose rows lie in llama.cpp's own order.

    Its Llama rotates neighbours, and its converter permutes for that; its Qwen rotates halves, as we do.
    """
    return {"attn_q": config.heads, "attn_k": config.kv_heads} if family == "llama" else {}


def unpermute(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key projection (or its bias) from pairs side by side to half-split order."""
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return pairs.transpose(1, 2).reshape(weight.shape).contiguous()


def permute(weight: Tensor, heads: int) -> Tensor:
    """Inverse of `unpermute`."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape).contiguous()


def _refuse_strangers(metadata: dict[str, Any], family: str, place: str) -> None:
    for key, value in metadata.items():
        name = key.removeprefix(f"{family}.")
        if name == key or name in CARRIED or name.startswith("rope.") or value in NEUTRAL.get(name, ()):
            continue
        mend = f"Bring a plain {family} model, or this one as a Hugging Face folder"
        raise ModelError(f"{key} is {str(value)[:60]!r}, which isn't carried here", mend=mend, place=place)
