"""Long prose in a known language without that language's commonest words: keyword lists, tables, scrambled text."""

from __future__ import annotations

import re

from groundup.corpus.document import Document
from groundup.corpus.filters.stop_word_table import STOP_WORDS
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy

_LETTERS = re.compile(r"[^\W\d_]+")


@over_batches
def few_stop_words(document: Document, policy: CorpusPolicy) -> str:
    if document.kind != "prose" or document.language not in STOP_WORDS:
        return ""
    if document.text.count(" ") + document.text.count("\n") < policy.stop_words_min_words:
        return ""
    wanted = STOP_WORDS[document.language]
    words = found = 0
    for match in _LETTERS.finditer(document.text):
        words += 1
        if match.group().lower() in wanted:
            found += 1
            if found >= policy.min_stop_words:  # in prose after a line or two
                return ""
    if words < policy.stop_words_min_words:
        return ""
    return f"few_stop_words: {found} < {policy.min_stop_words}"
