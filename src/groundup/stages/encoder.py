"""Training documents → a sentence encoder trained from scratch: masked tokens first, then (question, passage) pairs."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.stages.training import disk_bytes, set_up

NAME = "from-scratch"  # of the encoder trained here, in tables and in the API


def step(config: dict[str, Any], training: dict[str, Any], *, pair_bytes: int, seed: int) -> Step:
    """config: nn.TransformerConfig as data. training: EncoderPlan as data. pair_bytes: of text read for pairs."""
    return Step(
        "encoder",
        run,
        identity={"config": config, "training": training, "pair_bytes": pair_bytes, "seed": seed},
        inputs={"corpus": "corpus", "split": "split", "tokens": "tokens", "tokenizer": "tokenizer"},
        code=(
            "groundup.training",
            "groundup.nn",
            "groundup.tokens",
            "groundup.evaluation.pairs",
            "groundup.evaluation.known_items",
            "groundup.retrieval.chunk",
            "groundup.stages.encoder",
            "groundup.stages.training",
        ),
        disk_bytes=disk_bytes(config),
    )


def run(context: Context) -> None:
    from groundup.evaluation.pairs import training_pairs
    from groundup.interop.export import save_encoder
    from groundup.stages.split import of_split
    from groundup.tokens.shards import Shards
    from groundup.training.encoder import train_encoder
    from groundup.training.plan import EncoderPlan

    tokenizer, config = set_up(context)
    plan = TypeAdapter(EncoderPlan).validate_python(context.config["training"])
    pairs = training_pairs(
        of_split(context.inputs["corpus"], context.inputs["split"], "train"),
        seed=context.config["seed"],
        text_bytes=context.config["pair_bytes"],
        limit=max(plan.pair_examples, 2),
    )
    shards = Shards.open(context.inputs["tokens"].path / "train")
    result = train_encoder(shards, pairs, tokenizer, config, plan, context.scratch, context.progress)
    save_encoder(context.work / NAME, result.model, tokenizer, max_tokens=plan.passage_length)
    write_json(context.work / "curve.json", {"masked": result.masked_curve, "pairs": result.pair_curve})
    context.leave_out("curve.json")  # holds seconds
    context.metrics |= {
        "parameters": config.parameters(),
        "pairs": len(pairs),
        "pair_examples": plan.pair_examples if result.pair_curve else 0,
        "masked_tokens": plan.masked_tokens,
        "training_seconds": result.seconds,
    }
    if not result.pair_curve:
        context.note(
            f"{len(pairs)} (question, passage) pairs are too few to train on: masked tokens alone were learned."
        )
