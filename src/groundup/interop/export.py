"""Models trained here, for others to load: decoders as Hugging Face folders, encoders as folders of our own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from groundup.interop.atomic import new_folder, write_json
from groundup.interop.base import BroughtDecoder, load_base
from groundup.interop.folders import WEIGHTS
from groundup.interop.huggingface import write_config
from groundup.interop.trained_encoder import save_encoder
from groundup.interop.weight_maps import LLAMA, inverted, translate
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer

__all__ = ["load_decoder", "save_decoder", "save_encoder"]


def save_decoder(
    folder: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    config: TransformerConfig | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    chat_template: str | None = None,
    readme: str | None = None,
) -> None:
    """Writes a folder that transformers, vLLM and llama.cpp's converter read as Qwen3 (or Llama, Qwen2), whole or not.

    config: the model's own, if given. dtype: what the weights rest in. Raises ModelError, before anything is
    written, for switches that no such model has.
    """
    if config is not None and config != model.config:
        raise ValueError("the configuration given is not the model's; leave it out")
    written = write_config(model.config)
    ends = tokenizer.eos_ids
    written |= {"torch_dtype": str(dtype).removeprefix("torch."), "bos_token_id": None, "eos_token_id": _one(ends)}
    generation: dict[str, Any] = {
        "eos_token_id": _one(ends),
        "pad_token_id": tokenizer.special.get("<|pad|>", _one(ends[:1])),
    }
    with new_folder(folder) as work:
        tokenizer.save(work)
        if chat_template is not None:
            (work / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
        if readme is not None:
            (work / "README.md").write_text(readme, encoding="utf-8")
        save_file(exported_weights(model, dtype), work / WEIGHTS, metadata={"format": "pt"})
        write_json(work / "generation_config.json", generation)
        write_json(work / "config.json", written)


def load_decoder(folder: Path) -> BroughtDecoder:
    """Reads back what `save_decoder` wrote."""
    return load_base(folder)


def exported_weights(model: Transformer, dtype: torch.dtype) -> dict[str, Tensor]:
    """Parameters under Hugging Face's names; a fused projection is cut into its three, a tied head left out."""
    ours: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        weight = parameter.detach().to("cpu", dtype)
        if ".qkv." not in name:
            ours[name] = weight.contiguous()
            continue
        queries, keys = model.config.heads * model.config.head_dim, model.config.kv_heads * model.config.head_dim
        for part, piece in zip("qkv", torch.split(weight, [queries, keys, keys]), strict=True):
            ours[name.replace(".qkv.", f".{part}.")] = piece.contiguous()
    names, unknown = translate(ours, inverted(LLAMA))
    assert not unknown, "write_config refuses every switch that adds weights of another name"
    return {names[name]: weight for name, weight in ours.items()}


def _one(ids: list[int]) -> int | list[int] | None:
    return ids if len(ids) > 1 else ids[0] if ids else None
