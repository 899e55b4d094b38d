"""The third column: the held-out texts that training documents don't resemble, or a note that they are too few."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from groundup.evaluation.scores import DocumentScore
from groundup.evaluation.verdict import Table
from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.steps import Context
from groundup.pipeline.store import Artifact, Store
from groundup.stages.language import MEMORY, WITH_MEMORY, _thresholds, _titled, _unlike, verdict_step
from groundup.stages.split import UNLIKE
from tests.stages.conftest import Finished

BOTH = f"from-scratch{WITH_MEMORY}"


def split(place: Path, similarity: list[float]) -> Artifact:
    text = json.dumps({"similarity": {f"d{i}": value for i, value in enumerate(similarity)}})
    (place / "split.json").write_text(text, encoding="utf-8")
    return Artifact("split", "x", place, "x", {"metrics": {}, "files": {"split.json": {}}})


def scores(names: list[str]) -> list[DocumentScore]:
    return [DocumentScore(name, 1.0, 8, 2) for name in names]


def test_unlike_training_are_the_held_out_texts_below_the_threshold(tmp_path: Path) -> None:
    made = split(tmp_path, [0.0, 0.1, 0.199, 0.2, 0.3, 0.05, 0.15])
    unlike = _unlike(made)
    assert unlike == {"d0", "d1", "d2", "d5", "d6"}
    titled = _titled({"held_out": scores([f"d{i}" for i in range(7)]), "package": scores(["p"])}, unlike)
    assert list(titled) == ["held-out documents", "held-out packages", UNLIKE]
    assert [score.document_id for score in titled[UNLIKE]] == ["d0", "d1", "d2", "d5", "d6"]
    (note,) = _thresholds(made, unlike)
    assert "0.5 or more" in note
    assert "below 0.2 with every training document" in note


@pytest.mark.parametrize(
    ("similarity", "said"),
    [
        ([0.3, 0.4], "no held-out documents are below 0.2"),
        ([0.1, 0.4], "1 held-out document is below 0.2"),
        ([0.1] * 4, "4 held-out documents are below 0.2"),
    ],
)
def test_of_too_few_there_is_a_note_and_no_column(tmp_path: Path, similarity: list[float], said: str) -> None:
    made = split(tmp_path, similarity)
    assert _unlike(made) == set()
    (note,) = _thresholds(made, set())
    assert said in note
    assert "too few for a third column" in note
    assert "0.5 or more" in note


@pytest.mark.slow
@pytest.mark.parametrize("writes", [True, False])
def test_memory_serves_where_it_writes_no_worse_and_foretells_better(
    finished: Finished, tmp_path: Path, writes: bool
) -> None:
    store = Store(finished.store)
    name = latest_run(store)
    assert name is not None
    artifacts = dict(Lineage(store, name).artifacts())
    (tmp_path / "continuations").mkdir()
    (tmp_path / "work").mkdir()
    policy = json.dumps({"writes_with_memory": ["from-scratch"] if writes else []})
    (tmp_path / "continuations" / "policy.json").write_text(policy, encoding="utf-8")
    files = {"metrics": {}, "files": {"policy.json": {}}}
    artifacts["continuations"] = Artifact("continuations", "x", tmp_path / "continuations", "x", files)
    step = verdict_step(seed=0, base=None, scratch=True)
    inputs = {key: artifacts[source] for key, source in step.inputs.items()}
    step.run(Context(step.identity, inputs, tmp_path / "work"))
    table = Table.from_json((tmp_path / "work" / "table.json").read_text(encoding="utf-8"))
    pair = next(
        c for c in table.comparisons if c.column == table.columns[0] and {c.better, c.worse} == {"from-scratch", BOTH}
    )
    serves = writes and pair.settled and pair.better == BOTH
    assert table.champion is not None
    assert table.champion.name == (BOTH if serves else "from-scratch")
    assert ("switched off" in table.sentence) == (not serves)
    (said,) = json.loads((tmp_path / "work" / MEMORY).read_text(encoding="utf-8"))
    assert said["sentence"] in table.sentence
    assert sum(band["tokens"] for band in said["bands"][table.columns[0]]) > 0
