"""Encoders trained here, on disk: our own config.json, safetensors with our own names, tokenizer.

The default encoder (pre-norm RMSNorm, RoPE, gated) is near ModernBERT, but no class of Hugging Face's carries it
exactly, so the folder says so with a model_type of its own instead of pretending.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from groundup.interop.assemble import assemble
from groundup.interop.atomic import new_folder, write_json
from groundup.interop.folders import WEIGHTS, weight_files
from groundup.interop.sentence_encoder import SentenceEncoder, TokenizeMany
from groundup.interop.trained_shape import MODEL_TYPE, read_trained_shape
from groundup.interop.weights import read_weights
from groundup.nn.encode import Pooling
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer


def tokenizes(tokenizer: Tokenizer, max_tokens: int) -> TokenizeMany:
    """The text's tokens alone, cut at max_tokens, as in training; an empty text is one separator."""
    empty = [tokenizer.separator_id or 0]

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        return [ids[:max_tokens].tolist() or empty for ids in tokenizer.encode_many(texts)]

    return tokenize


def sentence_encoder(
    name: str,
    model: Transformer,
    tokenizer: Tokenizer,
    *,
    max_tokens: int | None = None,
    pooling: Pooling = "mean",
    prompts: dict[str, str] | None = None,
    digest: str = "",
    source: str = "",
) -> SentenceEncoder:
    """An encoder over a model and a tokenizer trained here. max_tokens: the model's context_length if None."""
    limit = max_tokens or model.config.context_length
    return SentenceEncoder(
        name,
        model,
        tokenizes(tokenizer, limit),
        max_tokens=limit,
        pooling=pooling,
        prompts=prompts,
        padding_id=tokenizer.special.get("<|pad|>", 0),
        digest=digest,
        license="yours",
        source=source,
    )


def save_encoder(
    folder: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    *,
    max_tokens: int | None = None,
    pooling: Pooling = "mean",
    prompts: dict[str, str] | None = None,
) -> None:
    """Writes the folder, whole or not at all, that `load_encoder` reads back to the same vectors."""
    with new_folder(folder) as work:
        tokenizer.save(work)
        weights = {name: parameter.detach().contiguous().cpu() for name, parameter in model.named_parameters()}
        save_file(weights, work / WEIGHTS, metadata={"format": "pt"})
        settings = {
            "model_type": MODEL_TYPE,
            "transformer": model.config.to_dict(),
            "max_tokens": max_tokens or model.config.context_length,
            "pooling": pooling,
            "prompts": prompts or {},
        }
        write_json(work / "config.json", settings)


def read_trained_encoder(folder: Path, config: dict[str, Any], *, name: str, digest: str) -> SentenceEncoder:
    """Raises ModelError if config.json lacks what `save_encoder` writes."""
    shape = read_trained_shape(config, str(folder / "config.json"))
    model = assemble(shape.transformer, read_weights(weight_files(folder)), place=str(folder))
    return sentence_encoder(
        name,
        model,
        Tokenizer.load(folder),
        max_tokens=shape.max_tokens,
        pooling=shape.pooling,
        prompts=shape.prompts,
        digest=digest,
        source=str(folder),
    )
