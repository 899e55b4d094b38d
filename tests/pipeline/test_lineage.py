"""lineage.py, clean.py, provenance.py: what is remembered of a run, what may go, what stood around a step."""

from __future__ import annotations

import json
import threading
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import StoreBusyError
from groundup.pipeline import Context, Pipeline, Step, Store
from groundup.pipeline.clean import clean
from groundup.pipeline.files import write_json
from groundup.pipeline.lineage import Lineage, latest_run, run_name, runs
from groundup.pipeline.provenance import installed_versions, lock_hash, seeds


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def write(context: Context) -> None:
    (context.work / "n.txt").write_text(str(context.config.get("n", "")) + "".join(context.inputs))


def stop(context: Context) -> None:
    (context.scratch / "checkpoint").write_text("half")
    raise KeyboardInterrupt


def steps(n: int) -> list[Step]:
    return [Step("a", write, {"n": n}), Step("b", write, {}, {"x": "a"})]


@given(st.text(max_size=60), st.integers())
def test_run_name_is_a_folder_name_that_tells_identities_apart(label: str, n: int) -> None:
    name = run_name(label, {"n": n})
    assert name == run_name(label, {"n": n}) != run_name(label, {"n": n + 1})
    assert Path(name).name == name
    assert len(name) < 60
    assert not name.startswith((".", "-"))


def test_run_remembers_its_artifacts_and_summary(store: Store) -> None:
    assert (latest_run(store), runs(store)) == (None, [])
    pipeline = Pipeline(store, steps(1), run="notes")
    made = pipeline.run().artifacts
    later = Lineage(store, "notes")
    assert later.artifacts() == made
    assert (latest_run(store), runs(store)) == ("notes", ["notes"])
    assert later.summary() is None
    assert later.write_summary({"seconds": 1.5}) == store.runs / "notes" / "summary.json"
    assert later.summary() == {"seconds": 1.5}


def test_stopped_step_keeps_its_last_artifact_in_memory(store: Store) -> None:
    made = Pipeline(store, steps(1)).run().artifacts
    assert Pipeline(store, [Step("a", stop, {"n": 2})]).run().interrupted
    assert Lineage(store, "default").artifacts() == made


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"key": "x"}}'])
def test_damaged_lineage_costs_only_the_reason(store: Store, text: str) -> None:
    Pipeline(store, steps(1)).run()
    (store.runs / "default" / "lineage.json").write_text(text)
    assert {plan.state for plan in Pipeline(store, steps(1)).plan()} == {"cached"}
    assert Pipeline(store, steps(2)).plan()[0].reason == "first time"


def test_cached_run_writes_nothing(store: Store) -> None:
    Pipeline(store, steps(1)).run()
    before = {path: path.stat().st_mtime_ns for path in store.runs.rglob("*")}
    Pipeline(store, steps(1)).run()
    assert {path: path.stat().st_mtime_ns for path in store.runs.rglob("*")} == before


def test_clean_shows_then_deletes_what_nothing_reaches(store: Store) -> None:
    old = Pipeline(store, steps(1)).run().artifacts
    new = Pipeline(store, steps(2)).run().artifacts
    shown = clean(store)
    assert {item.path for item in shown} == {artifact.path for artifact in old.values()}
    assert all(item.bytes > 0 for item in shown)
    assert all(artifact.path.exists() for artifact in old.values())
    assert clean(store, delete=True) == shown
    assert not any(artifact.path.exists() for artifact in old.values())
    assert {plan.state for plan in Pipeline(store, steps(2)).plan()} == {"cached"}
    assert clean(store) == []
    assert all(store.verify(artifact) == [] for artifact in new.values())


def test_clean_keeps_what_a_release_was_made_from_and_its_inputs(store: Store) -> None:
    old = Pipeline(store, steps(1)).run().artifacts
    Pipeline(store, steps(2)).run()
    (store.releases / "r1").mkdir(parents=True)
    entry = {"step": "b", "key": old["b"].key, "digest": old["b"].digest}
    write_json(store.releases / "r1" / "manifest.json", {"artifacts": [entry]})
    assert clean(store) == []


def test_clean_keeps_the_work_of_a_stopped_step_and_no_other(store: Store) -> None:
    assert Pipeline(store, [Step("a", stop, {"n": 1})]).run().interrupted
    assert clean(store) == []
    assert Pipeline(store, [Step("a", stop, {"n": 2})]).run().interrupted  # the first attempt is of no use any more
    assert len(clean(store, delete=True)) == 1
    assert len(list(store.work.glob("*.scratch"))) == 1


def test_clean_waits_for_no_writer(store: Store) -> None:
    refused: list[StoreBusyError] = []

    def other() -> None:
        assert clean(store) == []
        try:
            clean(store, delete=True)
        except StoreBusyError as error:
            refused.append(error)

    with store.writing():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_installed_versions_are_the_closure_of_what_groundup_needs() -> None:
    found = installed_versions()
    assert {"groundup", "numpy", "typing-extensions", "pydantic-core"} <= set(
        found
    )  # pydantic-core: by way of pydantic
    assert "pytest" not in found  # an extra's need
    assert found["numpy"] == metadata.version("numpy")
    assert len(lock_hash()) == 64


def test_seeds_are_found_by_name() -> None:
    configuration = {"seed": 1, "a": {"data_seed": 2, "seeds": 3}, "b": [{"seed": 4}], "c": "seed"}
    assert seeds(configuration) == {"seed": 1, "a.data_seed": 2, "b[0].seed": 4}


def test_lineage_on_the_disk_is_plain_json(store: Store) -> None:
    made = Pipeline(store, steps(1)).run().artifacts
    entry = json.loads((store.runs / "default" / "lineage.json").read_text())["b"]
    assert entry == {
        "version": 1,
        "code": {},
        "configuration": {},
        "inputs": {"x": made["a"].digest},
        "key": made["b"].key,
        "stopped": False,
        "artifact": {"key": made["b"].key, "digest": made["b"].digest},
    }
