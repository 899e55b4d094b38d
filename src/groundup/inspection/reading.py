"""A text as the tokens a model reads, each with a name a person can read."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import tokenizers

from groundup.tokens.bytelevel import token_to_bytes

MASKS = ("<|mask|>", "[MASK]", "<mask>")
# Controls that reorder text ("Trojan source"): a token has to read as it is.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Tokenizes(Protocol):
    """What is needed of `tokens.Tokenizer`."""

    vocab_size: int
    separator_id: int | None
    token_bytes: list[bytes]
    special: dict[str, int]

    def encode(self, text: str) -> list[int]: ...
    def missing_bytes(self, text: str) -> int: ...


@dataclass(frozen=True)
class Reading:
    ids: list[int]
    special: list[bool]  # tokens that aren't of the text: separator, [CLS], [SEP]
    label: Callable[[int], str]  # name of any id, with the space it begins with
    vocab_size: int
    mask_id: int | None  # what stands for a hidden token, if the vocabulary has one
    missing_bytes: int  # bytes of the text that no token holds


def read_text(tokenizer: Tokenizes | tokenizers.Tokenizer, text: str, *, causal: bool) -> Reading:
    """tokenizer: ours, or for a brought encoder its `tokenizers.Tokenizer`, which puts its special tokens around.

    causal: the separator stands before the text, so that its first token is predicted too.
    """
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return _read_brought(tokenizer, text)
    first = [tokenizer.separator_id] if causal and tokenizer.separator_id is not None else []
    ids = [*first, *tokenizer.encode(text)]
    names = {number: name for name, number in tokenizer.special.items()}

    def label(number: int) -> str:
        if number in names:
            return visible(names[number])
        raw = tokenizer.token_bytes[number] if number < len(tokenizer.token_bytes) else b""
        return visible(raw.decode("utf-8", "backslashreplace")) or f"<{number}>"  # a row the vocabulary doesn't name

    special = [place < len(first) for place in range(len(ids))]
    return Reading(ids, special, label, tokenizer.vocab_size, _mask(tokenizer.special), tokenizer.missing_bytes(text))


def visible(text: str) -> str:
    """Controls, surrogates and bidirectional marks as U+FFFD; line ends and tabs stay."""
    return "".join(
        "\ufffd" if c in _REORDERING or (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t\r") else c
        for c in text
    )


def _read_brought(tokenizer: tokenizers.Tokenizer, text: str) -> Reading:
    encoding = tokenizer.encode(text)
    kept = [place for place, real in enumerate(encoding.attention_mask) if real]  # files come with padding to 128
    added = tokenizer.get_added_tokens_decoder()
    names = {token.content: number for number, token in added.items() if token.special}
    pieces = isinstance(tokenizer.model, tokenizers.models.WordPiece)  # else byte-level, as ModernBERT's

    def label(number: int) -> str:
        token = tokenizer.id_to_token(number)
        if token is None:
            return f"<{number}>"
        if token in names:
            return visible(token)
        if pieces:
            return visible(token[2:] if token.startswith("##") else " " + token)
        raw = token_to_bytes(token) if number not in added else token.encode()  # added ones are plain text
        return visible(raw.decode("utf-8", "backslashreplace"))

    return Reading(
        [encoding.ids[place] for place in kept],
        [bool(encoding.special_tokens_mask[place]) for place in kept],
        label,
        max(tokenizer.get_vocab().values()) + 1,
        _mask(names),
        0,
    )


def _mask(special: dict[str, int]) -> int | None:
    return next((special[name] for name in MASKS if name in special), None)


def labels_of(reading: Reading, ids: Sequence[int]) -> dict[int, str]:
    """The name of each id, once."""
    return {number: reading.label(number) for number in sorted(set(ids))}
