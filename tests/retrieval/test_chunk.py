from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.document import Document, make_document
from groundup.retrieval.chunk import CHUNK_LIMIT, chunk_document
from groundup.retrieval.chunk_code import module_name
from groundup.retrieval.chunk_prose import headings

SOURCE = '''"""A module."""
import os

LIMIT = 3


# Says how it greets.
@staticmethod
def greet(name: str) -> str:
    """Greets."""
    return "hello " + name


class Box(dict):
    """Holds things."""

    size = 1

    def put(self, key, value=None):
        self[key] = value

    async def take(self, key):
        return self.pop(key)


if __name__ == "__main__":
    greet("x")
'''


def document(text: str, kind: str = "code", source: str = "stdlib/pack/mod.py", title: str = "a title") -> Document:
    language = "python" if kind == "code" else "en"
    return make_document(source, text, group="g", title=title, kind=kind, language=language)


def check(made: Document, limit: int) -> None:
    """Slices are exact, in order, apart, within the limit, and leave nothing but blanks out."""
    at = 0
    for chunk in chunk_document(made, limit):
        assert made.text[chunk.start : chunk.end] == chunk.text
        assert chunk.start >= at
        assert not made.text[at : chunk.start].strip()
        assert 0 < len(chunk.text) <= limit
        assert chunk.text.strip()
        normal = made.text[: chunk.start].replace("\r\n", "\n").replace("\r", "\n")
        assert chunk.line == normal.count("\n") + 1
        at = chunk.end
    assert not made.text[at:].strip()


LINES = st.sampled_from(
    [
        *(
            "# One",
            "## Two words",
            "text goes on. And on!",
            "",
            "  ",
            "===",
            "---",
            "| a | b |",
            "|---|---|",
            "| 1 | 2 |",
        ),
        *(
            "```",
            "def f(x):",
            "    return x",
            "class A:",
            "    def g(self): pass",
            "x = 1; y = 2",
            '"""',
            "@d",
            "if x:",
        ),
        *("\x0c", "é 漢字 😀", "\tz", "    y = '''a", "a" * 50, "- item", "\\", "a,b", '"q', "\r", "\u2028", "\x1c"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=25), st.sampled_from(["code", "prose", "table"]), st.sampled_from([20, 60, 900]))
def test_chunks_cover_the_document_exactly_and_in_order(lines: list[str], kind: str, limit: int) -> None:
    check(document("\n".join(lines), kind), limit)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300), st.sampled_from(["code", "prose", "table"]))
def test_any_text_is_covered(text: str, kind: str) -> None:
    check(document(text, kind), 40)


@pytest.mark.parametrize("limit", [200, CHUNK_LIMIT])
def test_real_modules_are_covered_and_each_function_is_a_chunk_of_its_own(limit: int) -> None:
    for path in sorted(Path(ast.__file__).parent.glob("[ab]*.py")):
        made = document(path.read_text(encoding="utf-8"), source=f"stdlib/{path.name}")
        check(made, limit)
        titles = {chunk.title for chunk in chunk_document(made, limit) if chunk.kind == "function"}
        tree = ast.parse(made.text)
        names = {f"{path.stem}.{n.name}" for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert names <= titles


def test_code_is_cut_by_its_definitions_with_comments_and_decorators() -> None:
    chunks = chunk_document(document(SOURCE))
    assert [(c.title, c.kind) for c in chunks] == [
        ("pack.mod", "module"),
        ("pack.mod.greet", "function"),
        ("pack.mod.Box", "class"),
        ("pack.mod.Box.put", "function"),
        ("pack.mod.Box.take", "function"),
        ("pack.mod", "module"),
    ]
    assert chunks[1].text.startswith("# Says how it greets.\n@staticmethod\ndef greet")
    assert chunks[2].context == "def put(self, key, value); def take(self, key)"
    assert chunks[3].text == "    def put(self, key, value=None):\n        self[key] = value"
    assert chunks[3].line == 19


def test_an_oversized_function_is_split_where_statements_begin() -> None:
    body = "".join(f"    value_{i} = [\n        {i},\n    ]\n" for i in range(60))
    chunks = chunk_document(document(f"def long():\n{body}"), 300)
    assert len(chunks) > 4
    assert all(chunk.title == "pack.mod.long" for chunk in chunks)
    assert all(chunk.text.startswith("    value_") for chunk in chunks[1:])


def test_what_does_not_parse_is_cut_by_lines() -> None:
    chunks = chunk_document(document("print 'two'\n" * 40), 100)
    assert {chunk.kind for chunk in chunks} == {"lines"}
    assert all(set(chunk.text.split("\n")) == {"print 'two'"} for chunk in chunks)


def test_depth_that_the_parser_refuses_is_cut_by_lines() -> None:
    assert {c.kind for c in chunk_document(document("x = " + "(" * 5000 + ")" * 5000))} == {"lines"}


def test_prose_has_its_heading_path_as_title() -> None:
    text = "intro\n\n# Top\n\n## Setup\n\nfirst.\n\n```\n# no heading\n```\n\n## Use\n\nsecond\n\n# End\nlast"
    chunks = chunk_document(document(text, "prose"))
    assert [c.title for c in chunks] == ["a title", "Top > Setup", "Top > Use", "End"]
    assert chunks[1].text.startswith("# Top\n\n## Setup")


def test_underlines_rank_in_order_of_appearance() -> None:
    text = "=====\nTitle\n=====\n\nPart\n----\n\ntext\n\nNext part\n---------\n\n| a\n"
    assert [(h.level, h.name) for h in headings(text)] == [(1, "Title"), (2, "Part"), (2, "Next part")]


def test_rows_of_a_split_table_keep_the_header() -> None:
    rows = "".join(f'{i},"name\n{i}"\n' for i in range(100))
    chunks = chunk_document(document(f"number,name\n{rows}", "table"), 200)
    assert len(chunks) > 5
    assert {chunk.context for chunk in chunks[1:]} == {"number,name"}
    assert all(chunk.text.count('"') % 2 == 0 for chunk in chunks)
    markdown = "# Data\n\n| n | name |\n|---|---|\n" + "".join(f"| {i} | name {i} |\n" for i in range(100))
    chunks = chunk_document(document(markdown, "prose"), 200)
    assert {chunk.context for chunk in chunks[1:]} == {"| n | name |"}


def test_a_line_of_megabytes_takes_a_second_at_most() -> None:
    made = document("word " * 400_000, "prose")
    assert sum(len(chunk.text.split()) for chunk in chunk_document(made)) == 400_000


def test_module_names() -> None:
    assert module_name("stdlib/json/decoder.py") == "json.decoder"
    assert module_name("numpy/__init__.py") == "numpy"
    assert module_name("notes/a.py") == "notes.a"
