"""The last lines of a run: within the terminal's width, each warning once, and what completes at the end."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from groundup.pipeline.store import Artifact
from groundup.stages.language import MEMORY, completes_with
from groundup.stages.outcome import WIDTH, Outcome, _memory, _verdicts
from tests.pipeline.summaries import generation, memory, whole


def outcome(**changes: Any) -> Outcome:
    return Outcome(replace(whole(), **changes), Path("report.html"), system="bm25")


def test_the_last_line_says_what_completes() -> None:
    assert outcome().text().splitlines()[-1] == "serves   SmolLM2-135M + memory completes; bm25 searches"
    assert outcome(completes="").text().splitlines()[-1] == "serves   bm25 searches"
    assert "serves " not in outcome(release="", completes="", verdicts=[]).text()


def test_tables_keep_to_the_width_and_warnings_stand_once() -> None:
    lines = outcome().text().splitlines()
    tables = lines[: next(i for i, line in enumerate(lines) if line.startswith("release "))]
    assert max(map(len, tables)) <= WIDTH
    assert sum("may have read these very files" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ({"champion": "a", "memory": {"a": {"completes": True}}}, "a + memory"),
        ({"champion": "a", "memory": {"a": {"completes": False}}}, "a"),
        ({"champion": "a", "memory": {"b": {"completes": True}}}, "a"),
        ({"champion": "a"}, "a"),
        ({"champion": None, "memory": {"a": {"completes": True}}}, ""),
        ({}, ""),
    ],
)
def test_what_completes_is_the_releases_policy(policies: dict[str, Any], said: str) -> None:
    assert completes_with(policies) == said


def test_what_another_version_wrote_is_left_out_and_not_a_failure(tmp_path: Path) -> None:
    found = {"verdict-language": Artifact("x", "x", tmp_path, "x", {"metrics": {}, "files": {}})}
    assert (_verdicts(found), _memory(found), _memory({})) == ([], [], [])
    (tmp_path / "table.json").write_text(generation().to_json(), encoding="utf-8")
    (tmp_path / MEMORY).write_text(json.dumps([asdict(memory())]), encoding="utf-8")
    assert (_verdicts(found), _memory(found)) == ([generation()], [memory()])
    older = json.loads(generation().to_json())
    del older["seen"]
    (tmp_path / "table.json").write_text(json.dumps(older), encoding="utf-8")
    (tmp_path / MEMORY).write_text(json.dumps([{"decoder": "a"}]), encoding="utf-8")
    assert (_verdicts(found), _memory(found)) == ([], [])
