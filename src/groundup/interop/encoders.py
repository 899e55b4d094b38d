"""Encoders from disk: sentence-transformers folders of BERT class, the name "minilm", and folders trained here."""

from __future__ import annotations

import json
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
from groundup.interop.sentence_encoder import SentenceEncoder, TokenizeMany
from groundup.interop.trained_encoder import MODEL_TYPE, read_trained_encoder
from groundup.interop.weight_maps import BERT, translate
from groundup.interop.weights import read_weights
from groundup.nn.encode import Pooling
from groundup.nn.transformer import Transformer

# modules.json names classes; sentence-transformers has moved them over time, the last part stayed
TRANSFORMER, POOLING, NORMALIZE = "Transformer", "Pooling", "Normalize"
NOT_USED = ("pooler.", "cls.", "embeddings.position_ids")  # weights of BERT's other heads


def load_encoder(spec: str | Path) -> SentenceEncoder:
    """Loads an encoder as fp32. Raises ModelError, naming file and mend, for what is broken or not carried exactly."""
    folder = find_encoder(spec)
    name = encoder_name(spec)
    config = read_json(folder / "config.json")
    digest = digest_files(encoder_files(folder), folder)
    if config.get("model_type") == MODEL_TYPE:
        return read_trained_encoder(folder, config, name=name, digest=digest)
    pooling, normalise = _modules(folder)
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


def _modules(folder: Path) -> tuple[Pooling, bool]:
    """(pooling, whether vectors are normalised), as modules.json has them. Raises ModelError for any other module."""
    path = folder / "modules.json"
    if not path.exists():
        mend = "Bring it as a sentence-transformers folder, which says how to pool"
        raise ModelError("it has no modules.json: a bare model doesn't say how it pools", mend=mend, place=str(folder))
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        places = [str(module["path"]) for module in modules]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"it can't be read ({error})", mend="Fetch the file again", place=str(path)) from error
    if kinds not in ([TRANSFORMER, POOLING], [TRANSFORMER, POOLING, NORMALIZE]) or places[0] != "":
        wrong = f"its modules are {', '.join(kinds)}"
        mend = f"Bring one of {TRANSFORMER}, {POOLING} and, if at all, {NORMALIZE}"
        raise ModelError(wrong, mend=mend, place=str(path))
    return _pooling(read_json(folder / places[1] / "config.json"), str(folder / places[1])), NORMALIZE in kinds


def _pooling(config: dict[str, Any], place: str) -> Pooling:
    modes = [
        name.removeprefix("pooling_mode_") for name, on in config.items() if name.startswith("pooling_mode_") and on
    ]
    if modes == ["mean_tokens"]:
        return "mean"
    if modes == ["cls_token"]:
        return "cls"
    wrong = f"it pools by {', '.join(modes) or 'nothing'}"
    raise ModelError(wrong, mend="Bring one that takes the mean of all tokens or the first", place=place)


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
