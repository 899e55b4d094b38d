"""Texts in, surprise out: what a model, with the corpus' memory or without, makes of each line of JSON."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from groundup.stages.json_lines import read_line
from groundup.stages.models import load_decoder

if TYPE_CHECKING:
    from groundup.evaluation.scores import DocumentScore
    from groundup.interop.base import BroughtDecoder

MemoryMode = Literal["off", "auto", "only"]

AT_ONCE = 64  # lines whose windows share passes: enough for whole batches, few enough to see results come
CONTEXT = 2048  # positions at most; half of them are seen before each later one


@dataclass(frozen=True)
class Asked:
    """One line. `id` and `text` as the scorer needs them; `name` as it was sent."""

    id: str
    text: str
    name: str | int


@dataclass(frozen=True)
class Scored:
    """tokens: how many were scored; a first one without a begin token before it is not. bytes: theirs, with bytes that
    the vocabulary lacks, which are charged 8 bits each. nats: the sum of −ln p."""

    id: str | int
    tokens: int
    nats: float
    bytes: int


def score_lines(
    spec: str, root: Path, lines: Iterable[str], memory: MemoryMode = "off", file: str = ""
) -> Iterator[Scored]:
    """A result for each line {"id", "text"}, in order.

    memory: "auto" mixes the corpus' memory in if the verdict says it helps, "only" scores with memory alone.
    file: what lines are of, for errors.
    Raises RequestError naming a line that is none, ReleaseError for a model without a memory, and as `load_decoder`.
    """
    decoder = load_decoder(spec, root)
    score = _scorer(decoder, spec, root, memory)
    tokenizer = decoder.tokenizer
    asked = (_asked(number, line, file) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(itertools.islice(asked, AT_ONCE)):
        for one, found in zip(batch, score(batch), strict=True):
            if tokenizer.separator_id is not None or not found.tokens:
                yield Scored(one.name, found.tokens, found.nats, found.text_bytes)
                continue
            first = int(tokenizer.encode_many([one.text])[0][0])
            nats = found.nats - math.log(tokenizer.vocab_size)  # what its first token was charged
            yield Scored(one.name, found.tokens - 1, nats, found.text_bytes - len(tokenizer.decode_bytes([first])))


def _scorer(
    decoder: BroughtDecoder, spec: str, root: Path, memory: MemoryMode
) -> Callable[[Sequence[Asked]], list[DocumentScore]]:
    from groundup.evaluation.bits import record_documents, score_documents

    model, tokenizer, context = decoder.model, decoder.tokenizer, min(CONTEXT, decoder.context_length)
    newest = None
    if memory != "off":
        from groundup.stages.memory_use import memory_of

        newest = memory_of(spec, root, tokenizer)
    if newest is None or (memory == "auto" and not newest.completes):
        return lambda batch: score_documents(model, tokenizer, batch, context=context)

    from groundup.evaluation.memory_scores import Surveyed, mix

    mixture = newest.mixture()
    gate = mixture.gate
    assert gate is not None

    def with_memory(batch: Sequence[Asked]) -> list[DocumentScore]:
        scores, record = record_documents(model, tokenizer, batch, context=context)
        surveyed = Surveyed.of(mixture.memory, record)
        found = mix(mixture.memory, mixture.backoff, gate, surveyed, scores, tokenizer.token_lengths)
        return found.memory if memory == "only" else found.mixed

    return with_memory


def _asked(number: int, line: str, file: str) -> Asked:
    name, text = read_line(number, line, file)
    return Asked(str(number), text, name)
