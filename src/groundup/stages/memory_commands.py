"""What `groundup memory info` and `groundup memory rebuild` do: a release's memories, looked at or sorted anew."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groundup.corpus.document import Document
from groundup.errors import ReleaseError, StoreError
from groundup.infinigram.errors import MemoryFaultError
from groundup.infinigram.store import MemoryStore, Part
from groundup.pipeline.steps import StepRecord
from groundup.pipeline.store import Store
from groundup.progress import Progress, Sink, duration
from groundup.registry import champion
from groundup.registry.release import Release, open_release
from groundup.retrieval.index import REPAIR, IndexStore
from groundup.stages.index import read_live as read_index_live
from groundup.stages.index import read_unsearched
from groundup.stages.language import WITH_MEMORY
from groundup.stages.leave_out import LeaveOut
from groundup.stages.live_memory import (
    REBUILD,
    Encoding,
    decoder_tokenizer,
    meaning_of,
    mend_of,
    read_live,
    write_live,
    writing,
)
from groundup.stages.memory_use import CHAMPION
from groundup.stages.outcome import size
from groundup.stages.release import existing_store
from groundup.stages.stores import index_folder, memory_folder


@dataclass(frozen=True)
class MemoryInfo:
    """One decoder's memory. tokenizer: digest of the one that it has to be of. serial: versions written so far.

    fault: why it can't be served, or "". behind: how it differs from the documents of the index, or "" if it doesn't;
    None where that can't be told. completes: whether it has a say in completion, and why. mend: of a fault.
    """

    decoder: str
    version: str | None
    serial: int
    tokenizer: str
    encoder: str | None
    parts: tuple[Part, ...]
    fault: str
    checked: bool
    behind: str | None
    completes: bool
    why: str
    mend: str = REBUILD

    @property
    def documents(self) -> int:
        return self._sum("documents")

    @property
    def tokens(self) -> int:
        return self._sum("tokens")

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    def _sum(self, field: str) -> int:
        return sum((-1 if part.role == "removed" else 1) * int(getattr(part, field)) for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        per_token = self.bytes / self.tokens if self.tokens else None
        totals = {"documents": self.documents, "tokens": self.tokens, "bytes": self.bytes, "bytes_per_token": per_token}
        mend = self.mend if self.fault else ""
        return {**asdict(self), **totals, "mend": mend, "parts": [part._asdict() for part in self.parts]}

    def text(self) -> str:
        lines = [self.decoder]
        if self.version is not None:
            lines.append(f"version    {self.version}, number {self.serial:,}")
        lines.append(f"tokenizer  {self.tokenizer[:16]}, encoded by {self.encoder or 'an unknown library'}")
        if self.parts:
            each = f", {self.bytes / self.tokens:.1f} a token" if self.tokens else ""
            lines.append(f"holds      {_held(self.documents, self.tokens)}; {size(self.bytes)} on disk{each}")
            lines += [f"  {p.role:8} {_held(p.documents, p.tokens)}, {size(p.bytes)}" for p in self.parts]
        whole = "every bit is as it was written" if self.checked else "by the sizes of its files; --check reads them"
        lines.append(f"fault      {self.fault}. {self.mend}" if self.fault else f"whole      {whole}")
        if self.behind is not None:
            mend = f"{self.behind}; `groundup run` brings it up to date"
            lines.append(f"follows    {mend if self.behind else 'up to date with the index'}")
        lines.append(f"completes  {'yes' if self.completes else 'no'}: {self.why}")
        return "\n  ".join(lines)


@dataclass(frozen=True)
class MemoryInfos:
    release: str
    memories: Sequence[MemoryInfo]

    def to_json(self) -> dict[str, Any]:
        return {"release": self.release, "memories": [memory.to_json() for memory in self.memories]}

    def text(self) -> str:
        if not self.memories:
            return f"No model of release {self.release} has a memory of the corpus."
        return "\n\n".join(memory.text() for memory in self.memories)

    @property
    def damaged(self) -> bool:
        return any(memory.fault for memory in self.memories)


def memory_info(root: Path, release: str = CHAMPION, *, check: bool = False) -> MemoryInfos:
    """Every memory of a release: "champion" or an id. check: all data is read and compared with what was written.

    Raises ReleaseError if there is no such release. What is damaged is part of the answer.
    """
    store = existing_store(root)
    chosen = champion.require(store) if release == CHAMPION else open_release(store, release)
    try:
        corpus = _Corpus(store, chosen.policies["index"])
    except StoreError:
        corpus = None
    names = chosen.policies.get("memory", {})
    mend = mend_of(store, chosen)
    return MemoryInfos(chosen.id, [_info(store, chosen, name, corpus, mend, check=check) for name in names])


def _info(store: Store, release: Release, name: str, corpus: _Corpus | None, mend: str, *, check: bool) -> MemoryInfo:
    folder = memory_folder(store, release.policies["index"], name)
    memories, tokenizer = MemoryStore(folder), decoder_tokenizer(release, name)
    closed = memories.fault(tokenizer.digest)
    version, serial = None, 0
    parts: list[Part] = []
    behind: str | None = None
    try:
        version, serial = memories.current, memories.serial
        parts = memories.parts()
        if corpus is not None:
            behind = _behind(set(memories.open(tokenizer.digest).documents()), set(corpus.ids))
    except MemoryFaultError as error:
        closed = closed or str(error)
    fault = closed or (memories.fault(tokenizer.digest, thorough=True) if check else "")
    completes = bool(release.policies["memory"][name]["completes"])
    why = _why(release.verdicts, name, completes=completes)
    if closed:  # what --check alone finds stops nobody from opening it
        why = f"its fault keeps it from being opened{f'; once mended, yes: {why}' if completes else ''}"
    return MemoryInfo(
        decoder=name,
        version=version,
        serial=serial,
        tokenizer=tokenizer.digest,
        encoder=read_live(folder).get("encoder"),
        parts=tuple(parts),
        fault=fault,
        checked=check,
        behind=behind,
        completes=completes and not closed,
        why=why,
        mend=mend,
    )


def _behind(held: set[str], wanted: set[str]) -> str:
    differs = ((len(wanted - held), "lacks"), (len(held - wanted), "still holds"))
    parts = [f"{word} {count:,}" for count, word in differs if count]
    return f"{' and '.join(parts)} of the documents" if parts else ""


def _why(verdicts: Sequence[Mapping[str, Any]], name: str, *, completes: bool) -> str:
    """What the verdict says of a decoder with memory beside the one without, and what else keeps it from completing."""
    both = {name, name + WITH_MEMORY}
    for table in verdicts:
        for found in table["comparisons"]:
            if {found["better"], found["worse"]} == both and found["column"] == table["columns"][0]:
                sign = 1 if found["better"] == name + WITH_MEMORY else -1
                gain = found["difference"]
                low, high = sorted((sign * gain["low"], sign * gain["high"]))
                unit = table.get("unit") or table["metric"]
                value = f"{sign * gain['value']:+.3f} {unit} with it on {found['column']}"
                writes = "; but what it writes with it may be worse" if high < 0 and not completes else ""
                return f"{value}, interval {low:+.3f} to {high:+.3f}{writes}"
    return "the verdict doesn't compare it with the decoder alone"


@dataclass(frozen=True)
class Rebuilt:
    """encoded: documents that were encoded; the others' tokens were taken from the memory that was there."""

    decoder: str
    documents: int
    tokens: int
    bytes: int
    encoded: int
    encoder: str | None
    seconds: float

    def text(self) -> str:
        how = f"{self.encoded:,} encoded by {self.encoder}" if self.encoded else "none encoded anew"
        held = f"{_held(self.documents, self.tokens)}, {size(self.bytes)} on disk"
        return f"{self.decoder}: sorted anew {held}, in {duration(self.seconds)}; {how}"


