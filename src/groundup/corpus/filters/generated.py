"""Code whose head says that a program wrote it: parsers, bindings, data modules."""

from __future__ import annotations

import re

from groundup.corpus.document import Document
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy

HEAD_LINES = 12  # such notices stand at the top; further down they are what a generator prints
_SAYS_SO = re.compile(
    r"@generated\b"
    r"|\b(?:this|the) (?:file|module|code|source|script) (?:is|was|has been) (?:an? )?"
    r"(?:auto(?:matically)?[- ]?)?generated\b"
    r"|\bauto(?:matically)?[- ]?generated\b[^\n]{0,60}\b(?:by|from|file|code|do not|don't)\b"
    r"|\b(?:file|code|module) (?:is )?auto(?:matically)?[- ]?generated\b"
    r"|^\W{0,8}(?:machine[- ])?generated (?:automatically )?by\b"
    r"|\bgenerated\b[^\n]{0,80}\n?[^\n]{0,40}\bdo not (?:edit|modify|change)\b"
    r"|\bdo not (?:edit|modify|change)\b[^\n]{0,80}\n?[^\n]{0,40}\bgenerated\b",
    re.IGNORECASE | re.MULTILINE,
)


@over_batches
def generated_code(document: Document, policy: CorpusPolicy) -> str:
    if not policy.drop_generated or document.kind != "code":
        return ""
    head = "\n".join(document.text[:4_000].split("\n")[:HEAD_LINES])
    found = _SAYS_SO.search(head)
    return f"generated_code: says {' '.join(found.group().split())!r}" if found else ""
