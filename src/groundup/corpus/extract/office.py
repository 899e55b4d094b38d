"""PDF, Office, OpenDocument, RTF, EPUB and e-mail through kreuzberg, as Markdown. No OCR: a scan gives no text, and
the funnel says so."""

from __future__ import annotations

import re

from groundup.corpus.document import make_document
from groundup.corpus.extract.base import Context, Found, RawFile, unread
from groundup.corpus.extract.formats import OFFICE, TABLES_IN_OFFICE

# Inside a line kreuzberg escapes what Markdown might read as markup ("Policy \# POL-2022"); at its start it matters.
ESCAPED = re.compile(r"(?<=\S[^\n])\\([#_*~<>&])|(?<=[^\n\\])\\([#_~])")


def extract_office(file: RawFile, context: Context) -> Found:
    import kreuzberg  # 80 MB of native code: loaded by the workers that meet such a file

    config = kreuzberg.ExtractionConfig(use_cache=False, output_format="markdown", enable_quality_processing=False)
    try:
        result = kreuzberg.extract_bytes_sync(file.data, OFFICE[file.suffix], config)
    except Exception as error:  # kreuzberg's own tree, and whatever its native parsers let through
        yield unread(file, "parser_refused", _first_sentence(error))
        return
    text = ESCAPED.sub(lambda m: m.group(1) or m.group(2), result.content)
    text = text.replace("\r\n", "\n").replace("\0", "")
    if not text.strip():
        yield unread(file, "no_text", f"{file.suffix} without text; pictures of text aren't read")
        return
    found = result.metadata
    title = str(found.get("title") or "").strip()
    metadata = {"format": file.suffix}
    if authors := found.get("authors"):
        metadata["authors"] = ", ".join(map(str, authors))
    yield make_document(
        file.source,
        text,
        group=file.group,
        title=title if title.lower() not in ("", "untitled") else _heading(text) or file.name,
        kind="table" if file.suffix in TABLES_IN_OFFICE else "prose",
        metadata=metadata,
    )


def _heading(text: str) -> str:
    match = re.search(r"^#{1,2} +(.{1,150})$", text[:2000], re.MULTILINE)
    return match.group(1).strip() if match else ""


def _first_sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
