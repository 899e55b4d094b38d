"""The version of a step's code: hashes of the modules it names and of all that these import, in turn, of groundup.

A list of modules kept by hand forgets one, and then a change in it is served from old artifacts. So imports are
followed, read from the source text: nothing is imported, and a plan never loads torch.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from groundup.pipeline.identity import digest_of

PACKAGE = Path(__file__).resolve().parents[1]
# No part of any result: what goes wrong, how far, where things lie, how fast the machine is, who asked.
APART = ("errors", "progress", "machine", "pipeline", "recipe", "cli", "__init__", "__main__")
# Also inside functions and TYPE_CHECKING, and (at the price of a needless rerun) in a docstring's example.
_FROM = re.compile(r"^[ \t]*from[ ]+(groundup[\w.]*|\.[\w.]*)[ ]+import[ ]+(\([^)]*\)|[^\n]+)", re.MULTILINE)
_PLAIN = re.compile(r"^[ \t]*import[ ]+([^\n#]*\bgroundup\.[^\n#]+)", re.MULTILINE)


def code_version(modules: Sequence[str]) -> str:
    """One hash over the source that the named modules or packages of groundup stand on."""
    return digest_of(code_versions(modules))


def code_versions(modules: Sequence[str], package: Path = PACKAGE) -> dict[str, str]:
    """{"groundup.corpus.dedup": sha256, …}: the named modules or packages and all they import, by module.

    A package named counts with every file in it, data files too. Raises ValueError for a name that is no module.
    """
    waiting = [_relative(module, package) for module in modules]
    for module, relative in zip(modules, waiting, strict=True):
        if not _files(relative, package):
            raise ValueError(f"there is no module {module} in {package}: mend the step's `code`")
    named, seen, found = set(waiting), set[str](), dict[str, str]()
    folder = str(package)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            for name, digest, imported in read_module(module, module in named, folder):
                found[name] = digest
                waiting += imported
    return dict(sorted(found.items()))


@functools.cache  # per process: a process runs the code it started with, whatever is written to disk meanwhile
def read_module(module: str, whole: bool, package: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """(dotted name, sha256, modules it imports) of a module's file, or of every file of a package taken whole."""
    files = _files(module, Path(package))
    return tuple(_read(path, Path(package)) for path in (files if whole else files[:1]))


def _relative(module: str, package: Path) -> str:
    """ "corpus.dedup" of "groundup.corpus.dedup"; a name that nothing has for what lies outside the package."""
    head, _, rest = module.partition(".")
    return rest if head == package.name and rest else f"{module}?"


@functools.cache
def _files(module: str, package: Path) -> tuple[str, ...]:
    """A module's file, or a package's __init__ and then every other file in it; empty if there is no such thing."""
    at = os.path.join(package, *module.split("."))
    if not os.path.isdir(at):
        return (f"{at}.py",) if os.path.isfile(f"{at}.py") else ()
    found = []
    for folder, folders, names in os.walk(at):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [os.path.join(folder, name) for name in names]
    first = os.path.join(at, "__init__.py")
    return tuple(sorted(found, key=lambda path: (path != first, path)))


@functools.cache
def _read(path: str, package: Path) -> tuple[str, str, tuple[str, ...]]:
    with open(path, "rb") as file:
        content = file.read()
    digest, inside = hashlib.sha256(content).hexdigest(), os.path.relpath(path, package).replace(os.sep, "/")
    if not path.endswith(".py"):
        return f"{package.name}/{inside}", digest, ()
    folder = inside.split("/")[:-1]
    name = ".".join([package.name, *inside.removesuffix(".py").split("/")]).removesuffix(".__init__")
    imported = dict.fromkeys(_imports(content.decode("utf-8", "replace"), folder, package))
    return name, digest, tuple(module for module in imported if module.partition(".")[0] not in APART)


def _imports(text: str, folder: list[str], package: Path) -> Iterator[str]:
    """Every module inside the package that a source text may import, packages above it included."""
    targets = [part.split()[0] for line in _PLAIN.findall(text) for part in line.split(",") if part.strip()]
    for base, names in _FROM.findall(text):
        dots = len(base) - len(base.lstrip("."))
        parts = [package.name, *folder][: 1 + len(folder) - (dots - 1)] if dots else []
        module = ".".join([*parts, *filter(None, [base.lstrip(".")])])
        words = re.sub(r"#[^\n]*|[()]", " ", names).split(",")
        targets += [module, *(f"{module}.{word.split()[0]}" for word in words if word.strip())]
    for target in dict.fromkeys(targets):
        head, _, rest = target.partition(".")
        steps = rest.split(".") if head == package.name and rest else []
        for i in range(1, len(steps) + 1):
            inside = ".".join(steps[:i])
            if _files(inside, package):
                yield inside


def describe_change(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """ "code of groundup.corpus.dedup changed", at most three modules by name; "" if nothing changed."""
    changed = [module for module in sorted({*before, *after}) if before.get(module) != after.get(module)]
    if not changed:
        return ""
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return f"code of {', '.join(changed[:3])}{more} changed"
