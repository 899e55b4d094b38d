"""runner.py: what is cached, what reruns and why, early cut-off, failures, interrupts."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import CorpusError
from groundup.pipeline import Context, Pipeline, RunResult, Step, StepRecord, Store
from groundup.pipeline import runner as runner_module


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def halve(context: Context) -> None:
    (context.work / "n.txt").write_text(str(context.config["n"] // 2))
    context.metrics["n"] = context.config["n"]


def copy(context: Context) -> None:
    text = "+".join(artifact.file("n.txt").read_text() for _, artifact in sorted(context.inputs.items()))
    (context.work / "n.txt").write_text(text)


def fail(context: Context) -> None:
    raise CorpusError("nothing left", place="corpus", mend="Add documents.")


def chain(n: int = 2, middle: Callable[[Context], None] = copy, **changes: Any) -> list[Step]:
    """corpus → middle → top, and aside beside them."""
    return [
        Step("corpus", halve, {"n": n, "seed": 7}, **changes),
        Step("middle", middle, {}, {"source": "corpus"}),
        Step("top", copy, {}, {"left": "middle", "right": "corpus"}),
        Step("aside", halve, {"n": 0}),
    ]


def run(store: Store, steps: list[Step], **options: Any) -> RunResult:
    return Pipeline(store, steps).run(**options)


def states(result: RunResult) -> dict[str, str]:
    return {record.name: record.state for record in result.records}


def reasons(result: RunResult) -> dict[str, str]:
    return {record.name: record.reason for record in result.records if record.state != "cached"}


def test_second_run_is_cached_and_gives_the_same_artifacts(store: Store) -> None:
    first, second = run(store, chain()), run(store, chain())
    assert first.ok
    assert set(reasons(first).values()) == {"first time"}
    assert set(states(second).values()) == {"cached"}
    assert second.artifacts == first.artifacts
    assert second.artifacts["corpus"].metrics == {"n": 2}


def test_input_that_comes_out_the_same_reruns_nothing_above(store: Store) -> None:
    run(store, chain(n=2))
    result = run(store, chain(n=3))  # 3 // 2 == 2 // 2
    assert states(result) == {"corpus": "done", "middle": "cached", "top": "cached", "aside": "cached"}


def test_change_redoes_only_what_depends_on_it(store: Store) -> None:
    run(store, chain(n=2))
    result = run(store, chain(n=4000))
    assert states(result) == {"corpus": "done", "middle": "done", "top": "done", "aside": "cached"}
    why = reasons(result)
    assert why["corpus"] == "configuration n 2 → 4,000"
    assert why["middle"].startswith("input source changed (digest ")
    assert why["top"].startswith("input left changed (digest ")
    assert "input right changed" in why["top"]


def test_swapped_inputs_are_another_step(store: Store) -> None:
    steps = [Step("a", halve, {"n": 2}), Step("b", halve, {"n": 8})]
    one = run(store, [*steps, Step("c", copy, {}, {"x": "a", "y": "b"})])
    other = run(store, [*steps, Step("c", copy, {}, {"x": "b", "y": "a"})])
    assert one.artifacts["c"].file("n.txt").read_text() == "1+4"
    assert other.artifacts["c"].file("n.txt").read_text() == "4+1"


def test_going_back_to_an_earlier_configuration_is_cached(store: Store) -> None:
    first = run(store, chain(n=2))
    run(store, chain(n=40))
    back = run(store, chain(n=2))
    assert set(states(back).values()) == {"cached"}
    assert back.artifacts == first.artifacts


def test_reasons_name_version_and_code(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(text: str) -> None:
        monkeypatch.setattr(runner_module, "code_versions", lambda modules: {"groundup.corpus.dedup": text, "x": "1"})

    version("1")
    run(store, chain())
    assert reasons(run(store, chain(version=2)))["corpus"] == "version of the step 1 → 2"
    version("2")
    assert reasons(run(store, chain(version=2)))["corpus"] == "code of groundup.corpus.dedup changed"


def test_step_that_names_no_code_is_versioned_by_its_own_module(store: Store) -> None:
    def parts(step: Step) -> dict[str, Any]:
        code: dict[str, Any] = Pipeline(store, [step]).key(step, {})[1]["code"]
        return code

    def copy_of_the_library(context: Context) -> None: ...

    copy_of_the_library.__module__ = "groundup.errors"
    assert list(parts(Step("a", copy_of_the_library, {}))) == ["groundup.errors"]
    assert "groundup.recipe" in parts(Step("a", copy_of_the_library, {}, code=("groundup.recipe",)))
    assert parts(Step("a", halve, {})) == {}


def test_reasons_name_inputs_that_come_and_go(store: Store) -> None:
    steps = [Step("a", halve, {"n": 2}), Step("b", halve, {"n": 8})]
    run(store, [*steps, Step("c", copy, {"deep": {"list": [1, "x"]}}, {"x": "a"})])
    result = run(store, [*steps, Step("c", copy, {"deep": {"list": [1, "y"], "new": None}}, {"y": "b"})])
    assert reasons(result)["c"] == (
        'configuration deep.list [1, "x"] → [1, "y"]; configuration deep.new (absent) → null; '
        "input x is gone; input y is new"
    )


def test_missing_and_damaged_artifacts_are_made_again(store: Store) -> None:
    first = run(store, chain())
    shutil.rmtree(first.artifacts["corpus"].path)
    first.artifacts["middle"].file("n.txt").write_text("damaged")
    again = run(store, chain())
    assert reasons(again)["corpus"] == "its artifact is missing"
    assert reasons(again)["middle"] == "its artifact is damaged: n.txt has 7 bytes instead of 1"
    assert {name: artifact.digest for name, artifact in again.artifacts.items()} == {
        name: artifact.digest for name, artifact in first.artifacts.items()
    }


def test_artifact_that_is_of_no_use_any_more_is_made_again(store: Store, tmp_path: Path) -> None:
    """Such as a release step's: its artifact names a folder that lies elsewhere."""
    elsewhere = tmp_path / "elsewhere"

    def publish(context: Context) -> None:
        elsewhere.mkdir(exist_ok=True)
        halve(context)

    steps = [
        Step(
            "release", publish, {"n": 2}, intact=lambda artifact: "" if elsewhere.exists() else "its release is missing"
        )
    ]
    first = run(store, steps)
    assert set(states(run(store, steps)).values()) == {"cached"}
    elsewhere.rmdir()
    assert [(plan.state, plan.reason) for plan in Pipeline(store, steps).plan()] == [("run", "its release is missing")]
    again = run(store, steps)
    assert reasons(again) == {"release": "its release is missing"}
    assert again.artifacts["release"].digest == first.artifacts["release"].digest
    assert elsewhere.exists()


