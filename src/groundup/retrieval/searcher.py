"""One version of an index, open for reading: search by any system, explain, embed what is not embedded yet."""

from __future__ import annotations

import os
import time
import weakref
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from groundup.errors import ReleaseError
from groundup.progress import Progress, silent
from groundup.retrieval.analyzer import Analyzer, Ids
from groundup.retrieval.build import IndexSettings
from groundup.retrieval.chunk import Chunk, chunk_id, indexed_text
from groundup.retrieval.columns import KINDS, Columns
from groundup.retrieval.dense import KEY_BYTES, DenseIndex, EmbeddingStore, Encoder, embedding_order
from groundup.retrieval.fusion import DENSE_WEIGHT, convex_fusion, reciprocal_rank_fusion
from groundup.retrieval.sparse import K1, B, Floats, Postings, Ranking

FUSION_DEPTH = 300  # results of each system that enter a fusion, whatever k: scores are scaled over them
_EMBED_BATCH = 64  # chunks between two syncs: a second or two of an encoder's work on two cores

_REMEMBERED_QUERIES = 2_000  # 3 MB of vectors


@dataclass(frozen=True)
class Hit:
    """`rank` from 1. `found_by`: rank of the chunk in each system that was asked and found it."""

    rank: int
    score: float
    chunk: Chunk
    found_by: dict[str, int]


@dataclass(frozen=True)
class TermMatch:
    term: str
    count: int
    idf: float
    score: float  # what it adds to the BM25 score, as often as the query repeats it


@dataclass(frozen=True)
class Explanation:
    """Why a chunk stands where it does. `scores`: what BM25, TF-IDF and the encoder, if any, give it, whoever ranked.

    `unknown`: terms of the query that no chunk holds.
    """

    hit: Hit
    scores: dict[str, float]
    matched: list[TermMatch]
    unknown: list[str]


@dataclass(frozen=True)
class Coverage:
    """`str()` of it is what pages say: "dense covers 1,200 of 5,000"."""

    covered: int
    total: int

    @property
    def whole(self) -> bool:
        return self.covered == self.total

    def __str__(self) -> str:
        return f"dense covers {self.covered:,} of {self.total:,}"


