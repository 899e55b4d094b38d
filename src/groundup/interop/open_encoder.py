"""An encoder opened to be looked into: with its head, its tokenizer, and how it pools, each where it has one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tokenizers

from groundup.interop.assemble import assemble
from groundup.interop.encoders import put_lowercase_first, read_backend, token_limit
from groundup.interop.folder_model import read_model
from groundup.interop.folders import license_of, read_json, weight_files
from groundup.interop.huggingface import has_masked_head
from groundup.interop.locate import encoder_name, find_encoder
from groundup.interop.modules import MODULES, read_modules
from groundup.interop.trained_shape import MODEL_TYPE, read_trained_shape
from groundup.interop.weights import read_weights
from groundup.nn.encode import Pooling
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class OpenEncoder:
    name: str
    model: Transformer  # fp32, in evaluation mode; with the head for masked tokens if the folder's class has it
    tokenizer: Tokenizer | tokenizers.Tokenizer  # cuts and pads nothing
    max_tokens: int  # a longer text is cut there by `SentenceEncoder`
    pooling: Pooling | None  # None: a bare model, which doesn't say how it makes one vector of a text
    prompt: str  # what is put before a document
    license: str  # "unknown" if none is named
    source: str  # the folder


def open_encoder(spec: str | Path) -> OpenEncoder:
    """minilm, a sentence-transformers folder, a BERT's or ModernBERT's own, or one trained here.

    Raises ModelError, naming file and mend, for what is broken or not carried exactly.
    """
    folder, name = find_encoder(spec), encoder_name(spec)
    config, place = read_json(folder / "config.json"), str(folder / "config.json")
    if config.get("model_type") == MODEL_TYPE:
        shape = read_trained_shape(config, place)
        model = assemble(shape.transformer, read_weights(weight_files(folder)), place=str(folder))
        prompt = shape.prompts.get("document", "")
        return OpenEncoder(
            name, model, Tokenizer.load(folder), shape.max_tokens, shape.pooling, prompt, "yours", str(folder)
        )
    modules = read_modules(folder) if (folder / MODULES).exists() else None
    model = read_model(folder, bare=not has_masked_head(config))
    backend = read_backend(folder, model.config.vocab_size)
    backend.no_padding()
    backend.no_truncation()
    if modules is not None and modules.lowercase:
        put_lowercase_first(backend)
    return OpenEncoder(
        name,
        model,
        backend,
        token_limit(folder, modules.max_tokens if modules is not None else None, model.config),
        modules.pooling if modules is not None else None,
        modules.prompts.get("document", "") if modules is not None else "",
        license_of(folder),
        str(folder),
    )