def test_pipelines_of_one_run_remember_beside_each_other(store: Store) -> None:
    early, late = Pipeline(store, [Step("plan", halve, {"n": 1})]), Pipeline(store, [Step("corpus", halve, {"n": 2})])
    early.run()
    late.run()
    assert set(early.lineage.artifacts()) == {"plan", "corpus"}


def test_other_run_names_compare_with_the_run_before(store: Store) -> None:
    Pipeline(store, chain(n=2), run="notes-1").run()
    plan = Pipeline(store, chain(n=6), run="notes-2").plan()
    assert plan[0].reason == "configuration n 2 → 6"


def test_plan_says_what_run_does_and_changes_nothing(store: Store) -> None:
    plan = Pipeline(store, chain()).plan()
    assert not store.root.exists()
    assert [(step.name, step.state) for step in plan] == [
        ("corpus", "run"),
        ("middle", "unknown until corpus has run"),
        ("top", "unknown until middle, corpus have run"),
        ("aside", "run"),
    ]
    run(store, chain())
    assert {step.state for step in Pipeline(store, chain()).plan()} == {"cached"}
    changed = Pipeline(store, chain(n=9)).plan()
    assert [step.state for step in changed if step.name in ("corpus", "aside")] == ["run", "cached"]
    assert changed[0].reason == "configuration n 2 → 9"
    assert changed[1].waits_for == ("corpus",)


def test_only_takes_what_a_step_stands_on(store: Store) -> None:
    result = run(store, chain(), only=["middle"])
    assert list(result.artifacts) == ["corpus", "middle"]
    assert [step.name for step in Pipeline(store, chain()).plan(["middle"])] == ["corpus", "middle"]
    with pytest.raises(ValueError, match="there is no step bottom; the steps are corpus, middle, top, aside"):
        run(store, chain(), only=["bottom"])


def test_order_is_by_inputs_and_circles_are_refused(store: Store) -> None:
    result = run(store, list(reversed(chain())))
    assert [record.name for record in result.records] == ["aside", "corpus", "middle", "top"]
    with pytest.raises(ValueError, match="steps a, b wait for each other"):
        Pipeline(store, [Step("a", copy, {}, {"x": "b"}), Step("b", copy, {}, {"x": "a"})])
    with pytest.raises(ValueError, match="step a takes x from b, which is no step"):
        Pipeline(store, [Step("a", copy, {}, {"x": "b"})])
    with pytest.raises(ValueError, match="two steps are called a"):
        Pipeline(store, [Step("a", halve, {}), Step("a", halve, {})])


def test_failure_stops_its_dependents_only_and_the_next_run_goes_on(store: Store) -> None:
    result = run(store, chain(middle=fail))
    assert states(result) == {"corpus": "done", "middle": "failed", "top": "blocked", "aside": "done"}
    assert isinstance(result.failure, CorpusError)
    assert result.failure.__traceback__ is not None
    records = {record.name: record for record in result.records}
    assert records["middle"].error == "corpus: nothing left. Add documents."
    assert records["top"].reason == "needs middle"
    assert not result.ok
    mended = run(store, chain())
    assert states(mended) == {"corpus": "cached", "middle": "done", "top": "done", "aside": "cached"}
    assert reasons(mended)["middle"] == "it did not end last time"


