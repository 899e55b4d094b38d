"""BPE of the SentencePiece kind: spaces are written as ▁, and bytes as <0x00> … <0xFF> where a character has no token.

The forms it has in tokenizer.json, and what each puts before a text. Whatever is none of them is refused by name.

- Llama 2, Mistral 7B v0.1, TinyLlama: normalizers Prepend and Replace. A ▁ before every text, as SentencePiece itself
  has it (Kudo & Richardson 2018), and behind every added token in it, as llama.cpp has it too.
- The same, saved by a later transformers: pre-tokenizer Metaspace. Its ▁ is left out where a text begins with a space
  or ▁ already, so that space is lost; with "first" it stands at the very beginning alone.
- Gemma: normalizer Replace. Nothing is put before a text. Its split at spaces finds none: they are ▁ by then.

transformers 5 builds the second form for any folder of class LlamaTokenizer, even where tokenizer.json has the first;
here, as in the `tokenizers` library and in transformers 4, the file decides.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import tokenizers
from tokenizers import decoders, normalizers, pre_tokenizers

from groundup.errors import ModelError

Prefix = Literal["every", "always", "first", "none"]
SPACE = "▁"
BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))
KINDS = "BPE of bytes (Llama 3, Qwen, SmolLM, GPT-2) or of SentencePiece (Llama 2, Mistral, TinyLlama, Gemma)"

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_PREPEND = {"type": "Prepend", "prepend": SPACE}
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_AT_SPACES = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
_BACK = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
_INNER = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "decoder": "decoders"}


@dataclass(frozen=True, slots=True)
class Form:
    """What is put before a text, and whether words are merged apart.

    prefix: "every": ▁ before a text and behind each added token in it. "always": so too, but where a space or ▁ stands
    already. "first": as "always", and at the very beginning alone. "none": nothing.
    split: no merge crosses from one word into the ▁ of the next.
    """

    prefix: Prefix
    split: bool = False

    @property
    def loses_space(self) -> bool:
        """A text with a space in front and one without are the same to it."""
        return self.prefix in ("always", "first")

    @property
    def again(self) -> bool:
        """A ▁ is put behind an added token in a text too."""
        return self.prefix in ("every", "always")


def read_form(backend: tokenizers.Tokenizer, place: str) -> Form | None:
    """The form of a tokenizer with byte fallback, None for one without. Raises ModelError for one that isn't known."""
    model = backend.model
    if not isinstance(model, tokenizers.models.BPE) or not model.byte_fallback:
        return None
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if getattr(model, option):
            raise _refused(f"its {option} is {getattr(model, option)!r}, with byte fallback", place)
    normal, splits, back = (_steps(backend, part) for part in _INNER)
    form = _form(normal, splits)
    if form is None:
        said = json.dumps([*normal, *splits], ensure_ascii=False)[:200]
        raise _refused(f"its kind is BPE with byte fallback, and how it writes spaces isn't known here ({said})", place)
    if back != (_BACK if form.prefix == "none" else [*_BACK, _STRIP]):
        said = json.dumps(back, ensure_ascii=False)[:300]
        raise _refused(f"its decoder doesn't take back what is put before a text, and that alone ({said})", place)
    return form


def build(model: tokenizers.models.BPE, *, prefixed: bool) -> tokenizers.Tokenizer:
    """The tokenizer around a model: with ▁ before every text (Llama 2), or without (Gemma)."""
    backend = tokenizers.Tokenizer(model)
    replace = normalizers.Replace(" ", SPACE)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace]) if prefixed else replace
    back = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if prefixed else back)
    return backend


def without_prefix(backend: tokenizers.Tokenizer, form: Form) -> tokenizers.Tokenizer:
    """One whose form is "first", for a text that doesn't stand at the beginning. Changes the backend given."""
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=form.split)
    return backend


def piece_to_bytes(piece: str) -> bytes:
    """Bytes that a vocabulary entry stands for, inside a text."""
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode("utf-8", "replace")


def _form(normal: list[Any], splits: list[Any]) -> Form | None:
    if not normal and len(splits) == 1 and splits[0].get("type") == "Metaspace":
        known: dict[Any, Prefix] = {"first": "first", "always": "always", "never": "none"}
        prefix = known.get(splits[0].get("prepend_scheme"))
        if prefix is None or splits[0].get("replacement") != SPACE:
            return None
        return Form(prefix, bool(splits[0].get("split")))
    if splits not in ([], [_AT_SPACES]):
        return None
    return Form("every") if normal == [_PREPEND, _REPLACE] else Form("none") if normal == [_REPLACE] else None


def _steps(backend: tokenizers.Tokenizer, part: str) -> list[Any]:
    """What it does one after the other, as tokenizer.json writes it."""
    value = getattr(backend, part)
    if value is None:
        return []
    state = json.loads(value.__getstate__())
    return list(state[_INNER[part]]) if state.get("type") == "Sequence" else [state]


def _refused(wrong: str, place: str) -> ModelError:
    return ModelError(wrong, mend=f"Bring a model whose tokenizer is {KINDS}", place=place)
