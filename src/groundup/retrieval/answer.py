"""Answers from what was found: sentences quoted word for word, each with a numbered citation, or a refusal.

Nothing is generated here. A sentence scores by the share of the question's idf that its terms carry, and by its cosine
to the question where an encoder is at hand. The confidence of the whole answer is the best passage's share of the BM25
score it could have, mixed with its cosine; under the policy's threshold the answer is a refusal. The threshold is
fitted by `groundup.evaluation.answers`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from groundup.retrieval.analyzer import Analyzer
from groundup.retrieval.chunk import Chunk
from groundup.retrieval.dense import Encoder
from groundup.retrieval.searcher import Hit, Index

REFUSAL = "The documents do not answer this: nothing in them is close enough to the question."

_SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?。！？]+(?=\s|$)|\n(?!\s*\n)|[.!?。！？]|$)+")
_CODE_KINDS = frozenset({"function", "class", "module", "lines"})
_LONGEST_QUOTE = 400  # characters


@dataclass(frozen=True)
class AnswerPolicy:
    """`threshold`: confidence, 0 to 1, under which an answer is refused; fitted on questions, never set by hand.

    `passages` are read, `sentences` quoted at most; a sentence under `least` of the best one's score is left out.
    `dense_weight`: share of the cosine in a sentence's score, where an encoder is given; `dense_confidence`: in the
    confidence, chosen on 400 questions about Python source (docs/log.md, 2026-11-24).
    """

    threshold: float = 0.42
    passages: int = 5
    sentences: int = 4
    least: float = 0.6
    dense_weight: float = 0.5
    dense_confidence: float = 0.7

    @staticmethod
    def default_threshold(dense: bool) -> float:
        """Where none was fitted: on 400 questions about Python source the best were .48 with an encoder, .35 without;
        a little lower with one, since a person's questions share fewer words with the text than a docstring does."""
        return AnswerPolicy.threshold if dense else 0.35


@dataclass(frozen=True)
class Citation:
    """`number` as it stands in brackets. `place`: "json/decoder.py:299"."""

    number: int
    chunk: Chunk

    @property
    def place(self) -> str:
        return f"{self.chunk.source}:{self.chunk.line}"


@dataclass(frozen=True)
class Quote:
    """`text` is `document.text[start:end]`, word for word. `line`: 1-based, of its beginning."""

    text: str
    citation: int
    score: float
    start: int
    end: int
    line: int


@dataclass(frozen=True)
class Answer:
    """`refused`: the confidence is under the threshold; quotes and citations are then empty, `hits` are not."""

    question: str
    quotes: list[Quote]
    citations: list[Citation]
    confidence: float
    threshold: float
    refused: bool
    hits: list[Hit]

    @property
    def text(self) -> str:
        """The quotes with their citations, or the refusal."""
        if self.refused:
            return REFUSAL
        separator = "\n" if any("\n" in quote.text for quote in self.quotes) else " "
        return separator.join(f"{quote.text} [{quote.citation}]" for quote in self.quotes)


def answer(
    index: Index,
    question: str,
    policy: AnswerPolicy | None = None,
    *,
    system: str = "best",
    encoder: Encoder | None = None,
    exclude: Collection[str] = frozenset(),
) -> Answer:
    """Finds passages and quotes from them. `exclude`: ids of documents to leave out, as in `Index.search`."""
    policy = policy or AnswerPolicy()
    hits, scorer, confidence = _find(index, question, policy, system, encoder, exclude)
    if not hits or confidence < policy.threshold:
        return Answer(question, [], [], confidence, policy.threshold, True, hits)
    quotes, citations = _quote(hits, scorer, policy)
    return Answer(question, quotes, citations, confidence, policy.threshold, False, hits)


def confidence(
    index: Index,
    question: str,
    policy: AnswerPolicy | None = None,
    *,
    system: str = "best",
    encoder: Encoder | None = None,
    exclude: Collection[str] = frozenset(),
) -> tuple[Chunk | None, float]:
    """What `answer` would cite first, and its confidence, without choosing sentences: what an evaluation needs."""
    hits, _, value = _find(index, question, policy or AnswerPolicy(), system, encoder, exclude)
    return (hits[0].chunk if hits else None), value


def _find(
    index: Index,
    question: str,
    policy: AnswerPolicy,
    system: str,
    encoder: Encoder | None,
    exclude: Collection[str],
) -> tuple[list[Hit], _Scorer, float]:
    hits = index.search(question, policy.passages, system, encoder, exclude)
    scorer = _Scorer(index, question, encoder, policy.dense_weight)
    return hits, scorer, _confidence(index, question, policy.dense_confidence, encoder, hits)


