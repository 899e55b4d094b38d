"""Drafts from memory against plain decoding of the same target: tokens per second in one run, alternating.

    python benchmarks/speculation.py ROOT [--model NAME] [--held-out TEXTS] [--foreign TEXTS] [--target decoder mixture]
        [--temperatures 0 0.8] [--texts 20] [--tokens 128] [--prompt 256]

ROOT: a store. The memory is that of its last run's training documents. TEXTS: a Parquet of documents (by default the
run's held-out ones), a folder of .py, .md and .txt files, or one in BEIR's layout (its documents). Foreign
texts are such as have nothing to do with the corpus. Each text's first half, or the last --prompt tokens of it, is
continued twice, with drafts and without, in an order that alternates, from one seed; so the texts are the same but
where rounding breaks a tie, and how many are is printed. Timed from the first token to the last: the prompt is read
alike in both. The ratio is seconds per token without drafts ÷ with, over all texts, with a 95 % bootstrap interval
over texts. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from groundup.corpus.document import read_documents
from groundup.evaluation.bootstrap import ratio_interval
from groundup.generation.generator import Generator
from groundup.generation.memory import Memory, Target
from groundup.generation.sampling import Sampling
from groundup.interop.base import load_base
from groundup.interop.locate import find_base
from groundup.machine import processor_name, use_threads
from groundup.nn.packed import packed
from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.store import Store
from groundup.stages.language import SCRATCH
from groundup.stages.memory import measured_mixture

SEED = 0
SHORTEST = 600  # characters of a text that is continued from its middle


def opened(root: Path, model: str) -> tuple[Generator, Memory]:
    """A decoder of the store's last run and the memory of its training documents."""
    store = Store(root)
    run = latest_run(store)
    assert run is not None, "the store holds no run"
    artifacts = Lineage(store, run).artifacts()
    kind = "decoder" if model == SCRATCH else "base"
    brought = load_base(artifacts["decoder"].path / "model" if kind == "decoder" else find_base(model))
    memory = measured_mixture(artifacts[f"memory-{kind}"], artifacts[f"mix-{kind}"])
    return Generator(packed(brought.model), brought.tokenizer), memory


def held_out_texts(root: Path) -> Path:
    store = Store(root)
    run = latest_run(store)
    assert run is not None, "the store holds no run"
    return Lineage(store, run).artifacts()["split"].file("held_out.parquet")


def read_texts(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return [document.text for document in read_documents(path)]
    if (path / "corpus.jsonl").exists():
        with (path / "corpus.jsonl").open(encoding="utf-8") as lines:
            return [json.loads(line)["text"] for line in lines]
    kinds = (".py", ".md", ".txt")
    files = [file for file in sorted(path.rglob("*")) if file.suffix in kinds and file.is_file()]
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]


def some(texts: Sequence[str], count: int) -> list[str]:
    long = [text for text in texts if len(text) >= SHORTEST]
    picked = np.random.default_rng(SEED).permutation(len(long))[:count]
    return [long[i] for i in sorted(picked)]


@dataclass(frozen=True, slots=True)
class Timed:
    tokens: list[int]
    seconds_per_token: float  # after the first


def timed(
    made: Generator, prompt: list[int], sampling: Sampling, memory: Memory, target: Target, *, speculate: bool
) -> Timed | None:
    """None if the text ended at once."""
    times, tokens = [], []
    for piece in made.stream(prompt, sampling, memory=memory, target=target, speculate=speculate):
        times.append(time.perf_counter())
        tokens.append(piece.token_id)
    return Timed(tokens, (times[-1] - times[0]) / (len(times) - 1)) if len(times) > 1 else None


def measure(made: Generator, memory: Memory, prompts: Sequence[list[int]], sampling: Sampling, target: Target) -> str:
    before = replace(made.speculated)
    pairs: list[tuple[Timed, Timed]] = []
    for number, prompt in enumerate(prompts):
        asked, found = replace(sampling, seed=number), dict[bool, Timed | None]()
        for speculate in (number % 2 == 0, number % 2 == 1):
            found[speculate] = timed(made, prompt, asked, memory, target, speculate=speculate)
        plain, drafted = found[False], found[True]
        if plain is not None and drafted is not None:
            pairs.append((plain, drafted))
    if not pairs:
        return "every text ended at once"
    plain_seconds, drafted_seconds = ([pair[i].seconds_per_token for pair in pairs] for i in (0, 1))
    ratio = ratio_interval(plain_seconds, drafted_seconds, SEED)
    worst = min(a / b for a, b in zip(plain_seconds, drafted_seconds, strict=True))
    same = sum(plain.tokens == drafted.tokens for plain, drafted in pairs)
    passes, tally = made.speculated.passes - before.passes, made.speculated
    accepted, drafts = tally.accepted - before.accepted, tally.drafted - before.drafted
    return (
        f"plain {1 / np.mean(plain_seconds):5.1f}  drafted {1 / np.mean(drafted_seconds):5.1f} tok/s  "
        f"ratio {ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f}, {len(pairs)} texts, worst {worst:.2f})  "
        f"{passes} passes, {accepted}/{drafts} accepted  texts equal {same}/{len(pairs)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--model", default="smollm2", help="the base of the run, or from-scratch")
    parser.add_argument("--held-out", type=Path, metavar="TEXTS")
    parser.add_argument("--foreign", type=Path, metavar="TEXTS")
    parser.add_argument("--target", nargs="+", choices=("decoder", "mixture"), default=["decoder", "mixture"])
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0, 0.8])
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--prompt", type=int, default=256, help="tokens, at most")
    asked = parser.parse_args()

    threads = use_threads()
    made, memory = opened(asked.root, asked.model)
    print(f"{datetime.date.today()}, {processor_name()}, {threads} threads, {asked.tokens} tokens a text", flush=True)
    list(made.stream([5, 6, 7], Sampling(max_tokens=20), memory=memory))  # warms kernels up
    held_out = asked.held_out or held_out_texts(asked.root)
    for name, path in (("held-out", held_out), ("foreign", asked.foreign)):
        if path is None:
            continue
        halves = [text[: len(text) // 2] for text in some(read_texts(path), asked.texts)]
        prompts = [made.encode_prompt(half)[-asked.prompt :] for half in halves]
        for target in asked.target:
            for temperature in asked.temperatures:
                sampling = Sampling(temperature=temperature, max_tokens=asked.tokens)
                told = measure(made, memory, prompts, sampling, target)
                print(f"{name:8}  {target:7}  temperature {temperature:<3g}  {told}", flush=True)


if __name__ == "__main__":
    main()
