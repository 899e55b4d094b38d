"""A release and its index, loaded to be used: by the server, and by the commands that search, ask and generate."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.pipeline.store import Store
from groundup.registry import champion
from groundup.registry.release import Release
from groundup.retrieval.answer import Answer, AnswerPolicy, answer
from groundup.retrieval.index import Explanation, Hit, Index, IndexStore
from groundup.serving.release_service import ReleaseService
from groundup.serving.results import Citation, Coverage, Extract, Found, Quote
from groundup.stages.index import count_question
from groundup.stages.stores import index_folder

if TYPE_CHECKING:
    from groundup.generation.generator import Generator
    from groundup.interop.encoders import SentenceEncoder

ENCODER_PREFIX = "encoder-"


class LiveIndex:
    """The newest version of a run's index, opened anew when `run` has refreshed it. Threads share it."""

    def __init__(self, store: Store, policies: Mapping[str, Any], encoder: SentenceEncoder | None) -> None:
        self.store, self.encoder = IndexStore(index_folder(store, policies["index"])), encoder
        search = policies["search"]
        self.best_system: str = search["system"]
        self.dense_weight: float = search["dense_weight"]
        self.policy = AnswerPolicy(threshold=search["threshold"])
        self.systems: Sequence[str] = ["best", "bm25", "tfidf", *(["dense", "hybrid"] if encoder is not None else [])]
        self._lock = threading.Lock()
        self._open: Index | None = None

    def current(self) -> Index:
        with self._lock:
            if self._open is None or self._open.digest != self.store.current:
                self._open = self.store.open(best=self.best_system)
                self._open.dense_weight = self.dense_weight
            return self._open

    def search(self, query: str, k: int, system: str, *, explain: bool = False) -> list[Found]:
        index, encoder = self.current(), self._encoder_for(system)
        if explain:
            return [_explained(one) for one in index.explain(query, k, system, encoder)]
        return [_found(hit) for hit in index.search(query, k, system, encoder)]

    def answer(self, question: str, k: int) -> Extract:
        return _extract(self.answered(question))

    def answered(self, question: str) -> Answer:
        return answer(self.current(), question, self.policy, system="best", encoder=self._encoder_for("best"))

    def coverage(self) -> Coverage:
        index = self.current()
        if self.encoder is None:
            return Coverage(0, index.chunks)
        covered = index.coverage(self.encoder)
        return Coverage(covered.covered, covered.total, self.encoder.name)

    def documents(self) -> int:
        return self.current().documents

    def describe(self, query: str, found: Sequence[Found]) -> Mapping[str, object]:
        """Counts for the drift figure; of a query nothing else is kept."""
        return dict(count_question(self.current(), query, self.encoder).to_record())

    def embed_on(self, stop: threading.Event, pause: Callable[[], bool]) -> None:
        """Embeds what has no vector yet, a batch at a time, breadth first over the documents, while nobody waits."""
        while self.encoder is not None and not stop.is_set():
            if pause() or not self.current().embed_missing(self.encoder, 64):
                stop.wait(0.5 if pause() else 5.0)

    def _encoder_for(self, system: str) -> SentenceEncoder | None:
        name = self.best_system if system == "best" else system
        return None if name in ("bm25", "tfidf") else self.encoder


@dataclass(frozen=True)
class Loaded:
    release: Release
    service: ReleaseService
    index: LiveIndex


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
    index = LiveIndex(store, policies, serving)
    decoders = _decoders(release, kinds) if generators else {}
    verdicts = release.verdicts
    service = ReleaseService(
        release=release.id,
        generators=decoders,
        champion=policies["champion"] if policies["champion"] in decoders else None,
        encoders=encoders,
        best_encoder=None if serving is None else serving.name,
        index=index,
        created=int(datetime.datetime.fromisoformat(release.created).timestamp()),
        verdicts=[table["sentence"] for table in verdicts if table["sentence"]],
        warnings=[warning for table in verdicts for warning in table["warnings"]],
        describe=index.describe,
    )
    return Loaded(release, service, index)


def _decoders(release: Release, kinds: Mapping[str, str]) -> dict[str, Generator]:
    from groundup.generation.generator import Generator
    from groundup.generation.turns import Turns
    from groundup.interop.base import load_base
    from groundup.machine import use_threads

    use_threads()
    turns = Turns()  # they share the cores
    found = {}
    for name in release.models:
        if kinds.get(name) == "decoder":
            brought = load_base(_model_file(release.model(name)))
            found[name] = Generator(brought.model, brought.tokenizer, chat_template=brought.chat_template, turns=turns)
    return found


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
        encoder = load_encoder(release.model(name))
        encoder.name = name.removeprefix(ENCODER_PREFIX)
        found[encoder.name] = encoder
    return found


def _model_file(folder: Path) -> Path:
    """A brought GGUF file lies alone in its folder."""
    files = list(folder.glob("*.gguf"))
    return files[0] if files else folder


def _found(hit: Hit, scores: Mapping[str, float] | None = None) -> Found:
    chunk = hit.chunk
    return Found(
        hit.rank, hit.score, chunk.id, chunk.source, chunk.line, chunk.title, chunk.text, chunk.kind,
        hit.found_by, dict(scores or {}),
    )  # fmt: skip


def _explained(explanation: Explanation) -> Found:
    return _found(explanation.hit, explanation.scores)


def _extract(found: Answer) -> Extract:
    places = {citation.number: citation.chunk for citation in found.citations}
    return Extract(
        [
            Quote(
                quote.text, quote.citation, quote.score,
                quote.start - places[quote.citation].start, quote.end - places[quote.citation].start,
            )
            for quote in found.quotes
        ],
        [Citation(c.number, c.chunk.id, c.chunk.source, c.chunk.line, c.chunk.title, c.chunk.text) for c in found.citations],
        found.text if found.refused else "",
    )  # fmt: skip
