"""What a person at a terminal sees of a model's memory: beside its name where it has a say, a line where it can't."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from groundup.cli import app
from groundup.serving.release_service import ReleaseService
from tests.serving.parts import SENTENCES, remembering

TROUBLE = "the memory of {} can't be opened: ends.bin is gone; run `groundup memory rebuild`"


def damaged(service: ReleaseService, *names: str) -> ReleaseService:
    gone = {name: replace(service.memories[name], memory=None, fault="ends.bin is gone") for name in names}
    return replace(service, memories={**service.memories, **gone})


def given(monkeypatch: pytest.MonkeyPatch, service: ReleaseService) -> None:
    loaded = SimpleNamespace(service=service, release=SimpleNamespace(id="r1"), encoder=None, live=SimpleNamespace())
    loaded.live.embed_on = lambda *_: None
    monkeypatch.setattr("groundup.stages.loaded.load", lambda *_, **__: loaded)


@pytest.mark.parametrize(
    ("completes", "answers", "line"),
    [
        (True, True, "completes: scratch + memory   chats: chatty + memory"),
        (True, None, "completes: scratch + memory   chats: chatty"),
        (False, True, "completes: scratch   chats: chatty + memory"),
    ],
)
def test_the_banner_names_memory_where_it_has_a_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, completes: bool, answers: bool | None, line: str
) -> None:
    def banner(service: ReleaseService) -> list[str]:
        def serve(*_: Any, ready: Callable[[str], None]) -> None:
            ready("http://here")

        given(monkeypatch, service)
        monkeypatch.setattr("groundup.serving.server.serve", serve)
        shown = CliRunner().invoke(app, ["serve", "--no-log", "--store", str(tmp_path)])
        assert (shown.exit_code, shown.stdout) == (0, "")
        return [one.strip() for one in shown.stderr.splitlines()]

    whole = remembering(completes=completes, answers=answers)
    assert line in banner(whole)
    assert not any(one.startswith("warning") for one in banner(whole))
    lines = banner(damaged(whole, "scratch"))
    assert line.replace("scratch + memory", "scratch") in lines
    assert [one for one in lines if one.startswith("warning")] == [
        f"warning: {TROUBLE.format('scratch')} and start the server again."
    ]


def test_ask_and_generate_say_whether_memory_had_a_say_and_warn_where_it_could_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask, generate = ["ask", "what is a json string"], ["generate", "JSON", "--max-tokens", "40", "--temperature", "0"]

    def said(arguments: list[str], service: ReleaseService) -> tuple[dict[str, Any], str]:
        given(monkeypatch, service)
        shown = CliRunner().invoke(app, [*arguments, "--json", "--store", str(tmp_path)])
        assert shown.exit_code == 0
        return json.loads(shown.stdout), shown.stderr

    for arguments, field, model in ((ask, "generated", "chatty"), (generate, "text", "scratch")):
        found, warned = said(arguments, remembering())
        assert (found["memory"], warned) == (True, "")
        assert SENTENCES[1][:20] in found[field]
        found, warned = said(arguments, damaged(remembering(), "scratch", "chatty"))
        assert (found["memory"], warned) == (False, f"groundup: {TROUBLE.format(model)}\n")
        assert SENTENCES[1][:20] not in found[field]
        found, warned = said([*arguments, "--memory", "off"], damaged(remembering(), "scratch", "chatty"))
        assert (found["memory"], warned) == (False, "")
        unheard = damaged(remembering(completes=False, answers=None), "scratch", "chatty")
        assert said(arguments, unheard)[1] == ""
    found, _ = said([*ask, "--no-generated"], remembering())
    assert found["memory"] is None
