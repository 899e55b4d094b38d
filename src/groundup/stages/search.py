"""Known-item questions and judged sets → which search system serves, and how good the answers are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.corpus.document import Document
from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.stages.encoder import NAME
from groundup.stages.split import of_split

if TYPE_CHECKING:
    from groundup.evaluation.collection import Collection
    from groundup.evaluation.verdict import Table
    from groundup.interop.sentence_encoder import NumberFormat, SentenceEncoder

CORPUS = "your corpus"  # the name of the corpus' own questions in the table


def step(
    *,
    seed: int,
    queries: int,
    unanswerable: int,
    searched_bytes: int,
    distractors: int,
    judgements: Mapping[str, str],
    encoder: str | None,
    brought: str | None,
    trained: bool,
    encoder_format: NumberFormat,
    corpus_bytes: int,
) -> Step:
    """judgements: folder → digest of its files. encoder, brought: name and digest of the brought encoder.

    corpus_bytes: of all sources, which no collection made from them exceeds.
    """
    searched = min(corpus_bytes, searched_bytes + 1_000 * distractors)
    judged = sum((Path(folder) / "corpus.jsonl").stat().st_size for folder in judgements)
    inputs = {"corpus": "corpus", "split": "split"}
    if trained:
        inputs["encoder"] = "encoder"
    return Step(
        "verdict-search",
        run,
        identity={
            "seed": seed,
            "queries": queries,
            "unanswerable": unanswerable,
            "searched_bytes": searched_bytes,
            "distractors": distractors,
            "judgements": dict(judgements),
            "encoder": encoder,
            "brought": brought,
            "encoder_format": encoder_format,
        },
        inputs=inputs,
        code=("groundup.evaluation", "groundup.retrieval", "groundup.nn", "groundup.interop", "groundup.stages.search"),
        disk_bytes=8 * (searched + judged) + (8 << 20),  # texts, postings and vectors of two encoders,
    )


def run(context: Context) -> None:
    from groundup.evaluation.answers import evaluate_answers
    from groundup.evaluation.beir import read_beir
    from groundup.evaluation.plain_data import to_json
    from groundup.evaluation.search_verdict import index_collection, search_verdict

    config: Mapping[str, Any] = context.config
    own = known_collection(context, queries=2 * config["queries"])
    collections = [own, *(read_beir(Path(folder)) for folder in config["judgements"])]
    encoders = load_encoders(context)
    indexed = [
        (collection, index_collection(collection, context.scratch / f"index-{number}", encoders, context.progress))
        for number, collection in enumerate(collections)
    ]
    verdict = search_verdict(indexed, encoders, seed=config["seed"], progress=context.progress)
    serving = next((encoder for encoder in encoders if verdict.best.endswith(f":{encoder.name}")), None)
    best_dense = serving.name if serving is not None else best_encoder(verdict.table, [e.name for e in encoders])
    answers = evaluate_answers(
        own,
        indexed[0][1],
        seed=config["seed"],
        system=verdict.best,
        encoder=serving,
        answerable=config["queries"],
        unanswerable=config["unanswerable"],
    )
    (context.work / "search.json").write_text(to_json(verdict.table), encoding="utf-8")
    (context.work / "answers.json").write_text(to_json(answers.table), encoding="utf-8")
    write_json(context.work / "questions.json", sorted(own.queries.values()))  # the drift figure's reference
    write_json(
        context.work / "policy.json",
        {
            "system": verdict.best,
            "encoder": best_dense,
            "encoder_format": config["encoder_format"],
            "encoder_digest": next((encoder.digest for encoder in encoders if encoder.name == best_dense), ""),
            "dim": next((encoder.dim for encoder in encoders if encoder.name == best_dense), 0),
            "dense_weight": verdict.dense_weight,
            "threshold": answers.policy.threshold,
        },
    )
    context.metrics |= {
        "questions": len(own.queries),
        "system": verdict.best,
        "collections": [c.note for c in collections],
    }


def known_collection(context: Context, *, queries: int) -> Collection:
    """Questions on held-out documents, beside passages of training ones: sizes by the step's configuration."""
    from groundup.evaluation.known_items import known_items

    config, corpus, split = context.config, context.inputs["corpus"], context.inputs["split"]
    held_out = some_of(
        [*of_split(corpus, split, "held_out"), *of_split(corpus, split, "package")],
        config["searched_bytes"],
        config["seed"],
    )
    return known_items(
        held_out,
        of_split(corpus, split, "train"),
        seed=config["seed"],
        queries=queries,
        distractor_chunks=config["distractors"],
        clusters=corpus.read_json("clusters.json"),
        name=CORPUS,
    )


def some_of(documents: Sequence[Document], total_bytes: int, seed: int) -> list[Document]:
    """Whole documents in the order of a hash of their ids, while they fit."""
    taken = []
    left = total_bytes
    for document in sorted(documents, key=lambda d: hashlib.sha256(f"{seed}\0{d.id}".encode()).digest()):
        if len(document.text) <= left:
            taken.append(document)
            left -= len(document.text)
    return taken


def best_encoder(table: Table, names: Sequence[str]) -> str | None:
    """The encoder that does best alone, for `--system dense` where a sparse system serves; None without any."""
    column = table.columns[0]
    alone = {row.name.removeprefix("dense:"): row.values for row in table.rows if row.name.startswith("dense:")}
    measured = [name for name in names if column in alone.get(name, {})]
    return max(measured, key=lambda name: alone[name][column].value, default=names[0] if names else None)


def load_encoders(context: Context) -> list[SentenceEncoder]:
    """The brought encoder, for which the hybrid's weight is fitted, then the one trained here, if there are any."""
    from groundup.interop.encoders import load_encoder
    from groundup.machine import use_threads

    use_threads()
    found = []
    if context.execution.encoder is not None:
        brought = load_encoder(context.execution.encoder).use_format(context.config["encoder_format"])
        brought.name = context.config["encoder"]
        found.append(brought)
    if "encoder" in context.inputs:
        trained = load_encoder(context.inputs["encoder"].path / NAME).use_format(context.config["encoder_format"])
        trained.name = NAME
        found.append(trained)
    return found
