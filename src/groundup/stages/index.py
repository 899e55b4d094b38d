"""The index keeps up with the disk: documents as they are now → a version of the index; vectors as time allows.

It is a store, not an artifact: it follows the files, while the models keep their snapshot. live.json says which files
it holds, so that a run in which nothing changed does nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.corpus.document import Document, iter_documents
from groundup.corpus.funnel import Event, Funnel
from groundup.corpus.policy import CorpusPolicy
from groundup.pipeline.code import code_versions
from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.store import Artifact
from groundup.pipeline.summary import Coverage
from groundup.progress import Sink
from groundup.stages.clocks import Models
from groundup.stages.corpus import clean_documents
from groundup.stages.site import RunSite
from groundup.stages.snapshot import FileState, compare, states_digest, states_from_json, states_to_json
from groundup.stages.stores import drift_reference, index_folder

if TYPE_CHECKING:
    from groundup.interop.sentence_encoder import SentenceEncoder

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


class LiveIndex:
    """The index of one site's runs. `coverage`: how many chunks have a vector, None while nobody looked."""

    def __init__(self, site: RunSite) -> None:
        from groundup.retrieval.index import IndexStore

        self.site = site
        self.coverage: Coverage | None = None
        self._store = IndexStore(index_folder(site.store, site.name))
        self._documents: list[Document] | None = None
        self._wanted_vectors = 0  # what has one before the index is refreshed has one again afterwards
        self._reference = drift_reference(site.store, site.name)

    def files(self) -> tuple[FileState, ...] | None:
        """The files it was last made to hold; None without an index."""
        live = read_live(self.site.live)
        return None if live is None else live.files

    def reason(self, models: Models) -> str:
        """Why it has to be refreshed; "" if it holds what it should."""
        return self._reason(models, self._store.fault())

    def _reason(self, models: Models, broken: str) -> str:
        live = read_live(self.site.live)
        if live is None:
            return "first time"
        if broken:
            return broken
        if live.wanted == wanted_version(models.states):
            return ""
        since = compare(live.files, models.states)
        return since.text() if since else "the code that makes it changed"

    def refresh(self, models: Models, listed: Sequence[Event], corpus: Artifact, sink: Sink) -> str:
        """Brings it up to the disk; says what was done, "" if nothing.

        listed: what listing the sources passed over today, for the funnel. corpus: of the models' snapshot.
        """
        broken = self._store.fault()
        why = self._reason(models, broken)
        if not broken:
            self._look()
        if not why:
            return ""
        documents = self.documents(models, listed, corpus, sink)
        index = self._store.refresh(documents, workers=self.site.execution(None).workers, progress=sink)
        write_live(self.site.live, Live(wanted_version(models.states), models.states))
        self.coverage = Coverage(0, index.chunks)
        return f"{index.documents:,} documents, {index.chunks:,} chunks: {why}"

    def documents(self, models: Models, listed: Sequence[Event], corpus: Artifact, sink: Sink) -> list[Document]:
        """The documents of today, and the funnel's account of them. Read once a run."""
        if self._documents is None:
            if models.change:
                execution, files = self.site.execution(models.snapshot), [state.file for state in models.states]
                made, events, _ = clean_documents(execution, files, CorpusPolicy(), sink)
                Funnel([*listed, *events]).write(self.site.funnel)
                self._documents = made.documents
            else:
                self.site.funnel.unlink(missing_ok=True)  # the corpus' own is today's
                self._documents = list(iter_documents(corpus.file("documents.parquet")))
        return self._documents

    def _look(self) -> None:
        """Counts the vectors of the encoder that the last verdict named."""
        index, face = self._store.open(), self._face()
        covered = 0
        if face is not None:
            covered = index.coverage(face).covered  # type: ignore[arg-type]  # it asks for name, width, digest alone
        self.coverage = Coverage(covered, index.chunks)
        self._wanted_vectors = sys.maxsize if covered == index.chunks > 0 else covered

    def _face(self) -> EncoderFace | None:
        verdict = self.site.lineage.artifacts().get("verdict-search")
        policy = verdict.read_json("policy.json") if verdict is not None else {}
        if policy.get("encoder") is None:
            return None
        return EncoderFace(policy["encoder"], policy["dim"], policy["encoder_digest"])

    @property
    def measured(self) -> bool:
        """Whether questions about it were counted, for the drift figure of `groundup monitor`."""
        return self._reference.exists()

    def embed(self, encoder: SentenceEncoder, deadline: float | None, sink: Sink) -> int:
        """Vectors, breadth first over the documents: all if all had one before the refresh, else as many as had; and
        on until the deadline of `time.monotonic()`. Returns how many were made."""
        index = self._store.open()
        done = index.embed_missing(
            encoder, max(0, self._wanted_vectors - index.coverage(encoder).covered), progress=sink
        )
        if deadline is not None:
            done += index.embed_missing(encoder, deadline=deadline, progress=sink)
        found = index.coverage(encoder)
        self.coverage = Coverage(found.covered, found.total)
        return done

    def measure(self, questions: Sequence[str], encoder: SentenceEncoder | None) -> None:
        """Keeps what questions about this corpus look like."""
        from groundup.monitoring.drift import make_reference
        from groundup.serving.index_adapter import ServedIndex

        index = self._store.open()
        served = ServedIndex(lambda: index, encoder)
        reference = make_reference([served.count(question) for question in questions])
        self._reference.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._reference, json.loads(reference.to_json()))


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
