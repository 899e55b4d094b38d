"""Line numbers in docs/*.md: a link `[`file.py: symbol`](../src/groundup/room/file.py#L57)` follows its symbol.

python -m tests.roadmap_lines            says which links point elsewhere
python -m tests.roadmap_lines --write    mends them
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
LINK = re.compile(r"\[`(?P<file>[\w.]+): (?P<symbol>[^`]+)`\]\((?P<path>[^)#]+)#L(?P<line>\d+)\)")


@cache
def definitions(path: Path) -> dict[str, int]:
    """Line of each function, class, method, constant and annotated field by its dotted name; {} if not Python."""
    return dict(_defined(ast.parse(path.read_text(encoding="utf-8")).body)) if path.suffix == ".py" else {}


def _defined(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, int]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node.lineno
        elif isinstance(node, ast.ClassDef):
            yield prefix + node.name, node.lineno
            yield from _defined(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield prefix + node.target.id, node.lineno
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield prefix + target.id, node.lineno


def resolve(path: Path, symbol: str) -> int:
    """The line that defines `symbol`, or the one line that holds it as text. Raises LookupError if there is none."""
    defined = definitions(path)
    if symbol in defined:
        return defined[symbol]
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [number for number, line in enumerate(lines, 1) if symbol in line]
    if len(found) != 1:
        raise LookupError(f"{path.name} defines no {symbol!r}, and {len(found)} of its lines hold that text")
    return found[0]


def mended(page: str, folder: Path) -> str:
    """The page with every line number set anew. Raises LookupError as `resolve`."""

    def mend(match: re.Match[str]) -> str:
        line = resolve((folder / match["path"]).resolve(), match["symbol"])
        return f"[`{match['file']}: {match['symbol']}`]({match['path']}#L{line})"

    return LINK.sub(mend, page)


def main() -> None:
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        new = mended(page, DOCS)
        for before, after in zip(LINK.finditer(page), LINK.finditer(new), strict=True):
            if before["line"] != after["line"]:
                symbol, lines = f"{before['file']}: {before['symbol']}", f"{before['line']} → {after['line']}"
                sys.stdout.write(f"{path.name}: {symbol}  {lines}\n")
        if "--write" in sys.argv[1:] and new != page:
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
