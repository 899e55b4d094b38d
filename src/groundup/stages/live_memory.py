"""The memory keeps up with the disk, as the index does: documents as they are now → a version of each decoder's memory.

What a gate is fitted by belongs to the release and stays; what is remembered are the documents of today.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.corpus.document import Document
from groundup.errors import StoreBusyError, StoreError
from groundup.infinigram.errors import MemoryBusyError, MemoryFaultError
from groundup.infinigram.store import MemoryStore
from groundup.pipeline.code import code_versions
from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.stages.stores import memory_folder

if TYPE_CHECKING:
    from groundup.infinigram.gather import Tokens
    from groundup.infinigram.mixture import Mixture, Recall
    from groundup.pipeline.store import Store
    from groundup.registry.release import Release
    from groundup.tokens.tokenizer import Tokenizer

CODE = ("groundup.infinigram", "groundup.tokens", "groundup.stages.memory_tokens")
REBUILD = "Run `groundup run`, which builds it anew."


def refresh_memories(
    store: Store, release: Release, wanted: str, documents: Callable[[], Sequence[Document]]
) -> list[str]:
    """Brings the memory of every decoder of the release that has one up to `documents`; says what was done.

    wanted: what the index holds, so that nothing is read where nothing changed.
    Raises StoreBusyError beside another writer.
    """
    did = []
    # A release never changes, so it stands for its tokenizers: reading one would cost more than all the rest.
    state = digest_of({"documents": wanted, "release": release.id, "code": code_versions(CODE)})
    for name in release.policies.get("memory", {}):
        folder = memory_folder(store, release.policies["index"], name)
        memories = MemoryStore(folder)
        live = {} if memories.fault() else _read_live(folder)
        if live.get("wanted") == state:
            continue
        tokenizer = decoder_tokenizer(release, name)
        by_id = {document.id: document for document in documents()}
        assert tokenizer.separator_id is not None
        encoding = _Encoding(tokenizer, by_id, live.get("encoder"))
        try:
            memory = memories.update(
                by_id,
                encoding,
                tokenizer=tokenizer.digest,
                vocab_size=tokenizer.vocab_size,
                separator=tokenizer.separator_id,
            )
        except MemoryBusyError as error:
            raise StoreBusyError(str(error), place=str(folder), mend="Wait for it to end, then try again.") from None
        write_json(folder / "live.json", {"wanted": state, "encoder": encoding.encoder})
        did.append(f"{name} remembers {len(by_id):,} documents in {len(memory):,} tokens")
    return did


class NewestMemory:
    """A decoder's memory beside its release's gate, opened anew when it has changed. Threads share it."""

    def __init__(self, store: Store, release: Release, name: str, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
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
                raise StoreError(str(error), place="memory", mend=REBUILD) from None
            return self._open[1]

    def recall(self, prompt: Sequence[int]) -> Recall:
        return self.mixture().recall(prompt)


def decoder_tokenizer(release: Release, name: str) -> Tokenizer:
    from groundup.interop.base import load_tokenizer
    from groundup.stages.models import model_file

    return load_tokenizer(model_file(release.model(name)))


class _Encoding:
    """Tokens of documents by id. encoder: name of what made the tokens that are there already, None before the first.

    One more document might else be encoded by another library than a rebuild would take.
    """

    def __init__(self, tokenizer: Tokenizer, by_id: Mapping[str, Document], encoder: str | None) -> None:
        self.encoder, self._tokenizer, self._by_id = encoder, tokenizer, by_id

    def __call__(self, names: list[str]) -> Iterable[Tokens]:
        from groundup.stages.memory_tokens import encode_documents

        stream = encode_documents(self._tokenizer, [self._by_id[name] for name in names], self.encoder)
        self.encoder = stream.encoder.name
        return np.split(stream.tokens, stream.offsets[1:-1])


def _read_live(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "live.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
