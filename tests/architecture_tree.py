"""The tree of src/groundup with one line a file, from each module's docstring.

python -m tests.architecture_tree            prints it
python -m tests.architecture_tree --write    puts it between the markers in docs/architecture.md
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "groundup"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- tree: made by `python -m tests.architecture_tree --write` -->", "<!-- end of tree -->"
COLUMN = 30  # where the descriptions begin
WIDTH = 160


def description(path: Path) -> str:
    """The first sentence of a module's docstring, or of the first comment of another file; "" if there is none."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = re.search(r"<!--\s*(.+?)\s*-->|/\*\s*(.+?)\s*\*/|^\s*//\s*(.+)$", text, re.DOTALL | re.MULTILINE)
        text = next((part for part in comment.groups() if part), "") if comment else ""
    text = text or {".css": "Style sheet", ".html": "Web page"}.get(path.suffix, "")
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.?!])\s+(?=[A-Z`])", paragraph)[0]
    return sentence if sentence.endswith(("?", "!")) else sentence.rstrip(".")


def lines(folder: Path, depth: int = 1) -> Iterator[str]:
    """A line for the folder's files, then its rooms, each under its own name."""
    shown = [path for path in sorted(folder.iterdir()) if path.name not in ("__pycache__", "__init__.py", "py.typed")]
    for path in shown:
        if path.is_file():
            yield line("  " * depth + path.name, description(path))
    for path in shown:
        if path.is_dir() and any(part.is_file() for part in path.rglob("*") if "__pycache__" not in part.parts):
            init = path / "__init__.py"
            yield line("  " * depth + path.name + "/", description(init) if init.exists() else "")
            yield from lines(path, depth + 1)


def line(name: str, text: str) -> str:
    whole = f"{name:<{COLUMN}}{text}" if len(name) < COLUMN else f"{name}  {text}"
    return whole.rstrip() if len(whole) <= WIDTH else whole[: WIDTH - 1].rsplit(" ", 1)[0] + " …"


def tree() -> str:
    """The block that stands between the markers, fences and all."""
    return "\n".join(["```", "src/groundup/", *lines(SOURCE), "```"])


def in_page(page: str) -> str:
    """The tree that a page holds. Raises ValueError if it lacks the markers."""
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip()


def main() -> None:
    if "--write" not in sys.argv[1:]:
        sys.stdout.write(tree() + "\n")
        return
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(in_page(page), tree()), encoding="utf-8")


if __name__ == "__main__":
    main()
