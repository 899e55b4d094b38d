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

from groundup.corpus.document import Document, iter_documents, write_documents
from groundup.corpus.funnel import Event, Funnel
from groundup.corpus.policy import CorpusPolicy
from groundup.errors import StoreError
from groundup.pipeline.code import code_versions
from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.store import Artifact
from groundup.pipeline.summary import Coverage
from groundup.progress import Sink
from groundup.stages.clocks import Models
from groundup.stages.corpus import clean_documents
from groundup.stages.leave_out import LeaveOut
from groundup.stages.site import RunSite
from groundup.stages.snapshot import FileState, compare, states_digest, states_from_json, states_to_json
from groundup.stages.stores import drift_reference, index_folder

if TYPE_CHECKING:
    from groundup.interop.sentence_encoder import SentenceEncoder

CODE = ("groundup.corpus", "groundup.retrieval", "groundup.stages.index")


@dataclass(frozen=True)
class Live:
    """What the index was last made to hold. memory, search: patterns of what each leaves out.

    notes: what a person should know of those patterns. aside: bytes of the file of documents kept from search.
    """

    wanted: str
    files: tuple[FileState, ...]
    memory: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    aside: int = 0


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
        self.notes: tuple[str, ...] = ()
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
        if live.wanted == self._wanted(models) and live.aside == _size_of(unsearched_file(self.site.live)):
            return ""
        since = compare(live.files, models.states)
        if since:
            return since.text()
        if live.search != self.site.recipe.search.leave_out:
            return "what search leaves out changed"
        if live.aside != _size_of(unsearched_file(self.site.live)):
            return "the documents kept from search were lost"
        return "the code that makes it changed"

    def _wanted(self, models: Models) -> str:
        """What it should hold: the documents of the files, less those that search leaves out."""
        left_out = list(self.site.recipe.search.leave_out)
        return digest_of({"documents": wanted_version(models.states), "left_out": left_out})

    def refresh(self, models: Models, listed: Sequence[Event], corpus: Artifact, sink: Sink) -> str:
        """Brings it up to the disk; says what was done, "" if nothing.

        listed: what listing the sources passed over today, for the funnel. corpus: of the models' snapshot.
        """
        broken = self._store.fault()
        why = self._reason(models, broken)
        if not broken:
            self._look()
        live, recipe = read_live(self.site.live), self.site.recipe
        if not why and live is not None and live.memory == recipe.memory.leave_out:
            self.notes = live.notes
            return ""
        documents = self.documents(models, listed, corpus, sink)
        did = self._hold(documents, why, sink) if why else ""
        self.notes = pattern_notes(documents, recipe.memory.leave_out, recipe.search.leave_out)
        left_out = (recipe.memory.leave_out, recipe.search.leave_out)
        aside = _size_of(unsearched_file(self.site.live))
        write_live(self.site.live, Live(self._wanted(models), models.states, *left_out, self.notes, aside))
        return did

    def _hold(self, documents: list[Document], why: str, sink: Sink) -> str:
        """Makes the index hold the documents that search doesn't leave out, and keeps the others for memory."""
        left_out, aside = LeaveOut(self.site.recipe.search.leave_out), unsearched_file(self.site.live)
        kept = left_out.kept(documents)
        if len(kept) < len(documents):
            aside.parent.mkdir(parents=True, exist_ok=True)
            pending = aside.with_suffix(".pending")
            write_documents(pending, (document for document in documents if document.source in left_out))
            pending.replace(aside)
        else:
            aside.unlink(missing_ok=True)
        index = self._store.refresh(kept, workers=self.site.execution(None).workers, progress=sink)
        self.coverage = Coverage(0, index.chunks)
        return f"{index.documents:,} documents, {index.chunks:,} chunks: {why}"

    def documents(self, models: Models, listed: Sequence[Event], corpus: Artifact, sink: Sink) -> list[Document]:
        """The documents of today, left out or not, and the funnel's account of them. Read once a run."""
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
    """The documents of today: these files, cleaned by this policy, chunked by this code."""
    return digest_of({"files": states_digest(states), "policy": CorpusPolicy().digest(), "code": code_versions(CODE)})


def read_live(path: Path) -> Live | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        memory, search, notes = (tuple(map(str, stored.get(name, ()))) for name in ("memory", "search", "notes"))
        files, aside = states_from_json(stored["files"]), int(stored.get("aside", 0))
        return Live(stored["wanted"], files, memory, search, notes, aside)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # none yet, or of another version: the index is brought up to date


def write_live(path: Path, live: Live) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left_out = {"memory": list(live.memory), "search": list(live.search), "notes": list(live.notes)}
    write_json(path, {"wanted": live.wanted, "files": states_to_json(live.files), **left_out, "aside": live.aside})


def unsearched_file(live: Path) -> Path:
    """Documents that search leaves out and memory may hold, beside the file that says what the index holds."""
    return live.with_name("unsearched.parquet")


def read_unsearched(live: Path) -> list[Document]:
    """The documents that search leaves out. Raises StoreError if their file is damaged."""
    path = unsearched_file(live)
    try:
        return list(iter_documents(path)) if path.exists() else []
    except (OSError, ValueError):
        mend = "Delete it, then run `groundup run`, which makes it anew."
        raise StoreError("the documents kept from search can't be read", place=str(path), mend=mend) from None


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def pattern_notes(documents: Sequence[Document], memory: Sequence[str], search: Sequence[str]) -> tuple[str, ...]:
    """Of patterns that leave out nothing, and of those that leave out everything."""
    paths = [document.source for document in documents]
    notes = []
    for name, patterns in (("memory.leave_out", memory), ("search.leave_out", search)):
        left_out = LeaveOut(tuple(patterns))
        for pattern in left_out.unused(paths):
            shown = f"; paths look like {paths[0]}" if paths else ""
            notes.append(f"{name}: {pattern} matches no document{shown}.")
        if paths and all(path in left_out for path in paths):
            notes.append(f"{name} leaves out every document: {name.partition('.')[0]} is empty.")
    return tuple(notes)
