"""What a run would do and why, without doing it."""

from __future__ import annotations

from pathlib import Path

from groundup.pipeline.runner import Pipeline
from groundup.pipeline.steps import StepPlan
from groundup.pipeline.store import Store
from groundup.recipe import Recipe
from groundup.stages.assemble import resolve_brought
from groundup.stages.budget import make_plan
from groundup.stages.clocks import choose_models
from groundup.stages.index import LiveIndex
from groundup.stages.outcome import Outlook
from groundup.stages.plan import Plan, read_plan
from groundup.stages.site import RunSite
from groundup.stages.snapshot import list_files, read_snapshot


def plan_pipeline(recipe: Recipe, root: Path, *, retrain: bool = False) -> Outlook:
    """What `run_pipeline` would do. Nothing is written but the machine's measurements, which are cached."""
    site = RunSite(recipe, Store(root), resolve_brought(recipe))
    index = LiveIndex(site)
    files, events = list_files(recipe)
    ahead: list[StepPlan] = []

    def make(listed_bytes: int, listed_files: int) -> Plan:
        """The plan that is there, else one made here and thrown away."""
        ahead.extend(Pipeline(site.store, [site.plan_step(listed_bytes, listed_files)], None, run=site.name).plan())
        key = ahead[0].key
        artifact = site.store.find("plan", key) if ahead[0].state == "cached" and key is not None else None
        if artifact is not None:
            return read_plan(artifact.path)
        return make_plan(recipe, listed_bytes, listed_files, site.brought.base_path, site.brought.encoder_path)

    models = choose_models(
        read_snapshot(site.snapshot), index.files(), files, events, retrain, recipe.retrain_share, make
    )
    ahead += Pipeline(site.store, site.steps(models), None, run=site.name).plan()
    why = index.reason(models)
    ahead.append(StepPlan("index", "refresh" if why else "cached", why))
    notes = []
    if models.change:
        notes.append(
            f"The models keep their snapshot: {models.change.text()} since ({models.change.share:.1%} of its bytes). "
            f"Training starts by itself at {recipe.retrain_share:.0%}, or with --retrain."
        )
    return Outlook(models.plan.choices, ahead, notes)