def test_value_without_canonical_form_is_refused_with_its_place(store: Store) -> None:
    with pytest.raises(TypeError, match=r"corpus\.identity\.folder is a pathlib\.PosixPath"):
        Pipeline(store, [Step("corpus", halve, {"folder": Path("x")})]).plan()
    steps = [Step("corpus", lambda context: context.metrics.update(x={1}), {})]
    assert "corpus.metrics.x is a builtins.set" in str(run(store, steps).failure)


def test_manifest_keeps_the_lineage_of_a_step(store: Store) -> None:
    def noted(context: Context) -> None:
        halve(context)
        context.note("one file was odd")

    steps = chain()
    steps[0] = Step("corpus", noted, {"n": 2, "sampling": {"seed": 7}}, code=("groundup.errors",))
    artifacts = run(store, steps).artifacts
    manifest = artifacts["middle"].manifest
    corpus = artifacts["corpus"]
    assert manifest["inputs"] == {"source": {"step": "corpus", "key": corpus.key, "digest": corpus.digest}}
    assert corpus.manifest["seeds"] == {"sampling.seed": 7}
    assert corpus.manifest["notes"] == ["one file was odd"]
    assert corpus.manifest["configuration"] == {"n": 2, "sampling": {"seed": 7}}
    assert set(corpus.manifest["code"]) == {"groundup.errors"}
    assert len(corpus.manifest["lock_hash"]) == 64
    assert corpus.manifest["hardware"]["cores"] >= 1
    assert corpus.manifest["peak_bytes"] > 1_000_000
    assert corpus.manifest["seconds"] >= 0


def test_result_that_differs_under_the_same_key_is_noted(store: Store) -> None:
    count = iter(range(9))
    steps = [Step("corpus", lambda context: halve(Context({"n": 2 * next(count)}, {}, context.work)), {})]
    first = run(store, steps).artifacts["corpus"]
    shutil.rmtree(first.path)
    second = run(store, steps)
    assert second.records[0].notes == (
        f"came out otherwise than last time: digest {first.digest[:8]} → {second.artifacts['corpus'].digest[:8]}",
    )


def test_peak_memory_is_that_of_the_step(store: Store) -> None:
    def hungry(context: Context) -> None:
        with mmap.mmap(-1, 300_000_000) as block:  # fresh pages: a bytearray may lie in memory that is held already
            block.write(bytes(300_000_000))
            time.sleep(0.5)
        halve(context)

    result = run(store, [Step("small", halve, {"n": 1}), Step("big", hungry, {"n": 1}), Step("last", halve, {"n": 1})])
    small, big, last = (record.peak_bytes for record in result.records)
    assert big - small > 250_000_000
    assert big - last > 250_000_000
    assert result.peak_bytes == big


def test_steps_are_told_as_they_start_and_end(store: Store) -> None:
    told: list[StepRecord] = []
    steps = chain(middle=fail)
    run(store, steps, on_step=told.append)
    assert [(record.name, record.state) for record in told] == [
        ("corpus", "running"),
        ("corpus", "done"),
        ("middle", "running"),
        ("middle", "failed"),
        ("top", "blocked"),
        ("aside", "running"),
        ("aside", "done"),
    ]
    assert all(record.seconds >= 0 for record in told)


def interrupted(context: Context) -> None:
    """A step that gets a real SIGINT while it works."""
    (context.work / "half.txt").write_text("half")
    (context.scratch / "checkpoint").write_text("5")
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(5)


def test_interrupt_commits_nothing_half_and_says_where_to_go_on(store: Store) -> None:
    result = run(store, chain(middle=interrupted))
    assert states(result) == {"corpus": "done", "middle": "interrupted", "top": "blocked", "aside": "blocked"}
    assert result.interrupted
    assert not result.ok
    assert result.stopped.startswith("Stopped in step middle after 0.")
    assert "the same command goes on from there" in result.stopped
    assert list(store.objects.iterdir()) == [store.objects / "corpus"]
    with store.writing():  # the lock is free again
        pass

    seen: list[tuple[bool, str, list[str]]] = []

    def resumed(context: Context) -> None:
        left = [path.name for path in context.work.iterdir()]
        seen.append((context.resumed, (context.scratch / "checkpoint").read_text(), left))
        copy(context)

    after = run(store, chain(middle=resumed))
    assert after.ok
    assert seen == [(True, "5", [])]
    assert list(store.work.iterdir()) == []
    assert list(after.artifacts["middle"].manifest["files"]) == ["n.txt"]


def test_step_that_keeps_its_work_finds_it_and_fresh_forgets_it(store: Store) -> None:
    def partly(context: Context) -> None:
        found = (context.work / "half.txt").exists()
        (context.work / "half.txt").write_text("x")
        if not found:
            raise CorpusError("half", mend="Again.")

    steps = [Step("s", partly, {}, keeps_work=True)]
    assert not run(store, steps).ok
    assert not run(store, steps, fresh=["s"]).ok
    assert run(store, steps).ok


def test_interrupt_between_commit_and_record_keeps_the_artifact(store: Store) -> None:
    def stop(record: StepRecord) -> None:
        if record.state == "done":
            raise KeyboardInterrupt

    first = Pipeline(store, chain()).run(on_step=stop)
    assert first.interrupted
    assert states(run(store, chain()))["corpus"] == "cached"
