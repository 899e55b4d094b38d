"""Brought decoders: a name, a Hugging Face folder or a GGUF file → model and tokenizer of our own core."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.errors import ModelError
from groundup.interop.folder_model import read_model
from groundup.interop.folders import digest_files, license_of, read_json, read_json_if_any
from groundup.interop.gguf import open_gguf
from groundup.interop.gguf_model import read_gguf_config, read_gguf_model
from groundup.interop.gguf_tokenizer import read_tokenizer
from groundup.interop.huggingface import read_config
from groundup.interop.locate import base_files, base_name, find_base
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer


@dataclass
class BroughtDecoder:
    """A decoder made elsewhere, or read back: all that evaluation, generation and the report need of it."""

    name: str
    model: Transformer  # fp32, in evaluation mode
    tokenizer: Tokenizer
    chat_template: str | None  # jinja2 source; None: the model completes, it doesn't chat
    license: str  # "unknown" if none is named
    source: str  # path it was read from
    digest: str  # sha256 of the files
    context_length: int


def base_config(spec: str | Path) -> TransformerConfig:
    """Shape of a base, from its header alone. Raises ModelError as load_base would for a family that isn't known."""
    path = find_base(spec)
    if path.is_file():
        return read_gguf_config(open_gguf(path))
    return read_config(read_json(path / "config.json"), str(path / "config.json"))


def load_base(spec: str | Path) -> BroughtDecoder:
    """Loads "smollm2", a Hugging Face folder of one of `huggingface.DECODERS`, or a GGUF file (llama, qwen2, qwen3).

    Raises ModelError, naming file and mend, for what is broken, unknown or not carried exactly.
    """
    path = find_base(spec)
    brought = _from_gguf(path) if path.is_file() else _from_folder(path)
    if brought.tokenizer.vocab_size > brought.model.config.vocab_size:
        wrong = f"its tokenizer has {brought.tokenizer.vocab_size} tokens, the model {brought.model.config.vocab_size}"
        raise ModelError(wrong, mend="Take both from one and the same model", place=str(path))
    brought.name = base_name(spec)
    return brought


def load_tokenizer(spec: str | Path) -> Tokenizer:
    """The tokenizer of what `load_base` loads, without its weights. Raises ModelError as that would for its files."""
    path = find_base(spec)
    if path.is_dir():
        return Tokenizer.load(path)
    return read_tokenizer(open_gguf(path).metadata, str(path))


def _from_gguf(path: Path) -> BroughtDecoder:
    file = open_gguf(path)
    read_gguf_config(file)  # an unknown architecture is refused before the vocabulary is built
    template = file.metadata.get("tokenizer.chat_template")
    tokenizer = read_tokenizer(file.metadata, str(path))
    model = read_gguf_model(file)
    return BroughtDecoder(
        name=path.stem,
        model=model,
        tokenizer=tokenizer,
        chat_template=template if isinstance(template, str) else None,
        license=str(file.metadata.get("general.license", "unknown")),
        source=str(path),
        digest=digest_files([path], path.parent),
        context_length=model.config.context_length,
    )


def _from_folder(folder: Path) -> BroughtDecoder:
    config = read_config(read_json(folder / "config.json"), str(folder / "config.json"))
    tokenizer = Tokenizer.load(folder)
    return BroughtDecoder(
        name=folder.resolve().name,
        model=read_model(folder),
        tokenizer=tokenizer,
        chat_template=_chat_template(folder),
        license=license_of(folder),
        source=str(folder),
        digest=digest_files(base_files(folder), folder),
        context_length=config.context_length,
    )


def _chat_template(folder: Path) -> str | None:
    beside = folder / "chat_template.jinja"
    if beside.exists():
        try:
            return beside.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError("it can't be read as UTF-8", mend="Fetch the file again", place=str(beside)) from error
    template: Any = read_json_if_any(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several under names: the default one
        template = next(
            (one.get("template") for one in template if isinstance(one, dict) and one.get("name") == "default"), None
        )
    return template if isinstance(template, str) else None