@dataclass(frozen=True)
class Rebuilding:
    release: str
    memories: Sequence[Rebuilt]

    def to_json(self) -> dict[str, Any]:
        return {"release": self.release, "memories": [asdict(memory) for memory in self.memories]}

    def text(self) -> str:
        return "\n".join(memory.text() for memory in self.memories)


def rebuild_memories(root: Path, sink: Sink) -> Rebuilding:
    """Sorts the champion's memories anew, damaged or not, each into one base that holds the index's documents.

    Readers keep what they have until a new one is whole. Raises ReleaseError without a release or a memory in it,
    StoreError without an index to build from, StoreBusyError beside another writer.
    """
    store = existing_store(root)
    release = champion.require(store)
    names = release.policies.get("memory", {})
    if not names:
        wrong = f"no model of release {release.id} has a memory of the corpus"
        raise ReleaseError(wrong, place=str(root), mend="Run `groundup run`, which measures whether one helps.")
    with store.writing():
        corpus = _Corpus(store, release.policies["index"])
        return Rebuilding(release.id, [_told(sink, store, release, name, corpus) for name in names])


def _told(sink: Sink, store: Store, release: Release, name: str, corpus: _Corpus) -> Rebuilt:
    """Rebuilds one, and shows it as a run shows a step."""
    step, begun = f"memory {name}", time.monotonic()
    sink.on_step(StepRecord(step, "running"))
    try:
        made = _rebuild(store, release, name, corpus, sink)
    except BaseException as error:
        sink.on_step(StepRecord(step, "failed", "", time.monotonic() - begun, error=str(error)))
        raise
    sink.on_step(StepRecord(step, "done", f"{made.documents:,} documents", made.seconds, sink.memory.peak_bytes))
    return made


