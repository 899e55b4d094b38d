"""Prose that repeats itself: lines or runs of words over and over (Gopher, Rae et al. 2021, table A1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from groundup.corpus.document import Document
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.shingles import word_hashes

LONG_NGRAM = 10  # words; Gopher looks at 5 to 10, the shorter ones refuse lists and refrains
SPACELESS = 20  # characters for each word between spaces from which a script is taken to have no spaces


@over_batches
def repetition(document: Document, policy: CorpusPolicy) -> str:
    if document.kind != "prose":
        return ""
    words: list[Any] = document.text.lower().split()
    if SPACELESS * len(words) < len(document.text):
        words = word_hashes(document.text)[0].tolist()
    if len(words) < policy.repetition_min_words:
        return ""
    share = _duplicate_line_share(document.text)
    if share > policy.max_duplicate_line_share:
        return f"duplicate_lines: {share:.2f} > {policy.max_duplicate_line_share:.2f}"

    # One count of pairs settles nearly every text: no n-gram is commoner than the commonest pair, and a run of words
    # that stood there before is made of pairs that did.
    pairs = Counter(pairwise(words))
    most, again = max(pairs.values()), len(words) - 1 - len(pairs)
    if most < 2 or not _may_reach(most, again, len(words), policy):
        return ""
    words = [word for word in words if not isinstance(word, str) or any(map(str.isalnum, word))]  # no rows of dots
    if len(words) < policy.repetition_min_words:
        return ""
    for n, bound in enumerate(policy.max_top_ngram_shares, start=2):
        share = _top_ngram_share(words, n)
        if share > bound:
            return f"top_{n}gram: {share:.2f} > {bound:.2f}"
    share = _seen_before_share(words, LONG_NGRAM)
    if share > policy.max_duplicate_10gram_share:
        return f"duplicate_{LONG_NGRAM}grams: {share:.2f} > {policy.max_duplicate_10gram_share:.2f}"
    return ""


def _may_reach(most: int, again: int, words: int, policy: CorpusPolicy) -> bool:
    """Whether a text whose commonest pair comes `most` times, with `again` pairs seen before, may pass a bound."""
    top = any(n * most > bound * words for n, bound in enumerate(policy.max_top_ngram_shares, start=2))
    return top or again * LONG_NGRAM / (LONG_NGRAM - 1) > policy.max_duplicate_10gram_share * words


def _duplicate_line_share(text: str) -> float:
    """Share of the characters that stand in lines which stood there before. (A paragraph twice is its lines twice.)"""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    unique = set(lines)
    if len(unique) == len(lines):
        return 0.0
    return 1 - sum(map(len, unique)) / sum(map(len, lines))


def _top_ngram_share(words: Sequence[Any], n: int) -> float:
    """Share of the words that lie in the commonest n-gram, 0 if none comes twice; of equally common ones the first."""
    grams = _ngrams(words, n)
    gram, most = Counter(grams).most_common(1)[0]
    return _covered([i for i, other in enumerate(grams) if other == gram], n, len(words)) if most > 1 else 0.0


def _seen_before_share(words: Sequence[Any], n: int) -> float:
    """Share of the words that lie in an n-gram which stood earlier in the text."""
    seen: set[tuple[Any, ...]] = set()
    again = []
    for i, gram in enumerate(_ngrams(words, n)):
        if gram in seen:
            again.append(i)
        seen.add(gram)
    return _covered(again, n, len(words))


def _ngrams(words: Sequence[Any], n: int) -> list[tuple[Any, ...]]:
    return list(zip(*(words[offset:] for offset in range(n)), strict=False))


def _covered(places: Sequence[int], n: int, words: int) -> float:
    """Share of the words covered by n-grams that start at `places` (ascending), each word once."""
    covered = end = 0
    for place in places:
        covered += place + n - max(place, end)
        end = place + n
    return covered / words
