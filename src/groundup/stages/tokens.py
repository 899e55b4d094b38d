"""Training documents → a tokenizer, and the token shards it makes of them."""

from __future__ import annotations

from groundup.pipeline.steps import Context, Step
from groundup.stages.split import of_split
from groundup.tokens.shards import write_shards
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

CODE = ("groundup.tokens", "groundup.stages.tokens")


def tokenizer_step(vocab_size: int, sample_bytes: int) -> Step:
    return Step(
        "tokenizer",
        run_tokenizer,
        identity={"vocab_size": vocab_size, "sample_bytes": sample_bytes},
        inputs={"corpus": "corpus", "split": "split"},
        code=CODE,
    )


def run_tokenizer(context: Context) -> None:
    train = of_split(context.inputs["corpus"], context.inputs["split"], "train")
    tokenizer = train_bpe(
        (document.text for document in train),
        context.config["vocab_size"],
        sample_bytes=context.config["sample_bytes"],
    )
    tokenizer.save(context.work)
    context.metrics |= {"vocab_size": tokenizer.vocab_size}


def shards_step(train_bytes_bound: int) -> Step:
    return Step(
        "tokens",
        run_shards,
        identity={},
        inputs={"corpus": "corpus", "split": "split", "tokenizer": "tokenizer"},
        code=CODE,
        disk_bytes=2 * train_bytes_bound,
    )


def run_shards(context: Context) -> None:
    corpus, split = context.inputs["corpus"], context.inputs["split"]
    tokenizer = Tokenizer.load(context.inputs["tokenizer"].path)
    for part in ("train", "held_out"):
        shards = write_shards(context.work / part, tokenizer, of_split(corpus, split, part))
        text_bytes = int(shards.text_bytes.sum())
        context.metrics[part] = {
            "documents": len(shards),
            "tokens": len(shards.tokens),
            "bytes": text_bytes,
            "bytes_per_token": text_bytes / max(1, len(shards.tokens)),
        }
        context.progress(f"encode {part}", text_bytes, text_bytes)
