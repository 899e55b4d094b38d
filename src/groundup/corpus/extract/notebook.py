"""Jupyter notebooks as Markdown: text cells as they are, code cells fenced, outputs only where they are short text."""

from __future__ import annotations

import json
from typing import Any

from groundup.corpus.document import make_document
from groundup.corpus.extract.base import Context, Found, RawFile, read_text, unread
from groundup.corpus.extract.text import HEADING, extract_text

MAX_OUTPUT_CHARACTERS = 300  # longer outputs are logs and printed tables


def extract_notebook(file: RawFile, context: Context) -> Found:
    decoded, events = read_text(file)
    yield from events
    if decoded is None:
        return
    try:
        notebook = json.loads(decoded.text)
        # Format 3 keeps cells in worksheets and code under "input".
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        language = str(notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")).lower()
        text = "\n\n".join(part for cell in cells for part in _cell(cell, language))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        yield unread(file, "not_a_notebook", f"{type(error).__name__}: {error}"[:200])
        yield from extract_text(file, context)
        return
    if not text.strip():
        yield unread(file, "empty", "a notebook without text or code")
        return
    heading = HEADING.search(text)
    yield make_document(
        file.source,
        text + "\n",
        group=file.group,
        title=heading.group(1) if heading else file.name,
        kind="prose",
        metadata={"format": "ipynb", "code": language},
    )


def _cell(cell: dict[str, Any], language: str) -> list[str]:
    source = _joined(cell.get("source", cell.get("input", ""))).strip("\n")
    if not source.strip():
        return []
    if cell.get("cell_type") != "code":
        return [source]
    parts = [_fenced(source, language)]
    for output in cell.get("outputs", []):
        text = _joined(output.get("text", output.get("data", {}).get("text/plain", ""))).strip("\n")
        if text.strip() and len(text) <= MAX_OUTPUT_CHARACTERS:
            parts.append(_fenced(text, "text"))
    return parts


def _joined(lines: Any) -> str:
    return "".join(lines) if isinstance(lines, list) else str(lines)


def _fenced(text: str, language: str) -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}{language}\n{text}\n{fence}"
