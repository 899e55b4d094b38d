"""Where the runs of one recipe work in one store: their name, their folder, the files that they keep there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from groundup import machine
from groundup.pipeline.lineage import Lineage, run_name
from groundup.pipeline.steps import Step
from groundup.pipeline.store import Store
from groundup.recipe import Recipe
from groundup.stages.assemble import Brought, assemble
from groundup.stages.budget import plan_step
from groundup.stages.clocks import Models
from groundup.stages.execution import Execution
from groundup.stages.snapshot import Snapshot
from groundup.stages.stores import file_cache


@dataclass(frozen=True)
class RunSite:
    recipe: Recipe
    store: Store
    brought: Brought

    @cached_property
    def name(self) -> str:
        label = self.recipe.sources[0].name if self.recipe.sources else "python"
        return run_name(label, {"sources": [str(source) for source in self.recipe.sources]})

    @cached_property
    def lineage(self) -> Lineage:
        return Lineage(self.store, self.name)

    @property
    def folder(self) -> Path:
        return self.lineage.folder

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshot.json"

    @property
    def live(self) -> Path:
        return self.folder / "live.json"

    @property
    def funnel(self) -> Path:
        """Of the documents that the index holds, once they differ from the models' own."""
        return self.folder / "funnel.parquet"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def plan_step(self, listed_bytes: int, listed_files: int) -> Step:
        brought = self.brought
        return plan_step(self.recipe, listed_bytes, listed_files, brought.base_digest, brought.encoder_digest)

    def steps(self, models: Models) -> list[Step]:
        return assemble(self.recipe, models.plan, models.snapshot, self.brought, self.store, self.name)

    def execution(self, snapshot: Snapshot | None) -> Execution:
        return Execution(
            recipe=self.recipe,
            store=self.store,
            files=() if snapshot is None else tuple(state.file for state in snapshot.files),
            passed_over=() if snapshot is None else snapshot.passed_over,
            cache=file_cache(self.store),
            workers=machine.cores(),
            base=self.brought.base_path,
            encoder=self.brought.encoder_path,
        )
