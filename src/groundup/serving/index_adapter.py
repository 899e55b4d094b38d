"""The retrieval index behind the face that serving needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from groundup.errors import ReleaseError, RequestError
from groundup.monitoring.drift import QueryCounts, count_query
from groundup.retrieval.analyzer import Analyzer
from groundup.retrieval.answer import REFUSAL, AnswerPolicy
from groundup.retrieval.answer import answer as answer_question
from groundup.retrieval.dense import Encoder
from groundup.retrieval.searcher import Hit, Index
from groundup.serving.results import Citation, Coverage, Extract, Found, MatchedTerm, Quote


class ServedIndex:
    """Search and answers over the version of the index that is current.

    current: gives the open index; the caller may return a newer one after files changed. encoder: for dense and hybrid
    systems, or None. policy: when to refuse, as fitted by the evaluation.
    """

    def __init__(
        self, current: Callable[[], Index], encoder: Encoder | None = None, policy: AnswerPolicy | None = None
    ) -> None:
        self._current, self._encoder, self._policy = current, encoder, policy or AnswerPolicy()

    @property
    def systems(self) -> Sequence[str]:
        return ("best", "bm25", "tfidf", *(("dense", "hybrid", "rrf") if self._encoder is not None else ()))

    @property
    def best_system(self) -> str:
        """What "best" runs now: it changes while chunks are still being embedded."""
        return self._current().resolve("best", self._encoder)

    def search(self, query: str, k: int, system: str, *, explain: bool = False) -> list[Found]:
        index = self._current()
        try:
            if not explain:
                return [_found(hit) for hit in index.search(query, k, system, self._encoder)]
            explained = index.explain(query, k, system, self._encoder)
        except ReleaseError as error:
            raise RequestError(error.wrong, mend=error.mend, param="system") from None
        return [
            replace(
                _found(each.hit),
                scores=each.scores,
                matched=[MatchedTerm(term.term, term.count, term.idf, term.score) for term in each.matched],
                unknown=each.unknown,
            )
            for each in explained
        ]

    def answer(self, question: str, k: int) -> Extract:
        """k: passages read."""
        policy = self._policy
        policy = replace(policy, passages=k)
        found = answer_question(self._current(), question, policy, encoder=self._encoder)
        if found.refused:
            return Extract([], [], REFUSAL)
        citations = [
            Citation(number, chunk.id, chunk.source, chunk.line, chunk.title, chunk.text, chunk.kind)
            for number, chunk in ((each.number, each.chunk) for each in found.citations)
        ]
        start_of = {each.number: each.chunk.start for each in found.citations}
        quotes = [
            # Offsets are in the document; the page marks them in the passage.
            Quote(each.text, each.citation, each.score, *_within(each.start, each.end, start_of[each.citation]))
            for each in found.quotes
        ]
        return Extract(quotes, citations)

    def count(self, query: str, found: Sequence[Found] = ()) -> QueryCounts:
        """What the request log keeps of a query: how common its terms are here, and how near the nearest passage is.

        found: explained results of its search, if there are any; else the nearest passage is looked up (one encoding,
        or none if the search needed it: the index remembers).
        """
        index = self._current()
        vocabulary, starts = index.columns.vocabulary, index.columns.postings_indptr

        def frequency(term: str) -> int:
            number = vocabulary.find_sorted(term)
            return int(starts[number + 1] - starts[number]) if number >= 0 else 0

        terms = Analyzer(index.settings.language).terms(query)
        return count_query(terms, frequency, index.chunks, self._nearest(index, query, found))

    def _nearest(self, index: Index, query: str, found: Sequence[Found]) -> float | None:
        if self._encoder is None:
            return None
        name = f"dense:{self._encoder.name}"
        cosines = [each.scores[name] for each in found if name in each.found_by and name in each.scores]
        if cosines:
            return max(cosines)
        ranking = index.rank(query, 1, name, self._encoder)
        return float(ranking.scores[0]) if len(ranking) else None

    def coverage(self) -> Coverage:
        index = self._current()
        if self._encoder is None:
            return Coverage(0, index.chunks)
        covered = index.coverage(self._encoder)
        return Coverage(covered.covered, covered.total, self._encoder.name)

    def documents(self) -> int:
        return self._current().documents

    def document(self, name: str) -> tuple[str, str, str] | None:
        return self._current().document(name)


def _found(hit: Hit) -> Found:
    chunk = hit.chunk
    return Found(
        hit.rank, hit.score, chunk.id, chunk.source, chunk.line, chunk.title, chunk.text, chunk.kind, hit.found_by
    )


def _within(start: int, end: int, origin: int) -> tuple[int, int]:
    return start - origin, end - origin
