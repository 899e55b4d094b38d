"""The part of a found text that shows why it was found, with the matched words marked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import Stemmer

WORD = re.compile(r"[^\W_]+")
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\WA-Za-z\d_]+")  # camelCase and digits apart
MAX_LINES = 6
MAX_LINE = 240  # characters; a minified line would fill the page
# Words that match everywhere and show nothing.
COMMON = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "how", "i", "in", "is",
        "it", "of", "on", "or", "that", "the", "this", "to", "was", "what", "when", "where", "which", "who", "why",
        "with",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snippet:
    """`marks`: (start, end) in `text`, in characters as JavaScript counts them (UTF-16 units)."""

    text: str
    lines_before: int
    marks: list[tuple[int, int]]


def matches(query: str, text: str) -> list[tuple[int, int]]:
    """Where the text holds a word of the query, by English stem, parts of identifiers included. In characters."""
    wanted = {stem(part) for part in _parts(query)} - {stem(word) for word in COMMON}
    found = []
    for word in WORD.finditer(text):
        spans = [(word.start() + part.start(), word.start() + part.end()) for part in PARTS.finditer(word[0])]
        if stem(word[0]) in wanted:
            found.append(word.span())
        else:
            found += [(a, b) for a, b in spans if stem(text[a:b]) in wanted]
    return found


def snippet(query: str, text: str) -> Snippet:
    """The MAX_LINES lines with the most different words of the query; the first such, from the top if there is none."""
    lines = text.split("\n")
    held = [{stem(line[a:b]) for a, b in matches(query, line[: 10 * MAX_LINE])} for line in lines]
    count = max(1, min(len(lines), MAX_LINES))
    best = max(range(len(lines) - count + 1), key=lambda at: (len(set().union(*held[at : at + count])), -at))
    shown = "\n".join(_around(query, line) for line in lines[best : best + count])
    marks = [(_utf16(shown[:a]), _utf16(shown[:b])) for a, b in matches(query, shown)]
    return Snippet(shown, best, marks)


def stem(word: str) -> str:
    return _stemmed(word.lower())


@lru_cache(maxsize=50_000)
def _stemmed(word: str) -> str:
    return str(Stemmer.Stemmer("english").stemWord(word))  # one each: stemmers are not for several threads


def _parts(text: str) -> list[str]:
    words = WORD.findall(text)
    return [*words, *(part for word in words for part in PARTS.findall(word))]


def _around(query: str, line: str) -> str:
    """A long line cut to MAX_LINE characters around its first match."""
    if len(line) <= MAX_LINE:
        return line
    first = next(iter(matches(query, line[: 100 * MAX_LINE])), (0, 0))[0]
    start = max(0, first - MAX_LINE // 3)
    end = start + MAX_LINE
    return ("…" if start else "") + line[start:end] + ("…" if end < len(line) else "")


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
