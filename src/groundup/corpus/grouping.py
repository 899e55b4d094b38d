"""Documents in groups of about equal size, for work that is done many texts at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar


class HasText(Protocol):
    """What is needed of a document: `Document` has it."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...


TextT = TypeVar("TextT", bound=HasText)


def by_text_size(documents: Iterable[TextT], characters: int) -> Iterator[list[TextT]]:
    """Consecutive documents, each group closed as soon as its texts reach `characters`."""
    group: list[TextT] = []
    size = 0
    for document in documents:
        group.append(document)
        size += len(document.text)
        if size >= characters:
            yield group
            group, size = [], 0
    if group:
        yield group
