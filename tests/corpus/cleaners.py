"""Functions in the place of `clean`, which workers of ingest import by name."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from groundup.corpus.document import Document, with_text
from groundup.corpus.funnel import Event


def keep(document: Document, policy: Any) -> tuple[Document | None, list[Event]]:
    return document, []


def upper(document: Document, policy: Any) -> tuple[Document | None, list[Event]]:
    if "drop" in document.text:
        return None, [Event("removed", "filter", "drop", "drop: it says so", document.source, document.id)]
    return with_text(document, document.text.upper()), []


def trouble(document: Document, policy: Any) -> tuple[Document | None, list[Event]]:
    """Does to the worker what a parser in native code may do to it."""
    if document.text.startswith("exit"):
        os._exit(3)
    if document.text.startswith("segfault"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if document.text.startswith("sleep"):
        time.sleep(600)
    if document.text.startswith("raise"):
        raise RuntimeError("a fault of our own")
    if document.text.startswith("memory"):
        bytearray(2 << 30)
    os.write(1, b"noise on standard output, as native code makes it")
    return document, []


def slow(document: Document, policy: Any) -> tuple[Document | None, list[Event]]:
    time.sleep(0.02)
    return document, []
