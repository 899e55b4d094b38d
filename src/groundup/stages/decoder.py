"""Training shards → a decoder trained from scratch, as a folder that transformers loads."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.stages.training import disk_bytes, set_up


def step(config: dict[str, Any], training: dict[str, Any], passes: int | None) -> Step:
    """config: nn.TransformerConfig as data, its vocabulary is the tokenizer's. training: TrainingPlan as data.

    passes: over the training text at most, None for as many as the plan's tokens take.
    """
    return Step(
        "decoder",
        run,
        identity={"config": config, "training": training, "passes": passes},
        inputs={"tokens": "tokens", "tokenizer": "tokenizer"},
        code=(
            "groundup.training",
            "groundup.nn",
            "groundup.tokens",
            "groundup.interop.export",
            "groundup.stages.decoder",
            "groundup.stages.training",
        ),
        disk_bytes=disk_bytes(config),
    )


def run(context: Context) -> None:
    from groundup.interop.export import save_decoder
    from groundup.tokens.shards import Shards
    from groundup.training.decoder import train_decoder
    from groundup.training.plan import TrainingPlan

    tokenizer, config = set_up(context)
    plan = TypeAdapter(TrainingPlan).validate_python(context.config["training"])
    train = Shards.open(context.inputs["tokens"].path / "train")
    held_out = Shards.open(context.inputs["tokens"].path / "held_out")
    if context.config["passes"] is not None:
        plan = plan.bounded(context.config["passes"] * len(train.tokens))
    result = train_decoder(train, config, plan, context.scratch, held_out, context.progress)
    save_decoder(context.work / "model", result.model, tokenizer, config)
    write_json(context.work / "curve.json", result.curve)
    context.leave_out("curve.json")  # holds seconds
    context.metrics |= {
        "parameters": config.parameters(),
        "tokens": result.tokens,
        "epochs": result.tokens / max(1, len(train.tokens)),
        "training_seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second,
        "spikes": result.spikes,
    }