class Index:
    """Read-only and whole: what happens in the store meanwhile does not reach it. Threads may share it.

    `best`: the system that serves, `dense_weight`: the dense share of "hybrid"; both are a verdict's choice.
    Rows are chunk numbers, 0 … chunks − 1.
    """

    def __init__(
        self, columns: Columns, settings: IndexSettings, *, embeddings: Path, digest: str = "", best: str = "bm25"
    ) -> None:
        self.columns, self.settings, self.digest, self.best = columns, settings, digest, best
        self.dense_weight = DENSE_WEIGHT
        self._embeddings = embeddings
        self._analyzer = Analyzer(settings.language)
        self._dense: dict[str, tuple[int, DenseIndex]] = {}
        self._query_vectors: dict[tuple[str, str], Floats] = {}
        self._reader: weakref.finalize[[int], Index] | None = None

    def keep(self, reader: int) -> None:
        """Holds a file descriptor, whose shared lock keeps the version's folder, as long as this index lives."""
        self._reader = weakref.finalize(self, os.close, reader)

    def close(self) -> None:
        """Lets the store remove this version. Maps stay valid until the index itself is gone."""
        if self._reader is not None:
            self._reader()

    @property
    def documents(self) -> int:
        return self.columns.documents

    @property
    def chunks(self) -> int:
        return self.columns.chunks

    def chunk(self, row: int) -> Chunk:
        columns = self.columns
        document = int(np.searchsorted(columns.chunk_indptr, row, "right")) - 1
        start, end, first, last = (int(place) for place in columns.places[row])
        base = int(columns.texts.offsets[document])
        text = columns.texts.data[base + first : base + last].tobytes().decode("utf-8", "surrogatepass")
        document_id = columns.document_ids[document]
        return Chunk(
            id=chunk_id(document_id, start, end),
            document_id=document_id,
            source=columns.sources[document],
            title=columns.titles[row],
            text=text,
            start=start,
            end=end,
            kind=KINDS[int(columns.kinds[row])],
            line=int(columns.lines[row]),
            context=columns.contexts[row],
        )

    def identity(self, row: int) -> tuple[str, str]:
        """Document id and chunk id of a row, without reading its text."""
        document = int(np.searchsorted(self.columns.chunk_indptr, row, "right")) - 1
        document_id = self.columns.document_ids[document]
        start, end = (int(place) for place in self.columns.places[row, :2])
        return document_id, chunk_id(document_id, start, end)

    def document(self, document_id: str) -> tuple[str, str, str] | None:
        """(title, source, text) of a document, None if it is not here. The title is its source's last part."""
        number = self._document_rows.get(document_id)
        if number is None:
            return None
        source = self.columns.sources[number]
        return source.rpartition("/")[2], source, self.columns.texts[number]

    def rows_of(self, document_id: str) -> range:
        """Rows of a document's chunks; empty if it is not in the index."""
        document = self._document_rows.get(document_id)
        if document is None:
            return range(0)
        return range(int(self.columns.chunk_indptr[document]), int(self.columns.chunk_indptr[document + 1]))

    # ------------------------------------------------------------------ search

    def search(
        self,
        query: str,
        k: int = 10,
        system: str = "best",
        encoder: Encoder | None = None,
        exclude: Collection[str] = frozenset(),
    ) -> list[Hit]:
        """The k best chunks. `system`: "best", "bm25", "tfidf", or "dense", "hybrid" (convex fusion of BM25 and dense),
        "rrf" (their reciprocal rank fusion), each with or without ":<encoder>". `exclude`: documents' ids to leave out.

        Raises ReleaseError for a system that does not exist or an encoder that is not the one given.
        """
        hidden = {row for document_id in exclude for row in self.rows_of(document_id)}
        rankings, final = self._rank(query, k + len(hidden), system, encoder)
        places = {
            name: {row: rank for rank, row in enumerate(ranking.rows.tolist(), 1)} for name, ranking in rankings.items()
        }
        pairs = zip(final.rows.tolist(), final.scores.tolist(), strict=True)
        kept = [(row, score) for row, score in pairs if row not in hidden][:k]
        return [
            Hit(rank, score, self.chunk(row), {name: place[row] for name, place in places.items() if row in place})
            for rank, (row, score) in enumerate(kept, 1)
        ]

    def rank(self, query: str, k: int, system: str, encoder: Encoder | None = None) -> Ranking:
        """The same as rows and scores, without making chunks: what evaluations use."""
        return self._rank(query, k, system, encoder)[1]

    def resolve(self, system: str, encoder: Encoder | None = None) -> str:
        """ "best" and short names as the full name of what will run.

        While not every chunk is embedded, "best" runs the fusion where the verdict says dense: dense alone would never
        find the rest. Without an encoder it runs BM25.
        """
        if system == "best":
            system = self.best
            if system.startswith(("dense", "hybrid", "rrf")):
                if encoder is None or not self.dense(encoder).covered:
                    return "bm25"
                if system.startswith("dense") and self.dense(encoder).covered < self.chunks:
                    system = "hybrid"
        kind, _, name = system.partition(":")
        if kind in ("bm25", "tfidf") and not name:
            return kind
        if kind not in ("dense", "hybrid", "rrf"):
            raise ReleaseError(
                f"there is no search system {system!r}",
                mend="Take best, bm25, tfidf, dense, hybrid or rrf.",
                place="search",
            )
        if encoder is None or name not in ("", encoder.name):
            wanted = f"encoder {name}" if name else "an encoder"
            raise ReleaseError(
                f"{system} needs {wanted}, and it is not here",
                mend="Make a release with --encoder, or search with bm25.",
                place="search",
            )
        return f"{kind}:{encoder.name}"

    def _rank(self, query: str, k: int, system: str, encoder: Encoder | None) -> tuple[dict[str, Ranking], Ranking]:
        name = self.resolve(system, encoder)
        if name in ("bm25", "tfidf"):
            terms = self._query_terms(query)
            postings = self._postings
            ranking = postings.bm25(terms, k) if name == "bm25" else postings.tfidf(terms, k)
            return {name: ranking}, ranking
        assert encoder is not None
        vector = self.query_vector(query, encoder)
        dense_name = f"dense:{encoder.name}"
        if name == dense_name:
            ranking = self.dense(encoder).search(vector, k)
            return {name: ranking}, ranking
        depth = max(k, FUSION_DEPTH)
        rankings = {
            "bm25": self._postings.bm25(self._query_terms(query), depth),
            dense_name: self.dense(encoder).search(vector, depth),
        }
        # A chunk without a vector can't be found by the dense side, and the best of the few that have one is no good
        # hit for that. So the dense share grows with coverage: 2 % of the chunks embedded move no ranking.
        covered = self.coverage(encoder)
        share = covered.covered / max(1, covered.total)
        if name.startswith("rrf"):
            return rankings, reciprocal_rank_fusion(rankings, k, weights={dense_name: share})
        dense_weight = self.dense_weight * share
        weights = [1 - dense_weight, dense_weight]
        return rankings, convex_fusion([rankings["bm25"], rankings[dense_name]], weights, k)

    def explain(
        self,
        query: str,
        k: int = 10,
        system: str = "best",
        encoder: Encoder | None = None,
        exclude: Collection[str] = frozenset(),
    ) -> list[Explanation]:
        """`search` with what each system gave each hit, and the query's terms it holds."""
        repeats = Counter(self._analyzer.terms(query))
        terms = list(repeats)
        numbers = {term: self.columns.vocabulary.find_sorted(term) for term in terms}
        unknown = [term for term in terms if numbers[term] < 0]
        vector = None if encoder is None else self.query_vector(query, encoder)
        explanations = []
        for hit in self.search(query, k, system, encoder, exclude):
            row = self.row_of(hit.chunk)
            matched = [match for term in terms if (match := self._match(term, numbers[term], row, repeats[term]))]
            scores = {"bm25": sum(match.score for match in matched), "tfidf": self._cosine(repeats, numbers, row)}
            if encoder is not None and vector is not None:
                similarity = self.dense(encoder).similarity(row, vector)
                if similarity is not None:
                    scores[f"dense:{encoder.name}"] = similarity
            explanations.append(Explanation(hit, scores, matched, unknown))
        return explanations

    def row_of(self, chunk: Chunk) -> int:
        """The row of a chunk of this index."""
        rows = self.rows_of(chunk.document_id)
        starts = self.columns.places[rows.start : rows.stop, 0]
        return rows.start + int(np.searchsorted(starts, chunk.start))

    def idf(self, terms: Sequence[str]) -> Floats:
        """BM25's idf of each term; one that no chunk holds gets the largest there is (df 0)."""
        found = [self.columns.vocabulary.find_sorted(term) for term in terms]
        postings = self._postings
        known = postings.bm25_idf([max(number, 0) for number in found]) if self.columns.chunks else np.zeros(len(found))
        rarest = np.log1p((postings.passages + 0.5) / 0.5)
        return np.where(np.array(found) >= 0, known, rarest).astype(np.float32)

    def bm25_share(self, query: str, row: int) -> float:
        """The row's BM25 score as a share of what no chunk can reach, each term of the query saturated: 0 to 1."""
        repeats = Counter(self._analyzer.terms(query))
        most = sum(float(idf) * count for idf, count in zip(self.idf([*repeats]), repeats.values(), strict=True))
        find = self.columns.vocabulary.find_sorted
        matches = (self._match(term, find(term), row, count) for term, count in repeats.items())
        return sum(match.score for match in matches if match) / most if most else 0.0

    def _match(self, term: str, number: int, row: int, repeats: int) -> TermMatch | None:
        low, high = self.columns.terms_indptr[row], self.columns.terms_indptr[row + 1]
        at = low + int(np.searchsorted(self.columns.terms[low:high], number))
        if number < 0 or at >= high or self.columns.terms[at] != number:
            return None
        postings = self._postings
        count, idf = int(self.columns.counts[at]), float(postings.bm25_idf([number])[0])
        norm = K1 * (1 - B + B * float(postings.lengths[row]) / postings.mean_length)
        return TermMatch(term, count, idf, repeats * idf * count / (count + norm))

    def _cosine(self, repeats: Mapping[str, int], numbers: Mapping[str, int], row: int) -> float:
        """What `Postings.tfidf` gives one row, from its own terms: no pass over the postings."""
        low, high = self.columns.terms_indptr[row], self.columns.terms_indptr[row + 1]
        terms = self.columns.terms[low:high]
        held = self.columns.counts[low:high] * self._postings.tfidf_idf(terms)
        asked = {numbers[term]: count for term, count in repeats.items() if numbers[term] >= 0}
        known = np.array(list(asked), np.int64)
        wanted = np.array(list(asked.values())) * self._postings.tfidf_idf(known)
        weights: dict[int, float] = dict(zip(known.tolist(), wanted.tolist(), strict=True))
        product = sum(float(value) * weights.get(int(term), 0.0) for term, value in zip(terms, held, strict=True))
        length = float(np.linalg.norm(held)) * float(np.linalg.norm(wanted))
        return product / (length or 1.0)

    def _query_terms(self, query: str) -> list[int]:
        return [self.columns.vocabulary.find_sorted(term) for term in self._analyzer.terms(query)]

    # ------------------------------------------------------------------ dense

    def dense(self, encoder: Encoder) -> DenseIndex:
        """The view over what is embedded by now; made anew when more has been."""
        store = self._store(encoder)
        rows = store.rows
        cached = self._dense.get(encoder.digest)
        if cached is None or cached[0] != rows:
            cached = self._dense[encoder.digest] = (rows, DenseIndex(store, self.columns.keys))
        return cached[1]

    def query_vector(self, query: str, encoder: Encoder) -> Floats:
        """(dim,) of a question; recent ones are remembered, since one request needs its vector in several places."""
        key = (encoder.digest, query)
        vector = self._query_vectors.get(key)
        if vector is None:
            vector = np.asarray(encoder.encode([query], kind="query")[0], np.float32)
            if len(self._query_vectors) >= _REMEMBERED_QUERIES:
                self._query_vectors.clear()
            self._query_vectors[key] = vector
        return vector

    def coverage(self, encoder: Encoder) -> Coverage:
        view = self.dense(encoder)
        return Coverage(view.covered, view.total)

    def embed_missing(
        self,
        encoder: Encoder,
        limit: int | None = None,
        deadline: float | None = None,
        progress: Progress = silent,
    ) -> int:
        """Embeds chunks that have no vector yet, breadth first over the documents, and says how many it did.

        Stops after `limit` chunks or when `time.monotonic()` passes `deadline`, whichever comes first; what is done is
        on the disk every 64 chunks. Another process may do the same at the same time: the worst is double work.
        """
        rows = self._missing(encoder)[:limit]
        store = self._store(encoder)
        done, begun = 0, time.monotonic()
        for start in range(0, len(rows), _EMBED_BATCH):
            if deadline is not None and time.monotonic() >= deadline:
                break
            batch = rows[start : start + _EMBED_BATCH]
            texts = [self._indexed_text(row) for row in batch]
            keys = self.columns.keys[batch].tobytes()
            vectors = encoder.encode(texts, kind="document")
            store.append([keys[i : i + KEY_BYTES] for i in range(0, len(keys), KEY_BYTES)], vectors)
            done += len(batch)
            due = len(rows)
            if deadline is not None:  # what this rate embeds until then, or the time left would be that of all chunks
                passed = time.monotonic() - begun
                due = min(due, max(done, round(done * (deadline - begun) / max(passed, 1e-9))))
            progress(f"embed {encoder.name}", done, due)
        return done

    def _missing(self, encoder: Encoder) -> list[int]:
        view = self.dense(encoder)
        rows: list[int] = []
        seen: set[bytes] = set()
        for row in embedding_order(self._document_of_chunk).tolist():
            if view.vector_row[row] < 0:
                key = bytes(self.columns.keys[row])
                if key not in seen:
                    seen.add(key)
                    rows.append(row)
        return rows

    def _indexed_text(self, row: int) -> str:
        chunk = self.chunk(row)
        return indexed_text(chunk.title, chunk.context, chunk.text)

    def _store(self, encoder: Encoder) -> EmbeddingStore:
        return EmbeddingStore(self._embeddings / encoder.digest[:32], encoder.dim)

    @cached_property
    def _postings(self) -> Postings:
        return self.columns.postings

    @cached_property
    def _document_rows(self) -> dict[str, int]:
        return {document_id: row for row, document_id in enumerate(self.columns.document_ids)}

    @cached_property
    def _document_of_chunk(self) -> Ids:
        return np.repeat(np.arange(self.documents, dtype=np.int32), np.diff(self.columns.chunk_indptr))
