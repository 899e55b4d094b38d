"""Encoders as folders that sentence-transformers loads: model, tokenizer, pooling, normalisation, prompts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from groundup.errors import ModelError
from groundup.interop.atomic import new_folder
from groundup.interop.export import write_model
from groundup.interop.modules import SentenceModules, write_modules
from groundup.interop.weights import SHARD_BYTES
from groundup.nn.encode import Pooling
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def save_sentence_transformer(
    folder: Path,
    model: Transformer,
    tokenizer: Tokenizer | Path,
    *,
    padding_id: int | None = None,
    max_tokens: int | None = None,
    pooling: Pooling = "mean",
    normalise: bool = True,
    prompts: Mapping[str, str] | None = None,
    lowercase: bool = False,
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes the folder, whole or not at all, that sentence-transformers and `load_encoder` read to the same vectors.

    tokenizer: ours, or a folder whose tokenizer files are taken as they are. padding_id: if None, of our tokenizer's
    <|pad|>, else 0. max_tokens: where texts are cut; the model's context_length if None. prompts: by "query" and
    "document". Raises ModelError for an encoder that neither BERT nor ModernBERT is.
    """
    limit = max_tokens or model.config.context_length
    if model.config.causal:
        wrong = "it is a decoder (causal=True), which sentence-transformers would pad at the left"
        raise ModelError(wrong, mend="Export it with save_decoder", place="export")
    if isinstance(tokenizer, Tokenizer) and "<|pad|>" not in tokenizer.special:
        wrong = "its tokenizer has no <|pad|>, and sentence-transformers pads with a token"
        raise ModelError(wrong, mend="Train it with the special tokens of train_bpe", place="export")
    if padding_id is None:
        padding_id = tokenizer.special["<|pad|>"] if isinstance(tokenizer, Tokenizer) else 0
    with new_folder(folder) as work:
        write_model(work, model, dtype=dtype, fields={"pad_token_id": padding_id}, max_shard_bytes=max_shard_bytes)
        if isinstance(tokenizer, Tokenizer):
            tokenizer.save(work)
        else:
            for name in TOKENIZER_FILES:
                if (tokenizer / name).exists():
                    shutil.copyfile(tokenizer / name, work / name)
        modules = SentenceModules(pooling, normalise, limit, lowercase, dict(prompts or {}))
        write_modules(work, modules, model.config.width)
