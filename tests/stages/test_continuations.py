"""The step that lets decoders continue held-out documents, on a finished run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.document import read_documents
from groundup.evaluation.continuations import LIKE, measure
from groundup.evaluation.verdict import Table
from groundup.generation.generator import Generator
from groundup.generation.sampling import Sampling
from groundup.interop.base import load_base
from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.steps import Context
from groundup.pipeline.store import Artifact, Store
from groundup.registry import champion
from groundup.stages import continuations
from groundup.stages.continuations import PROMPT_BYTES, TEMPERATURE, TOKENS, TOP_P, beginning, beginnings
from groundup.stages.language import SCRATCH, WITH_MEMORY
from groundup.stages.memory import measured_mixture
from groundup.stages.split import of_split
from tests.generation.parts import one_by_one
from tests.stages.conftest import Finished


@given(st.text(alphabet=st.sampled_from("ab \n\r\x0b\x0c é"), max_size=3 * PROMPT_BYTES))
def test_a_beginning_is_whole_lines_from_the_start(text: str) -> None:
    found = beginning(text)
    assert text.startswith(found)
    rest = text[len(found) :]
    assert not rest.strip("\r\n") or rest[:1] in "\r\n" or text[: len(found) + 1].splitlines()[:-1] != []
    lines = text.splitlines(keepends=True)
    if len(lines) > 1 and len(found) > PROMPT_BYTES:
        assert found.rstrip("\r\n") == lines[0].rstrip("\r\n")  # a line is never broken


@pytest.fixture(scope="module")
def artifacts(finished: Finished) -> Mapping[str, Artifact]:
    store = Store(finished.store)
    name = latest_run(store)
    assert name is not None
    return Lineage(store, name).artifacts()


@pytest.fixture
def context(artifacts: Mapping[str, Artifact], tmp_path: Path) -> Context:
    config = {"seed": 0, "documents": 3, "base": None, "base_digest": None}
    return Context(config, dict(artifacts), tmp_path)


@pytest.mark.slow
def test_beginnings_are_of_held_out_documents_that_no_gate_was_fitted_on(
    context: Context, artifacts: Mapping[str, Artifact]
) -> None:
    held_out = {
        d.id: d.text
        for part in ("held_out", "package")
        for d in of_split(artifacts["corpus"], artifacts["split"], part)
    }
    fitted = {document.id for document in read_documents(artifacts["split"].file("fitting.parquet"))}
    found = beginnings(context)
    assert 0 < len(found) <= 3
    for document, begins, follows in found:
        assert document.id in held_out
        assert document.id not in fitted
        assert held_out[document.id].startswith(begins + follows)
    context.config = {**context.config, "documents": 2}
    assert [d.id for d, _, _ in beginnings(context)] == [d.id for d, _, _ in found][:2]


@pytest.mark.slow
def test_what_is_measured_is_what_the_generator_writes(context: Context, artifacts: Mapping[str, Artifact]) -> None:
    """One text at a time, through the generator that serves, with the gate and the memory that were measured."""
    continuations.run(context)
    table = Table.from_json((context.work / continuations.TABLE).read_text())
    assert [row.name for row in table.rows] == [SCRATCH, SCRATCH + WITH_MEMORY]
    brought = load_base(artifacts["decoder"].path / "model")
    mixture = measured_mixture(artifacts["memory-decoder"], artifacts["mix-decoder"])
    generator = Generator(brought.model, brought.tokenizer)
    documents = beginnings(context)
    samples = json.loads((context.work / continuations.SAMPLES).read_text())
    for row, memory in zip(table.rows, (None, mixture), strict=True):
        like = []
        for number, (_, begins, follows) in enumerate(documents):
            truth = brought.tokenizer.decode(brought.tokenizer.encode(follows)[:TOKENS])
            prompt = generator.encode_prompt(begins)[-(generator.context_length - TOKENS) :]
            sampling = Sampling(temperature=TEMPERATURE, top_p=TOP_P, max_tokens=TOKENS, seed=number)
            text = one_by_one(generator, prompt, sampling, memory)
            like.append(measure(text, np.zeros(0, np.int64), truth, None).like)
            if number < continuations.SHOWN:
                shown = next(s for s in samples if s["model"] == row.name and s["prompt"] == begins)
                assert shown["text"] == text
        assert row.values[LIKE].value == pytest.approx(np.mean(like))


@pytest.mark.slow
def test_a_release_completes_with_memory_where_both_tests_say_so(
    finished: Finished, artifacts: Mapping[str, Artifact]
) -> None:
    serving = champion.require(Store(finished.store))
    foretold = artifacts["verdict-language"].read_json("champion.json")["foretold_with_memory"]
    written = artifacts["continuations"].read_json(continuations.POLICY)["writes_with_memory"]
    for name, memory in serving.policies["memory"].items():
        assert memory["completes"] == (name in foretold and name in written)
    assert any(table["id"] == "continuations" for table in serving.verdicts)
