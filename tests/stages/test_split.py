"""The split's measured columns: which texts they hold, and how much of them training holds, against Python sets."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from groundup.corpus.distance import UNLIKE_JACCARD
from groundup.corpus.document import Document, make_document, read_documents, write_documents
from groundup.pipeline.steps import Context
from groundup.pipeline.store import Artifact
from groundup.stages.split import COLUMNS, UNLIKE, run, unlike_training
from tests.corpus.test_dedup import true_jaccard
from tests.corpus.test_overlap import grams

WORDS = 12


def corpus() -> list[Document]:
    """Documents that share a licence, long beside some and short beside others, so that they lie near and far."""
    draw = random.Random(5)
    licence = " ".join(f"licence{i}" for i in range(60))
    documents = []
    for number in range(90):
        own = " ".join(f"w{draw.randrange(400)}" for _ in range(draw.choice([60, 120])))
        text = f"{licence} {own}" if number % 3 else own
        documents.append(
            make_document(f"g{number % 9}/{number}.txt", text, group=f"g{number % 9}", title="", kind="prose")
        )
    return documents


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, dict[str, Document]]:
    documents = corpus()
    place = tmp_path_factory.mktemp("corpus")
    write_documents(place / "documents.parquet", documents)
    (place / "clusters.json").write_text(json.dumps({one.id: one.id for one in documents}), encoding="utf-8")
    config = {"seed": 1, "held_out_share": 0.3, "package_share": 0.1, "measured_bytes": 20_000}
    execution = SimpleNamespace(cache=tmp_path_factory.mktemp("cache") / "files.sqlite", workers=1)
    inputs = {"corpus": artifact(place, {})}
    context = Context(config, inputs, tmp_path_factory.mktemp("split"), execution=execution)
    run(context)
    return artifact(context.work, context.metrics), {one.id: one for one in documents}


def artifact(place: Path, metrics: dict[str, object]) -> Artifact:
    files = {path.name: {} for path in place.iterdir()}
    return Artifact("x", "x", place, "x", {"metrics": metrics, "files": files, "notes": []})


def measured(split: Artifact) -> dict[str, list[Document]]:
    columns = {name: read_documents(split.path / f"{name}.parquet") for name in COLUMNS}
    return {**columns, UNLIKE: [one for one in columns["held_out"] if one.id in unlike_training(split)]}


def test_overlap_of_each_column_is_that_of_python_sets(made: tuple[Artifact, dict[str, Document]]) -> None:
    split, documents = made
    train = [documents[name] for name in split.read_json("split.json")["train"]]
    seen = {gram for one in train for gram in grams(one.text, WORDS)}
    columns = measured(split)
    assert set(split.metrics["overlap"]) == set(columns)
    shares = {}
    for name, texts in columns.items():
        hits = [gram in seen for one in texts for gram in grams(one.text, WORDS)]
        found = split.metrics["overlap"][name]
        assert (found["ngrams"], found["seen"], found["words"]) == (len(hits), sum(hits), WORDS), name
        assert found["share"] == pytest.approx(sum(hits) / len(hits))
        shares[name] = found["share"]
    assert shares[UNLIKE] < shares["held_out"]  # what is far shares less


def test_unlike_training_are_the_held_out_documents_far_from_all_of_training(
    made: tuple[Artifact, dict[str, Document]],
) -> None:
    split, documents = made
    train = [documents[name] for name in split.read_json("split.json")["train"]]
    similarity = split.read_json("split.json")["similarity"]
    held_out = measured(split)["held_out"]
    assert set(similarity) == {one.id for one in held_out}
    wanted = {one.id: max(true_jaccard(one.text, other.text) for other in train) for one in held_out}
    for name, value in wanted.items():
        assert similarity[name] == pytest.approx(value, abs=0.12)
    unlike = unlike_training(split)
    assert {name for name, value in wanted.items() if value < UNLIKE_JACCARD - 0.12} <= unlike
    assert not unlike & {name for name, value in wanted.items() if value > UNLIKE_JACCARD + 0.12}
    assert 0 < len(unlike) < len(held_out)
    assert split.metrics["unlike_documents"] == len(unlike)
