"""The run's first artifact: what was chosen for this machine, this corpus and these minutes, and why."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.steps import Context, Step
from groundup.pipeline.summary import Choice
from groundup.recipe import Recipe

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class ModelPlan:
    config: dict[str, Any]  # nn.TransformerConfig
    training: dict[str, Any]  # training.TrainingPlan or EncoderPlan


@dataclass(frozen=True)
class Plan:
    take_bytes: int  # of source files
    vocab_size: int
    measured_bytes: int  # of held-out text a column, scored by every model and baseline
    decoder: ModelPlan | None
    encoder: ModelPlan | None
    pair_bytes: int  # of training text read for (question, passage) pairs
    searched_bytes: int  # of held-out documents in the search evaluation, at most
    distractors: int  # training chunks beside them
    choices: list[Choice]


def plan_step(recipe: Recipe, listed_bytes: int, listed_files: int, base: str | None, encoder: str | None) -> Step:
    """listed_bytes, listed_files: of all sources, before any is chosen. base, encoder: digests of brought models."""
    identity = recipe.identity()
    for elsewhere in ("retrain_share", "sources", "base", "encoder"):  # paths, or no part of the choice
        identity.pop(elsewhere)
    identity["evaluation"] = {**identity["evaluation"], "judgements": len(recipe.evaluation.judgements)}
    return Step(
        "plan",
        run,
        identity={
            "recipe": identity,
            "listed_bytes": listed_bytes,
            "listed_files": listed_files,
            "base": base,
            "encoder": encoder,
        },
        code=("groundup.stages.plan", "groundup.stages.budget"),
    )


def run(context: Context) -> None:
    from groundup.stages.budget import make_plan

    recipe: Recipe = context.execution.recipe
    made = make_plan(
        recipe, context.config["listed_bytes"], context.config["listed_files"],
        context.execution.base, context.execution.encoder,
    )  # fmt: skip
    write_json(context.work / PLAN_FILE, asdict(made))
    # The reasons hold measured speeds. What follows depends on the sizes alone.
    context.stand_in(PLAN_FILE, digest_of({name: v for name, v in asdict(made).items() if name != "choices"}))


def read_plan(folder: Path) -> Plan:
    return TypeAdapter(Plan).validate_python(json.loads((folder / PLAN_FILE).read_text(encoding="utf-8")))
