"""Documents that say nothing: too few letters and digits."""

from __future__ import annotations

from groundup.corpus.document import Document
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy

ENOUGH_TO_LOOK_AT = 2_000  # characters; a longer text without letters is caught by few_letters


@over_batches
def too_short(document: Document, policy: CorpusPolicy) -> str:
    found = sum(map(str.isalnum, document.text[:ENOUGH_TO_LOOK_AT]))
    if found >= policy.min_alphanumeric_characters:
        return ""
    return f"too_short: {found} < {policy.min_alphanumeric_characters}"
