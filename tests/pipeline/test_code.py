"""code.py: the version of a step's code covers what it stands on, found without importing anything."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from groundup.pipeline import code
from groundup.pipeline.code import code_version, code_versions, describe_change, read_module
from tests.test_import_walls import SOURCE, imports

STAGES = sorted(path.stem for path in (SOURCE / "stages").glob("*.py") if path.stem != "__init__")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """room.a → room.b (relative, in a function) → other.c; single stands alone; pipeline is apart."""
    package = tmp_path / "groundup"
    for folder in ("room/__pycache__", "other", "pipeline"):
        (package / folder).mkdir(parents=True)
    for name, text in {
        "room/__init__.py": "",
        "room/a.py": "import os, json\nfrom groundup.pipeline import store\n\n"
        "def f():\n    from .b import (  # why\n        x,\n    )\n",
        "room/b.py": "from groundup.other import c as d, nothing\nimport groundup.single as s\nx = 1\n",
        "room/table.json": "{}",
        "other/__init__.py": "",
        "other/c.py": "from .. import room\n",
        "pipeline/store.py": "",
        "single.py": "b = 1\n",
        "unused.py": "",
    }.items():
        (package / name).write_text(text)
    return package


def now(package: Path, module: str = "groundup.room.a") -> dict[str, str]:
    """What a new process would find."""
    read_module.cache_clear()
    code._read.cache_clear()
    code._files.cache_clear()
    return code_versions([module], package)


def test_imports_are_followed_wherever_they_stand(package: Path) -> None:
    expected = ["groundup.other", "groundup.other.c", "groundup.room", "groundup.room.a", "groundup.room.b"]
    assert list(now(package)) == [*expected, "groundup.single"]
    assert list(now(package, "groundup.single")) == ["groundup.single"]


def test_package_named_counts_with_every_file(package: Path) -> None:
    (package / "room" / "__pycache__" / "a.pyc").write_bytes(b"x")
    found = now(package, "groundup.room")
    assert {"groundup.room.a", "groundup.room.b", "groundup/room/table.json", "groundup.other.c"} <= set(found)
    assert not any("pyc" in name for name in found)


@pytest.mark.parametrize("name", ["room/a.py", "room/b.py", "other/c.py", "single.py", "room/__init__.py"])
def test_change_in_any_file_it_stands_on_is_seen(package: Path, name: str) -> None:
    before = now(package)
    (package / name).write_text((package / name).read_text() + "# changed\n")
    assert describe_change(before, now(package)) == f"code of groundup.{name[:-3].replace('/', '.')} changed".replace(
        ".__init__", ""
    )


@pytest.mark.parametrize("name", ["unused.py", "pipeline/store.py", "room/table.json"])
def test_change_elsewhere_is_not(package: Path, name: str) -> None:
    before = now(package)
    (package / name).write_text("[1]\n")
    assert now(package) == before


def test_code_is_that_of_the_process_not_of_the_disk(package: Path) -> None:
    before = now(package)
    (package / "room" / "a.py").write_text("changed")
    assert code_versions(["groundup.room.a"], package) == before


def test_many_changes_are_named_in_short() -> None:
    assert describe_change({}, dict.fromkeys("abcde", "1")) == "code of a, b, c and 2 more changed"
    assert describe_change({"a": "1"}, {"a": "1"}) == ""
    assert describe_change({"a": "1"}, {}) == "code of a changed"


@pytest.mark.parametrize("module", ["groundup.nowhere", "other", "groundup", "groundup.corpus.nowhere", "os.path"])
def test_unknown_module_is_refused(module: str) -> None:
    with pytest.raises(ValueError, match=f"there is no module {module}"):
        code_version(["groundup.errors", module])


@pytest.mark.parametrize("stage", STAGES)
def test_modules_found_are_those_that_the_syntax_tree_gives(stage: str) -> None:
    """The scan of the text against a walk over `ast`, on the real source."""
    found: set[str] = set()
    waiting = [SOURCE / "stages" / f"{stage}.py"]
    while waiting:
        path = waiting.pop()
        module = ".".join(["groundup", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
        if module in found or (module.split(".")[1:2] and module.split(".")[1] in code.APART):
            continue
        found.add(module)
        targets = [target for target, _ in imports(path)]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("groundup"):
                targets += [f"{node.module}.{alias.name}" for alias in node.names]
        for target in targets:
            parts = target.split(".")
            for end in range(2, len(parts) + 1) if parts[0] == "groundup" else ():
                at = SOURCE.joinpath(*parts[1:end])
                waiting += [path for path in (at / "__init__.py", at.with_suffix(".py")) if path.is_file()]
    assert set(code_versions([f"groundup.stages.{stage}"])) == found
