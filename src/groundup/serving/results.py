"""What a service gives the routes: plain data, so that the HTTP surface knows no index, no encoder and no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundup.generation.generator import Piece

Kind = Literal["completion", "chat", "embedding"]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One line of /v1/models. A chat model completes too. `serves`: it is the champion of its kind."""

    id: str
    kind: Kind
    context_length: int  # tokens
    created: int = 0  # seconds since 1970
    serves: bool = False
    dimension: int | None = None  # of an encoder's vectors
    license: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """Whether memory has a say in texts of one kind where a request leaves it open; reason: what that follows from."""

    on: bool
    reason: str


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """Of one model. `answers`: in chats, and in answers from passages."""

    completion: Say
    answers: Say


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many chunks have a dense vector, of how many; the rest is found by sparse systems only."""

    embedded: int
    chunks: int
    encoder: str = ""

    @property
    def sentence(self) -> str:
        if not self.encoder:
            return "no encoder: search is sparse only"
        return f"dense covers {self.embedded:,} of {self.chunks:,}"


@dataclass(frozen=True, slots=True)
class Status:
    """What serves, and why. `verdicts`: the evaluation's own sentences."""

    release: str
    champion: str | None  # model that completes by default
    chat_model: str | None  # model that chats by default
    coverage: Coverage
    systems: list[str]  # search systems that can be asked for
    best_system: str
    documents: int = 0
    verdicts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    memory: dict[str, MemoryStatus] = field(default_factory=dict)  # by model; those without a memory aren't there
    traces: bool = False  # whether texts can be traced


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation that is ready to run. Checks are done; `pieces` waits for its turn when first asked."""

    model: str
    prompt_tokens: int
    dropped_tokens: int  # cut off the beginning of the prompt, because the context is full
    pieces: Iterator[Piece]
    token_bytes: Callable[[int], bytes]
    is_end: Callable[[int], bool]
    mixes: bool = False  # memory has a say in it
    missed: str = ""  # why memory has none where it was measured to help and was not switched off


@dataclass(frozen=True, slots=True)
class Embeddings:
    model: str
    vectors: npt.NDArray[np.float32]  # (N, D), unit rows
    tokens: int
    truncated: list[int]  # which inputs were longer than the encoder reads


@dataclass(frozen=True, slots=True)
class MatchedTerm:
    """A term of the query that a passage holds. `score`: what it adds to the passage's BM25 score."""

    term: str
    count: int
    idf: float
    score: float


@dataclass(frozen=True, slots=True)
class Found:
    """One search result. `found_by`: rank in each system that found it.

    Only if explained: `scores`, what every system gives it, whether it ranked it or not; `matched`, the query's terms
    it holds; `unknown`, the query's terms that no passage holds.
    """

    rank: int
    score: float
    id: str
    source: str
    line: int
    title: str
    text: str
    kind: str
    found_by: dict[str, int]
    scores: dict[str, float] = field(default_factory=dict)
    matched: list[MatchedTerm] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage an answer rests on. `number` is what the quotes refer to."""

    number: int
    id: str
    source: str
    line: int
    title: str
    text: str
    kind: str = ""  # of the passage: "function", "section", …


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of the corpus, as it stands there. `start`, `end`: where in the citation's text, in characters."""

    text: str
    citation: int
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Extract:
    """The extractive answer. No quotes: it was refused, and `reason` says why."""

    quotes: list[Quote]
    citations: list[Citation]
    reason: str = ""

    @property
    def refused(self) -> bool:
        return not self.quotes


@dataclass(frozen=True, slots=True)
class Passage:
    """A document's text[start:end]. Offsets and `length`, of the whole document, are in characters (code points).

    line: of the passage's first character, counted from 1.
    """

    document: str
    title: str
    path: str
    start: int
    end: int
    length: int
    line: int
    text: str
