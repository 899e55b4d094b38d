"""A decoder of ours as a GGUF file that llama.cpp loads: architecture llama, qwen2 or qwen3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gguf.constants import GGML_QUANT_VERSION, GGMLQuantizationType, LlamaFileType
from torch import Tensor

from groundup.errors import ModelError
from groundup.interop.gguf_model import permute, permuted_heads
from groundup.interop.gguf_rope import single, write_rope
from groundup.interop.gguf_vocabulary import write_tokenizer
from groundup.interop.gguf_write import OutgoingTensor, write_gguf
from groundup.interop.quantise import FORMATS, Format, resting_type
from groundup.interop.weight_maps import GGUF, inverted, translate
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer

_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32, "F16": LlamaFileType.MOSTLY_F16, "BF16": LlamaFileType.MOSTLY_BF16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
}  # fmt: skip
# Fields a file says in metadata or by which tensors it has. Of every other field only the value of a plain Llama is
# carried; a field added to the configuration later is therefore refused until it is named here.
_SAID = (
    "vocab_size", "width", "layers", "heads", "kv_heads", "head_dim", "ffn_width", "context_length", "rope_theta",
    "rope_scaling", "norm_eps", "qk_norm", "tie_embeddings", "attention_bias", "attention_output_bias", "ffn_bias",
)  # fmt: skip
# Of LayerNorm, of windows, of a head that is refused itself, of training, and of how weights lie in memory.
_SAYS_NOTHING = (
    "norm_bias", "local_rope_theta", "head_transform_bias", "dropout", "attention_dropout", "initialisation",
    "fused_qkv",
)  # fmt: skip


def save_gguf(
    path: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    *,
    dtype: Format = "F16",
    chat_template: str | None = None,
    name: str = "",
    license: str = "",
    special_ids: Mapping[str, int] | None = None,
    drop_normalizer: bool = False,
) -> None:
    """Writes one file with weights, tokenizer and chat template, whole or not at all.

    dtype: what matrices rest in; norms and biases stay F32. special_ids, drop_normalizer: see write_tokenizer.
    Raises ModelError, before anything is written, for what llama.cpp couldn't compute as it is computed here.
    """
    if dtype not in FORMATS:
        raise ValueError(f"dtype is {dtype!r}; set one of {', '.join(FORMATS)}")
    config = model.config
    family = gguf_family(config)
    rope, rope_tensors = write_rope(config, family)
    metadata: dict[str, Any] = {"general.type": "model", "general.file_type": int(_FILE_TYPES[dtype])}
    metadata |= {"general.quantization_version": GGML_QUANT_VERSION}
    metadata |= {f"general.{key}": text for key, text in {"name": name, "license": license}.items() if text}
    metadata |= _shape(config, family) | rope
    metadata |= write_tokenizer(
        tokenizer,
        config.vocab_size,
        chat_template=chat_template,
        special_ids=special_ids,
        drop_normalizer=drop_normalizer,
    )
    extra = [
        OutgoingTensor(key, numbers.shape, GGMLQuantizationType.F32, partial(_same, numbers))
        for key, numbers in rope_tensors.items()
    ]
    write_gguf(path, family, metadata, [*extra, *_tensors(model, family, dtype)])


def gguf_family(config: TransformerConfig) -> str:
    """The architecture that carries this decoder exactly. Raises ModelError naming every switch that none has.

    Qwen3 has QK-norm, Qwen2 biases of query, key and value alone; llama.cpp's Llama has any biases or none.
    """
    neutral = {field.name: field.default for field in fields(config) if field.name not in (*_SAID, *_SAYS_NOTHING)}
    unlike = [f"{key}={getattr(config, key)!r}" for key, value in neutral.items() if getattr(config, key) != value]
    if config.qk_norm:
        unlike += [f"{key}=True with qk_norm" for key in ("attention_output_bias", "ffn_bias") if getattr(config, key)]
    if unlike:
        raise ModelError(
            f"no GGUF architecture known here has {', '.join(unlike)}",
            mend="Train with the defaults of decoder_config to export, or export to a Hugging Face folder",
            place="export",
        )
    if config.qk_norm:
        return "qwen3"
    scaled = config.rope_scaling is not None and config.rope_scaling.kind == "llama3"  # Llama's alone
    only = config.attention_bias and not config.attention_output_bias and not config.ffn_bias
    return "qwen2" if only and not scaled and config.heads * config.head_dim == config.width else "llama"


def _shape(config: TransformerConfig, family: str) -> dict[str, Any]:
    shape = {
        "vocab_size": config.vocab_size,
        "context_length": config.context_length,
        "embedding_length": config.width,
        "block_count": config.layers,
        "feed_forward_length": config.ffn_width,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": single(config.norm_eps, "norm_eps"),
    }
    return {f"{family}.{key}": value for key, value in shape.items()}


def _tensors(model: Transformer, family: str, dtype: Format) -> Iterator[OutgoingTensor]:
    """In the order of the parameters; a fused projection as its three, a tied head left out."""
    pieces = dict(_pieces(model))
    names, unknown = translate(pieces, inverted(GGUF))
    assert not unknown, "gguf_family refuses every switch that adds weights of another name"
    permuted = permuted_heads(family, model.config)
    for ours, piece in pieces.items():
        heads = permuted.get(names[ours].split(".")[-2])
        numbers: Callable[[], npt.NDArray[np.float32]] = partial(_numbers, piece, heads)
        yield OutgoingTensor(names[ours], tuple(piece.shape), resting_type(tuple(piece.shape), dtype), numbers)


def _pieces(model: Transformer) -> Iterator[tuple[str, Tensor]]:
    """Views, not copies: a model of any size costs no second memory."""
    queries, keys = model.config.heads * model.config.head_dim, model.config.kv_heads * model.config.head_dim
    for name, parameter in model.named_parameters():
        if ".qkv." not in name:
            yield name, parameter.detach()
            continue
        for part, piece in zip("qkv", torch.split(parameter.detach(), [queries, keys, keys]), strict=True):
            yield name.replace(".qkv.", f".{part}."), piece


def _numbers(piece: Tensor, heads: int | None) -> npt.NDArray[np.float32]:
    whole = piece.to("cpu", torch.float32)
    return np.asarray((whole if heads is None else permute(whole, heads)).contiguous().numpy())


def _same(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return numbers
