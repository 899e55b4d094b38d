"""Scores of every candidate and baseline → the verdict on completion; and what the candidates write."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.steps import Context, Step
from groundup.stages.memory import ALONE, has_mixture
from groundup.stages.scores import Scores, read_scores
from groundup.stages.split import COLUMNS

if TYPE_CHECKING:
    from groundup.evaluation.language_verdict import System
    from groundup.evaluation.scores import DocumentScore

SCRATCH = "from-scratch"  # the decoder trained here, in tables and in the API
BASELINES = {"score-5-gram": "5-gram (Kneser–Ney)", "score-zstd": "zstd -19"}
WITH_MEMORY = " + memory"  # behind the name of a decoder
SAMPLE_TOKENS = 48
PROMPT_BYTES = 240


def verdict_step(*, seed: int, base: str | None, scratch: bool) -> Step:
    """base: name of the brought decoder. scratch: whether a decoder is trained here."""
    inputs = {"split": "split", "tokens": "tokens", **{name: name for name in BASELINES}}
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

    found = {name: read_scores(artifact) for name, artifact in context.inputs.items() if name.startswith("score-")}
    titled = {name: _titled(scores) for name, scores in found.items()}
    systems = []
    scratch = None
    if "decoder" in context.inputs:
        decoder, tokens = context.inputs["decoder"], context.inputs["tokens"]
        parameters, seen = count(decoder.metrics["parameters"]), count(decoder.metrics["tokens"])
        note = f"{parameters} parameters, trained here on {seen} tokens"
        systems.append(System(SCRATCH, "candidate", titled["score-decoder"], note))
        systems += _with_memory(context, "decoder", SCRATCH, brought=False)
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
        systems += _with_memory(context, "base", name, brought=True)
    systems += [System(BASELINES[name], "baseline", titled[name]) for name in BASELINES]
    overlap = {COLUMNS[name]: found["share"] for name, found in context.inputs["split"].metrics["overlap"].items()}
    table = language_table(systems, seed=context.config["seed"], scratch=scratch, overlap=overlap)
    (context.work / "table.json").write_text(to_json(table), encoding="utf-8")
    timeless = json.loads(to_json(replace(table, sentence="")))  # the sentence says how long training took
    context.stand_in("table.json", digest_of(timeless))
    name = None if table.champion is None else table.champion.name
    first = next(iter(COLUMNS.values()))
    helped = {
        c.worse for c in table.comparisons if c.column == first and c.settled and c.better == c.worse + WITH_MEMORY
    }
    if name is not None and name.endswith(WITH_MEMORY):
        helped.add(name.removesuffix(WITH_MEMORY))
    write_json(
        context.work / "champion.json",
        {
            "champion": None if name is None else name.removesuffix(WITH_MEMORY),
            "completes_with_memory": sorted(helped - {name}),
        },
    )


def _titled(scores: Scores) -> dict[str, list[DocumentScore]]:
    return {title: scores[column] for column, title in COLUMNS.items()}


def _with_memory(context: Context, decoder: str, name: str, *, brought: bool) -> list[System]:
    """The decoder mixed with the corpus' memory, and that memory alone, where there is one."""
    from groundup.evaluation.language_verdict import System
    from groundup.evaluation.words import count

    artifact = context.inputs[f"mix-{decoder}"]
    if not has_mixture(artifact):
        return []
    both, alone = _titled(read_scores(artifact)), _titled(read_scores(artifact, ALONE))
    fitted = f"gate fitted on {count(artifact.metrics['fitting_tokens'])} other held-out tokens"
    return [
        System(
            f"{name}{WITH_MEMORY}", "candidate", both, f"with the corpus as ∞-gram memory, {fitted}", brought=brought
        ),
        System(f"∞-gram in {name}'s tokens", "baseline", alone, "the corpus' memory alone"),
    ]


def samples_step(*, seed: int, base: str | None, base_digest: str | None, scratch: bool) -> Step:
    inputs = {"split": "split"}
    if scratch:
        inputs["decoder"] = "decoder"
    return Step(
        "samples",
        run_samples,
        identity={"seed": seed, "base": base, "base_digest": base_digest},
        inputs=inputs,
        code=("groundup.generation", "groundup.nn", "groundup.interop", "groundup.stages.language"),
    )


def run_samples(context: Context) -> None:
    """The same beginnings of held-out documents, continued by every candidate."""
    from groundup.corpus.document import read_documents
    from groundup.generation.generator import Generator
    from groundup.generation.sampling import Sampling
    from groundup.interop.base import load_base
    from groundup.machine import use_threads

    use_threads()
    texts = [document.text for document in read_documents(context.inputs["split"].file("held_out.parquet"))]
    prompts = [prompt for text in texts if len(prompt := beginning(text)) > 40][:2]
    candidates: list[tuple[str, Any]] = []
    if "decoder" in context.inputs:
        candidates.append((SCRATCH, context.inputs["decoder"].path / "model"))
    if context.config["base"] is not None:
        candidates.append((context.config["base"], context.execution.base))
    samples = []
    for name, place in candidates:
        brought = load_base(place)
        generator = Generator(brought.model, brought.tokenizer)
        sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=SAMPLE_TOKENS, seed=context.config["seed"])
        for number, prompt in enumerate(prompts, 1):
            text = generator.generate(generator.encode_prompt(prompt), sampling, truncate=True)
            samples.append({"model": name, "prompt": prompt, "text": text, "note": "temperature 0.7, top-p 0.95"})
            context.progress(f"write with {name}", number, len(prompts))
    write_json(context.work / "samples.json", samples)


def beginning(text: str) -> str:
    """The first lines of a text, whole, up to PROMPT_BYTES."""
    lines: list[str] = []
    size = 0
    for line in text.splitlines():
        size += len(line.encode()) + 1
        if size > PROMPT_BYTES and lines:
            break
        lines.append(line)
    return "\n".join(lines)
