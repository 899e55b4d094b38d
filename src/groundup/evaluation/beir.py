"""Judgements from outside: a folder in BEIR's layout (Thakur et al. 2021).

corpus.jsonl    {"_id", "title", "text"} a line        queries.jsonl    {"_id", "text"} a line
qrels/<split>.tsv   a header, then query-id, corpus-id, score
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from groundup.corpus.document import Document, make_document
from groundup.errors import SourceError
from groundup.evaluation.collection import Collection

_MEND = "A BEIR folder holds corpus.jsonl, queries.jsonl and qrels/test.tsv."


def read_beir(folder: Path, split: str = "test") -> Collection:
    """The collection with the queries of one split. Raises SourceError with file, line and what is wrong there.

    Judgements of documents that the corpus lacks are an error: they would lower every system's recall unseen.
    """
    documents: dict[str, Document] = {}
    for place, row in _rows(folder / "corpus.jsonl"):
        name, text = _text(row, "_id", place), _text(row, "text", place)
        title = _text(row, "title", place) if row.get("title") is not None else ""
        if name in documents:
            raise SourceError(f"document {name!r} stands there twice", place=place, mend="Give each its own _id.")
        document = make_document(name, text, group=folder.name, title=title, kind="prose")
        documents[name] = document
    texts = {_text(row, "_id", place): _text(row, "text", place) for place, row in _rows(folder / "queries.jsonl")}
    judged = _judgements(folder / "qrels" / f"{split}.tsv")
    judgements: dict[str, dict[str, int]] = {}
    for place, query, document_name, gain in judged:
        if query not in texts:
            raise SourceError(f"query {query!r} is not in queries.jsonl", place=place, mend="Add it, or drop the line.")
        if document_name not in documents:
            raise SourceError(
                f"document {document_name!r} is not in corpus.jsonl", place=place, mend="Add it, or drop the line."
            )
        judgements.setdefault(query, {})[documents[document_name].id] = gain
    judgements = {query: found for query, found in judgements.items() if any(gain > 0 for gain in found.values())}
    if not judgements:
        raise SourceError("no query has a relevant document", place=str(folder), mend=_MEND)
    return Collection(
        name=folder.resolve().name,
        documents=list(documents.values()),
        queries={query: texts[query] for query in judgements},
        judgements=judgements,
        whole=True,
        note=f"{folder.resolve().name}: {len(judgements):,} {split} queries over {len(documents):,} documents",
    )


def _rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    for place, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise SourceError("the line is not a JSON object", place=place, mend=_MEND)
        yield place, row


def _judgements(path: Path) -> list[tuple[str, str, str, int]]:
    found = []
    for number, (place, line) in enumerate(_lines(path)):
        fields = line.split("\t")
        if number == 0 and fields[-1].strip().lower() == "score":
            continue
        try:
            query, document, gain = fields
            found.append((place, query, document, round(float(gain))))
        except (ValueError, OverflowError):
            raise SourceError(
                "expected query-id, corpus-id and a score, with tabs between", place=place, mend=_MEND
            ) from None
    return found


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line.rstrip("\r\n")
    except UnicodeDecodeError:
        raise SourceError("it is not UTF-8", place=str(path), mend=_MEND) from None
    except OSError as error:
        raise SourceError(error.strerror or "it can't be read", place=str(path), mend=_MEND) from None


def _text(row: dict[str, object], key: str, place: str) -> str:
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and key == "_id":
        return str(value)  # ids as numbers are common in hand-made sets
    if not isinstance(value, str) or (key == "_id" and not value):
        raise SourceError(f"the line has no text in {key!r}", place=place, mend=_MEND)
    return value
