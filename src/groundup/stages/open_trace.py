"""A store's champion, its memory and its index, opened to say where the words of a text stand in the corpus."""

from __future__ import annotations

from pathlib import Path

from groundup.errors import ReleaseError
from groundup.pipeline.store import Store
from groundup.registry import champion
from groundup.registry.release import Release, open_release
from groundup.retrieval.index import IndexStore
from groundup.stages.live_memory import REBUILD, NewestMemory, decoder_tokenizer
from groundup.stages.stores import index_folder
from groundup.stages.trace import Tracer

CHAMPION = "champion"


def open_tracer(root: Path, release: str = CHAMPION) -> Tracer:
    """release: "champion" or an id. Raises ReleaseError without a release or a memory, StoreError for a broken one."""
    store = Store(root)
    return tracer_of(store, champion.require(store) if release == CHAMPION else open_release(store, release))


def tracer_of(store: Store, release: Release) -> Tracer:
    """By the memory of the model that completes; of another, where that has none."""
    known = release.policies.get("memory", {})
    name = release.policies["champion"] if release.policies["champion"] in known else next(iter(known), None)
    if name is None:
        raise ReleaseError("its models have no memory of the corpus", place=release.id, mend=REBUILD)
    tokenizer = decoder_tokenizer(release, name)
    memory = NewestMemory(store, release, name, tokenizer).mixture().memory
    index = IndexStore(index_folder(store, release.policies["index"])).open()
    return Tracer(memory, tokenizer, index.document)
