"""Prose and tables: sections by their headings, paragraphs packed to the limit, a table's header beside its rows.

Headings are Markdown's (#, underlined) and reStructuredText's (underlined, with or without an overline; the order in
which underlines appear is their rank, as docutils has it).
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from dataclasses import dataclass

from groundup.retrieval.chunk import Span, line_starts, split_span

_HASHES = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*$")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+:._<>!])\1{2,}$")
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")
_TABLE_RULE = re.compile(r"[ ]{0,3}\|?[ ]*:?-{2,}:?[ ]*(\|[ ]*:?-{2,}:?[ ]*)*\|?[ ]*$")
_PARAGRAPH = re.compile(r"\n[ \t]*\n[\s]*")
_SENTENCE = re.compile(r"(?<=[.!?。！？])[\"')\]]*\s+")
_LINE = re.compile(r"\n")
_HEADER_LIMIT = 300  # characters of a table's header that go with each group of rows


@dataclass(frozen=True, slots=True)
class Heading:
    """`start`: offset of the heading (its overline, if it has one); `body`: where its text goes on."""

    start: int
    body: int
    level: int
    name: str


@dataclass(frozen=True, slots=True)
class _Table:
    start: int
    rows: int
    end: int
    header: str


def prose_spans(text: str, title: str, limit: int) -> list[Span]:
    """One span a section, or several where it is longer than `limit`."""
    spans: list[Span] = []
    tables = _tables(text)
    for start, end, path in sections(text):
        name = " > ".join(path) if path else title
        pieces = [(start, end)]
        if end - start > limit:
            pieces = split_span(text, start, end, _cuts(text, start, end), limit)
        spans.extend(Span(a, b, name, "section", _header_at(tables, a)) for a, b in pieces)
    return spans


def table_spans(text: str, title: str, limit: int) -> list[Span]:
    """Groups of whole rows; each after the first has the header row as its context."""
    header = text.partition("\n")[0].strip()[:_HEADER_LIMIT]
    cuts, quoted = [], False
    for match in re.finditer(r'["\n]', text):
        if match.group() == '"':
            quoted = not quoted
        elif not quoted:  # a line break inside quotes is part of a cell
            cuts.append((match.end(), 0))
    pieces = split_span(text, 0, len(text), cuts, limit)
    return [Span(a, b, title, "table", header if a else "") for a, b in pieces]


def sections(text: str) -> list[tuple[int, int, tuple[str, ...]]]:
    """(start, end, heading path) that cover the text. A heading with nothing under it goes with the next section."""
    found = headings(text)
    result: list[tuple[int, int, tuple[str, ...]]] = []
    start = 0
    if not found or text[: found[0].start].strip():
        start = found[0].start if found else len(text)
        result.append((0, start, ()))
    stack: list[Heading] = []
    for index, heading in enumerate(found):
        end = found[index + 1].start if index + 1 < len(found) else len(text)
        while stack and stack[-1].level >= heading.level:
            stack.pop()
        stack.append(heading)
        if text[heading.body : end].strip() or end == len(text):
            result.append((start, end, tuple(item.name for item in stack)))
            start = end
    return result


def headings(text: str) -> list[Heading]:
    starts = [*line_starts(text), len(text)]
    lines = [text[a:b].rstrip() for a, b in itertools.pairwise(starts)]
    found: list[Heading] = []
    ranks: dict[str, int] = {}  # an underline's character, with or without overline, and its level
    fence = ""
    index = 0
    while index < len(lines):
        line = lines[index]
        mark = _FENCE.match(line)
        if mark and (not fence or mark.group(1).startswith(fence)):
            fence = "" if fence else mark.group(1)
        elif not fence:
            if hashes := _HASHES.match(line):
                found.append(Heading(starts[index], starts[index + 1], len(hashes.group(1)), hashes.group(2)))
            elif length := _underlined(lines, index):
                style = lines[index + length - 1][0] + ("o" if length == 3 else "")
                level = ranks.setdefault(style, len(ranks) + 1)
                name = lines[index + length - 2].strip()
                found.append(Heading(starts[index], starts[index + length], level, name))
                index += length - 1
        index += 1
    return found


def _underlined(lines: list[str], index: int) -> int:
    """How many lines from `index` make an underlined heading: 2, 3 with an overline, 0 if they don't."""
    if index and lines[index - 1]:
        return 0
    for length in (2, 3):
        if index + length > len(lines):
            return 0
        name, under = lines[index + length - 2], lines[index + length - 1]
        if not (name.strip() and _UNDERLINE.match(under) and len(under) >= len(name.strip())):
            continue
        if _UNDERLINE.match(name) or name.lstrip().startswith(("|", "- ", "* ")):
            continue
        if length == 2 or lines[index] == under:
            return length
    return 0


def _cuts(text: str, start: int, end: int) -> list[tuple[int, int]]:
    cuts: dict[int, int] = {}
    for depth, pattern in ((2, _SENTENCE), (1, _LINE), (0, _PARAGRAPH)):
        cuts.update((match.end(), depth) for match in pattern.finditer(text, start, end))
    # Lines of running text are no better a place than its sentences, lines of a table or list are.
    return sorted((at, 2 if depth == 1 and text[at : at + 1].isalpha() else depth) for at, depth in cuts.items())


def _tables(text: str) -> list[_Table]:
    """Markdown tables: a row, a rule below it, rows."""
    if "|" not in text:
        return []
    starts = [*line_starts(text), len(text)]
    lines = [text[a:b].rstrip() for a, b in itertools.pairwise(starts)]
    found = []
    index = 1
    while index < len(lines):
        if "|" in lines[index - 1] and "|" in lines[index] and _TABLE_RULE.match(lines[index]):
            last = index + 1
            while last < len(lines) and "|" in lines[last]:
                last += 1
            header = lines[index - 1].strip()[:_HEADER_LIMIT]
            found.append(_Table(starts[index - 1], starts[index + 1], starts[min(last, len(starts) - 1)], header))
            index = last
        index += 1
    return found


def _header_at(tables: list[_Table], offset: int) -> str:
    """The header of the table that `offset` is a row of, or nothing."""
    index = bisect_right([table.start for table in tables], offset) - 1
    if index < 0:
        return ""
    table = tables[index]
    return table.header if table.rows <= offset < table.end else ""
