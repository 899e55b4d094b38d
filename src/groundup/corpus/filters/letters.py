"""Prose that is none: few of its characters are letters, or most of them stand in one endless word."""

from __future__ import annotations

import re

from groundup.corpus.document import Document
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy


@over_batches
def few_letters(document: Document, policy: CorpusPolicy) -> str:
    if document.kind != "prose":
        return ""
    words = document.text.split()
    compact = "".join(words)
    if len(compact) < policy.letters_min_characters:
        return ""
    letters = _letters(compact) / len(compact)
    if letters < policy.min_letter_share:
        return f"few_letters: {letters:.2f} < {policy.min_letter_share:.2f}"
    longest = max(words, key=len)
    # Scripts without spaces have long words too, but theirs aren't ASCII.
    if len(longest) > policy.max_longest_word_share * len(compact) and longest.isascii():
        return f"one_endless_word: {len(longest) / len(compact):.2f} > {policy.max_longest_word_share:.2f}"
    return ""


# Digits, punctuation and symbols: ASCII, Latin-1, and the blocks from general punctuation to arrows, Han punctuation,
# full-width forms. What is left are letters and marks, and the emoji, which are a person's words.
_NO_LETTERS = re.compile(
    "[\x00-@\\[-`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u2000-\u2bff\u3000-\u303f\ufe00-\ufe6f\uff00-\uff20\ufffd]+"
)


def _letters(text: str) -> int:
    return len(_NO_LETTERS.sub("", text))
