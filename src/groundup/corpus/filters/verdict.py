"""From a judgement of one document to a judgement of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps

from groundup.corpus.document import Document
from groundup.corpus.policy import CorpusPolicy


def over_batches(
    reason_of: Callable[[Document, CorpusPolicy], str],
) -> Callable[[Sequence[Document], CorpusPolicy], tuple[list[bool], list[str]]]:
    """Makes a filter of a function that returns the reason against one document, or ""."""

    @wraps(reason_of)
    def judge(documents: Sequence[Document], policy: CorpusPolicy) -> tuple[list[bool], list[str]]:
        reasons = [reason_of(document, policy) for document in documents]
        return [not reason for reason in reasons], reasons

    return judge
