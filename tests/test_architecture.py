"""docs/architecture.md shows the source as it is: every file, one line each, and the walls that the tests enforce."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import architecture_tree
from tests.architecture_tree import PAGE, SOURCE, description, in_page, tree
from tests.test_import_walls import ROOMS

FILES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py")


def test_tree_in_the_docs_is_the_tree_of_the_source() -> None:
    mend = "run `python -m tests.architecture_tree --write`"
    assert in_page(PAGE.read_text(encoding="utf-8")).splitlines() == tree().splitlines(), mend


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_file_says_in_one_sentence_what_it_is(path: Path) -> None:
    assert len(description(path)) > 10


def test_every_room_is_in_the_tree_and_described_in_the_prose() -> None:
    page = PAGE.read_text(encoding="utf-8")
    prose = page.replace(in_page(page), "")
    for room in ROOMS:
        assert f"\n  {room}/" in tree()
        assert f"`{room}`" in prose, f"docs/architecture.md says nothing of {room}"


def test_tree_has_one_line_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "room" / "__pycache__").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "b.py").write_text('"""Two sentences. The second is left out."""\n')
    (tmp_path / "room" / "__init__.py").write_text('"""A room."""\n')
    (tmp_path / "room" / "a.py").write_text('"""Wraps over\ntwo lines: e.g. this.\n\nMore."""\n')
    (tmp_path / "room" / "page.html").write_text("<!doctype html>\n<!-- The page. -->\n")
    (tmp_path / "room" / "__pycache__" / "a.pyc").write_text("")
    assert [re.sub(r" {2,}(?=\S)", "|", line.rstrip()) for line in architecture_tree.lines(tmp_path)] == [
        "|b.py|Two sentences",
        "|room/|A room",
        "|a.py|Wraps over two lines: e.g. this",
        "|page.html|The page",
    ]
