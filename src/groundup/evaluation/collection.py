"""Something to search and questions whose answers are known: what every retrieval measure here works on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundup.corpus.document import Document

ENOUGH_QUERIES = 50  # below, an interval of nDCG is about ±.1 wide and no order can be told


@dataclass(frozen=True)
class Collection:
    """`queries`: {id: text}. `judgements`: {query: {item: gain}}.

    An item is what a query's answer is: a document's id, or, where `item_of_chunk` is filled, whatever a chunk's id
    maps to there (a function that takes several chunks is one item). `whole`: each document is one passage, as
    BEIR's sets have it. `own`: made from the person's own corpus, so it decides what serves.
    """

    name: str
    documents: list[Document]
    queries: dict[str, str]
    judgements: dict[str, dict[str, int]]
    item_of_chunk: Mapping[str, str] = field(default_factory=dict)
    clusters: Mapping[str, str] = field(default_factory=dict)  # document id → near-duplicate cluster
    whole: bool = False
    own: bool = False
    note: str = ""

    @property
    def enough(self) -> bool:
        return len(self.queries) >= ENOUGH_QUERIES


def subset(collection: Collection, queries: Iterable[str], name: str | None = None) -> Collection:
    """The same collection with some of its queries, in their order."""
    kept = [query for query in queries if query in collection.queries]
    return replace(
        collection,
        name=name or collection.name,
        queries={query: collection.queries[query] for query in kept},
        judgements={query: collection.judgements[query] for query in kept},
    )
