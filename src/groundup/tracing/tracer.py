"""From a text to the documents its words stand in: every run of whole words that the corpus has verbatim.

The text is encoded as a whole, and BPE encodes most words alike wherever they stand. Not so a run's first word, which
has a space before it in one place and a bracket, a quote or nothing in the other: each run is tried with both forms of
its first token. What is still lost are words at a run's edge whose two forms are split differently, and signs at its
edges that are grouped with others. The test against plain search over bytes says how much that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.infinigram.memory import Memory
from groundup.infinigram.span_filters import apart, at_least, covered_by, cut, not_contained, rarest, shrink
from groundup.infinigram.spans import COPIED_TOKENS, counts, maximal_runs
from groundup.tokens.tokenizer import Tokenizer
from groundup.tracing.text_tokens import TextTokens

Int64 = npt.NDArray[np.int64]

LEAST = 8  # tokens of a span that is shown; of 160 maximal ones in 500 tokens of Python four in five are shorter
COPIED = COPIED_TOKENS  # also in the figures that tell near from far documents
# OLMoTrace keeps 5 % of the text's length. An answer of 100 tokens would keep 5 spans then; ours keeps at least 10,
# since spans that mostly repeat a longer one were dropped before, and a corpus a hundred-thousandth of the size of
# theirs repeats long runs far less by chance.
KEPT_SHARE = 0.05
KEPT_AT_LEAST = 10
SOURCES = 10  # documents named for each span, as OLMoTrace does
PLACES = 4 * SOURCES  # looked at for them

Place = tuple[str, int]  # a document's id, and how many of its tokens, with the separator, come before the span

# A document's (title, source path, text) by its id; None if it is no longer there.
Library = Callable[[str], tuple[str, str, str] | None]


@dataclass(frozen=True)
class Source:
    """document: its id. start: where the span begins in the document's text, in characters."""

    document: str
    title: str
    path: str
    start: int


@dataclass(frozen=True)
class TracedSpan:
    """text[start:end], in characters, begins and ends with whole words. tokens: how many it has.

    count: how often the memory has these tokens, with and without a space before them. places: some documents that
    hold it, none twice. sources: those of them whose text was found to have the span, in the same order.
    """

    start: int
    end: int
    tokens: int
    count: int
    places: tuple[Place, ...] = ()
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Traced:
    """spans: in the order of their beginnings; neighbours may overlap, none lies within another.

    copied: the share of the text's bytes within runs of at least `COPIED` tokens that the memory has, sentence ends
    or not, shown or not; 0 for an empty text.
    """

    text: str
    spans: tuple[TracedSpan, ...]
    copied: float

    @property
    def new(self) -> float:
        return 1.0 - self.copied

    def spans_as_data(self) -> list[dict[str, Any]]:
        """{"start", "end", "tokens", "count", "sources": [{"document", "title", "path", "start"}]} for each span.

        Offsets are in characters: of the text, and of the source document's text.
        """
        return [
            {
                "start": span.start,
                "end": span.end,
                "tokens": span.tokens,
                "count": span.count,
                "sources": [asdict(source) for source in span.sources],
            }
            for span in self.spans
        ]


