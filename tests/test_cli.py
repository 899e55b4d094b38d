"""The commands: their flags, their help, what they import, how they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from groundup.cli import app

FLAGS = {
    "run": "base encoder minutes judgements seed recipe retrain store as_json source",
    "plan": "base encoder minutes judgements seed recipe retrain store as_json source",
    "search": "query k system explain store as_json",
    "ask": "question generated memory store as_json",
    "generate": (
        "prompt model chat max_tokens temperature top_k top_p min_p repetition_penalty presence_penalty "
        "frequency_penalty stop seed memory store as_json"
    ),
    "serve": "host port log embed store",
    "monitor": "store as_json",
    "machine": "refresh as_json",
    "releases": "rollback store as_json",
    "export": "model out to number_format drop_normalizer store as_json",
    "import": "model store as_json",
    "inspect": "model text out store as_json beside",
    "score": "model file jsonl memory store",
    "trace": "file jsonl release store",
    "memory info": "check release store as_json",
    "memory rebuild": "store as_json",
    "clean": "delete store as_json",
}


def commands() -> dict[str, object]:
    """Those of a group by the group's name and their own."""
    found: dict[str, object] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        within = getattr(command, "commands", None)
        found |= {name: command} if within is None else {f"{name} {sub}": one for sub, one in within.items()}
    return found


def test_flags_are_these() -> None:
    found = {name: {param.name for param in command.params} - {"help"} for name, command in commands().items()}  # type: ignore[attr-defined]
    assert found == {name: set(flags.split()) for name, flags in FLAGS.items()}


@pytest.mark.parametrize("name", FLAGS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(app, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert f"groundup {name}" in result.output
    assert "Example:" in result.output


@pytest.mark.parametrize("name", FLAGS)
def test_every_command_is_in_the_readme(name: str) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"groundup {name}" in readme


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, groundup.cli; from typer.testing import CliRunner; "
        "CliRunner().invoke(groundup.cli.app, ['--help']); "
        "print([name for name in ('torch', 'pyarrow', 'numpy', 'fastapi', 'matplotlib', 'numba', 'pydantic') "
        "if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def groundup(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "groundup", *arguments], capture_output=True, text=True, check=False)


def test_an_error_is_one_paragraph_with_its_mend(tmp_path: Path) -> None:
    shown = groundup("search", "words", "--store", str(tmp_path / "nothing"))
    assert shown.returncode == 8
    assert "Traceback" not in shown.stderr
    assert "groundup run" in shown.stderr
    assert shown.stdout == ""


def test_a_wrong_flag_names_the_nearest() -> None:
    shown = groundup("run", "--minuts", "3")
    assert shown.returncode == 2
    assert "--minutes" in shown.stderr


def test_minutes_must_be_positive() -> None:
    shown = groundup("plan", "--minutes", "0")
    assert shown.returncode == 2
    assert "minutes" in shown.stderr


def test_machine_as_json_names_its_formats() -> None:
    shown = groundup("machine", "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["formats"]["fp32"] > 0


def test_an_empty_source_is_not_the_current_folder() -> None:
    shown = groundup("run", "")
    assert shown.returncode == 2
    assert "it is empty" in " ".join(shown.stderr.replace("│", " ").split())


def test_a_store_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("x")
    for command in (["search", "x"], ["monitor"], ["memory", "info"], ["memory", "rebuild"]):
        shown = groundup(*command, "--store", str(tmp_path / "afile"))
        assert shown.returncode != 0
        assert "afile: is a file" in shown.stderr
        assert "--store" in shown.stderr
