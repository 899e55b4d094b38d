"""Encoders from disk: sentence-transformers folders of BERT or ModernBERT, "minilm", and folders trained here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

from groundup.errors import ModelError
from groundup.interop.folder_model import read_model
from groundup.interop.folders import digest_files, license_of, read_json, read_json_if_any
from groundup.interop.locate import encoder_files, encoder_name, find_encoder
from groundup.interop.modules import read_modules
from groundup.interop.sentence_encoder import SentenceEncoder, TokenizeMany
from groundup.interop.trained_encoder import read_trained_encoder
from groundup.interop.trained_shape import MODEL_TYPE
from groundup.nn.config import TransformerConfig


def load_encoder(spec: str | Path) -> SentenceEncoder:
    """Loads an encoder as fp32. Raises ModelError, naming file and mend, for what is broken or not carried exactly."""
    folder = find_encoder(spec)
    name = encoder_name(spec)
    config = read_json(folder / "config.json")
    digest = digest_files(encoder_files(folder), folder)
    if config.get("model_type") == MODEL_TYPE:
        return read_trained_encoder(folder, config, name=name, digest=digest)
    modules = read_modules(folder)
    model = read_model(folder, bare=True)
    max_tokens = token_limit(folder, modules.max_tokens, model.config)
    backend = read_backend(folder, model.config.vocab_size)
    if modules.lowercase:
        put_lowercase_first(backend)
    return SentenceEncoder(
        name,
        model,
        _tokenizes(backend, max_tokens),
        max_tokens=max_tokens,
        pooling=modules.pooling,
        normalise=modules.normalise,
        prompts=modules.prompts,
        padding_id=_padding(config, model.config.vocab_size),
        digest=digest,
        license=license_of(folder),
        source=str(folder),
    )


def token_limit(folder: Path, said: int | None, config: TransformerConfig) -> int:
    """Tokens at which texts are cut: what the settings say, else the least of tokenizer's and model's."""
    if said is None:
        longest: Any = read_json_if_any(folder / "tokenizer_config.json").get("model_max_length")
        known = isinstance(longest, (int, float)) and longest >= 1  # a huge number where the tokenizer knows none
        said = int(min(longest, config.context_length)) if known else config.context_length
    return min(said, config.context_length) if config.position == "learned" else said


def _padding(config: dict[str, Any], vocab_size: int) -> int:
    """Any token does, for nobody sees it; the model's own where it names one that it has."""
    named = config.get("pad_token_id")
    return named if type(named) is int and 0 <= named < vocab_size else 0


def read_backend(folder: Path, vocab_size: int) -> tokenizers.Tokenizer:
    path = folder / "tokenizer.json"
    if not path.exists():
        mend = "Save it again with a current sentence-transformers, which writes one"
        raise ModelError("it has no tokenizer.json", mend=mend, place=str(folder))
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        wrong = f"it can't be read as a tokenizer ({str(error)[:200]})"
        raise ModelError(wrong, mend="Fetch the file again", place=str(path)) from error
    if backend.get_vocab_size() > vocab_size:
        wrong = f"it has {backend.get_vocab_size()} tokens, the model {vocab_size}"
        raise ModelError(wrong, mend="Take both from one and the same model", place=str(path))
    return backend


def _tokenizes(backend: tokenizers.Tokenizer, max_tokens: int) -> TokenizeMany:
    backend.no_padding()  # files come with a padding to 128 that would be computed on
    backend.enable_truncation(max_tokens)

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]  # a lone surrogate is read as "?"
        return [encoding.ids for encoding in backend.encode_batch_fast(clean)]

    return tokenize


def put_lowercase_first(backend: tokenizers.Tokenizer) -> None:
    """Puts lower case before all else, as sentence-transformers does, unless the tokenizer has it already."""
    own = json.loads(backend.to_str())["normalizer"]
    if '"lowercase": true' in json.dumps(own) or '"type": "Lowercase"' in json.dumps(own):
        return
    first = tokenizers.normalizers.Lowercase()
    present = backend.normalizer
    backend.normalizer = first if present is None else tokenizers.normalizers.Sequence([first, present])
