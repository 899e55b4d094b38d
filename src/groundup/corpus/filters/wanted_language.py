"""Prose in a language the policy does not name. Prose whose language can't be told stays."""

from __future__ import annotations

from groundup.corpus.document import Document
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy


@over_batches
def unwanted_language(document: Document, policy: CorpusPolicy) -> str:
    if not policy.languages or document.kind != "prose" or not document.language:
        return ""
    if document.language in policy.languages:
        return ""
    return f"unwanted_language: {document.language} not in {', '.join(policy.languages)}"
