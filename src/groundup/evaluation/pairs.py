"""Training pairs for an encoder, by the rule that makes known-item questions, from training documents alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from groundup.evaluation.known_items import known_items
from groundup.retrieval.chunk import chunk_document

if TYPE_CHECKING:
    from groundup.corpus.document import Document


def training_pairs(training: Iterable[Document], *, seed: int, text_bytes: int, limit: int) -> list[tuple[str, str]]:
    """(question, passage as it is indexed): a docstring's first sentence and its function, a heading and its section.

    text_bytes: of training documents read at most, in the order of a hash of their ids (parsing costs a second per
    2 MB). limit: of pairs. The passage of a function that takes several chunks is its first.
    """
    taken: list[Document] = []
    left = text_bytes
    for document in sorted(training, key=lambda d: hashlib.sha256(f"{seed}\0{d.id}".encode()).digest()):
        size = len(document.text)
        if size <= left:
            taken.append(document)
            left -= size
    collection = known_items(taken, [], seed=seed, queries=limit, distractor_chunks=0)
    passages: dict[str, str] = {}
    for document in collection.documents:
        for chunk in chunk_document(document):
            item = collection.item_of_chunk.get(chunk.id)
            if item is not None:
                passages.setdefault(item, chunk.indexed_text)
    return [
        (text, passages[item])
        for query, text in collection.queries.items()
        for item in collection.judgements[query]
        if item in passages
    ]
