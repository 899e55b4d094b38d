"""Documents into chunks: the passages that are indexed, embedded, found and cited.

A chunk is an exact slice of its document (`document.text[chunk.start:chunk.end] == chunk.text`), so that a citation can
be checked. What a reader would need beside the slice (a table's header, the methods of a class) goes to `context`.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundup.corpus.document import Document

# Characters. Sentence encoders of MiniLM's class read 256 word pieces; Python takes about 3.4 characters a piece
# (median over the standard library, 2.6 for the densest tenth), prose 4.5.
CHUNK_LIMIT = 900
# Part of every index identity: raise it when the same document would be cut in another way.
CHUNKER_VERSION = 1

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage. `title`: qualified name or heading path. `line`: 1-based line of `start` in the document."""

    id: str
    document_id: str
    source: str
    title: str
    text: str
    start: int
    end: int
    kind: str  # "function" | "class" | "module" | "section" | "table" | "lines"
    line: int
    context: str = ""

    @property
    def indexed_text(self) -> str:
        """What analyzers and encoders read."""
        return indexed_text(self.title, self.context, self.text)


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk before it has an identity: offsets into the document's text."""

    start: int
    end: int
    title: str
    kind: str
    context: str = ""


def indexed_text(title: str, context: str, text: str) -> str:
    return "\n".join(part for part in (title, context, text) if part)


def chunk_id(document_id: str, start: int, end: int) -> str:
    """32 hex digits. The document's id already covers content and source."""
    return hashlib.sha256(f"{document_id}:{start}:{end}".encode()).hexdigest()[:32]


def content_key(text: str) -> bytes:
    """16 bytes that name what an encoder reads; the same passage in two documents is embedded once."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def chunk_document(document: Document, limit: int = CHUNK_LIMIT) -> list[Chunk]:
    """Chunks in document order, without overlap, none longer than `limit` characters; only blank text is left out."""
    lines = line_starts(document.text)
    return [
        Chunk(
            id=chunk_id(document.id, span.start, span.end),
            document_id=document.id,
            source=document.source,
            title=span.title,
            text=document.text[span.start : span.end],
            start=span.start,
            end=span.end,
            kind=span.kind,
            line=bisect_right(lines, span.start),
            context=span.context,
        )
        for span in spans_of(document, limit)
    ]


def spans_of(document: Document, limit: int = CHUNK_LIMIT) -> list[Span]:
    """The chunks' places, by the document's kind. Never raises: what can't be parsed is cut by lines.

    A `limit` of 0 makes the whole document one chunk: collections whose judgements are of documents need that.
    """
    from groundup.retrieval import chunk_code, chunk_prose

    text = document.text
    if limit == 0:
        spans = [Span(0, len(text), document.title, "section")]
    elif document.kind == "table":
        spans = chunk_prose.table_spans(text, document.title or document.source, limit)
    elif document.kind == "code":
        name = chunk_code.module_name(document.source)
        parsed = chunk_code.python_spans(text, name, limit) if document.language in ("python", "") else None
        spans = chunk_code.line_spans(text, document.source, limit) if parsed is None else parsed
    else:
        spans = chunk_prose.prose_spans(text, document.title or document.source, limit)
    return [trimmed for span in spans if (trimmed := trim(text, span)) is not None]


def line_starts(text: str) -> list[int]:
    """Offsets of the first character of each line, as Python's parser counts lines (LF, CR LF, CR)."""
    return [0, *(match.end() for match in _LINE_END.finditer(text))]


def trim(text: str, span: Span) -> Span | None:
    """`span` without blank lines at its ends; the indentation of its first line stays. None if it is all blank."""
    piece = text[span.start : span.end]
    body = piece.lstrip()
    if not body:
        return None
    blank = len(piece) - len(body)
    breaks = [match.end() for match in _LINE_END.finditer(piece, 0, blank)]
    start = span.start + (breaks[-1] if breaks else 0)
    end = span.start + len(piece.rstrip())
    return Span(start, end, span.title, span.kind, span.context)


def split_span(text: str, start: int, end: int, cuts: Sequence[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    """Consecutive pieces of at most `limit` characters. `cuts`: (offset, depth) sorted by offset; shallow ones are
    better. Each piece is as long as the best cut in the last three quarters of its room allows; without one it ends
    at a line, a blank, or after `limit` characters.
    """
    offsets = [offset for offset, _ in cuts]
    pieces = []
    while end - start > limit:
        low, high = bisect_right(offsets, start + limit // 4), bisect_right(offsets, start + limit)
        if low < high:
            stop = min(cuts[low:high], key=lambda cut: (cut[1], -cut[0]))[0]
        else:
            stop = _blank_cut(text, start, start + limit)
        pieces.append((start, stop))
        start = stop
    return [*pieces, (start, end)]


def _blank_cut(text: str, start: int, stop: int) -> int:
    for blank in ("\n", " "):
        at = text.rfind(blank, start + (stop - start) // 4, stop)
        if at > start:
            return at + 1
    return stop
