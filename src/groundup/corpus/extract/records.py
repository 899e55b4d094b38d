"""JSON and JSON Lines: the text fields of records.

In JSON Lines a record is a document of its own, since records are what such files list (pages, posts, answers). Tiny
records, under GROUP_BELOW characters in the middle, are joined to documents of about GROUP_TO: a document of a
dozen words can't be told to be good, in a language or a copy, and costs a row each in every table after this.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from typing import Any

from groundup.corpus.document import make_document
from groundup.corpus.extract.base import Context, Found, RawFile, encoding_note, read_text, unread
from groundup.corpus.funnel import Event

TITLES = ("title", "headline", "name", "subject")
TEXTS = ("text", "content", "body", "article", "main_content", "raw_content", "markdown", "abstract", "description")
GROUP_BELOW = 200  # characters, median of the records
GROUP_TO = 4000
PROSE_SHARE = 0.5  # of a JSON file's characters in strings that read like text; below, it is data or configuration
PROSE_STRING = 60  # characters with at least PROSE_SPACES spaces
PROSE_SPACES = 5
MAX_NESTING = 100


def extract_jsonl(file: RawFile, context: Context) -> Found:
    decoded, events = read_text(file)
    yield from events
    if decoded is None:
        return
    records: list[tuple[int, str, str]] = []  # line, title, text
    broken: list[int] = []
    for number, line in enumerate(decoded.text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            title, text = _record(json.loads(line))
        except (ValueError, RecursionError):
            broken.append(number)
            continue
        if text.strip():
            records.append((number, title, text))
    if broken:
        reason = f"broken_record: {len(broken):,} lines are not JSON, the first is line {broken[0]:,}"
        yield Event("unread", "read", "broken_record", reason, file.source, count=len(broken))
    if not records:
        if not broken:
            yield unread(file, "empty", "no record holds text")
        return
    if len(records) > context.limits.max_records:
        left = len(records) - context.limits.max_records
        reason = f"too_many_records: {len(records):,} > {context.limits.max_records:,}; the rest is left out"
        yield Event("unread", "read", "too_many_records", reason, file.source, count=left)
        del records[context.limits.max_records :]
    metadata = {"format": "jsonl", **encoding_note(decoded)}
    tiny = statistics.median(len(text) for _, _, text in records) < GROUP_BELOW
    for number, title, text in _grouped(records) if tiny else records:
        yield make_document(
            f"{file.source}!{number}",
            text,
            group=file.group,
            title=title or f"{file.name}, record {number:,}",
            kind="prose",
            metadata=metadata,
        )


def extract_json(file: RawFile, context: Context) -> Found:
    """The text fields where they make up most of the file; else the file as it stands, as code."""
    decoded, events = read_text(file)
    yield from events
    if decoded is None:
        return
    metadata = encoding_note(decoded)
    try:
        value = json.loads(decoded.text)
    except (ValueError, RecursionError) as error:
        reason = f"broken_json: {error}; kept as plain text"[:200]
        yield Event("changed", "read", "broken_json", reason, file.source)
        value = None
    texts = [text for _, text in _strings(value) if _reads_like_text(text)]
    if sum(map(len, texts)) < PROSE_SHARE * len(decoded.text):
        yield make_document(
            file.source, decoded.text, group=file.group, title=file.name, kind="code", language="json",
            metadata=metadata,
        )  # fmt: skip
        return
    title, text = _record(value)
    yield make_document(
        file.source, text, group=file.group, title=title or file.name, kind="prose",
        metadata={"format": "json", **metadata},
    )  # fmt: skip


def _record(value: Any) -> tuple[str, str]:
    """Title and text of one record: its text field under its title, or every string and number as "name: value"."""
    if isinstance(value, str):
        return "", value
    if isinstance(value, dict):
        title = next((value[key].strip() for key in TITLES if isinstance(value.get(key), str)), "")
        text = next((value[key] for key in TEXTS if isinstance(value.get(key), str) and value[key].strip()), "")
        if text:
            return title, f"{title}\n\n{text}" if title and not text.lstrip().startswith(title) else text
    else:
        title = ""
    return title, "\n".join(f"{name}: {text}" if name else text for name, text in _strings(value))


def _strings(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every string below a value with the name of its field; numbers too, since "price: 12" says something."""
    if isinstance(value, str):
        if value.strip():
            yield name, value
    elif isinstance(value, dict):
        if depth < MAX_NESTING:
            for key, below in value.items():
                yield from _strings(below, key, depth + 1)
    elif isinstance(value, list):
        if depth < MAX_NESTING:
            for below in value:
                yield from _strings(below, name, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, str(value)


def _reads_like_text(text: str) -> bool:
    return len(text) >= PROSE_STRING and text.count(" ") >= PROSE_SPACES


def _grouped(records: list[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    """Records joined to texts of about GROUP_TO characters, under the line of the first."""
    number, size = records[0][0], 0
    texts: list[str] = []
    for line, _, text in records:
        if texts and size + len(text) > GROUP_TO:
            yield number, "", "\n\n".join(texts)
            number, size, texts = line, 0, []
        texts.append(text)
        size += len(text)
    yield number, "", "\n\n".join(texts)
