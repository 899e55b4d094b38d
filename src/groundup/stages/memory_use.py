"""A memory of a release, opened: beside a model to score with, or with the index to say where a text's words stand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from groundup.errors import ReleaseError
from groundup.pipeline.store import Store
from groundup.registry import champion
from groundup.registry.release import Release, ids, open_release
from groundup.retrieval.index import IndexStore
from groundup.stages.live_memory import NewestMemory, decoder_tokenizer
from groundup.stages.stores import index_folder
from groundup.tokens.tokenizer import Tokenizer
from groundup.tracing.tracer import Library, Tracer

CHAMPION = "champion"


def open_tracer(root: Path, release: str = CHAMPION) -> Tracer:
    """release: "champion" or an id. Raises ReleaseError without a release or a memory, StoreError for a broken one."""
    store = Store(root)
    return tracer_of(store, champion.require(store) if release == CHAMPION else open_release(store, release))


class NewestTracer:
    """The tracer of a memory's newest version, made anew when that changes. Threads share it.

    library: as the tracer takes it; it may open documents of today.
    """

    def __init__(self, memory: NewestMemory, library: Library) -> None:
        self._memory, self._library = memory, library
        self._made: Tracer | None = None

    def __call__(self) -> Tracer:
        """Raises StoreError for a memory that is damaged."""
        memory, made = self._memory.mixture().memory, self._made
        if made is None or made.memory is not memory:
            made = self._made = Tracer(memory, self._memory.tokenizer, self._library)
        return made


def memory_of(spec: str, root: Path, tokenizer: Tokenizer) -> NewestMemory:
    """The memory of the model that `spec` names: "champion", a release, or a model of one (see `models.py`).

    Raises ReleaseError if it has none.
    """
    store = Store(root)
    of, _, name = spec.rpartition("/")
    if spec in ids(store):
        of, name = spec, CHAMPION
    release = open_release(store, of) if of and of in ids(store) else champion.require(store)
    name = release.policies["champion"] if name == CHAMPION else name
    if name not in release.policies.get("memory", {}):
        known = ", ".join(release.policies.get("memory", {})) or "none"
        wrong = f"release {release.id} has no memory for {name}"
        raise ReleaseError(wrong, place=str(root), mend=f"It has one for: {known}. Or leave --memory off.")
    return NewestMemory(store, release, name, tokenizer)


def traced_by(release: Release, memories: Iterable[str]) -> str | None:
    """Whose memory traces: that of the model that completes, or of another where that has none."""
    known = list(memories)
    return release.policies["champion"] if release.policies["champion"] in known else next(iter(known), None)


def tracer_of(store: Store, release: Release) -> Tracer:
    name = traced_by(release, release.policies.get("memory", {}))
    if name is None:
        mend = "Run `groundup run`, which builds one."
        raise ReleaseError("its models have no memory of the corpus", place=release.id, mend=mend)
    tokenizer = decoder_tokenizer(release, name)
    memory = NewestMemory(store, release, name, tokenizer).mixture().memory
    index = IndexStore(index_folder(store, release.policies["index"])).open()
    return Tracer(memory, tokenizer, index.document)
