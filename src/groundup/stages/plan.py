"""The run's first artifact: what was chosen for this machine, this corpus and these minutes, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from groundup.pipeline.summary import Choice

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class ModelPlan:
    config: dict[str, Any]  # nn.TransformerConfig
    training: dict[str, Any]  # training.TrainingPlan or EncoderPlan
    passes: int | None = None  # over the training text at most, which may turn out smaller than its files promised


@dataclass(frozen=True)
class Plan:
    take_bytes: int  # of source files
    vocab_size: int
    measured_bytes: int  # of held-out text a column, scored by every model and baseline
    continued: int  # held-out documents whose beginnings every decoder continues, at most
    written_answers: int  # questions that decoders answer with and without memory, at most
    decoder: ModelPlan | None
    encoder: ModelPlan | None
    pair_bytes: int  # of training text read for (question, passage) pairs
    searched_bytes: int  # of held-out documents in the search evaluation, at most
    distractors: int  # training chunks beside them
    choices: list[Choice]


def read_plan(folder: Path) -> Plan:
    return TypeAdapter(Plan).validate_python(json.loads((folder / PLAN_FILE).read_text(encoding="utf-8")))
