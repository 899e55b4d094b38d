"""Plain text, Markdown, reStructuredText, and source code: decoded, newlines made alike, nothing else touched."""

from __future__ import annotations

import re

from groundup.corpus.decode import COOKIE
from groundup.corpus.document import make_document
from groundup.corpus.extract.base import Context, Found, RawFile, encoding_note, read_text
from groundup.corpus.extract.formats import CODE, CODE_NAMES, MARKDOWN, SHEBANGS

HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
FRONT_MATTER_TITLE = re.compile(r"\A---\n(?:.*\n)*?title:\s*[\"']?(.+?)[\"']?\s*\n(?:.*\n)*?---\n")
UNDERLINED = re.compile(r"^(?:[=\-~#*^\"]{3,}\n)?(\S.{0,150})\n([=\-~#*^\"])\2{2,}\s*$", re.MULTILINE)
TITLE_WITHIN = 4000  # characters; a heading further down is not the title


def extract_text(file: RawFile, context: Context) -> Found:
    decoded, events = read_text(file)
    yield from events
    if decoded is not None:
        title = _title(decoded.text, file.suffix) or file.name
        yield make_document(
            file.source, decoded.text, group=file.group, title=title, kind="prose", metadata=encoding_note(decoded)
        )


def extract_code(file: RawFile, context: Context) -> Found:
    language = code_language(file)
    decoded, events = read_text(file, COOKIE if language in ("python", "cython") else None)
    yield from events
    if decoded is not None:
        yield make_document(
            file.source,
            decoded.text,
            group=file.group,
            title=file.name,
            kind="code",
            language=language,
            metadata=encoding_note(decoded),
        )


def code_language(file: RawFile) -> str:
    """By ending, by name (Makefile), or by the program that a script names in its first line; "" if it is no code."""
    if language := CODE.get(file.suffix) or CODE_NAMES.get(file.name.lower()):
        return language
    if not file.suffix and file.data.startswith(b"#!"):
        words = file.data.split(b"\n", 1)[0][2:].decode("ascii", "replace").split()
        programs = [re.sub(r"[\d.]+$", "", word.rsplit("/", 1)[-1]).lower() for word in words]
        return next((SHEBANGS[program] for program in programs if program in SHEBANGS), "")
    return ""


def _title(text: str, suffix: str) -> str:
    head = text[:TITLE_WITHIN]
    if suffix in MARKDOWN and (match := FRONT_MATTER_TITLE.match(head) or HEADING.search(head)):
        return match.group(1).strip()
    if suffix in ("rst", "rest", "txt", "text", "") or suffix in MARKDOWN:
        match = UNDERLINED.search(head)
        return match.group(1).strip() if match else ""
    return ""
