"""Which extractor reads a file: by its ending where that is known, by its first bytes where it isn't."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace

from groundup.corpus.extract import formats
from groundup.corpus.extract.base import Context, Extractor, Found, RawFile, unread
from groundup.corpus.extract.table import extract_table
from groundup.corpus.extract.text import code_language, extract_code, extract_text
from groundup.corpus.funnel import Event
from groundup.corpus.limits import ReadLimits

HTML_START = re.compile(rb"^\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
ARCHIVES = ("zip", "gz", "tgz", "tar")
LINES = ("jsonl", "ndjson")  # one document a record: as large as an archive may be
RECORDS = ("json", "ipynb", *LINES)
# A zip whose first members are these is a document, whatever it is called.
ZIP_DOCUMENTS = (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx"), ("META-INF/container.xml", "epub"))


def extract(file: RawFile, context: Context) -> Found:
    """The documents in a file and the events of reading it. Raises only for faults of its own."""
    if file.source in context.skip:
        rule, _, reason = context.skip[file.source].partition(": ")
        yield unread(file, rule, reason)
        return
    context.begin(file.source)
    file = replace(file, ending=file_ending(file))
    if refused := _refuse(file, len(file.data), context.limits):
        yield refused
    elif file.ending in ARCHIVES and file.depth >= context.limits.max_depth:
        yield unread(file, "nested_too_deep", f"{file.depth} archives around it; at most {context.limits.max_depth}")
    else:
        yield from _extractor(file)(file, context)


def refuse_unread(source: str, size: int, limits: ReadLimits) -> Event | None:
    """What name and size alone say against a file, so that a film of 4 GB isn't opened. `extract` says the same."""
    file = RawFile(b"", source, "")
    # Without a known ending the first bytes may still show a PDF, which may be larger than a text.
    if size == 0 or size > (limits.max_text_bytes if _known(file) else limits.max_binary_bytes):
        return _refuse(file, size, limits)
    return _refuse(file, size, limits) if file.suffix in formats.NO_TEXT else None


def _refuse(file: RawFile, size: int, limits: ReadLimits) -> Event | None:
    if size == 0:
        return unread(file, "empty", "0 bytes")
    ending = file.suffix
    if what := formats.NO_TEXT.get(ending):
        return unread(file, "no_text_format", f"{ending} is a {what} format", size=size)
    packed = ending in ARCHIVES or ending in formats.OFFICE or ending in LINES
    bound = limits.max_binary_bytes if packed else limits.max_text_bytes
    if size > bound:
        return unread(file, "file_too_large", f"{size:,} bytes > {bound:,}", size=size)
    return None


def file_ending(file: RawFile) -> str:
    """The ending that says how to read the file; first bytes overrule one that is unknown or can't be true."""
    ending = file.suffix
    start = file.data[:16]
    if ending in formats.OFFICE and ending not in ("eml",):
        return ending  # a broken one is kreuzberg's to name
    if ending in ARCHIVES or ending in formats.NO_TEXT:
        return ending
    known = _known(file)
    for magic, found in formats.MAGIC:
        if start.startswith(magic) and (not known or found in ("pdf", "zip", "gz")):  # a text may begin with "ID3"
            return _zip_kind(file.data) if found == "zip" else found
    if file.data[257:262] == b"ustar":
        return "tar"
    if not known and HTML_START.match(file.data[:4096]):
        return "html"
    return ending


def _known(file: RawFile) -> bool:
    """Whether the name says how to read the file."""
    tables = (
        formats.CODE, formats.MARKDOWN, formats.PROSE, formats.HTML, formats.XML, formats.TABLE, formats.OFFICE,
        formats.NO_TEXT, ARCHIVES, RECORDS,
    )  # fmt: skip
    return any(file.suffix in table for table in tables) or file.name.lower() in formats.CODE_NAMES


def _zip_kind(data: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()[:50]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return "zip"
    for start, ending in ZIP_DOCUMENTS:
        if any(name.startswith(start) for name in names):
            return ending
    return "zip"


def _extractor(file: RawFile) -> Extractor:
    ending = file.ending
    # Imported where needed: a worker that only meets Python files loads no parser of pages or of Office files.
    if ending in formats.OFFICE:
        from groundup.corpus.extract.office import extract_office

        return extract_office
    if ending in formats.HTML:
        from groundup.corpus.extract.html import extract_html

        return extract_html
    if ending in formats.XML:
        from groundup.corpus.extract.xml import extract_xml

        return extract_xml
    if ending in ARCHIVES:
        from groundup.corpus.extract import archive

        return {"zip": archive.extract_zip, "tar": archive.extract_tar}.get(ending, archive.extract_gzip)
    if ending in ("json", "jsonl", "ndjson"):
        from groundup.corpus.extract.records import extract_json, extract_jsonl

        return extract_json if ending == "json" else extract_jsonl
    if ending == "ipynb":
        from groundup.corpus.extract.notebook import extract_notebook

        return extract_notebook
    if ending in formats.TABLE:
        return extract_table
    return extract_code if code_language(file) else extract_text
