"""One worker process of ingest: reads files, extracts, cleans, and sends back what came out.

It is a process of its own, started afresh rather than forked, because native parsers may crash or hang and because its
parent may have threads. Its orders are JSON lines on standard input; end of input, which a killed parent leaves too,
ends it at once. Its answers are frames: one byte for the kind, four for the length, then the content.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import queue
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.corpus.cache import Reader, result_key
from groundup.corpus.document import Document
from groundup.corpus.extract import Context, RawFile, extract
from groundup.corpus.funnel import Event, cut
from groundup.corpus.limits import ReadLimits
from groundup.corpus.result import pack

READY, BEGIN, ALIVE, HIT, RESULT, UNKEPT = b"YBAHRU"  # kinds of frames
ALIVE_SECONDS = 1.0
DIGEST_BYTES = 32

Clean = Callable[[Document, Any], tuple[Document | None, list[Event]]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker is told first."""

    clean: str  # "module:function"
    policy: str  # "module:class"
    policy_fields: dict[str, Any]
    limits: dict[str, Any]
    cache: str
    identity: str


def main() -> None:
    """Runs until the input ends. Everything that prints to standard output, native code included, goes to stderr."""
    frames = os.dup(1)
    os.dup2(2, 1)
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    settings = Settings(**orders.get())
    limits = ReadLimits(**settings.limits)
    _limit_memory(limits.memory_bytes)
    clean: Clean = load(settings.clean)
    policy = load(settings.policy)(**{name: _frozen(value) for name, value in settings.policy_fields.items()})
    reader = Reader(Path(settings.cache))
    _send(frames, READY, b"")
    while True:
        for task in orders.get()["tasks"]:
            _work(frames, task, settings.identity, limits, clean, policy, reader)


def _work(
    frames: int,
    task: dict[str, Any],
    identity: str,
    limits: ReadLimits,
    clean: Clean,
    policy: Any,
    reader: Reader,
) -> None:
    source, group = task["source"], task["group"]
    _send(frames, BEGIN, source.encode())
    try:
        data = read_bytes(os.fsdecode(bytes.fromhex(task["path"])), limits.max_binary_bytes + 1)
    except OSError as error:
        reason = f"unreadable_file: {(error.strerror or type(error).__name__).lower()}"
        _send(frames, UNKEPT, pack([], [Event("unread", "read", "unreadable_file", reason, source)]))
        return
    content = hashlib.sha256(data).digest()
    if not task["skip"] and reader.has(result_key(content, source, group, identity)):
        _send(frames, HIT, content)
        return
    alive = time.monotonic()
    context = Context(limits, begin=lambda member: _send(frames, BEGIN, member.encode()), skip=task["skip"])
    documents: list[Document] = []
    events: list[Event] = []
    try:
        for found in extract(RawFile(data, source, group), context):
            if isinstance(found, Event):
                events.append(found)
                continue
            kept, told = _cleaned(clean, found, policy)
            events += told
            if kept is not None:
                documents.append(kept)
            if time.monotonic() - alive > ALIVE_SECONDS:
                alive = time.monotonic()
                _send(frames, ALIVE, b"")
    except Exception as error:  # a parser's own fault must not take the other files with it
        events.append(
            Event("unread", "read", "parser_failed", f"parser_failed: {_named(error)}", source, bytes=len(data))
        )
    _send(frames, RESULT, content + pack(documents, events))


def _cleaned(clean: Clean, document: Document, policy: Any) -> tuple[Document | None, list[Event]]:
    try:
        return clean(document, policy)
    except Exception as error:
        reason = f"cleaning_failed: {_named(error)}"
        size = len(document.text.encode())
        event = Event("removed", "clean", "cleaning_failed", reason, document.source, document.id, bytes=size)
        return None, [event]


def read_bytes(path: str, most: int) -> bytes:
    """Up to `most` bytes of a regular file. Raises OSError; never waits on a pipe that took the file's place."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(None, "no longer a regular file")
        return file.read(most)


def load(reference: str) -> Any:
    """The object that "module:name" names, in this package or in one that uses it; never anything of the corpus."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _listen(orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Hands on each line of the input; at its end there is nobody left to work for."""
    # Not sys.stdin, whose lock this thread would hold when the main thread ends with an error.
    with open(0, "rb", closefd=False) as lines:
        for line in lines:
            orders.put(json.loads(line))
    os._exit(0)


def _send(frames: int, kind: int, content: bytes) -> None:
    data = memoryview(bytes([kind]) + len(content).to_bytes(4, "little") + content)
    while data:
        try:
            data = data[os.write(frames, data) :]
        except BrokenPipeError:
            os._exit(0)


def _limit_memory(size: int) -> None:
    """Written-to memory, not address space: thread stacks and arenas reserve far more than they use."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > size:
        resource.setrlimit(resource.RLIMIT_DATA, (size, hard))


def _frozen(value: Any) -> Any:
    """JSON's lists back to a frozen dataclass' tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _named(error: Exception) -> str:
    return cut(f"{type(error).__name__}: {error}")
