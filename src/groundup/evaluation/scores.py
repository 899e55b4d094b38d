"""What scoring a document gives, whoever scores: a transformer, an n-gram model, a compressor. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[str, float, float], None]


class Text(Protocol):
    """A document, as far as scoring needs it."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...


class Tokenizes(Protocol):
    """A tokenizer, as far as scoring needs it; `tokens.Tokenizer` is one."""

    vocab_size: int
    separator_id: int | None

    def encode_many(self, texts: Sequence[str]) -> list[NDArray[np.int32]]: ...
    def missing_bytes(self, text: str) -> int: ...


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """`nats`: −Σ ln p of the document's tokens, with 8 bits for each missing byte. `text_bytes`: UTF-8 bytes scored."""

    document_id: str
    nats: float
    text_bytes: int
    tokens: int
    missing_bytes: int = 0

    @property
    def bits(self) -> float:
        return self.nats / math.log(2)


def bits_per_byte(scores: Sequence[DocumentScore]) -> float:
    """Σ bits / Σ bytes, lower is better. Raises ValueError without bytes."""
    text_bytes = sum(score.text_bytes for score in scores)
    if not text_bytes:
        raise ValueError("no byte was scored")
    return math.fsum(score.bits for score in scores) / text_bytes


def cut(text: str, max_bytes: int | None) -> str:
    """The first `max_bytes` bytes of the text, cut back to a whole character. Lone surrogates become "?"."""
    raw = text.encode("utf-8", "replace")
    return raw[:max_bytes].decode("utf-8", "ignore")


def columns(scores: Sequence[DocumentScore]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(bits, bytes) by document, both (N,): what the bootstrap takes."""
    return np.array([score.bits for score in scores]), np.array([float(score.text_bytes) for score in scores])
