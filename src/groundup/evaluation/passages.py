"""The way to use a corpus that most take: passages found for a text, laid before it in the model's context.

What is measured of a document is a window of its own tokens. Passages are found by what stands before the window, never
by the window itself, once: finding again after every few tokens would mean reading everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from groundup.evaluation.scores import Progress
from groundup.evaluation.token_record import TokenRecord
from groundup.evaluation.verdict import ENOUGH_TO_TELL

TARGET_TOKENS = 256  # of a document that are measured, at most: the last half of it
PASSAGE_TOKENS = 400  # laid before a text, at most: about what `ask` gives a model
MAX_PASSAGES = 8
QUERY_CHARACTERS = 600  # of the text before the window, its end: about a hundred words
ROWS = 64  # of logits alive at a time: 64 MB each where a vocabulary has 256,000 tokens

Int64 = NDArray[np.int64]


class Passage(Protocol):
    """What is found, as far as a prompt shows it; `retrieval.chunk.Chunk` is one."""

    @property
    def source(self) -> str: ...
    @property
    def text(self) -> str: ...


class Speaks(Protocol):
    """A tokenizer, as far as prompts need it; `tokens.Tokenizer` is one."""

    separator_id: int | None

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class Window:
    """Tokens start to stop − 1 of a document are measured; those before are its earlier text."""

    document: int
    start: int
    stop: int


def windows(record: TokenRecord, context: int, budget: int) -> list[Window]:
    """One window each of the first documents of which two tokens or more, with passages before them, fit the context.

    budget: tokens that reading passages and documents may come to; a few documents are taken whatever they come to.
    """
    found: list[Window] = []
    spent = 0
    for index, tokens in enumerate(np.diff(record.offsets).tolist()):
        size = 1 + PASSAGE_TOKENS + tokens  # with a separator
        if tokens < 2 or size > context:
            continue
        spent += size
        if spent > budget and len(found) >= ENOUGH_TO_TELL:
            break
        found.append(Window(index, max(tokens // 2, tokens - TARGET_TOKENS), tokens))
    return found


def of_windows(record: TokenRecord, chosen: Sequence[Window]) -> TokenRecord:
    """What a record says of the windows' tokens alone, one window a document."""
    parts = [record.offsets[one.document] + np.arange(one.start, one.stop) for one in chosen]
    places = np.concatenate([np.zeros(0, np.int64), *parts])
    offsets = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    names = ("tokens", "logp", "entropy", "best", "best_logp")
    return TokenRecord(offsets, *(getattr(record, name)[places] for name in names))


def query(tokenizer: Speaks, ids: Int64, window: Window) -> str:
    """The end of the text before the window. ids: (n,) of the document."""
    return tokenizer.decode(ids[: window.start].tolist())[-QUERY_CHARACTERS:]


def lay_out(found: Sequence[Passage]) -> str:
    """As `ask` lays passages before a question that a model only continues: "[1] source:", its text, a blank line."""
    return "".join(f"[{number}] {one.source}:\n{one.text}\n\n" for number, one in enumerate(found, 1))


def fitting(tokenizer: Speaks, found: Sequence[Passage], room: int = PASSAGE_TOKENS) -> Int64:
    """Ids of as many passages, best first, as `room` tokens hold whole; of the first one as much as they hold."""
    ids: list[int] = []
    for count in range(1, len(found) + 1):
        longer = tokenizer.encode(lay_out(found[:count]))
        if len(longer) > room:
            ids = ids or longer[:room]
            break
        ids = longer
    return np.array(ids, np.int64)


def with_passages(
    model: Any,
    tokenizer: Speaks,
    record: TokenRecord,
    chosen: Sequence[Window],
    find: Callable[[str], Sequence[Passage]],
    progress: Progress | None = None,
) -> tuple[TokenRecord, list[int]]:
    """What the model says before the windows' tokens once it has read passages; and how many tokens of passages.

    model: as in `bits.score_documents`. record: of the documents without passages. Its tokens are read, not their text,
    so that both are measured on the same ones. find: passages for a query, the best first.
    """
    prompts, sizes = [], []
    for one in chosen:
        ids = record.tokens[record.document(one.document)]
        passages = fitting(tokenizer, find(query(tokenizer, ids, one))[:MAX_PASSAGES])
        separator = [] if tokenizer.separator_id is None else [tokenizer.separator_id]
        prompts.append(np.concatenate([np.array(separator, np.int64), passages, ids[: one.stop]]))
        sizes.append(len(passages))
    return _read(model, of_windows(record, chosen), prompts, progress), sizes


def _read(model: Any, target: TokenRecord, prompts: Sequence[Int64], progress: Progress | None) -> TokenRecord:
    """As `target`, by what the model says at the end of each prompt, which the target's tokens are."""
    names = ("logp", "entropy", "best", "best_logp")
    said = TokenRecord(target.offsets, target.tokens, *(np.empty_like(getattr(target, name)) for name in names))
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for index, prompt in enumerate(prompts):
                at = target.document(index)
                hidden = model(torch.from_numpy(prompt[None, :-1]).to(device))[0, at.start - at.stop :]
                for begin, logp in _log_softmax(model, hidden):
                    rows = slice(at.start + begin, at.start + begin + len(logp))
                    best = logp.topk(said.best.shape[1])
                    tokens = torch.from_numpy(target.tokens[rows]).to(device)
                    said.logp[rows] = logp.gather(1, tokens[:, None])[:, 0].double().cpu().numpy()
                    said.entropy[rows] = -(logp.exp() * logp).sum(-1).double().cpu().numpy()
                    said.best[rows] = best.indices.cpu().numpy()
                    said.best_logp[rows] = best.values.double().cpu().numpy()
                if progress:
                    progress("read with passages", index + 1, len(prompts))
    finally:
        model.train(was_training)
    return said


def _log_softmax(model: Any, hidden: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    for begin in range(0, len(hidden), ROWS):
        yield begin, F.log_softmax(model.logits(hidden[begin : begin + ROWS]).float(), -1)
