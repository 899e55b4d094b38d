"""The service over a release: its generators, its encoders and the index, all plain parts put in by the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from groundup.errors import RequestError
from groundup.generation.chat import encode_chat
from groundup.generation.generator import Generator
from groundup.generation.memory import Memory
from groundup.generation.sampling import Sampling
from groundup.serving.prompt import chat_messages, completion_prompt
from groundup.serving.results import (
    Coverage,
    Embeddings,
    Extract,
    Found,
    Generation,
    MemoryStatus,
    Passage,
    Say,
    ServedModel,
    Status,
)
from groundup.serving.service import Cancelled, EmbeddingKind, MemoryUse

if TYPE_CHECKING:
    from groundup.tracing.tracer import Traced, Tracer

ENCODER_PREFIX = "encoder-"
CHAMPION = "champion"  # the name that stands for whichever model serves
NO_MEMORY = "this release has no memory of the corpus, by which texts are traced"
AND_AGAIN = "and start the server again."
BUILD_MEMORY = f"Run `groundup run`, which builds one, {AND_AGAIN}"
REBUILD_MEMORY = f"Run `groundup memory rebuild`, which sorts it anew, {AND_AGAIN}"


class SearchIndex(Protocol):
    """What serving needs of an index. Called from many threads at once."""

    @property
    def systems(self) -> Sequence[str]:
        """Names that `search` takes, "best" among them."""
        ...

    @property
    def best_system(self) -> str: ...

    def search(self, query: str, k: int, system: str, *, explain: bool = False) -> list[Found]: ...

    def answer(self, question: str, k: int) -> Extract: ...

    def coverage(self) -> Coverage: ...

    def documents(self) -> int: ...

    def document(self, name: str) -> tuple[str, str, str] | None:
        """(title, path, text) of the document with this id, None if it is not here."""
        ...


class ServedEncoder(Protocol):
    """The public face of a sentence encoder."""

    dim: int
    max_tokens: int

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document"
    ) -> npt.NDArray[np.float32]: ...

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]: ...


@dataclass(frozen=True)
class ServedMemory:
    """A decoder's memory. completes: whether the verdict says that it makes completions better.

    answers: whether the measure of answers says that it makes them better; None if that was not measured.
    fault: why it can't be opened, or ""; memory is None then.
    """

    memory: Memory | None
    completes: bool
    answers: bool | None = None
    fault: str = ""

    def trouble(self, name: str) -> str:
        """What is wrong and how it is mended, or ""."""
        return self.fault and f"the memory of {name} can't be opened: {self.fault}; run `groundup memory rebuild`"

    def status(self, name: str) -> MemoryStatus:
        if trouble := self.trouble(name):
            silent = Say(False, f"{trouble[0].upper()}{trouble[1:]} {AND_AGAIN}")
            return MemoryStatus(silent, silent)
        says = "says" if self.completes else "does not say"
        completion = Say(self.completes, f"The verdict on generation {says} that memory helps {name} to continue text.")
        if self.answers is None:
            return MemoryStatus(completion, Say(False, f"It was not measured whether memory helps {name} to answer."))
        says = "says" if self.answers else "does not say"
        return MemoryStatus(
            completion, Say(self.answers, f"The measure of answers {says} that memory helps {name} to answer.")
        )


@dataclass(frozen=True)
class ReleaseService:
    """Implements `Service`. champion: the generator that completes by default, or None if none serves.

    licenses, notes: by model name, for /v1/models. verdicts, warnings: the evaluation's sentences, for the page.
    describe: counts a query for the drift figure (`monitoring.drift`); None keeps nothing of it.
    tracer: gives the one of the newest memory; None where there is no memory.
    """

    release: str
    generators: Mapping[str, Generator]
    champion: str | None
    encoders: Mapping[str, ServedEncoder] = field(default_factory=dict)
    best_encoder: str | None = None
    index: SearchIndex | None = None
    created: int = 0
    licenses: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    verdicts: Sequence[str] = ()
    warnings: Sequence[str] = ()
    describe: Callable[[str, Sequence[Found]], Mapping[str, object]] | None = None
    memories: Mapping[str, ServedMemory] = field(default_factory=dict)
    tracer: Callable[[], Tracer] | None = None

    def __post_init__(self) -> None:
        assert self.champion is None or self.champion in self.generators, self.champion
        assert self.best_encoder is None or self.best_encoder in self.encoders, self.best_encoder

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def chat_model(self) -> str | None:
        """The champion if it can chat, else the first model that can."""
        able = [name for name, generator in self.generators.items() if generator.chat_template is not None]
        return self.champion if self.champion in able else next(iter(able), None)

    def encoder_ids(self) -> dict[str, str]:
        """Id in /v1/models → name. An encoder that shares a decoder's name has "encoder-" before it: ids are unique."""
        ids: dict[str, str] = {}
        for name in self.encoders:
            known = name
            while known in self.generators or (known != name and known in self.encoders) or known in ids:
                known = ENCODER_PREFIX + known
            ids[known] = name
        return ids

    def models(self) -> list[ServedModel]:
        served = [
            ServedModel(
                name,
                "completion" if generator.chat_template is None else "chat",
                generator.context_length,
                self.created,
                serves=name == self.champion,
                license=self.licenses.get(name, ""),
                note=self.notes.get(name, ""),
            )
            for name, generator in self.generators.items()
        ]
        served += [
            ServedModel(
                known,
                "embedding",
                self.encoders[name].max_tokens,
                self.created,
                serves=name == self.best_encoder,
                dimension=self.encoders[name].dim,
                license=self.licenses.get(known, ""),
                note=self.notes.get(known, ""),
            )
            for known, name in self.encoder_ids().items()
        ]
        return sorted(served, key=lambda model: (model.kind == "embedding", not model.serves, model.id))

    def status(self) -> Status:
        index = self.index
        return Status(
            self.release,
            self.champion,
            self.chat_model,
            Coverage(0, 0) if index is None else index.coverage(),
            [] if index is None else list(index.systems),
            "" if index is None else index.best_system,
            0 if index is None else index.documents(),
            list(self.verdicts),
            list(self.warnings),
            {name: served.status(name) for name, served in self.memories.items()},
            self.traces,
        )

    def waiting(self) -> int:
        return sum(turns.waiting for turns in {generator.turns for generator in self.generators.values()})

    # -- text ----------------------------------------------------------------------------------------------------

    def complete(
        self,
        model: str,
        prompt: str | list[int],
        sampling: Sampling,
        cancelled: Cancelled,
        *,
        truncate: bool,
        memory: MemoryUse = "auto",
    ) -> Generation:
        name = self._generator_name(model, self.champion)
        generator = self.generators[name]
        ids = generator.encode_prompt(prompt) if isinstance(prompt, str) else prompt
        served = self.memories.get(name)
        wanted = memory == "auto" and served is not None and served.completes
        return self._generation(name, ids, sampling, cancelled, truncate=truncate, param="prompt", wanted=wanted)

    def chat(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        sampling: Sampling,
        cancelled: Cancelled,
        *,
        memory: MemoryUse = "auto",
    ) -> Generation:
        # "champion" means the best that can chat; a model asked for by name that can't is refused by encode_chat.
        name = self._generator_name(model, self.chat_model or self.champion)
        generator = self.generators[name]
        ids = encode_chat(generator.tokenizer, generator.chat_template, messages)
        wanted = self._answers_with(name, memory)
        return self._generation(name, ids, sampling, cancelled, truncate=False, param="messages", wanted=wanted)

    def generated_answer(
        self,
        model: str,
        question: str,
        extract: Extract,
        sampling: Sampling,
        cancelled: Cancelled,
        *,
        memory: MemoryUse = "auto",
    ) -> Generation | None:
        if model == CHAMPION and not self.generators:
            return None
        name = self._generator_name(model, self.chat_model or self.champion)
        generator = self.generators[name]
        if generator.chat_template is not None:
            ids = encode_chat(generator.tokenizer, generator.chat_template, chat_messages(question, extract))
        else:
            ids = generator.encode_prompt(completion_prompt(question, extract))
        wanted = self._answers_with(name, memory)
        return self._generation(name, ids, sampling, cancelled, truncate=True, param="question", wanted=wanted)

    def _answers_with(self, name: str, memory: MemoryUse) -> bool:
        served = self.memories.get(name)
        return memory == "auto" and served is not None and served.answers is True

    def _generation(
        self,
        name: str,
        ids: Sequence[int],
        sampling: Sampling,
        cancelled: Cancelled,
        *,
        truncate: bool,
        param: str,
        wanted: bool,
    ) -> Generation:
        """Memory drafts for every text, which changes none; it has a say where it is wanted and can be opened."""
        generator, served = self.generators[name], self.memories.get(name)
        opened = None if served is None else served.memory
        mixes = wanted and opened is not None
        missed = served.trouble(name) if served is not None and wanted else ""
        fit = generator.fit(ids, sampling, truncate=truncate, param=param)
        pieces = generator.stream_fit(
            fit,
            sampling,
            cancelled=cancelled,
            memory=opened,
            target="mixture" if mixes else "decoder",
        )
        token_bytes = generator.tokenizer.token_bytes
        return Generation(
            name,
            len(fit.prompt),
            fit.dropped,
            pieces,
            token_bytes.__getitem__,
            generator.ends.__contains__,
            mixes,
            missed,
        )

    # -- vectors and passages ------------------------------------------------------------------------------------

    def embed(self, model: str, texts: Sequence[str], kind: EmbeddingKind, *, truncate: bool) -> Embeddings:
        ids = self.encoder_ids()
        # Its bare name is no less clear here, where only encoders are asked for.
        name = self.best_encoder if model == CHAMPION else ids.get(model, model)
        if name is None or name not in self.encoders:
            raise _unknown_model(model, list(ids), "an encoder")
        known = next(known for known, its in ids.items() if its == name)
        encoder = self.encoders[name]
        counts = [int(count) for count in encoder.count_tokens(texts)]
        # Encoders count after cutting: a text that fills all they read may have lost its end.
        long = [at for at, count in enumerate(counts) if count >= encoder.max_tokens]
        if long and not truncate:
            wrong = f"text {long[0]} fills the {encoder.max_tokens:,} tokens that {known} reads, so its end may be lost"
            mend = "Send shorter texts, or truncate: true to have them cut."
            raise RequestError(wrong, mend=mend, param="input")
        read = sum(min(count, encoder.max_tokens) for count in counts)
        return Embeddings(known, encoder.encode(list(texts), kind=kind), read, long)

    def search(self, query: str, k: int, system: str, *, explain: bool = False) -> list[Found]:
        index = self._index()
        if system not in index.systems:
            raise RequestError(
                f"there is no search system {system!r:.60}", mend=f"Send one of {', '.join(index.systems)}.",
                param="system",
            )  # fmt: skip
        return index.search(query, k, system, explain=explain)

    def extract(self, question: str, k: int) -> Extract:
        return self._index().answer(question, k)

    @property
    def traces(self) -> bool:
        return self.tracer is not None

    @property
    def why_untraced(self) -> tuple[str, str]:
        broken = [f"the memory of {name} can't be opened: {held.fault}" for name, held in self.memories.items()]
        return ("; ".join(broken), REBUILD_MEMORY) if broken else (NO_MEMORY, BUILD_MEMORY)

    def trace(self, text: str) -> Traced:
        if self.tracer is None:
            wrong, mend = self.why_untraced
            raise RequestError(wrong, mend=mend, status=404)
        return self.tracer().trace(text)

    def passage(self, document: str, start: int, length: int) -> Passage:
        found = self._index().document(document)
        if found is None:
            mend = "A document that changed has another id: trace or search again."
            raise RequestError(f"there is no document {document!r:.80}", mend=mend, param="id", status=404)
        title, path, text = found
        if start > max(0, len(text) - 1):
            mend = f"Send a start below {len(text):,}, the document's length in characters."
            raise RequestError(f"{start:,} is past the end", mend=mend, param="start")
        end = min(len(text), start + length)
        line = text.count("\n", 0, start) + 1
        return Passage(document, title, path, start, end, len(text), line, text[start:end])

    def describe_query(self, query: str, found: Sequence[Found]) -> Mapping[str, object]:
        return {} if self.describe is None else self.describe(query, found)

    def _index(self) -> SearchIndex:
        if self.index is None:
            raise RequestError("this release has no index", mend="Run `groundup run` to build one.", status=503)
        return self.index

    def _generator_name(self, model: str, default: str | None) -> str:
        name = default if model == CHAMPION else model
        if name is None or name not in self.generators:
            raise _unknown_model(model, list(self.generators), "a language model")
        return name


def _unknown_model(model: str, known: Sequence[str], kind: str) -> RequestError:
    if model == CHAMPION:
        return RequestError(
            f"this release has no {kind.split(' ', 1)[1]}", mend="Run with one.", param="model", status=404
        )
    mend = f"Serving: {', '.join(known)}." if known else f"This release has no {kind.split(' ', 1)[1]}."
    return RequestError(f"{model!r:.80} is not {kind} that serves here", mend=mend, param="model", status=404)
