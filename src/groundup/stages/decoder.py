"""Training shards → a decoder trained from scratch, as a folder that transformers loads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step


def step(config: dict[str, Any], training: dict[str, Any]) -> Step:
    """config: nn.TransformerConfig as data, its vocabulary is the tokenizer's. training: TrainingPlan as data."""
    return Step(
        "decoder",
        run,
        identity={"config": config, "training": training},
        inputs={"tokens": "tokens", "tokenizer": "tokenizer"},
        code=(
            "groundup.training",
            "groundup.nn",
            "groundup.tokens",
            "groundup.interop.export",
            "groundup.stages.decoder",
        ),
        disk_bytes=1 << 30,
    )


def run(context: Context) -> None:
    from groundup.interop.export import save_decoder
    from groundup.machine import use_threads
    from groundup.nn.config import TransformerConfig
    from groundup.tokens.shards import Shards
    from groundup.tokens.tokenizer import Tokenizer
    from groundup.training.decoder import train_decoder
    from groundup.training.plan import TrainingPlan

    use_threads()
    tokenizer = Tokenizer.load(context.inputs["tokenizer"].path)
    config = replace(TransformerConfig.from_dict(context.config["config"]), vocab_size=tokenizer.vocab_size)
    plan = TypeAdapter(TrainingPlan).validate_python(context.config["training"])
    tokens = context.inputs["tokens"].path
    result = train_decoder(
        Shards.open(tokens / "train"), config, plan, context.scratch, Shards.open(tokens / "held_out"), context.progress
    )
    save_decoder(context.work / "model", result.model, tokenizer, config)
    write_json(context.work / "curve.json", result.curve)
    context.leave_out("curve.json")  # holds seconds
    context.metrics |= {
        "parameters": config.parameters(),
        "tokens": result.tokens,
        "epochs": result.tokens / max(1, len(Shards.open(tokens / "train").tokens)),
        "training_seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second,
        "spikes": result.spikes,
    }
