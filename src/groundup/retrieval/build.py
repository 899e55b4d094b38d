"""Documents into an index version's columns; what the previous version knows of a document is taken from there.

The result depends on the documents alone, not on which of them were known before: documents are ordered by source and
id, terms by code points, and both sides of the postings are made by counting sorts over those orders.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from groundup.corpus.grouping import by_text_size
from groundup.progress import Progress, silent
from groundup.retrieval.analyzer import Analyzer, Ids, count_terms
from groundup.retrieval.chunk import CHUNK_LIMIT, CHUNKER_VERSION, content_key, indexed_text, line_starts, spans_of
from groundup.retrieval.columns import KINDS, Columns
from groundup.retrieval.dense import KEY_BYTES, Keys
from groundup.retrieval.sparse import transpose
from groundup.retrieval.strings import Strings

if TYPE_CHECKING:
    from groundup.corpus.document import Document

_BATCH_CHARACTERS = 4_000_000  # documents read together: enough to make a process' start and transfers small beside it


@dataclass(frozen=True)
class IndexSettings:
    """`chunk_limit`: characters. `language`: a Snowball stemmer's name or ""."""

    chunk_limit: int = CHUNK_LIMIT
    language: str = "english"

    @property
    def digest(self) -> str:
        parts = f"{CHUNKER_VERSION}:{self.chunk_limit}:{Analyzer(self.language).digest}"
        return hashlib.sha256(parts.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Batch:
    """Some documents, chunked and counted. Rows as in Columns; `terms` number this batch's own `vocabulary`."""

    chunk_indptr: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    lines: Ids
    kinds: npt.NDArray[np.uint8]
    titles: Sequence[str]
    contexts: Sequence[str]
    keys: Keys
    vocabulary: Sequence[str]
    terms_indptr: npt.NDArray[np.int64]
    terms: Ids
    counts: npt.NDArray[np.integer]
    lengths: Ids


def fingerprint(document: Document) -> str:
    """What of a document decides its chunks and their identity."""
    parts = (document.id, document.source, document.kind, document.language, document.title)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def canonical(documents: Iterable[Document]) -> list[Document]:
    """By source and id, each id once."""
    return sorted({document.id: document for document in documents}.values(), key=lambda d: (d.source, d.id))


def read_batch(documents: Sequence[Document], settings: IndexSettings) -> Batch:
    """Chunks and counts `documents`. Pure; runs in worker processes."""
    indptr, places, lines, kinds = [0], [], [], []
    titles: list[str] = []
    contexts: list[str] = []
    texts: list[str] = []
    for document in documents:
        text = document.text
        starts = line_starts(text)
        at, byte = 0, 0
        for span in spans_of(document, settings.chunk_limit):
            byte += _utf8_bytes(text, at, span.start)
            size = _utf8_bytes(text, span.start, span.end)
            places.append((span.start, span.end, byte, byte + size))
            at, byte = span.end, byte + size
            lines.append(bisect_right(starts, span.start))
            kinds.append(KINDS.index(span.kind))
            titles.append(span.title)
            contexts.append(span.context)
            texts.append(indexed_text(span.title, span.context, text[span.start : span.end]))
        indptr.append(len(lines))
    counted = count_terms(texts, Analyzer(settings.language))
    return Batch(
        chunk_indptr=np.array(indptr, np.int64),
        places=np.array(places, np.int64).reshape(-1, 4),
        lines=np.array(lines, np.int32),
        kinds=np.array(kinds, np.uint8),
        titles=titles,
        contexts=contexts,
        keys=np.frombuffer(b"".join(map(content_key, texts)), f"S{KEY_BYTES}"),
        vocabulary=counted.vocabulary,
        terms_indptr=counted.indptr,
        terms=counted.terms,
        counts=np.minimum(counted.counts, np.iinfo(np.uint16).max).astype(np.uint16),
        lengths=counted.lengths,
    )


def build(
    documents: Sequence[Document],
    settings: IndexSettings,
    previous: Columns | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Columns:
    """Columns of `documents` (canonical order). `previous` must come from the same settings."""
    known = {} if previous is None else {previous.fingerprints[i]: i for i in range(previous.documents)}
    prints = [fingerprint(document) for document in documents]
    new = [document for document, mark in zip(documents, prints, strict=True) if mark not in known]
    batches: list[Batch] = [] if previous is None else [_as_batch(previous)]
    places: dict[str, tuple[int, int]] = {mark: (0, row) for mark, row in known.items()}
    done = 0
    for members, batch in _read(new, settings, workers):
        places.update((fingerprint(document), (len(batches), row)) for row, document in enumerate(members))
        batches.append(batch)
        done += len(members)
        progress("index", done, len(new))
    return _assemble(documents, prints, batches, [places[mark] for mark in prints])


def _read(
    documents: Sequence[Document], settings: IndexSettings, workers: int
) -> Iterator[tuple[Sequence[Document], Batch]]:
    groups = list(by_text_size(documents, _BATCH_CHARACTERS))
    if workers <= 1 or len(groups) <= 1:
        yield from ((group, read_batch(group, settings)) for group in groups)
        return
    # spawn: a fork of a process that has run numba's or torch's threads may deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(groups)), mp_context=context) as pool:
        futures = [pool.submit(read_batch, group, settings) for group in groups]
        yield from ((group, future.result()) for group, future in zip(groups, futures, strict=True))


def _as_batch(columns: Columns) -> Batch:
    return Batch(
        columns.chunk_indptr,
        columns.places,
        columns.lines,
        columns.kinds,
        columns.titles,
        columns.contexts,
        columns.keys,
        columns.vocabulary,
        columns.terms_indptr,
        columns.terms,
        columns.counts,
        columns.lengths,
    )


def _assemble(
    documents: Sequence[Document], prints: list[str], batches: Sequence[Batch], where: Sequence[tuple[int, int]]
) -> Columns:
    """Joins the documents' rows in order and numbers their terms anew."""
    chunk_rows = [(b, int(batches[b].chunk_indptr[row]), int(batches[b].chunk_indptr[row + 1])) for b, row in where]
    vocabulary, numbers = _join_vocabularies(batches, chunk_rows)

    def joined(pick: Callable[[Batch], npt.NDArray[np.generic]], like: npt.DTypeLike) -> npt.NDArray[np.generic]:
        parts = [pick(batches[b])[start:end] for b, start, end in chunk_rows]
        return np.concatenate(parts) if parts else np.empty(0, like)

    def joined_strings(pick: Callable[[Batch], Sequence[str]]) -> Strings:
        return Strings.of(value for b, start, end in chunk_rows for value in _slice(pick(batches[b]), start, end))

    terms, counts, sizes = [], [], []
    for b, start, end in chunk_rows:
        batch = batches[b]
        low, high = int(batch.terms_indptr[start]), int(batch.terms_indptr[end])
        terms.append(numbers[b][batch.terms[low:high]])
        counts.append(batch.counts[low:high])
        sizes.append(np.diff(batch.terms_indptr[start : end + 1]))
    indptr = np.zeros(sum(len(size) for size in sizes) + 1, np.int64)
    np.cumsum(np.concatenate(sizes) if sizes else indptr[:0], out=indptr[1:])
    all_terms = np.concatenate(terms) if terms else np.empty(0, np.int32)
    all_counts = np.concatenate(counts).astype(np.uint16) if counts else np.empty(0, np.uint16)
    postings = transpose(indptr, all_terms, all_counts, len(vocabulary))
    forward = transpose(*postings, len(indptr) - 1)  # back again: terms of a chunk are now in ascending order
    return Columns(
        document_ids=Strings.of(document.id for document in documents),
        fingerprints=Strings.of(prints),
        sources=Strings.of(document.source for document in documents),
        texts=Strings.of(document.text for document in documents),
        chunk_indptr=np.cumsum([0, *(end - start for _, start, end in chunk_rows)]).astype(np.int64),
        places=joined(lambda batch: batch.places, np.int64).reshape(-1, 4).astype(np.int64),
        lines=joined(lambda batch: batch.lines, np.int32).astype(np.int32),
        kinds=joined(lambda batch: batch.kinds, np.uint8).astype(np.uint8),
        titles=joined_strings(lambda batch: batch.titles),
        contexts=joined_strings(lambda batch: batch.contexts),
        keys=joined(lambda batch: batch.keys, f"S{KEY_BYTES}").astype(f"S{KEY_BYTES}"),
        vocabulary=Strings.of(vocabulary),
        terms_indptr=forward[0],
        terms=forward[1],
        counts=forward[2],
        lengths=joined(lambda batch: batch.lengths, np.int32).astype(np.int32),
        postings_indptr=postings[0],
        postings_rows=postings[1],
        postings_counts=postings[2],
    )


def _join_vocabularies(
    batches: Sequence[Batch], chunk_rows: Sequence[tuple[int, int, int]]
) -> tuple[list[str], list[Ids]]:
    """Terms that are used, sorted, and for each batch the new number of each of its terms (−1: no longer used)."""
    used = [np.zeros(len(batch.vocabulary), bool) for batch in batches]
    for b, start, end in chunk_rows:
        batch = batches[b]
        used[b][batch.terms[int(batch.terms_indptr[start]) : int(batch.terms_indptr[end])]] = True
    words = [_slice(batch.vocabulary, 0, len(batch.vocabulary)) for batch in batches]
    vocabulary = sorted({words[b][i] for b in range(len(batches)) for i in np.flatnonzero(used[b]).tolist()})
    place: Mapping[str, int] = {word: number for number, word in enumerate(vocabulary)}
    numbers = []
    for b in range(len(batches)):
        number = np.full(len(words[b]), -1, np.int32)
        kept = np.flatnonzero(used[b])
        number[kept] = [place[words[b][i]] for i in kept.tolist()]
        numbers.append(number)
    return vocabulary, numbers


def _slice(values: Sequence[str], start: int, end: int) -> Sequence[str]:
    return values.between(start, end) if isinstance(values, Strings) else values[start:end]


def _utf8_bytes(text: str, start: int, end: int) -> int:
    piece = text[start:end]
    return len(piece) if piece.isascii() else len(piece.encode("utf-8", "surrogatepass"))
