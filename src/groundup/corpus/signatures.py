"""MinHash signatures of many documents, made by several processes and kept by document id.

A signature costs about as much as cleaning (the whole text is shingled), so one file changed must not cost all of them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from groundup.corpus.dedup import signature
from groundup.corpus.document import Document
from groundup.corpus.grouping import by_text_size
from groundup.corpus.policy import CorpusPolicy

BATCH_CHARACTERS = 1_000_000  # of text sent to a process at once
POOL_FROM_CHARACTERS = 4_000_000  # below it, starting processes costs more than it saves


def signatures(
    documents: Sequence[Document],
    policy: CorpusPolicy,
    cache: Path,
    workers: int,
    progress: Callable[[str, float, float], None],
) -> dict[str, bytes]:
    """Signature of each document by its id. cache: a SQLite file beside which they are kept; safe against kill -9."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(cache.with_name("signatures.sqlite"), timeout=60)) as base:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute(
            "CREATE TABLE IF NOT EXISTS signatures (policy TEXT, id TEXT, value BLOB, PRIMARY KEY (policy, id))"
        )
        digest = policy.digest()
        known = dict(base.execute("SELECT id, value FROM signatures WHERE policy = ?", (digest,)))
        found = {document.id: known[document.id] for document in documents if document.id in known}
        missing = list({document.id: document for document in documents if document.id not in found}.values())
        total = sum(len(document.text) for document in missing)
        done = 0
        for batch, made in _computed(missing, policy, workers if total >= POOL_FROM_CHARACTERS else 1):
            rows = [(digest, document.id, value) for document, value in zip(batch, made, strict=True)]
            with base:
                base.executemany("INSERT OR REPLACE INTO signatures VALUES (?, ?, ?)", rows)
            found |= {id_: value for _, id_, value in rows}
            done += sum(len(document.text) for document in batch)
            progress("sign documents", done, total)
    return found


def _computed(
    documents: list[Document], policy: CorpusPolicy, workers: int
) -> Iterator[tuple[list[Document], list[bytes]]]:
    groups = list(by_text_size(documents, BATCH_CHARACTERS))
    if workers == 1:
        for batch in groups:
            yield batch, _sign(batch, policy)
        return
    # spawn, not fork: the parent may hold torch's threads, which a fork would copy in an unknown state.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from zip(groups, pool.map(_sign, groups, [policy] * len(groups)), strict=True)


def _sign(documents: list[Document], policy: CorpusPolicy) -> list[bytes]:
    return [signature(document, policy) for document in documents]
