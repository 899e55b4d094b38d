"""Scores of every candidate and baseline → the verdict on completion; and what the candidates write."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.steps import Context, Step
from groundup.stages.scores import read_scores
from groundup.stages.split import COLUMNS

SCRATCH = "from-scratch"  # the decoder trained here, in tables and in the API
BASELINES = {"score-5-gram": "5-gram (Kneser–Ney)", "score-zstd": "zstd -19"}
SAMPLE_TOKENS = 48
PROMPT_BYTES = 240


def verdict_step(*, seed: int, base: str | None, scratch: bool) -> Step:
    """base: name of the brought decoder. scratch: whether a decoder is trained here."""
    inputs = {"split": "split", "tokens": "tokens", **{name: name for name in BASELINES}}
    if scratch:
        inputs |= {"score-decoder": "score-decoder", "decoder": "decoder"}
    if base is not None:
        inputs["score-base"] = "score-base"
    code = ("groundup.evaluation", "groundup.stages.language")
    return Step("verdict-language", run_verdict, identity={"seed": seed, "base": base}, inputs=inputs, code=code)


def run_verdict(context: Context) -> None:
    from groundup.evaluation.language_verdict import Scratch, System, language_table
    from groundup.evaluation.plain_data import to_json
    from groundup.evaluation.words import count

    found = {name: read_scores(artifact) for name, artifact in context.inputs.items() if name.startswith("score-")}
    titled = {name: {COLUMNS[column]: scores for column, scores in by.items()} for name, by in found.items()}
    systems = []
    scratch = None
    if "decoder" in context.inputs:
        decoder, tokens = context.inputs["decoder"], context.inputs["tokens"]
        parameters, seen = count(decoder.metrics["parameters"]), count(decoder.metrics["tokens"])
        note = f"{parameters} parameters, trained here on {seen} tokens"
        systems.append(System(SCRATCH, "candidate", titled["score-decoder"], note))
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
    systems += [System(BASELINES[name], "baseline", titled[name]) for name in BASELINES]
    overlap = {COLUMNS[name]: found["share"] for name, found in context.inputs["split"].metrics["overlap"].items()}
    table = language_table(systems, seed=context.config["seed"], scratch=scratch, overlap=overlap)
    (context.work / "table.json").write_text(to_json(table), encoding="utf-8")
    timeless = json.loads(to_json(replace(table, sentence="")))  # the sentence says how long training took
    context.stand_in("table.json", digest_of(timeless))
    champion = table.champion
    write_json(context.work / "champion.json", {"champion": None if champion is None else champion.name})


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
