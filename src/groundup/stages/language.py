"""Scores of every candidate and baseline → the verdict on completion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from groundup.corpus.distance import UNLIKE_JACCARD
from groundup.corpus.policy import CorpusPolicy
from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.steps import Context, Step
from groundup.stages.memory import ALONE, BANDS, has_mixture
from groundup.stages.scores import Scores, read_scores
from groundup.stages.split import COLUMNS, UNLIKE, unlike_training

if TYPE_CHECKING:
    from groundup.evaluation.language_verdict import System
    from groundup.evaluation.memory_verdict import MemoryVerdict
    from groundup.evaluation.scores import DocumentScore
    from groundup.evaluation.verdict import Table
    from groundup.pipeline.store import Artifact

SCRATCH = "from-scratch"  # the decoder trained here, in tables and in the API
BASELINES = {"score-5-gram": "5-gram (Kneser–Ney)", "score-zstd": "zstd -19"}
WITH_MEMORY = " + memory"  # behind the name of a decoder
MEMORY = "memory.json"  # what the verdict says of each decoder's memory


def verdict_step(*, seed: int, base: str | None, scratch: bool) -> Step:
    """base: name of the brought decoder. scratch: whether a decoder is trained here."""
    names = ("split", "tokens", "continuations", *BASELINES)
    inputs = {name: name for name in names}
    if scratch:
        inputs |= {"score-decoder": "score-decoder", "mix-decoder": "mix-decoder", "decoder": "decoder"}
    if base is not None:
        inputs |= {"score-base": "score-base", "mix-base": "mix-base"}
    code = ("groundup.evaluation", "groundup.stages.language")
    return Step("verdict-language", run_verdict, identity={"seed": seed, "base": base}, inputs=inputs, code=code)


def run_verdict(context: Context) -> None:
    from groundup.evaluation.language_verdict import Scratch, System, language_table
    from groundup.evaluation.plain_data import to_json
    from groundup.evaluation.words import count

    split = context.inputs["split"]
    unlike = _unlike(split)
    found = {name: read_scores(artifact) for name, artifact in context.inputs.items() if name.startswith("score-")}
    titled = {name: _titled(scores, unlike) for name, scores in found.items()}
    systems = []
    scratch = None
    if "decoder" in context.inputs:
        decoder, tokens = context.inputs["decoder"], context.inputs["tokens"]
        parameters, seen = count(decoder.metrics["parameters"]), count(decoder.metrics["tokens"])
        note = f"{parameters} parameters, trained here on {seen} tokens"
        systems.append(System(SCRATCH, "candidate", titled["score-decoder"], note))
        systems += _with_memory(context, "decoder", SCRATCH, unlike)
        curve = [
            (int(point["tokens"]), point["held_out_bits_per_byte"])
            for point in decoder.read_json("curve.json")
            if "held_out_bits_per_byte" in point
        ]
        scratch = Scratch(
            SCRATCH,
            decoder.metrics["tokens"],
            decoder.metrics["training_seconds"],
            curve,
            tokens.metrics["train"]["tokens"],
        )
    if "score-base" in context.inputs:
        name = context.config["base"]
        systems.append(System(name, "candidate", titled["score-base"], "brought, as it came", brought=True))
        systems += _with_memory(context, "base", name, unlike)
    systems += [System(BASELINES[name], "baseline", titled[name]) for name in BASELINES]
    shares = {COLUMNS.get(name, name): found["share"] for name, found in split.metrics["overlap"].items()}
    table = language_table(
        systems, seed=context.config["seed"], scratch=scratch, seen=shares, notes=_thresholds(split, unlike)
    )
    (context.work / "table.json").write_text(to_json(table), encoding="utf-8")
    timeless = json.loads(to_json(replace(table, sentence="")))  # the sentence says how long training took
    context.stand_in("table.json", digest_of(timeless))
    memories = [_memory_verdict(context, step, name, table) for step, name in _mixtures(context)]
    write_json(context.work / MEMORY, [asdict(memory) for memory in memories])
    name = None if table.champion is None else table.champion.name
    write_json(
        context.work / "champion.json",
        {
            "champion": None if name is None else name.removesuffix(WITH_MEMORY),
            "foretold_with_memory": sorted(memory.decoder for memory in memories if memory.helps),
        },
    )


def _unlike(split: Artifact) -> set[str]:
    """Ids of the texts of the column UNLIKE; none where they are too few for it."""
    from groundup.evaluation.verdict import ENOUGH_TO_TELL

    found = unlike_training(split)
    return found if len(found) >= ENOUGH_TO_TELL else set()


def _thresholds(split: Artifact, unlike: Set[str]) -> list[str]:
    """What held out and unlike mean here, with the similarities from which on they hold."""
    near, far = CorpusPolicy().cluster_jaccard, UNLIKE_JACCARD
    said = f"Documents with a MinHash similarity of {near:g} or more stand on one side of the split"
    if unlike:
        return [f"{said}; unlike training are the held-out ones below {far:g} with every training document."]
    n = len(unlike_training(split))
    are = "document is" if n == 1 else "documents are"
    return [f"{said}; {n or 'no'} held-out {are} below {far:g} with all of training, too few for a third column."]


def _titled(scores: Scores, unlike: Set[str]) -> dict[str, list[DocumentScore]]:
    """By title of the column, in the order of the columns."""
    titled = {title: scores[column] for column, title in COLUMNS.items()}
    return {**titled, UNLIKE: [score for score in scores["held_out"] if score.document_id in unlike]}


def _mixtures(context: Context) -> list[tuple[str, str]]:
    """(mix step, name of its decoder) of each decoder with a memory."""
    names = {"mix-decoder": SCRATCH, "mix-base": context.config["base"]}
    return [
        (step, name) for step, name in names.items() if step in context.inputs and has_mixture(context.inputs[step])
    ]


def _with_memory(context: Context, decoder: str, name: str, unlike: Set[str]) -> list[System]:
    """The decoder mixed with the corpus' memory, and that memory alone, where there is one."""
    from groundup.evaluation.language_verdict import System
    from groundup.evaluation.words import count

    if (f"mix-{decoder}", name) not in _mixtures(context):
        return []
    artifact = context.inputs[f"mix-{decoder}"]
    both, alone = _titled(read_scores(artifact), unlike), _titled(read_scores(artifact, ALONE), unlike)
    fitted = count(artifact.metrics["fitting_tokens"])
    note = f"with the corpus as ∞-gram memory, gate fitted on {fitted} other held-out tokens"
    return [
        System(f"{name}{WITH_MEMORY}", "candidate", both, note, decoder=name, writes=_writes(context, name)),
        System(f"∞-gram, {name}'s tokens", "baseline", alone, "the corpus' memory alone", decoder=name),
    ]


