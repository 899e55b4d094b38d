"""Which decoders' memories have to earn their say, on a finished run's memory and scores."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.steps import Context
from groundup.pipeline.store import Store
from groundup.stages.memory import MIXTURE, measured_mixture, mix_step
from tests.stages.conftest import Finished

pytestmark = pytest.mark.slow


def test_memory_earns_its_say_beside_a_brought_decoder_and_has_it_beside_one_trained_here(
    finished: Finished, tmp_path: Path
) -> None:
    store = Store(finished.store)
    name = latest_run(store)
    assert name is not None
    artifacts = Lineage(store, name).artifacts()
    trained = measured_mixture(artifacts["memory-decoder"], artifacts["mix-decoder"])
    assert trained.gate is not None
    assert not trained.gate.cautious
    brought = {"split": artifacts["split"]}
    brought |= {f"{kind}-base": artifacts[f"{kind}-decoder"] for kind in ("memory", "score")}
    step = mix_step("base", seed=0, base_digest="d")
    assert set(step.inputs.values()) == set(brought)
    execution = SimpleNamespace(base=artifacts["decoder"].path / "model")
    context = Context(step.identity, brought, tmp_path, execution=execution, scratch_path=tmp_path)
    step.run(context)
    assert '"cautious": true' in (tmp_path / MIXTURE).read_text()
