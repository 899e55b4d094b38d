"""The memory keeps up with the disk, as the index does: documents as they are now → a version of each decoder's memory.

What a gate is fitted by belongs to the release and stays; what is remembered are the documents of today.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from groundup.corpus.document import Document
from groundup.errors import StoreBusyError, StoreError
from groundup.infinigram.errors import MemoryBusyError, MemoryFaultError
from groundup.infinigram.store import MemoryStore
from groundup.pipeline.code import code_versions
from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.space import disk_full
from groundup.progress import Progress, silent
from groundup.registry import champion
from groundup.stages.leave_out import LeaveOut
from groundup.stages.stores import memory_folder

if TYPE_CHECKING:
    from groundup.infinigram.gather import Tokens
    from groundup.infinigram.mixture import Mixture, Recall
    from groundup.pipeline.store import Store
    from groundup.registry.release import Release
    from groundup.tokens.tokenizer import Tokenizer

CODE = ("groundup.infinigram", "groundup.tokens", "groundup.stages.memory_tokens")
REBUILD = "Run `groundup memory rebuild`, which sorts it anew."


class Kind(TypedDict):
    """What a memory's tokens are: a digest, the size of a vocabulary, the id of the token that begins a document."""

    tokenizer: str
    vocab_size: int
    separator: int


def refresh_memories(
    store: Store, release: Release, wanted: str, documents: Callable[[], Sequence[Document]], left_out: LeaveOut
) -> list[str]:
    """Brings the memory of every decoder of the release that has one up to `documents`; says what was done.

    wanted: what the documents are, so that nothing is read where nothing changed. left_out: those not to remember.
    A decoder that has one from an earlier release alone keeps of it what is still wanted.
    Raises StoreBusyError beside another writer, StoreError for a folder that can't be written.
    """
    did = []
    # A release never changes, so it stands for its tokenizers: reading one would cost more than all the rest.
    code = code_versions(CODE)
    patterns = list(left_out.patterns)
    state = digest_of({"documents": wanted, "release": release.id, "code": code, "left_out": patterns})
    known = list(release.policies.get("memory", {}))
    for name in (*known, *_forgotten(store, release)):
        folder = memory_folder(store, release.policies["index"], name)
        memories = MemoryStore(folder)
        live = {} if memories.fault() else read_live(folder)
        if live.get("wanted") == state:
            continue
        by_id = {document.id: document for document in left_out.kept(documents())}
        if name not in known:
            with writing(store, folder):
                _keep_of(memories, by_id)
                if folder.exists():
                    write_live(folder, state, live.get("encoder"))
            continue
        tokenizer = decoder_tokenizer(release, name)
        with writing(store, folder):
            encoding = Encoding(tokenizer, by_id, live.get("encoder"))
            memory = memories.update(by_id, encoding, **meaning_of(tokenizer))
            write_live(folder, state, encoding.encoder)
        held = f"{len(by_id):,} documents in {len(memory):,} tokens"
        did.append(f"{name} remembers {held if by_id else 'nothing: memory.leave_out leaves no document'}")
    return did


def _forgotten(store: Store, release: Release) -> list[str]:
    """Decoders that have a memory, and none in this release."""
    folder = memory_folder(store, release.policies["index"], "-").parent
    known = release.policies.get("memory", {})
    return sorted(path.name for path in folder.glob("*") if path.name not in known and not MemoryStore(path).fault())


def _keep_of(memories: MemoryStore, wanted: Mapping[str, Document]) -> None:
    """Without its tokenizer documents can only go: one that is damaged goes whole."""
    try:
        memory = memories.open()
        kind = Kind(tokenizer=memory.tokenizer, vocab_size=memory.vocab_size, separator=memory.separator)
        memories.update([name for name in memory.documents() if name in wanted], _no_tokens, **kind)
    except MemoryFaultError:
        shutil.rmtree(memories.root)


def _no_tokens(names: list[str]) -> Iterable[Tokens]:
    raise MemoryFaultError(f"the tokens of {len(names):,} documents are damaged")


