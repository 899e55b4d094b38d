"""A release and its index, loaded to be used: by the server, and by the commands that search, ask and generate."""

from __future__ import annotations

import contextlib
import datetime
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.pipeline.lineage import latest_run
from groundup.pipeline.store import Store
from groundup.registry import champion
from groundup.registry.release import Release
from groundup.retrieval.answer import AnswerPolicy
from groundup.retrieval.index import Index, IndexStore
from groundup.serving.index_adapter import ServedIndex
from groundup.serving.release_service import ReleaseService, ServedMemory
from groundup.stages.memory_use import NewestTracer, traced_by
from groundup.stages.models import model_file
from groundup.stages.stores import index_folder

if TYPE_CHECKING:
    from groundup.generation.generator import Generator
    from groundup.interop.sentence_encoder import SentenceEncoder
    from groundup.stages.live_memory import NewestMemory

ENCODER_PREFIX = "encoder-"
EMBED_BATCH = 16  # chunks: half a second, which whoever asks meanwhile or ends the server waits for


class NewestIndex:
    """The newest version of a run's index, opened anew when `run` has refreshed it. Threads share it."""

    def __init__(self, store: Store, policies: Mapping[str, Any]) -> None:
        self.store = IndexStore(index_folder(store, policies["index"]))
        self.search = policies["search"]
        self._lock = threading.Lock()
        self._open: Index | None = None

    def current(self) -> Index:
        with self._lock:
            if self._open is None or self._open.digest != self.store.current:
                self._open = self.store.open(best=self.search["system"])
                self._open.dense_weight = self.search["dense_weight"]
            return self._open

    def embed_on(self, encoder: SentenceEncoder, stop: threading.Event, busy: Callable[[], bool]) -> None:
        """Embeds what has no vector yet, a batch at a time, breadth first over the documents, while nobody waits."""
        with contextlib.suppress(OSError):  # a store that can't be written to: search goes on with what there is
            while not stop.is_set():
                if busy() or not self.current().embed_missing(encoder, EMBED_BATCH):
                    stop.wait(1.0)


@dataclass(frozen=True)
class Loaded:
    release: Release
    service: ReleaseService
    index: ServedIndex
    live: NewestIndex
    encoder: SentenceEncoder | None  # of the index


def load(root: Path, *, generators: bool) -> Loaded:
    """The champion release with its index and encoders; with its decoders if asked (a second per 100 M parameters).

    Raises ReleaseError if there is no release yet.
    """
    store = Store(root)
    release = champion.require(store)
    policies = release.policies
    kinds: Mapping[str, str] = policies["kinds"]
    encoders = _encoders(release, kinds, policies, every=generators)
    serving = encoders.get(policies["search"]["encoder"] or "")
    live = NewestIndex(store, policies)
    index = ServedIndex(live.current, serving, AnswerPolicy(threshold=policies["search"]["threshold"]))
    decoders = _decoders(release, kinds) if generators else {}
    memories = _memories(store, release, decoders)
    faults = {name: memory.fault for name, memory in memories.items()}
    fitted = release.policies.get("memory", {})
    tracing = traced_by(release, [name for name, fault in faults.items() if not fault])
    verdicts = release.verdicts
    service = ReleaseService(
        release=release.id,
        generators=decoders,
        champion=policies["champion"] if policies["champion"] in decoders else None,
        memories={
            name: ServedMemory(
                None if faults[name] else memory, memory.completes, fitted[name].get("answers"), faults[name]
            )
            for name, memory in memories.items()
        },
        tracer=None if tracing is None else NewestTracer(memories[tracing], lambda name: live.current().document(name)),
        encoders=encoders,
        best_encoder=None if serving is None else serving.name,
        index=index,
        created=int(datetime.datetime.fromisoformat(release.created).timestamp()),
        verdicts=[table["sentence"] for table in verdicts if table["sentence"]],
        warnings=[warning for table in verdicts for warning in table["warnings"]],
        describe=lambda query, found: index.count(query, found).to_record(),
    )
    return Loaded(release, service, index, live, serving)


def load_index(root: Path) -> ServedIndex:
    """The champion's index; before there is a champion the one that the run at work has made, searched by BM25.

    Raises ReleaseError if there is neither.
    """
    store = Store(root)
    run = latest_run(store)
    if champion.current(store) is not None or run is None:
        return load(root, generators=False).index
    index = IndexStore(index_folder(store, run))
    if index.fault():
        champion.require(store)
    return ServedIndex(index.open)


def _decoders(release: Release, kinds: Mapping[str, str]) -> dict[str, Generator]:
    from groundup.generation.generator import Generator
    from groundup.generation.turns import Turns
    from groundup.interop.base import load_base
    from groundup.machine import use_threads
    from groundup.nn.packed import packed

    use_threads()
    turns = Turns()  # they share the cores
    found = {}
    for name in release.models:
        if kinds.get(name) == "decoder":
            brought = load_base(model_file(release.model(name)))
            found[name] = Generator(
                packed(brought.model), brought.tokenizer, chat_template=brought.chat_template, turns=turns
            )
    return found


def _memories(store: Store, release: Release, decoders: Mapping[str, Generator]) -> dict[str, NewestMemory]:
    """Of the decoders that have one, damaged or not."""
    from groundup.stages.live_memory import NewestMemory

    return {
        name: NewestMemory(store, release, name, decoders[name].tokenizer)
        for name in release.policies.get("memory", {})
        if name in decoders
    }


def _encoders(
    release: Release, kinds: Mapping[str, str], policies: Mapping[str, Any], *, every: bool
) -> dict[str, SentenceEncoder]:
    """By the name they have in the tables. Without `every`, only the one that search needs."""
    wanted = [name for name in release.models if kinds.get(name) == "encoder"]
    if not every:
        serving = policies["search"]["encoder"]
        wanted = [name for name in wanted if name == f"{ENCODER_PREFIX}{serving}"]
    if not wanted:
        return {}
    from groundup.interop.encoders import load_encoder
    from groundup.machine import use_threads

    use_threads()
    found = {}
    for name in wanted:
        encoder = load_encoder(release.model(name)).use_format(policies["search"].get("encoder_format", "fp32"))
        encoder.name = name.removeprefix(ENCODER_PREFIX)
        found[encoder.name] = encoder
    return found
