"""Texts in, surprise out: what a model makes of each line of JSON."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from groundup.errors import RequestError
from groundup.stages.models import load_decoder

AT_ONCE = 64  # lines whose windows share passes: enough for whole batches, few enough to see results come
CONTEXT = 2048  # positions at most; half of them are seen before each later one


@dataclass(frozen=True)
class Asked:
    """One line. `id` and `text` as the scorer needs them; `name` as it was sent, of any JSON type."""

    id: str
    text: str
    name: object


@dataclass(frozen=True)
class Scored:
    """tokens: how many were scored; a first one without a begin token before it is not. bytes: theirs, with bytes that
    the vocabulary lacks, which are charged 8 bits each. nats: the sum of −ln p."""

    id: object
    tokens: int
    nats: float
    bytes: int


def score_lines(spec: str, root: Path, lines: Iterable[str]) -> Iterator[Scored]:
    """A result for each line {"id", "text"}, in order.

    Raises RequestError naming a line that is none, and as `load_decoder`.
    """
    from groundup.evaluation.bits import score_documents

    decoder = load_decoder(spec, root)
    tokenizer, context = decoder.tokenizer, min(CONTEXT, decoder.context_length)
    asked = (_asked(number, line) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(itertools.islice(asked, AT_ONCE)):
        scores = score_documents(decoder.model, tokenizer, batch, context=context)
        for one, score in zip(batch, scores, strict=True):
            if tokenizer.separator_id is not None or not score.tokens:
                yield Scored(one.name, score.tokens, score.nats, score.text_bytes)
                continue
            first = int(tokenizer.encode_many([one.text])[0][0])
            nats = score.nats - math.log(tokenizer.vocab_size)  # what its first token was charged
            yield Scored(one.name, score.tokens - 1, nats, score.text_bytes - len(tokenizer.decode_bytes([first])))


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _asked(number: int, line: str) -> Asked:
    try:
        value = json.loads(line, parse_constant=_no_number)
        text, name = value["text"], value.get("id", number)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = name = None
    if not isinstance(text, str):
        mend = 'Send lines such as {"id": 1, "text": "…"}.'
        raise RequestError(f"line {number} is no JSON object with a text", mend=mend)
    return Asked(str(number), text, name)
