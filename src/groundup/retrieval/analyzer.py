"""Text into terms: words in lower case, identifiers in parts and whole, English stems, few stop words.

    "getUserName" → getusername, get, user, name        "read_files" → read_files, read, file

A word is analysed once and remembered: the text is cut by one compiled expression and each cut is one dictionary
look-up, which is why 60 MB take seconds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt
import Stemmer

# Articles, pronouns, auxiliaries, prepositions: words that half of all passages hold. Small on purpose: BM25's idf
# already gives common words next to nothing, and "not" or "while" may be what a search is about.
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "has",
        "have",
        "he",
        "her",
        "his",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "s",
        "she",
        "so",
        "such",
        "t",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "we",
        "were",
        "which",
        "will",
        "with",
        "you",
        "your",
    ]
)
# Characters. Longer runs are keys, hashes and encoded data; nobody searches for them and each would be a term.
LONGEST_TERM = 64
ANALYZER_VERSION = 1

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[^\W\d_]+|\d+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]+")
_MEMO_LIMIT = 1_000_000  # words remembered before the memo is emptied: about 200 MB

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Analyzer:
    """`language`: a Snowball stemmer's name; "" leaves words as they are."""

    language: str = "english"
    stop_words: frozenset[str] = STOP_WORDS
    _stemmer: Stemmer.Stemmer | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.language:
            object.__setattr__(self, "_stemmer", Stemmer.Stemmer(self.language))

    @property
    def digest(self) -> str:
        """Identity of what `terms` does, for an index' own identity."""
        parts = [str(ANALYZER_VERSION), self.language, *sorted(self.stop_words)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def terms(self, text: str) -> list[str]:
        """Terms in order, with repetitions."""
        return [term for word in _WORD.findall(text) for term in self.terms_of_word(word)]

    def terms_of_word(self, word: str) -> tuple[str, ...]:
        """The terms of one run of word characters. The whole identifier comes first."""
        if not word.isascii() and _WIDE.search(word):
            return self._wide_terms(word)
        parts = [hump for part in _PART.findall(word) for hump in _HUMP.split(part)]
        found = [self._stem(part.lower()) for part in parts if part.lower() not in self.stop_words]
        if len(parts) > 1:
            found.insert(0, word.lower())
        return tuple(term for term in found if 0 < len(term) <= LONGEST_TERM)

    def _stem(self, word: str) -> str:
        if self._stemmer is None or len(word) < 3:
            return word
        return str(self._stemmer.stemWord(word))

    def _wide_terms(self, word: str) -> tuple[str, ...]:
        """Scripts without spaces: pairs of characters, as Lucene's CJK analyzer does."""
        found: list[str] = []
        last = 0
        for run in _WIDE.finditer(word):
            found += self.terms_of_word(word[last : run.start()])
            wide = run.group()
            found += [wide] if len(wide) == 1 else [wide[i : i + 2] for i in range(len(wide) - 1)]
            last = run.end()
        return (*found, *self.terms_of_word(word[last:]))


class _Memo(dict[str, tuple[int, ...]]):
    """Word → ids of its terms, filled on the first look-up."""

    def __init__(self, analyzer: Analyzer, numbers: dict[str, int]) -> None:
        super().__init__()
        self.analyzer, self.numbers = analyzer, numbers

    def __missing__(self, word: str) -> tuple[int, ...]:
        numbers = self.numbers
        ids = tuple(numbers.setdefault(term, len(numbers)) for term in self.analyzer.terms_of_word(word))
        if len(self) >= _MEMO_LIMIT:
            self.clear()
        self[word] = ids
        return ids


@dataclass(frozen=True)
class TermCounts:
    """Passages as counted terms. Row i holds `terms[indptr[i]:indptr[i+1]]`, ascending, each once, with its `counts`.

    indptr: (N+1,) int64, terms: int32 into `vocabulary`, counts: int32; lengths: (N,) int32, all terms of a passage.
    """

    vocabulary: list[str]
    indptr: npt.NDArray[np.int64]
    terms: Ids
    counts: Ids
    lengths: Ids


def count_terms(texts: Iterable[str], analyzer: Analyzer) -> TermCounts:
    """Analyses and counts. The vocabulary is in order of first appearance."""
    numbers: dict[str, int] = {}
    memo = _Memo(analyzer, numbers)
    rows = [np.fromiter(chain.from_iterable(map(memo.__getitem__, _WORD.findall(text))), np.int32) for text in texts]
    return count_ids(rows, list(numbers))


def count_ids(rows: Sequence[Ids], vocabulary: list[str]) -> TermCounts:
    """Counts passages that are term numbers already."""
    lengths = np.array([len(row) for row in rows], np.int32)
    size = max(len(vocabulary), 1)
    keys = np.repeat(np.arange(len(rows), dtype=np.int64), lengths) * size
    keys += np.concatenate(rows) if rows else np.empty(0, np.int32)
    unique, counts = np.unique(keys, return_counts=True)
    indptr = np.searchsorted(unique, np.arange(len(rows) + 1, dtype=np.int64) * size).astype(np.int64)
    return TermCounts(vocabulary, indptr, (unique % size).astype(np.int32), counts.astype(np.int32), lengths)
