"""The index keeps up with the disk: documents as they are now → a version of the index; vectors as time allows.

It is a store, not an artifact: it follows the files, while the models keep their snapshot. live.json says which files
it holds, so that a run in which nothing changed does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.corpus.document import Document
from groundup.corpus.policy import CorpusPolicy
from groundup.pipeline.code import code_versions
from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.store import Store
from groundup.progress import Progress
from groundup.stages.snapshot import FileState, states_digest, states_from_json, states_to_json
from groundup.stages.stores import index_folder

if TYPE_CHECKING:
    from groundup.interop.sentence_encoder import SentenceEncoder
    from groundup.retrieval.index import Index

CODE = ("groundup.corpus", "groundup.retrieval", "groundup.stages.index")


@dataclass(frozen=True)
class Live:
    """What the index was last made to hold."""

    wanted: str
    files: tuple[FileState, ...]


@dataclass(frozen=True)
class EncoderFace:
    """What the index needs to know of an encoder to count its vectors, without loading it or torch."""

    name: str
    dim: int
    digest: str


def wanted_version(states: Iterable[FileState]) -> str:
    """What the index should hold: these files, cleaned by this policy, chunked by this code."""
    return digest_of({"files": states_digest(states), "policy": CorpusPolicy().digest(), "code": code_versions(CODE)})


def read_live(path: Path) -> Live | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Live(stored["wanted"], states_from_json(stored["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or of another version: the index is brought up to date


def write_live(path: Path, live: Live) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"wanted": live.wanted, "files": states_to_json(live.files)})


def fault(store: Store, run_name: str) -> str:
    """Why the run's index can't be used: there is none, or it is damaged; "" if it is whole."""
    from groundup.retrieval.index import IndexStore

    return IndexStore(index_folder(store, run_name)).fault()


def coverage(store: Store, run_name: str, face: EncoderFace | None) -> tuple[int, int]:
    """(chunks with a vector of that encoder, chunks) of the run's index."""
    from groundup.retrieval.index import IndexStore

    index = IndexStore(index_folder(store, run_name)).open()
    if face is None:
        return 0, index.chunks
    found = index.coverage(face)  # type: ignore[arg-type]  # it asks for name, width and digest alone
    return found.covered, found.total


def refresh(store: Store, run_name: str, documents: Iterable[Document], workers: int, progress: Progress) -> Index:
    """The version of the run's index that holds exactly `documents`; what the last one knows is taken over."""
    from groundup.retrieval.index import IndexStore

    return IndexStore(index_folder(store, run_name)).refresh(documents, workers=workers, progress=progress)


def embed(
    store: Store, run_name: str, encoder: SentenceEncoder, at_least: int, deadline: float | None, progress: Progress
) -> tuple[int, int, int]:
    """Embeds breadth first over the documents: `at_least` chunks, then on until the deadline of `time.monotonic()`.

    Returns (chunks embedded now, chunks covered, chunks in all).
    """
    from groundup.retrieval.index import IndexStore

    index = IndexStore(index_folder(store, run_name)).open()
    covered = index.coverage(encoder).covered
    done = index.embed_missing(encoder, max(0, at_least - covered), progress=progress)
    if deadline is not None:
        done += index.embed_missing(encoder, deadline=deadline, progress=progress)
    coverage = index.coverage(encoder)
    return done, coverage.covered, coverage.total


def write_reference(
    path: Path, store: Store, run_name: str, questions: Sequence[str], encoder: SentenceEncoder | None
) -> None:
    """What questions about this corpus look like, for the drift figure of `groundup monitor`."""
    from groundup.monitoring.drift import make_reference
    from groundup.retrieval.index import IndexStore
    from groundup.serving.index_adapter import ServedIndex

    index = IndexStore(index_folder(store, run_name)).open()
    served = ServedIndex(lambda: index, encoder)
    reference = make_reference([served.count(question) for question in questions])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, json.loads(reference.to_json()))
