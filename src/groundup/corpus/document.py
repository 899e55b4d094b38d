"""A document: one file, or one member of a file that holds several, as clean Unicode text with its origin.

Documents rest in Parquet, one row each, so that any table tool reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ID_DIGITS = 32  # hex digits, 128 bits: no chance collision in any corpus that fits a disk
ROWS_PER_GROUP = 1024  # bounds what a reader holds at a time; about 15 MB of source code

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),  # a row group may pass the 2 GiB of `string`
        pa.field("kind", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("metadata", pa.map_(pa.string(), pa.string()), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Document:
    id: str  # 32 hex: document_id(source, text)
    source: str  # stable display path: "stdlib/json/decoder.py", "notes/todo.md", "archive.zip!a/b.txt"
    group: str  # what is held out whole: "stdlib/json", "numpy", "notes/work"
    title: str
    text: str  # valid Unicode, no lone surrogates
    kind: str  # "code" | "prose" | "table"
    language: str  # "python", "en", …; "" unknown
    metadata: dict[str, str] = field(default_factory=dict)


def document_id(source: str, text: str) -> str:
    """Identity of a document: 32 hex digits of SHA-256 over source, a zero byte and text, all UTF-8."""
    digest = hashlib.sha256(source.encode("utf-8"))
    digest.update(b"\0")
    digest.update(text.encode("utf-8"))
    return digest.hexdigest()[:ID_DIGITS]


def make_document(
    source: str,
    text: str,
    *,
    group: str,
    title: str,
    kind: str,
    language: str = "",
    metadata: dict[str, str] | None = None,
) -> Document:
    """A document with its id. Lone surrogates (JSON escapes can bring them) become U+FFFD: no encoder takes them."""
    source, text, title = whole_unicode(source), whole_unicode(text), whole_unicode(title)
    metadata = {key: whole_unicode(value) for key, value in sorted((metadata or {}).items())}
    return Document(document_id(source, text), source, group, title, text, kind, language, metadata)


def with_text(document: Document, text: str) -> Document:
    """The same document with other text, and so another id."""
    return replace(document, id=document_id(document.source, text), text=text)


def whole_unicode(text: str) -> str:
    """The text with every lone surrogate replaced by U+FFFD. Most texts have none and come back as they are."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Pairs of surrogates are one character written in two halves; only halves without the other are lost.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def write_documents(path: Path, documents: Iterable[Document]) -> int:
    """Writes documents as Parquet in the given order and says how many. Same documents, same bytes.

    Takes any iterable and holds one row group at a time.
    """
    rest = iter(documents)
    written = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=["group", "kind", "language"]) as writer:
        while rows := list(islice(rest, ROWS_PER_GROUP)):
            columns = {name: [getattr(row, name) for row in rows] for name in SCHEMA.names if name != "metadata"}
            columns["metadata"] = [sorted(row.metadata.items()) for row in rows]
            writer.write_table(pa.table(columns, schema=SCHEMA), row_group_size=ROWS_PER_GROUP)
            written += len(rows)
    return written


def iter_documents(path: Path) -> Iterator[Document]:
    """The documents of a Parquet file in their order, one row group in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP, columns=SCHEMA.names):
            columns = [batch.column(name).to_pylist() for name in SCHEMA.names]
            for row in zip(*columns, strict=True):
                *values, metadata = row
                yield Document(*values, dict(metadata))  # type: ignore[call-arg] # mypy counts a star as all


def read_documents(path: Path) -> list[Document]:
    return list(iter_documents(path))
