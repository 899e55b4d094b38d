"""Models of our core, for others to load: as Hugging Face folders, and encoders as folders of our own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from groundup.errors import ModelError
from groundup.interop.atomic import new_folder, write_json
from groundup.interop.base import BroughtDecoder, load_base
from groundup.interop.folder_model import to_theirs
from groundup.interop.huggingface import FAMILIES_BY_NAME, write_config
from groundup.interop.trained_encoder import save_encoder
from groundup.interop.weights import SHARD_BYTES, write_weights
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer

__all__ = ["load_decoder", "save_decoder", "save_encoder", "write_model"]


def save_decoder(
    folder: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    config: TransformerConfig | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    chat_template: str | None = None,
    readme: str | None = None,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a folder that transformers reads, whole or not at all: as Qwen3, Llama, Qwen2, Mistral, Gemma 3 or GPT-2,
    the first of them that has all switches of the model.

    config: the model's own, if given. dtype: what the weights rest in. Raises ModelError, before anything is
    written, for switches that no such model has.
    """
    if config is not None and config != model.config:
        raise ValueError("the configuration given is not the model's; leave it out")
    if not model.config.causal:
        raise ModelError("it is an encoder (causal=False)", mend="Export it with write_model", place="export")
    ends = tokenizer.eos_ids
    padding = tokenizer.special.get("<|pad|>", _one(ends[:1]))
    said = {"bos_token_id": None, "eos_token_id": _one(ends), "pad_token_id": padding}
    write_config(model.config)  # refuses before the folder is begun
    with new_folder(folder) as work:
        tokenizer.save(work)
        if chat_template is not None:
            (work / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
        if readme is not None:
            (work / "README.md").write_text(readme, encoding="utf-8")
        write_json(work / "generation_config.json", {"eos_token_id": _one(ends), "pad_token_id": padding})
        write_model(work, model, dtype=dtype, fields=said, max_shard_bytes=max_shard_bytes)


def write_model(
    folder: Path,
    model: Transformer,
    *,
    dtype: torch.dtype = torch.float32,
    fields: dict[str, Any] | None = None,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """config.json and weights of a decoder or encoder in a folder that is there, without a tokenizer.

    fields: what else the configuration says, such as token ids. Raises ModelError for switches that no family has.
    """
    written = write_config(model.config)
    ids = dict.fromkeys(
        ("bos_token_id", "eos_token_id", "pad_token_id")
    )  # or they are those of the family's first model
    kept = {"torch_dtype": str(dtype).removeprefix("torch."), **ids, **(fields or {})}
    weights = to_theirs(model, FAMILIES_BY_NAME[written["model_type"]])
    write_weights(folder, weights, dtype, max_shard_bytes=max_shard_bytes)
    write_json(folder / "config.json", {**written, **kept})


def load_decoder(folder: Path) -> BroughtDecoder:
    """Reads back what `save_decoder` wrote."""
    return load_base(folder)


def _one(ids: list[int]) -> int | list[int] | None:
    return ids if len(ids) > 1 else ids[0] if ids else None