@contextlib.contextmanager
def writing(store: Store, folder: Path) -> Iterator[None]:
    """What a memory's folder may refuse, as errors with a mend."""
    try:
        yield
    except MemoryBusyError as error:
        raise StoreBusyError(str(error), place=str(folder), mend="Wait for it to end, then try again.") from None
    except OSError as error:
        full = disk_full(error, store.root)
        mend = "Let this user write there, or name another folder with --store."
        wrong = f"the memory can't be written ({error.strerror or error})"
        raise full or StoreError(wrong, place=str(error.filename or folder), mend=mend) from None


def meaning_of(tokenizer: Tokenizer) -> Kind:
    """What a store has to know of a tokenizer that has a separator."""
    assert tokenizer.separator_id is not None
    return Kind(tokenizer=tokenizer.digest, vocab_size=tokenizer.vocab_size, separator=tokenizer.separator_id)


class NewestMemory:
    """A decoder's memory beside its release's gate, opened anew when it has changed. Threads share it."""

    def __init__(self, store: Store, release: Release, name: str, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._of = (store, release)
        self._store = MemoryStore(memory_folder(store, release.policies["index"], name))
        self._fitted: Mapping[str, Any] = release.policies["memory"][name]
        self._lock = threading.Lock()
        self._open: tuple[str | None, Mixture] | None = None

    @property
    def completes(self) -> bool:
        """Whether the verdict says that it makes completions better."""
        return bool(self._fitted["completes"])

    @property
    def fault(self) -> str:
        """Why it can't be used, or ""."""
        return self._store.fault(self.tokenizer.digest)

    def mixture(self) -> Mixture:
        """Of the newest version. Raises StoreError if there is none or it is damaged."""
        from groundup.infinigram.backoff import Backoff
        from groundup.infinigram.gate import Gate
        from groundup.infinigram.mixture import Mixture

        with self._lock:
            try:
                version = self._store.current
                if self._open is None or self._open[0] != version:
                    memory = self._store.open(self.tokenizer.digest)
                    backoff = Backoff(tuple(self._fitted["backoff"]))
                    self._open = (version, Mixture(memory, backoff, Gate.from_json(self._fitted["gate"])))
            except MemoryFaultError as error:
                raise StoreError(str(error), place="memory", mend=mend_of(*self._of)) from None
            return self._open[1]

    def recall(self, prompt: Sequence[int]) -> Recall:
        return self.mixture().recall(prompt)


def mend_of(store: Store, release: Release) -> str:
    """What to do about a damaged memory of a release: only the champion's are kept up to date."""
    serving = champion.current(store)
    if serving is None or serving.id == release.id:
        return REBUILD
    return f"It follows the champion, release {serving.id}."


def decoder_tokenizer(release: Release, name: str) -> Tokenizer:
    from groundup.interop.base import load_tokenizer
    from groundup.stages.models import model_file

    return load_tokenizer(model_file(release.model(name)))


class Encoding:
    """Tokens of documents by id. encoder: name of what made the tokens that are there already, None before the first.

    One more document might else be encoded by another library than a rebuild would take. count: documents encoded.
    """

    def __init__(
        self, tokenizer: Tokenizer, by_id: Mapping[str, Document], encoder: str | None, progress: Progress = silent
    ) -> None:
        self.encoder, self._tokenizer, self._by_id, self._progress = encoder, tokenizer, by_id, progress
        self.count = 0

    def __call__(self, names: list[str]) -> Iterable[Tokens]:
        from groundup.stages.memory_tokens import encode_documents

        documents = [self._by_id[name] for name in names]
        stream = encode_documents(self._tokenizer, documents, self.encoder, self._progress)
        self.encoder = stream.encoder.name
        self.count += len(names)
        return np.split(stream.tokens, stream.offsets[1:-1])


def write_live(folder: Path, wanted: str, encoder: str | None) -> None:
    """wanted: digest of what the memory was made to hold. encoder: name of what made its tokens."""
    write_json(folder / "live.json", {"wanted": wanted, "encoder": encoder})


def read_live(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "live.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