def _writes(context: Context, name: str) -> bool:
    """Whether the test of the decoder's continuations lets memory write along."""
    from groundup.stages.continuations import POLICY

    return name in context.inputs["continuations"].read_json(POLICY)["writes_with_memory"]


def _memory_verdict(context: Context, step: str, name: str, table: Table) -> MemoryVerdict:
    from groundup.evaluation.bands import Band
    from groundup.evaluation.memory_verdict import MemoryVerdict, helps, memory_sentence

    both, stored = f"{name}{WITH_MEMORY}", context.inputs[step].read_json(BANDS)
    bands = {
        title: [Band(**band) for band in stored[column]["bands"]]
        for column, title in COLUMNS.items()
        if title in table.columns
    }
    return MemoryVerdict(
        name,
        helps(both, name, table.comparisons, table.columns[0]),
        memory_sentence(both, name, table.rows, table.comparisons, table.columns, writes=_writes(context, name)),
        bands,
    )


def completes_with(policies: Mapping[str, Any]) -> str:
    """What the release completes with, by its policies; nothing without a release or a decoder."""
    name = policies.get("champion")
    if name is None:
        return ""
    has_memory = policies.get("memory", {}).get(name, {}).get("completes", False)
    return f"{name}{WITH_MEMORY}" if has_memory else str(name)
