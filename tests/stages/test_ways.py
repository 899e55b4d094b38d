"""The step that sets the ways to use the corpus beside one another, on a finished run's corpus, split and memory.

The decoder there reads too little at once, so one with random weights and a longer context takes its place.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.corpus.document import read_documents
from groundup.evaluation.memory_scores import Surveyed, mixed_nats
from groundup.evaluation.passages import windows
from groundup.evaluation.token_record import TokenRecord
from groundup.evaluation.verdict import Table
from groundup.evaluation.ways import COLUMN
from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.store import Artifact, Store
from groundup.stages import release, scores, ways
from groundup.stages.language import SCRATCH
from groundup.stages.memory import measured_mixture
from groundup.tokens.tokenizer import Tokenizer
from tests.stages.conftest import Finished
from tests.stages.longer import CONTEXT, Made

pytestmark = pytest.mark.slow


def identity(**changes: object) -> dict[str, Any]:
    config = {"decoder": "decoder", "name": SCRATCH, "seed": 0, "base": None, "leave_out": []}
    return {**config, **changes}


@pytest.fixture(scope="module")
def measured(made: Made) -> Artifact:
    return made.run("ways", lambda context: ways.run(context, made.index), identity())


def table_of(artifact: Artifact) -> Table:
    return Table.from_json(artifact.file(ways.TABLE).read_text(encoding="utf-8"))


def test_ways_without_passages_need_the_bits_of_the_scores_on_the_same_tokens(made: Made, measured: Artifact) -> None:
    record = TokenRecord.load(made.artifacts["score-decoder"].file(scores.RECORD))
    count = len(read_documents(made.artifacts["split"].file("held_out.parquet")))
    held_out = record.part(0, count)
    chosen = windows(held_out, CONTEXT, len(record.tokens) // 2)
    assert len(chosen) >= 3
    places = np.concatenate([held_out.offsets[one.document] + np.arange(one.start, one.stop) for one in chosen])
    lengths = Tokenizer.load(made.artifacts["tokenizer"].path).token_lengths
    text_bytes = lengths[held_out.tokens[places]].sum()
    mixture = measured_mixture(made.artifacts["memory-decoder"], made.artifacts["mix-decoder"])
    assert mixture.gate is not None
    whole = mixed_nats(mixture.memory, mixture.backoff, mixture.gate, Surveyed.of(mixture.memory, held_out))
    rows = {row.name: row.values[COLUMN].value for row in table_of(measured).rows}
    assert set(rows) == {SCRATCH + end for end in ("", " + memory", " + passages", " + passages + memory")}
    assert rows[SCRATCH] == pytest.approx(-held_out.logp[places].sum() / math.log(2) / text_bytes)
    assert rows[f"{SCRATCH} + memory"] == pytest.approx(whole[places].sum() / math.log(2) / text_bytes)
    assert rows[f"{SCRATCH} + passages"] != pytest.approx(rows[SCRATCH], rel=1e-6)
    assert measured.metrics["passage_tokens"] > 0


def test_no_held_out_text_is_among_the_passages(made: Made) -> None:
    split = made.artifacts["split"]
    index = ways.searchable(made.context("searchable", identity()), made.index)
    assert set(index.columns.document_ids) == set(split.read_json("split.json")["train"])
    held_out = {document.id: document.text for document in read_documents(split.file("held_out.parquet"))}
    for text in held_out.values():
        found = ways.passages(index, text)
        assert found
        assert not {chunk.document_id for chunk in found} & set(held_out)


def test_the_live_index_decides_nothing(made: Made, measured: Artifact, tmp_path: Path) -> None:
    again = made.run("ways-again", lambda context: ways.run(context, tmp_path / "no index"), identity())
    assert again.file(ways.TABLE).read_bytes() == measured.file(ways.TABLE).read_bytes()


def test_passages_are_none_of_the_documents_that_search_leaves_out(made: Made) -> None:
    everything = ways.searchable(made.context("searchable", identity()), made.index)
    folder = min(str(source).rpartition("/")[0] for source in everything.columns.sources)
    index = ways.searchable(made.context("searchable", identity(leave_out=[f"{folder}/**"])), made.index)
    assert 0 < index.documents < everything.documents
    assert not any(str(source).startswith(f"{folder}/") for source in index.columns.sources)
    nothing = ways.searchable(made.context("searchable", identity(leave_out=["**"])), made.index)
    assert ways.passages(nothing, "import json") == []


def test_a_decoder_without_room_for_passages_is_said_so_and_has_no_table(finished: Finished) -> None:
    store = Store(finished.store)
    name = latest_run(store)
    assert name is not None
    artifact = Lineage(store, name).artifacts()["ways"]
    assert not (artifact.path / ways.TABLE).exists()
    (note,) = artifact.manifest["notes"]
    assert "reads 64 tokens at once" in note
    assert note in finished.outcome.summary.warnings


def test_the_release_holds_the_table_and_its_card_shows_it(
    finished: Finished, made: Made, measured: Artifact, tmp_path: Path
) -> None:
    from groundup.registry.release import open_release

    store = Store(tmp_path / "store")
    step = release.step(
        store,
        base=None,
        base_digest=None,
        encoder=None,
        encoder_digest=None,
        trained=True,
        trained_encoder=False,
        run_name="r",
        sources=(),
        written_answers=False,
        rule="",
        brought_bytes=0,
    )
    assert step.inputs["ways"] == "ways"
    context = made.context("release", step.identity, ways=measured)
    context.inputs = {name: context.inputs[name] for name in step.inputs}
    context.execution.store = store
    step.run(context)
    found = open_release(store, context.metrics["release"])
    table = table_of(measured)
    assert [verdict["id"] for verdict in found.verdicts] == [
        "generation", "search", "answers", "continuations", "ways",
    ]  # fmt: skip
    assert table.sentence in found.model_card
