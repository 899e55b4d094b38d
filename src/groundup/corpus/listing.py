"""A listing: the files a corpus is made from, before any is opened."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from groundup.corpus.funnel import Event

STDLIB = "stdlib"  # first part of the sources and groups of the standard library
# Folders that hold copies, builds or other people's packages, by the name their tool gives them.
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "__MACOSX", "site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    path: Path
    source: str  # stable display path, the same on every machine for the same folder
    group: str  # what is held out whole
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    files: list[SourceFile]  # sorted by source, each source once
    events: list[Event]


def listing_fingerprint(files: Iterable[SourceFile]) -> str:
    """64 hex digits that change when a file comes, goes or is written to: sha256 over source, group, size and mtime."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.source}\0{file.group}\0{file.size}\0{file.mtime_ns}\n".encode())
    return digest.hexdigest()


def finish_listing(files: list[SourceFile], events: list[Event]) -> Listing:
    """Sorted, each source once."""
    once: dict[str, SourceFile] = {}
    for file in files:
        if once.setdefault(file.source, file) is not file:
            reason = "listed_twice: another file has the same source"
            events.append(Event("unread", "read", "listed_twice", reason, file.source, bytes=file.size))
    return Listing(sorted(once.values(), key=lambda file: file.source), sorted(events, key=lambda event: event.source))


def printable(name: str) -> str:
    """A file name as valid Unicode: bytes that are not UTF-8 are shown as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