def _confidence(index: Index, question: str, dense_share: float, encoder: Encoder | None, hits: Sequence[Hit]) -> float:
    """The first passage's share of its possible BM25 score, mixed with its cosine. 0 without a hit.

    A passage that has no vector yet gets one here: thresholds are fitted where all have one.
    """
    if not hits:
        return 0.0
    row = index.row_of(hits[0].chunk)
    matched = index.bm25_share(question, row)
    if encoder is None:
        return matched
    query = index.query_vector(question, encoder)
    cosine = index.dense(encoder).similarity(row, query)
    if cosine is None:
        cosine = float(encoder.encode([hits[0].chunk.indexed_text], kind="document")[0] @ query)
    return (1 - dense_share) * matched + dense_share * max(cosine, 0.0)


class _Scorer:
    """Scores texts against one question: the weighted share of its terms, and closeness of meaning if it can be had."""

    def __init__(self, index: Index, question: str, encoder: Encoder | None, dense_weight: float) -> None:
        self._analyzer = Analyzer(index.settings.language)
        terms = list(dict.fromkeys(self._analyzer.terms(question)))
        self._weights = dict(zip(terms, index.idf(terms).tolist(), strict=True)) if terms else {}
        self._total = sum(self._weights.values())
        self._encoder, self._dense_weight = encoder, dense_weight
        self._vector = None if encoder is None else index.query_vector(question, encoder)

    def coverage(self, text: str) -> float:
        """Share of the question's idf that `text` holds, 0 to 1."""
        present = set(self._analyzer.terms(text))
        return sum(w for term, w in self._weights.items() if term in present) / self._total if self._total else 0.0

    def scores(self, texts: Sequence[str]) -> list[float]:
        covered = np.array([self.coverage(text) for text in texts])
        if self._encoder is None or self._vector is None or not texts:
            return [float(score) for score in covered]
        cosines = np.maximum(self._encoder.encode(texts, kind="document") @ self._vector, 0)
        return [float(s) for s in (1 - self._dense_weight) * covered + self._dense_weight * cosines]


def _quote(hits: Sequence[Hit], scorer: _Scorer, policy: AnswerPolicy) -> tuple[list[Quote], list[Citation]]:
    """The best sentences, in the order of their passages' ranks. The best passage always gives one, and is [1]."""
    places = [(hit, start, end) for hit in hits for start, end in quotable(hit.chunk)]
    scores = scorer.scores([hit.chunk.text[start:end] for hit, start, end in places])
    best = max(scores, default=0.0)
    order = sorted(range(len(places)), key=lambda i: (-scores[i], i))
    chosen = [i for i in order if scores[i] >= policy.least * best][: policy.sentences]
    leading = [i for i in order if places[i][0].rank == 1]
    if leading and not any(places[i][0].rank == 1 for i in chosen):
        chosen = [*chosen[: policy.sentences - 1], leading[0]]
    quotes, numbers = [], dict[int, Citation]()
    for i in sorted(chosen):
        hit, start, end = places[i]
        citation = numbers.setdefault(hit.rank, Citation(len(numbers) + 1, hit.chunk))
        line = hit.chunk.line + hit.chunk.text.count("\n", 0, start)
        first = hit.chunk.start + start
        text = hit.chunk.text[start:end]
        quotes.append(Quote(text, citation.number, scores[i], first, first + len(text), line))
    return quotes, list(numbers.values())


def quotable(chunk: Chunk) -> list[tuple[int, int]]:
    """Places in `chunk.text` that make sense alone: sentences of prose, rows of tables, paragraphs of code."""
    if chunk.kind in _CODE_KINDS:
        pieces = _paragraphs(chunk.text)
    elif chunk.kind == "table":
        pieces = [(match.start(), match.end()) for match in re.finditer(r"[^\n]+", chunk.text)]
    else:
        pieces = [(match.start(), match.end()) for match in _SENTENCE.finditer(chunk.text)]
    trimmed = []
    for start, end in pieces:
        text = chunk.text[start:end]
        start += len(text) - len(text.lstrip())
        end = min(start + len(text.strip()), start + _LONGEST_QUOTE)
        if any(character.isalnum() for character in chunk.text[start:end]):
            trimmed.append((start, end))
    return trimmed


def _paragraphs(text: str) -> list[tuple[int, int]]:
    pieces, last = [], 0
    for match in re.finditer(r"\n[ \t]*\n", text):
        pieces.append((last, match.start()))
        last = match.end()
    return [*pieces, (last, len(text))]
