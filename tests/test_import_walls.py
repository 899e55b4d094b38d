"""Who may import whom (docs/architecture.md), read from the source by `ast`, and what importing a room loads."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "groundup"
ROOMS = sorted(path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists())
TOP = "errors progress machine recipe cli __init__"  # modules beside the rooms

# room → what of groundup it may import beside itself and errors; "*": whatever isn't above it
ALLOWED: dict[str, set[str]] = {
    "nn": set(),
    "infinigram": set(),
    "errors": set(),
    "progress": set(),
    "machine": {"progress"},
    "recipe": set(),
    "__init__": set(),
    "__main__": {"cli"},
    "corpus": {"progress", "machine"},
    "tokens": {"progress", "machine", "corpus"},
    "training": {"nn", "tokens", "machine", "progress"},
    "generation": {"nn", "tokens", "machine", "progress"},
    "inspection": {"nn", "tokens"},
    "interop": {"nn", "tokens", "machine", "progress"},
    "retrieval": {"corpus", "progress", "machine"},
    "evaluation": {"corpus", "tokens", "nn", "retrieval", "infinigram", "machine", "progress"},
    "tracing": {"infinigram", "tokens"},
    "monitoring": {"progress", "machine", "retrieval"},
    "pipeline": {"progress", "machine", "evaluation"},
    "registry": {"pipeline", "evaluation", "progress", "__init__"},
    "serving": {
        "generation",
        "retrieval",
        "tracing",
        "monitoring",
        "registry",
        "tokens",
        "nn",
        "machine",
        "progress",
        "__init__",
    },
    "lab": {"corpus", "tokens", "nn", "training", "evaluation", "retrieval", "machine", "progress"},
}
ABOVE = {"cli", "stages"}  # may import everything; nothing but cli imports them
NO_TORCH = {
    "tracing",
    "corpus",
    "pipeline",
    "registry",
    "retrieval",
    "infinigram",
    "progress",
    "errors",
    "recipe",
    "monitoring",
}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted module, line) of everything a file imports, inside functions too; relative names made absolute."""
    package = [SOURCE.name, *path.relative_to(SOURCE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module, node.lineno
            if module == SOURCE.name:  # from groundup import machine
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def room_of(module: str) -> str | None:
    """The room of a module of groundup, "__init__" for groundup itself (its version), None for other packages."""
    head, _, rest = module.partition(".")
    if head != SOURCE.name:
        return None
    name = rest.partition(".")[0]
    return name if name in ROOMS or (SOURCE / f"{name}.py").exists() else "__init__"


def files(room: str) -> list[Path]:
    single = SOURCE / f"{room}.py"
    return [single] if single.exists() else sorted((SOURCE / room).rglob("*.py"))


def crossings(room: str) -> list[str]:
    found = []
    for path in files(room):
        for module, line in imports(path):
            other = room_of(module)
            if other in (None, room) or (other == "errors" and room not in ("nn", "infinigram")):
                continue
            if other == "__init__" and module == SOURCE.name and "__init__" not in ALLOWED[room]:
                continue  # `from groundup import machine`: the name after it is checked on its own
            if other not in ALLOWED[room]:
                found.append(f"{path.relative_to(SOURCE)}:{line} imports {module}")
    return found


@pytest.mark.parametrize("room", [*ROOMS, *(path.stem for path in sorted(SOURCE.glob("*.py")))])
def test_room_imports_only_what_it_may(room: str) -> None:
    if room in ABOVE:
        forbidden = {"cli"} if room == "stages" else set()
        assert [m for path in files(room) for m, _ in imports(path) if room_of(m) in forbidden] == []
        return
    assert room in ALLOWED, f"{room} is new: say in ALLOWED and in docs/architecture.md what it may import"
    assert crossings(room) == []


@pytest.mark.parametrize("room", sorted(NO_TORCH))
def test_room_knows_no_torch(room: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in files(room)
        for module, line in imports(path)
        if module.partition(".")[0] in ("torch", "transformers", "safetensors")
    ]
    assert found == []


def test_nothing_is_pickled_or_evaluated() -> None:
    found = []
    for path in SOURCE.rglob("*.py"):
        found += [
            f"{path}:{line}" for module, line in imports(path) if module in ("pickle", "dill", "joblib", "shelve")
        ]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.append(f"{path}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("groundup", "torch pyarrow numpy pydantic rich"),
        ("groundup.progress", "torch pyarrow numpy pydantic rich"),
        ("groundup.pipeline", "torch pyarrow matplotlib numba fastapi"),
        ("groundup.registry.release", "torch pyarrow matplotlib numba fastapi"),
        ("groundup.registry.champion", "torch pyarrow matplotlib numba fastapi"),
        ("groundup.registry.cards", "torch pyarrow matplotlib numba fastapi"),
        ("groundup.corpus", "torch"),
        ("groundup.corpus.ingest", "torch"),
        ("groundup.corpus.dedup", "torch"),
        ("groundup.retrieval", "torch"),
        ("groundup.retrieval.index", "torch"),
        ("groundup.recipe", "torch pyarrow"),
        ("groundup.cli", "torch pyarrow fastapi matplotlib numba"),
        ("groundup.serving.app", "groundup.training"),
    ],
)
def test_import_loads_nothing_heavy(module: str, absent: str) -> None:
    path = SOURCE.joinpath(*module.split(".")[1:])
    if not (path.is_dir() or path.with_suffix(".py").exists()):
        pytest.skip(f"{module} is not built yet")
    assert importlib.util.find_spec("groundup") is not None
    program = f"import json, sys, {module}; json.dump(sorted(set(sys.modules) & set({absent.split()!r})), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
