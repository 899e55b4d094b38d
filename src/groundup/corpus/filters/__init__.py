"""Filters: each looks at a batch of documents and says which to keep, and for the others what was found, with its
bound.

A filter is one function in one file: `(documents, policy) -> (kept, reasons)`, two lists as long as the batch. A
reason is "" where the document is kept, else `rule: value < bound`. A new filter is a new file and a line in
`FILTERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from groundup.corpus.document import Document
from groundup.corpus.filters.boilerplate import boilerplate_only
from groundup.corpus.filters.generated import generated_code
from groundup.corpus.filters.letters import few_letters
from groundup.corpus.filters.literals import literal_table
from groundup.corpus.filters.minified import minified_code
from groundup.corpus.filters.repetition import repetition
from groundup.corpus.filters.stop_words import few_stop_words
from groundup.corpus.filters.too_short import too_short
from groundup.corpus.filters.wanted_language import unwanted_language
from groundup.corpus.policy import CorpusPolicy

Filter: TypeAlias = Callable[[Sequence[Document], CorpusPolicy], tuple[list[bool], list[str]]]

# In the order they are asked: the first refusal is the one the funnel names, the cheap ones come first.
FILTERS: tuple[Filter, ...] = (
    too_short,
    unwanted_language,
    generated_code,
    minified_code,
    literal_table,
    boilerplate_only,
    few_letters,
    few_stop_words,
    repetition,
)


def first_refusal(document: Document, policy: CorpusPolicy) -> str:
    """Reason of the first filter that refuses the document, or ""."""
    for judge in FILTERS:
        kept, reasons = judge([document], policy)
        if not kept[0]:
            return reasons[0]
    return ""
