from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from groundup.stages.live_memory import NewestMemory
from groundup.stages.memory_use import NewestTracer, traced_by
from tests.serving.parts import SENTENCES, make_tokenizer, make_tracer, note


@dataclass
class Versions:
    """A memory as a server keeps it, whose newest version a test sets."""

    tokenizer: Any
    memory: Any

    def mixture(self) -> Any:
        return SimpleNamespace(memory=self.memory)


def test_a_new_version_of_the_memory_has_a_new_tracer_and_the_same_one_keeps_its_own() -> None:
    tokenizer = make_tokenizer()
    first, second = make_tracer(tokenizer).memory, make_tracer(tokenizer).memory
    versions = Versions(tokenizer, first)
    newest = NewestTracer(cast(NewestMemory, versions), note)
    tracer = newest()
    assert newest() is tracer
    assert tracer.trace(SENTENCES[0]) == make_tracer(tokenizer).trace(SENTENCES[0])
    versions.memory = second
    assert newest() is not tracer
    assert newest().memory is second


def test_the_memory_of_the_model_that_completes_traces_and_another_only_where_it_has_none() -> None:
    release: Any = SimpleNamespace(policies={"champion": "base"})
    assert traced_by(release, ["scratch", "base"]) == "base"
    assert traced_by(release, ["scratch"]) == "scratch"
    assert traced_by(release, []) is None
