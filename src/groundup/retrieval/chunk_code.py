"""Python by its syntax tree: functions, methods, classes, and what is left of the module. Nothing is imported or run.

Every statement owns the lines from the end of the one before it, so comments and decorators go with what they stand
before, and the pieces cover the file.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from groundup.retrieval.chunk import Span, line_starts, split_span

_CONTEXT_LIMIT = 400  # characters of method signatures beside a class: about 100 tokens, so the class itself is read
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True, slots=True)
class _Unit:
    """Whole lines, 0-based and end-exclusive, that belong to one statement (or several on one line)."""

    first: int
    last: int
    node: ast.stmt


class _Source:
    def __init__(self, text: str, limit: int) -> None:
        self.text, self.limit = text, limit
        self.lines = [*line_starts(text), len(text)]

    def offset(self, line: int) -> int:
        return self.lines[min(line, len(self.lines) - 1)]

    def split(
        self, first: int, last: int, title: str, kind: str, nodes: Sequence[ast.stmt], context: str
    ) -> list[Span]:
        start, end = self.offset(first), self.offset(last)
        if end - start <= self.limit:
            return [Span(start, end, title, kind, context)]
        cuts = sorted({(self.offset(_first_line(node) - 1), depth) for node, depth in _statements(nodes, 0)})
        pieces = split_span(self.text, start, end, cuts, self.limit)
        return [Span(a, b, title, kind, context if a == start else "") for a, b in pieces]


def module_name(source: str) -> str:
    """ "stdlib/json/decoder.py" is json.decoder, "numpy/__init__.py" is numpy."""
    parts = re.sub(r"\.\w+$", "", source).replace("!", "/").split("/")
    if len(parts) > 1 and parts[0] == "stdlib":
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(part for part in parts if part)


def parse(text: str) -> ast.Module | None:
    """The syntax tree, or None where Python's own parser refuses the text (or gives up on its depth)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are the document's business
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def python_spans(text: str, module: str, limit: int) -> list[Span] | None:
    """Spans of a Python file, or None if it does not parse."""
    tree = parse(text)
    if tree is None:
        return None
    source = _Source(text, limit)
    last = len(source.lines) - 1
    return list(_block(source, tree.body, 0, last, module, "module", ""))


def line_spans(text: str, title: str, limit: int) -> list[Span]:
    """Code without a parser here: windows that end at blank lines, best before a line that is not indented."""
    cuts = []
    for match in _BLANK_LINE.finditer(text):
        follows = text[match.end() : match.end() + 1]
        cuts.append((match.end(), 1 if follows.isspace() else 0))
    return [Span(a, b, title, "lines") for a, b in split_span(text, 0, len(text), cuts, limit)]


def _block(
    source: _Source, body: Sequence[ast.stmt], first: int, last: int, title: str, kind: str, context: str
) -> Iterator[Span]:
    """Spans of a module's or a class' lines: definitions alone, the statements between them together."""
    left: list[ast.stmt] = []
    left_first = first
    for unit in _units(body, first):
        node = unit.node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            left.append(node)
            continue
        if unit.first > left_first:
            yield from source.split(left_first, unit.first, title, kind, left, context)
            context = ""
        left, left_first = [], unit.last
        name = f"{title}.{node.name}"
        if isinstance(node, ast.ClassDef) and node.body[0].lineno > node.lineno:
            yield from _block(source, node.body, unit.first, unit.last, name, "class", _signatures(node))
        else:
            kind_here = "class" if isinstance(node, ast.ClassDef) else "function"
            yield from source.split(unit.first, unit.last, name, kind_here, [node], "")
    if last > left_first:
        yield from source.split(left_first, last, title, kind, left, context)


def _units(body: Sequence[ast.stmt], first: int) -> list[_Unit]:
    units: list[_Unit] = []
    for node in body:
        last = node.end_lineno or node.lineno
        if units and _first_line(node) <= units[-1].last:  # a second statement on the same line
            units[-1] = _Unit(units[-1].first, max(last, units[-1].last), units[-1].node)
        else:
            units.append(_Unit(units[-1].last if units else first, last, node))
    return units


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _statements(nodes: Sequence[ast.stmt], depth: int) -> Iterator[tuple[ast.stmt, int]]:
    for node in nodes:
        yield node, depth
        for name in ("body", "orelse", "finalbody"):
            yield from _statements([n for n in getattr(node, name, []) if isinstance(n, ast.stmt)], depth + 1)
        for holder in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
            yield from _statements(holder.body, depth + 1)


def _signatures(node: ast.ClassDef) -> str:
    """ "def decode(self, s); def raw_decode(self, s, idx)": what the class can do, beside its header."""
    signatures, length = [], 0
    for item in node.body:
        if isinstance(item, _FUNCTIONS):
            arguments = [a.arg for a in (*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs)]
            signature = f"def {item.name}({', '.join(arguments)})"
            length += len(signature) + 2
            if length > _CONTEXT_LIMIT:
                break
            signatures.append(signature)
    return "; ".join(signatures)
