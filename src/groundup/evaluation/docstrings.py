"""Docstrings of Python source: where they are, what they say first, and the source without them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from groundup.retrieval.chunk import line_starts
from groundup.retrieval.chunk_code import parse

# What stands where a docstring was: keeps every body valid, is no word to an analyzer, and one piece to an encoder.
PLACEHOLDER = "..."
_DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")
_LONGEST_SENTENCE = 300  # characters
_MARKUP = re.compile(r":\w+:`~?([^`]*)`|``?([^`]*)``?")


@dataclass(frozen=True)
class Function:
    """`start`, `end`: the whole definition with decorators, in characters. `sentence`: "" without a usable docstring.

    `substantial`: whether there is code to find: more than a docstring, pass, an ellipsis or a raise.
    """

    name: str
    qualified_name: str
    start: int
    end: int
    sentence: str
    substantial: bool


class _Positions:
    """Character offsets of syntax tree positions, which count UTF-8 bytes within a line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = line_starts(text)

    def offset(self, line: int, column: int) -> int:
        start = self.starts[line - 1]
        piece = self.text[start : start + column]  # at least as many characters as bytes are asked for
        if piece.isascii():
            return start + column
        return start + len(piece.encode("utf-8", "surrogatepass")[:column].decode("utf-8", "replace"))


def strip_docstrings(text: str) -> str | None:
    """`text` with every docstring of module, classes and functions replaced by "..."; None if it does not parse."""
    tree = parse(text)
    if tree is None:
        return None
    positions = _Positions(text)
    pieces, last = [], 0
    for node in sorted(_docstrings(tree), key=lambda node: (node.lineno, node.col_offset)):
        start = positions.offset(node.lineno, node.col_offset)
        pieces += [text[last:start], PLACEHOLDER]
        last = positions.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
    return "".join([*pieces, text[last:]])


def functions(text: str) -> list[Function]:
    """Functions and methods that stand directly in a module or class, in the order of the source."""
    tree = parse(text)
    return [] if tree is None else list(_functions(tree, "", _Positions(text)))


def first_sentence(docstring: str) -> str:
    """The first sentence on one line, without markup; "" where it is a prompt, a signature or too long to be one."""
    paragraph = inspect.cleandoc(docstring).partition("\n\n")[0]
    text = " ".join(_MARKUP.sub(lambda match: match.group(1) or match.group(2) or "", paragraph).split())
    sentence = _SENTENCE_END.split(text, maxsplit=1)[0]
    usable = len(sentence) <= _LONGEST_SENTENCE and not sentence.startswith((">>>", ":", "@")) and "->" not in sentence
    return sentence if usable else ""


def _docstrings(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS) and node.body and _is_string(node.body[0]):
            yield node.body[0]


def _functions(owner: ast.Module | ast.ClassDef, prefix: str, positions: _Positions) -> Iterator[Function]:
    for node in owner.body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.", positions)
        elif isinstance(node, _FUNCTIONS):
            first = min([node, *node.decorator_list], key=lambda part: part.lineno)
            docstring = ast.get_docstring(node, clean=False)
            yield Function(
                name=node.name,
                qualified_name=prefix + node.name,
                start=positions.offset(first.lineno, 0),
                end=positions.offset(node.end_lineno or node.lineno, node.end_col_offset or 0),
                sentence=first_sentence(docstring) if docstring else "",
                substantial=any(not _is_trivial(statement) for statement in node.body),
            )


def _is_trivial(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    return isinstance(statement, ast.Pass | ast.Raise)


def _is_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
