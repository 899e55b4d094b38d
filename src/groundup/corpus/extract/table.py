"""CSV and its like: the text as it stands. A row is a line already, and its separators cost a tokenizer little."""

from __future__ import annotations

from groundup.corpus.document import make_document
from groundup.corpus.extract.base import Context, Found, RawFile, encoding_note, read_text


def extract_table(file: RawFile, context: Context) -> Found:
    decoded, events = read_text(file)
    yield from events
    if decoded is not None:
        metadata = {"header": decoded.text.lstrip("\n").split("\n", 1)[0][:500], **encoding_note(decoded)}
        yield make_document(
            file.source, decoded.text, group=file.group, title=file.name, kind="table", metadata=metadata
        )