def _rebuild(store: Store, release: Release, name: str, corpus: _Corpus, progress: Progress) -> Rebuilt:
    begun = time.monotonic()
    folder = memory_folder(store, release.policies["index"], name)
    memories, tokenizer = MemoryStore(folder), decoder_tokenizer(release, name)
    encoding = Encoding(tokenizer, corpus, read_live(folder).get("encoder"), progress)
    with writing(store, folder):
        memory = memories.renew(corpus.ids, encoding, **meaning_of(tokenizer))
        # The next run looks whether the disk has more to remember, and notes that it did.
        write_live(folder, "", encoding.encoder)
        bytes_on_disk = sum(part.bytes for part in memories.parts())
    seconds = time.monotonic() - begun
    return Rebuilt(name, len(corpus.ids), len(memory), bytes_on_disk, encoding.count, encoding.encoder, seconds)


class _Corpus(Mapping[str, Document]):
    """What the memories of a run hold: documents as the index has them and those kept from search, by id, less those
    that memory leaves out. Texts are read when they are asked for. Raises StoreError without a whole index."""

    def __init__(self, store: Store, run: str) -> None:
        live_file = store.runs / run / "live.json"
        live = read_index_live(live_file)
        if live is None:
            raise StoreError("it doesn't say what the index holds", place=str(live_file), mend=REPAIR)
        self._index = IndexStore(index_folder(store, run)).open()
        columns, left_out = self._index.columns, LeaveOut(live.memory)
        self._aside = {document.id: document for document in left_out.kept(read_unsearched(live_file))}
        sources = zip(columns.document_ids, columns.sources, strict=True)
        held = (name for name, source in sources if source not in left_out and name not in self._aside)
        self.ids = [*held, *self._aside]

    def __getitem__(self, name: str) -> Document:
        if name in self._aside:
            return self._aside[name]
        found = self._index.document(name)
        if found is None:
            raise KeyError(name)
        title, source, text = found
        return Document(name, source, "", title, text, "", "")

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def _held(documents: int, tokens: int) -> str:
    return f"{documents:,} document{'' if documents == 1 else 's'} in {tokens:,} tokens"
