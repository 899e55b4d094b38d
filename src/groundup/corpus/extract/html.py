"""Web pages: the main content as Markdown-like text, without navigation, banners and footers."""

from __future__ import annotations

from groundup.corpus.decode import HTML_CHARSET
from groundup.corpus.document import make_document
from groundup.corpus.extract.base import Context, Found, RawFile, encoding_note, read_text, unread
from groundup.corpus.extract.html_text import main_text, page_title


def extract_html(file: RawFile, context: Context) -> Found:
    decoded, events = read_text(file, HTML_CHARSET)
    yield from events
    if decoded is None:
        return
    text, how = main_text(decoded.text)
    if not text.strip():
        yield unread(file, "no_text", "a page without text of its own")
        return
    yield make_document(
        file.source,
        text.strip() + "\n",
        group=file.group,
        title=page_title(decoded.text) or file.name,
        kind="prose",
        metadata={"format": "html", "extracted_by": how, **encoding_note(decoded)},
    )
