"""From listed files to clean documents: read, extract and clean in worker processes, keep every file's result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import zstandard

from groundup.corpus import worker
from groundup.corpus.cache import Cache, code_version, result_key
from groundup.corpus.document import Document
from groundup.corpus.extract.dispatch import refuse_unread
from groundup.corpus.funnel import Event
from groundup.corpus.limits import ReadLimits
from groundup.corpus.listing import SourceFile
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.pool import Pool, Task
from groundup.corpus.result import unpack
from groundup.progress import Progress

CLEAN = "groundup.corpus.clean:clean"
TELL_SECONDS = 0.1

_Part = tuple[list[Document], list[Event]]  # what one file gave


@dataclass(frozen=True, slots=True)
class IngestResult:
    documents: list[Document]  # in the order of the files, members in the order of their archive
    events: list[Event]  # likewise
    cached: int  # files whose result was kept from earlier
    read: int  # files read and cleaned anew


def ingest(
    files: Sequence[SourceFile],
    policy: CorpusPolicy,
    cache: Path,
    workers: int,
    progress: Progress,
    *,
    limits: ReadLimits | None = None,
    clean: worker.Clean | None = None,
) -> IngestResult:
    """Every file as documents or as events, the same whatever the number of workers and whatever was cached.

    cache: path of the SQLite file. progress: ("ingest", bytes done, bytes in all). clean: a function at the top of a
    module, for tests; the workers import it by name. Raises StoreError if the cache can't be written; files never
    raise. Ctrl-C ends the workers, keeps what is done and goes on up.
    """
    limits = limits or ReadLimits()
    reference = CLEAN if clean is None else f"{clean.__module__}:{clean.__qualname__}"
    identity = "\n".join([code_version(), policy.digest(), limits.digest(), reference])
    settings = worker.Settings(
        clean=reference,
        policy=f"{type(policy).__module__}:{type(policy).__qualname__}",
        policy_fields=asdict(policy),
        limits=asdict(limits),
        cache=str(cache.absolute()),
        identity=identity,
    )
    parts: list[_Part | None] = [None] * len(files)
    store = Cache(cache)
    try:
        used: set[bytes] = set()
        cached = _recall(files, parts, store, limits, identity, used)
        tasks = [Task(index, files[index]) for index, part in enumerate(parts) if part is None]
        hits = 0
        if tasks:
            with Pool(settings, limits, max(1, workers)) as pool:
                hits = _read(files, parts, tasks, pool, store, identity, progress, used)
            store.prune(files, used)
    finally:
        store.close()
    documents: list[Document] = []
    events: list[Event] = []
    for part in parts:
        assert part is not None, "every task is answered"
        documents += part[0]
        events += part[1]
    return IngestResult(documents, events, cached=cached + hits, read=len(tasks) - hits)


def _recall(
    files: Sequence[SourceFile],
    parts: list[_Part | None],
    store: Cache,
    limits: ReadLimits,
    identity: str,
    used: set[bytes],
) -> int:
    """Fills in what is known without opening a file: refusals, and results of unchanged files. How many of these."""
    wanted: dict[bytes, list[int]] = {}
    for index, (file, content) in enumerate(zip(files, store.contents(files), strict=True)):
        if refused := refuse_unread(file.source, file.size, limits):
            parts[index] = ([], [refused])
        elif content is not None:
            wanted.setdefault(result_key(content, file.source, file.group, identity), []).append(index)
    cached = 0
    decompressor = zstandard.ZstdDecompressor()
    for key, packed in store.results(wanted):
        for index in wanted[key]:
            parts[index] = unpack(packed, decompressor)
            cached += 1
        used.add(key)
    return cached


def _read(
    files: Sequence[SourceFile],
    parts: list[_Part | None],
    tasks: Sequence[Task],
    pool: Pool,
    store: Cache,
    identity: str,
    progress: Progress,
    used: set[bytes],
) -> int:
    """Has the workers read what is left, and keeps it. How many turned out to be known under another path or time."""
    hits = 0
    known: list[tuple[bytes, int]] = []
    decompressor = zstandard.ZstdDecompressor()
    total = float(sum(task.file.size for task in tasks))
    done, told = 0.0, 0.0
    progress("ingest", 0.0, total)
    for answer in pool.run(tasks):
        file = files[answer.index]
        if answer.kind == worker.UNKEPT:
            parts[answer.index] = unpack(answer.packed, decompressor)
        else:
            key = result_key(answer.content, file.source, file.group, identity)
            used.add(key)
            if answer.kind == worker.HIT:
                hits += 1
                known.append((key, answer.index))
                store.add(file, answer.content, key, None)
            else:
                parts[answer.index] = unpack(answer.packed, decompressor)
                store.add(file, answer.content, key, answer.packed)
        done += file.size
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            progress("ingest", done, total)
    progress("ingest", total, total)
    packed = dict(store.results({key for key, _ in known}))
    for key, index in known:
        parts[index] = unpack(packed[key], decompressor)
    return hits
