"""A finished run's artifacts with a decoder of random weights that reads more at once than the run's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from groundup.interop.export import save_decoder
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.steps import Context
from groundup.pipeline.store import Artifact, Store
from groundup.stages import scores
from groundup.stages.memory import mix_step
from groundup.stages.stores import index_folder
from groundup.tokens.tokenizer import Tokenizer

CONTEXT = 2048


@dataclass(frozen=True)
class Made:
    artifacts: Mapping[str, Artifact]
    index: Path
    work: Callable[[str], Path]

    def run(
        self, name: str, step: Callable[[Context], None], config: Mapping[str, Any], **inputs: Artifact
    ) -> Artifact:
        """A step's work on these inputs beside the run's own, as an artifact."""
        context = self.context(name, config, **inputs)
        step(context)
        manifest = {"metrics": context.metrics, "files": {}, "notes": context.notes}
        return Artifact(name, name, context.work, name, manifest)

    def context(self, name: str, config: Mapping[str, Any], **inputs: Artifact) -> Context:
        execution = SimpleNamespace(base=None, workers=1)
        known = {**self.artifacts, **inputs}
        return Context(config, known, self.work(name), execution=execution, scratch_path=self.work(f"{name}.scratch"))


def with_longer_decoder(store: Store, work: Callable[[str], Path]) -> Made:
    """The run's artifacts, with a decoder of a longer context in place of its own, scored and mixed anew."""
    name = latest_run(store)
    assert name is not None
    artifacts = dict(Lineage(store, name).artifacts())
    run = Made(artifacts, index_folder(store, name), work)
    tokenizer = Tokenizer.load(artifacts["tokenizer"].path)
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        width=32,
        layers=1,
        heads=2,
        kv_heads=2,
        head_dim=16,
        ffn_width=64,
        context_length=CONTEXT,
    )

    def save(context: Context) -> None:
        save_decoder(context.work / "model", Transformer(config), tokenizer, config)
        context.metrics |= artifacts["decoder"].metrics
        shutil.copy(artifacts["decoder"].file("curve.json"), context.work)

    decoder = run.run("decoder", save, {})
    scored = run.run("score-decoder", scores.run_decoder, {}, decoder=decoder)
    mix = mix_step("decoder", seed=0)
    artifacts |= {"decoder": decoder, "score-decoder": scored}
    artifacts["mix-decoder"] = run.run("mix-decoder", mix.run, mix.identity)
    return run
