"""What `trace` says: a line of JSON for each line of JSON, or a text with its spans marked and their sources below."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from groundup.stages.json_lines import read_line
from groundup.tracing.tracer import COPIED, LEAST, Traced, TracedSpan, Tracer

OPENS, CLOSES = "⟦", "⟧"
WARNING = "A match shows where these words stand. It does not show why a model said them."


def trace_lines(tracer: Tracer, lines: Iterable[str], file: str = "") -> Iterator[dict[str, Any]]:
    """For each line {"id", "text"}, in order: {"id", "spans"}, as `Traced.spans_as_data` has them.

    A line without an id gets its number, counted from 1; empty lines are passed over.
    Raises RequestError naming a line that is none, and the file that it is of.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            name, text = read_line(number, line, file)
            yield {"id": name, "spans": tracer.trace(text).spans_as_data()}


def render(traced: Traced, width: int = 100) -> str:
    """For a terminal: shares, the text with its spans between ⟦ and ⟧ and their numbers, the sources by number.

    Where two spans overlap, the brackets of both are shown: ⟦1 … ⟦2 … 1⟧ … 2⟧.
    """
    if not traced.text.strip():
        return "There is no text to trace."
    shares = f"{traced.copied:.0%} copied (in runs of {COPIED} tokens or more), {1 - round(traced.copied, 2):.0%} new"
    if not traced.spans:
        # Shares count runs that sentences' ends divide, spans don't.
        kind = " within one sentence" if traced.copied else ""
        return f"{shares}\n\nNo run of {LEAST} tokens or more{kind} of this text stands in the corpus."
    text = "\n".join(_wrapped(line, width) for line in _marked(traced).splitlines())
    notes = "\n".join(_note(number, span, width) for number, span in enumerate(traced.spans, 1))
    return f"{shares}\n\n{text}\n\n{notes}\n\n{textwrap.fill(WARNING, width)}"


def _marked(traced: Traced) -> str:
    marks: list[tuple[int, int, int, str]] = []
    for number, span in enumerate(traced.spans, 1):
        marks.append((span.start, 1, number, f"{OPENS}{number} "))
        marks.append((span.end, 0, number, f" {number}{CLOSES}"))  # one that ends here closes before one opens
    parts, at = [], 0
    for place, _, _, mark in sorted(marks):
        parts += [_visible(traced.text[at:place]), mark]
        at = place
    return "".join([*parts, _visible(traced.text[at:])])


def _visible(text: str) -> str:
    """Without control characters, which would move a terminal's cursor or change its colours."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text.expandtabs(4))


def _wrapped(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip())][: width // 2]
    return textwrap.fill(
        line, width, subsequent_indent=indent, replace_whitespace=False, drop_whitespace=True, break_on_hyphens=False
    )


def _note(number: int, span: TracedSpan, width: int) -> str:
    times = "once" if span.count == 1 else f"{span.count:,} times"
    lines = [f"{number:>3}  {span.tokens} tokens, {times} in the corpus"]
    for source in span.sources:
        place = f"at character {source.start:,} of "
        lines.append(_clipped(f"     {place}{_visible(source.path or source.document)}", width))
    unnamed = span.count - len(span.sources)
    if span.sources and unnamed > 0:
        lines.append(f"     and in {unnamed:,} more {'places' if unnamed > 1 else 'place'}")
    if not span.sources:
        lines.append("     in documents that search does not show")
    return "\n".join(lines)


def _clipped(line: str, width: int) -> str:
    """The end of a path tells more than its beginning."""
    line = line.replace("\n", " ")
    return line if len(line) <= width else f"{line[: width // 3]}…{line[len(line) - (width - width // 3 - 1) :]}"
