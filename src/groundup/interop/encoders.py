"""Encoders from disk: sentence-transformers folders of BERT class, the name "minilm", and folders trained here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

from groundup.errors import ModelError
from groundup.interop.assemble import assemble
from groundup.interop.bert import read_bert_config
from groundup.interop.folders import (
    digest_files,
    license_of,
    read_json,
    read_json_if_any,
    weight_files,
)
from groundup.interop.locate import encoder_files, encoder_name, find_encoder
from groundup.interop.modules import read_modules
from groundup.interop.sentence_encoder import SentenceEncoder, TokenizeMany
from groundup.interop.trained_encoder import read_trained_encoder
from groundup.interop.trained_shape import MODEL_TYPE
from groundup.interop.weight_maps import BERT, translate
from groundup.interop.weights import read_weights
from groundup.nn.transformer import Transformer

NOT_USED = ("pooler.", "cls.", "embeddings.position_ids")  # weights of BERT's other heads


def load_encoder(spec: str | Path) -> SentenceEncoder:
    """Loads an encoder as fp32. Raises ModelError, naming file and mend, for what is broken or not carried exactly."""
    folder = find_encoder(spec)
    name = encoder_name(spec)
    config = read_json(folder / "config.json")
    digest = digest_files(encoder_files(folder), folder)
    if config.get("model_type") == MODEL_TYPE:
        return read_trained_encoder(folder, config, name=name, digest=digest)
    pooling, normalise = read_modules(folder)
    model = _bert(folder, config)
    limit = read_json_if_any(folder / "sentence_bert_config.json").get("max_seq_length")
    max_tokens = min(int(limit or model.config.context_length), model.config.context_length)
    backend = _wordpiece(folder, model.config.vocab_size)
    return SentenceEncoder(
        name,
        model,
        _tokenizes(backend, max_tokens),
        max_tokens=max_tokens,
        pooling=pooling,
        normalise=normalise,
        prompts=_prompts(folder),
        padding_id=int(config.get("pad_token_id") or 0),
        digest=digest,
        license=license_of(folder),
        source=str(folder),
    )


def _bert(folder: Path, config: dict[str, Any]) -> Transformer:
    weights = {name.removeprefix("bert."): weight for name, weight in read_weights(weight_files(folder)).items()}
    names, unknown = translate((name for name in weights if not name.startswith(NOT_USED)), BERT)
    if unknown:
        mend = "Bring a plain BERT"
        raise ModelError(f"it has weights that aren't known here ({unknown[0]})", mend=mend, place=str(folder))
    shape = read_bert_config(config, str(folder / "config.json"))
    return assemble(shape, {ours: weights[theirs] for theirs, ours in names.items()}, place=str(folder))


def _wordpiece(folder: Path, vocab_size: int) -> tokenizers.Tokenizer:
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


def _prompts(folder: Path) -> dict[str, str]:
    """Prompts by kind. sentence-transformers calls a document's "document" or "passage" or "corpus"."""
    config = read_json_if_any(folder / "config_sentence_transformers.json")
    prompts = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name") or "", "")
    found = {"query": prompts.get("query", default)}
    found["document"] = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), default)
    return {kind: str(prompt) for kind, prompt in found.items() if prompt}
