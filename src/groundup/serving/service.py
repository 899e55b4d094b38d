"""What the HTTP surface needs of a release and an index. `ReleaseService` is the implementation; tests bring others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from groundup.generation.sampling import Sampling
from groundup.serving.results import Embeddings, Extract, Found, Generation, Passage, ServedModel, Status

if TYPE_CHECKING:
    from groundup.tracing.tracer import Traced

Cancelled = Callable[[], bool]  # true once nobody waits for the answer
EmbeddingKind = Literal["query", "document"]
MemoryUse = Literal["auto", "off"]


class Service(Protocol):
    """Every method may be slow, is called in a worker thread, and raises RequestError for what a client can mend."""

    def models(self) -> list[ServedModel]: ...

    def status(self) -> Status: ...

    def waiting(self) -> int:
        """Generations that wait for their turn. Quick: called on every scrape."""
        ...

    def complete(
        self,
        model: str,
        prompt: str | list[int],
        sampling: Sampling,
        cancelled: Cancelled,
        *,
        truncate: bool,
        memory: MemoryUse,
    ) -> Generation:
        """Continues a text. truncate: a prompt longer than the context loses its beginning instead of being refused.

        memory: "auto" lets the corpus' memory have its say if the verdict says it helps.
        """
        ...

    def chat(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        sampling: Sampling,
        cancelled: Cancelled,
        *,
        memory: MemoryUse,
    ) -> Generation:
        """memory: "auto" lets the corpus' memory have its say if the measure of answers says it helps."""
        ...

    def embed(self, model: str, texts: Sequence[str], kind: EmbeddingKind, *, truncate: bool) -> Embeddings: ...

    def search(self, query: str, k: int, system: str, *, explain: bool) -> list[Found]:
        """explain: fill in what each system gave each result; costs a look at every one."""
        ...

    def extract(self, question: str, k: int) -> Extract:
        """Sentences of the corpus that answer the question, with their passages."""
        ...

    def generated_answer(
        self,
        model: str,
        question: str,
        extract: Extract,
        sampling: Sampling,
        cancelled: Cancelled,
        *,
        memory: MemoryUse,
    ) -> Generation | None:
        """An answer in the model's own words from the same passages; None if it is left to choose and none serves.

        memory: as in `chat`.
        """
        ...

    @property
    def traces(self) -> bool:
        """Whether texts can be traced: some memory of the corpus is there."""
        ...

    @property
    def why_untraced(self) -> tuple[str, str]:
        """Of a service that can't trace: (what is wrong, what to do about it)."""
        ...

    def trace(self, text: str) -> Traced:
        """Where the text's words stand in the documents."""
        ...

    def passage(self, document: str, start: int, length: int) -> Passage:
        """Up to `length` characters of a document from `start` on, both in code points."""
        ...

    def describe_query(self, query: str, found: Sequence[Found]) -> Mapping[str, object]:
        """What the request log keeps of a query for the drift figure: counts, never its words."""
        ...
