"""The version of a step's code: hashes of the modules it names and of all that these import, in turn, of groundup.

A list of modules kept by hand forgets one, and then a change in it is served from old artifacts. So imports are
followed, read from the source text: nothing is imported, and a plan never loads torch.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from groundup.pipeline.identity import digest_of

PACKAGE = Path(__file__).resolve().parents[1]
# No part of any result: what goes wrong, how far, where things lie, how fast the machine is, who asked.
APART = ("errors", "progress", "machine", "pipeline", "recipe", "cli", "__init__")
# Also inside functions and TYPE_CHECKING, and (at the price of a needless rerun) in a docstring's example.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ ]+(\.*[\w.]*)[ ]+import[ ]+(\([^)]*\)|[^\n]+)|import[ ]+([^\n#]+))", re.MULTILINE
)


def code_version(modules: Sequence[str]) -> str:
    """One hash over the source that the named modules or packages of groundup stand on."""
    return digest_of(code_versions(modules))


def code_versions(modules: Sequence[str], package: Path = PACKAGE) -> dict[str, str]:
    """{"groundup.corpus.dedup": sha256, …}: the named modules or packages and all they import, by module.

    A package named counts with every file in it, data files too. Raises ValueError for a name that is no module.
    """
    found: dict[str, str] = {}
    waiting = [_relative(module, package) for module in modules]
    for module in modules:
        if not _files(_relative(module, package), package):
            raise ValueError(f"there is no module {module} in {package}: mend the step's `code`")
    named = set(waiting)
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        whole = module in named
        for path in _files(module, package) if whole else _files(module, package)[:1]:
            name, digest, imported = read_source(path, package)
            found[name] = digest
            waiting += [other for other in imported if other.partition(".")[0] not in APART]
    return dict(sorted(found.items()))


def _relative(module: str, package: Path) -> str:
    """ "corpus.dedup" of "groundup.corpus.dedup"; a name that nothing has for what lies outside the package."""
    head, _, rest = module.partition(".")
    return rest if head == package.name and rest else f"{module}?"


@functools.cache
def _files(module: str, package: Path) -> tuple[Path, ...]:
    """A module's file, or a package's __init__ and then every other file in it; empty if there is no such thing."""
    at = package.joinpath(*module.split("."))
    if at.is_dir():
        files = [path for path in sorted(at.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
        return tuple(sorted(files, key=lambda path: path != at / "__init__.py"))
    return (at.with_suffix(".py"),) if at.with_suffix(".py").is_file() else ()


@functools.cache  # per process: a process runs the code it started with, whatever is written to disk meanwhile
def read_source(path: Path, package: Path) -> tuple[str, str, tuple[str, ...]]:
    """(dotted name, sha256, modules of the package it imports, without the package's own name) of one file."""
    content = path.read_bytes()
    inside = path.relative_to(package)
    name = (
        ".".join([package.name, *inside.with_suffix("").parts]) if path.suffix == ".py" else f"{package.name}/{inside}"
    )
    imported: tuple[str, ...] = ()
    if path.suffix == ".py":
        imported = tuple(dict.fromkeys(_imports(content.decode("utf-8", "replace"), inside.parent.parts, package)))
    return name.removesuffix(".__init__"), hashlib.sha256(content).hexdigest(), imported


def _imports(text: str, folder: tuple[str, ...], package: Path) -> Iterator[str]:
    """Every module inside the package that a source text may import, packages above it included."""
    for base, names, plain in _IMPORT.findall(text):
        if plain:
            targets = [part.split(" as ")[0].strip() for part in plain.split(",")]
        else:
            dots = len(base) - len(base.lstrip("."))
            parts = [package.name, *folder][: 1 + len(folder) - max(dots - 1, 0)] if dots else []
            module = ".".join([*parts, *([base.lstrip(".")] if base.lstrip(".") else [])])
            words = re.sub(r"#[^\n]*|[()]", " ", names).split(",")
            targets = [module, *(f"{module}.{word.split(' as ')[0].strip()}" for word in words)]
        for target in targets:
            head, _, rest = target.partition(".")
            steps = rest.split(".") if head == package.name and rest else []
            for i in range(1, len(steps) + 1):
                inside = ".".join(steps[:i])
                if inside.replace(".", "").isidentifier() and _files(inside, package):
                    yield inside


def describe_change(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """ "code of groundup.corpus.dedup changed", at most three modules by name; "" if nothing changed."""
    changed = [module for module in sorted({*before, *after}) if before.get(module) != after.get(module)]
    if not changed:
        return ""
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return f"code of {', '.join(changed[:3])}{more} changed"
