"""The step that lets decoders answer known questions from the passages found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from groundup.evaluation.search_verdict import index_collection
from groundup.evaluation.verdict import Table
from groundup.evaluation.written_answers import LIKE, word_f1
from groundup.generation.generator import Generator
from groundup.generation.sampling import Sampling
from groundup.interop.base import load_base
from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.store import Store
from groundup.stages import written_answers
from groundup.stages.language import SCRATCH, WITH_MEMORY
from groundup.stages.search import known_collection
from groundup.stages.written_answers import POLICY, TABLE, TEXTS, TOKENS, prompt
from tests.generation.parts import one_by_one
from tests.stages.conftest import Finished
from tests.stages.longer import Made

pytestmark = pytest.mark.slow

CONFIG = {"seed": 0, "queries": 6, "searched_bytes": 10**6, "distractors": 20, "base": None, "base_digest": None}


def test_answers_are_the_generators_own_and_measured_beside_the_right_passage(made: Made) -> None:
    artifact = made.run("written-answers", written_answers.run, CONFIG)
    table = Table.from_json(artifact.file(TABLE).read_text(encoding="utf-8"))
    assert [row.name for row in table.rows] == [SCRATCH, SCRATCH + WITH_MEMORY]
    policy, texts = artifact.read_json(POLICY), artifact.read_json(TEXTS)
    assert policy["measured"] == [SCRATCH]
    assert set(policy["answers_with_memory"]) <= {SCRATCH}
    context = made.context("again", CONFIG)
    collection = known_collection(context, queries=CONFIG["queries"])  # type: ignore[arg-type]
    assert 0 < len(texts) == len(collection.queries) <= 6
    index = index_collection(collection, context.scratch / "index")
    brought = load_base(made.artifacts["decoder"].path / "model")
    generator = Generator(brought.model, brought.tokenizer)
    written = {one["question"]: one for one in texts}
    like = []
    for query, question in collection.queries.items():
        sampling = Sampling(temperature=0.0, repetition_penalty=1.1, max_tokens=TOKENS)
        alone = one_by_one(generator, prompt(generator, index, question), sampling)
        assert written[question]["alone"] == alone
        items = [item for item, gain in collection.judgements[query].items() if gain > 0]
        chunks = [index.chunk(row) for row in range(index.chunks)]
        right = [c.text for c in chunks if collection.item_of_chunk.get(c.id, c.document_id) in items]
        assert right
        like.append(word_f1(alone, "\n".join(right)))
    assert table.rows[0].values[LIKE].value == pytest.approx(np.mean(like))


def test_a_decoder_that_reads_too_little_is_not_measured(finished: Finished, made: Made) -> None:
    store = Store(finished.store)
    name = latest_run(store)
    assert name is not None
    artifact = made.run("short", written_answers.run, CONFIG, **Lineage(store, name).artifacts())
    assert artifact.read_json(POLICY) == {"answers_with_memory": [], "measured": []}
    assert "enough at once" in artifact.manifest["notes"][0]
    assert json.loads(artifact.file(TEXTS).read_text()) == []
    assert not (artifact.path / TABLE).exists()