@dataclass(frozen=True)
class Tracer:
    """memory: made with `tokenizer`. library: the documents' texts; without it spans have places but no sources."""

    memory: Memory
    tokenizer: Tokenizer
    library: Library | None = field(default=None, repr=False)

    def trace(self, text: str, *, prose: bool | None = None) -> Traced:
        """The text's spans with their sources: `find`, then a look into each document named.

        prose: whether sentence ends divide the text's spans; None: if it looks like prose.
        Raises ValueError for a tokenizer that isn't the memory's.
        """
        found = self.find(text, prose=prose)
        library = self.library
        if library is None:
            return found
        seen: dict[str, tuple[str, str, str] | None] = {}
        spans = []
        for span in found.spans:
            sources = []
            for place in span.places:
                name = place[0]
                if name not in seen:
                    seen[name] = library(name)
                document = seen[name]
                if document is None:
                    continue
                title, path, whole = document
                start = self._locate(place, text[span.start : span.end], whole)
                if start >= 0:
                    sources.append(Source(name, title, path, start))
            spans.append(TracedSpan(span.start, span.end, span.tokens, span.count, span.places, tuple(sources)))
        return Traced(found.text, tuple(spans), found.copied)

    def find(self, text: str, *, prose: bool | None = None) -> Traced:
        """The text's spans with the ids of documents that hold them; no document is read."""
        tokens = TextTokens.of(self.tokenizer, text)
        ids, edges = tokens.ids, tokens.word_edges
        runs = self.runs(ids, LEAST - 1)  # whose other first token may make them LEAST
        words = shrink(runs, edges, edges)
        copied = _covered_bytes(at_least(words, COPIED), tokens)
        blank = self._blank[ids]
        may_begin, may_end = edges & ~np.append(blank, False), edges & ~np.append(False, blank)
        parts = cut(runs, tokens.sentence_borders(prose))
        parts = apart(at_least(not_contained(shrink(parts, may_begin, may_end)), LEAST))
        most = max(KEPT_AT_LEAST, math.ceil(KEPT_SHARE * len(ids)))
        kept = rarest(parts, ids, self.memory.unigrams, most)
        exact = counts(self.memory, ids, kept)
        other = counts(self.memory, ids, kept, self._other[ids[kept[:, 0]]])
        spans = []
        for (start, end), as_is, with_other in zip(kept.tolist(), exact.tolist(), other.tolist(), strict=True):
            first, stop = int(tokens.characters_at[start]), int(tokens.characters_at[end])
            shown = text[first:stop]
            begin = first + len(shown) - len(shown.lstrip())
            stop -= len(shown) - len(shown.rstrip())
            where = self._places(ids[start:end], as_is, with_other)
            spans.append(TracedSpan(begin, stop, end - start, as_is + with_other, where))
        return Traced(text, tuple(spans), copied / max(1, int(tokens.bytes_at[-1])))

    def runs(self, ids: Int64, least: int) -> Int64:
        """(S, 2) maximal runs of at least `least` tokens, each from one token earlier on where the other form of that
        token stands before it."""
        runs = maximal_runs(self.memory, ids, least)
        inner = runs[:, 0] > 0
        earlier: Int64 = runs[inner] - np.array([1, 0])
        runs[inner, 0] -= counts(self.memory, ids, earlier, self._other[ids[earlier[:, 0]]]) > 0
        return runs

    def _places(self, run: Int64, as_is: int, with_other: int) -> tuple[Place, ...]:
        """One place in each of up to `SOURCES` documents. A memory names places, and a document may have many."""
        found: dict[str, Place] = {}
        for first, count in ((run[0], as_is), (self._other[run[0]], with_other)):
            if count and len(found) < SOURCES:
                query = np.append(first, run[1:])
                for place in self.memory.places(query, len(query), len(query), PLACES):
                    found.setdefault(place[0], place)
        return tuple(found.values())[:SOURCES]

    def _locate(self, place: Place, shown: str, whole: str) -> int:
        """Where the document's text has what is shown, by plain search from where the tokens say; −1 if nowhere."""
        name, offset = place
        for segment, numbers in zip((self.memory.added, self.memory.base), self._numbers, strict=True):
            if (number := numbers.get(name)) is None:
                continue
            begin = int(segment.offsets[number])
            before = int(self.tokenizer.token_lengths[segment.tokens[begin + 1 : begin + offset]].sum())
            start = len(whole.encode("utf-8", "replace")[:before].decode("utf-8", "ignore"))
            # The run's first token may begin with a space that isn't shown.
            at = whole.find(shown, start, start + len(shown) + 8)
            if at >= 0:
                return at
        return whole.find(shown)

    @cached_property
    def _numbers(self) -> tuple[dict[str, int], dict[str, int]]:
        added, base = self.memory.added, self.memory.base
        return {name: i for i, name in enumerate(added.names)}, {name: i for i, name in enumerate(base.names)}

    @cached_property
    def _blank(self) -> npt.NDArray[np.bool_]:
        """(V,) tokens that are nothing but white space."""
        return np.array([not token.strip() for token in self.tokenizer.token_bytes])

    @cached_property
    def _other(self) -> Int64:
        """(V,) the token that differs from each by the space before it; −1 where there is none."""
        number = {token: i for i, token in enumerate(self.tokenizer.token_bytes) if token.strip()}
        others = (token[1:] if token.startswith(b" ") else b" " + token for token in self.tokenizer.token_bytes)
        return np.array([number.get(other, -1) for other in others], np.int64)


def _covered_bytes(runs: Int64, tokens: TextTokens) -> int:
    inside = covered_by(runs, len(tokens.ids))
    return int(np.diff(tokens.bytes_at)[inside].sum())
