"""Beginnings of held-out documents, continued by every decoder, alone and with memory: does memory write better?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.corpus.document import Document, read_documents
from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.stages.language import SCRATCH, WITH_MEMORY
from groundup.stages.memory import has_mixture, measured_mixture
from groundup.stages.split import FITTING, in_drawn_order, of_split

if TYPE_CHECKING:
    from groundup.evaluation.continuations import Copy, Writer
    from groundup.infinigram.memory import Memory
    from groundup.interop.base import BroughtDecoder

PROMPT_BYTES = 400
LEAST_PROMPT = 40  # bytes: below it nothing is said yet that a continuation could be near to
TOKENS = 32  # written after each beginning
AT_A_TIME = 16  # beginnings between two signs of progress
SHOWN = 2  # of the beginnings, in the report
TABLE, POLICY, SAMPLES = "table.json", "policy.json", "samples.json"
TEMPERATURE, TOP_P = 0.7, 0.95
CODE = (
    "groundup.evaluation.continuations",
    "groundup.generation",
    "groundup.infinigram",
    "groundup.interop",
    "groundup.nn",
    "groundup.stages.continuations",
)


def step(*, seed: int, documents: int, base: str | None, base_digest: str | None, scratch: bool) -> Step:
    """documents: continued, at most. base: name of the brought decoder. scratch: whether a decoder is trained here."""
    identity = {"seed": seed, "documents": documents, "base": base, "base_digest": base_digest}
    return Step("continuations", run, identity=identity, inputs=inputs(base=base, scratch=scratch), code=CODE)


def inputs(*, base: str | None, scratch: bool) -> dict[str, str]:
    """Of a step in which every decoder writes, alone and with its measured memory."""
    names = ["corpus", "split"]
    names += ["decoder", "memory-decoder", "mix-decoder"] if scratch else []
    names += ["memory-base", "mix-base"] if base is not None else []
    return {name: name for name in names}


def run(context: Context) -> None:
    """Writes the table, which decoders write better with memory, and the first texts as they are."""
    from groundup.evaluation.continuations import continuations_table
    from groundup.evaluation.plain_data import to_json
    from groundup.interop.base import load_base
    from groundup.machine import use_threads

    use_threads()
    documents = beginnings(context)
    writers: list[Writer] = []
    samples: list[dict[str, Any]] = []
    for name, kind, place in decoders(context) if documents else []:
        brought = load_base(place)
        writer, shown = _write(context, name, kind, brought, documents)
        writers.append(writer)
        samples += shown
    write_json(context.work / SAMPLES, samples)
    if not writers:
        context.note("No held-out document is long enough to continue its beginning.")
        write_json(context.work / POLICY, {"writes_with_memory": []})
        return
    table, better = continuations_table(writers, suffix=WITH_MEMORY, tokens=TOKENS, seed=context.config["seed"])
    (context.work / TABLE).write_text(to_json(table), encoding="utf-8")
    write_json(context.work / POLICY, {"writes_with_memory": better})
    context.metrics |= {"documents": len(documents), "tokens": TOKENS, "temperature": TEMPERATURE, "top_p": TOP_P}


def decoders(context: Context) -> list[tuple[str, str, Path]]:
    """(name in tables, kind in names of steps, place) of the decoder trained here and of the brought one."""
    found: list[tuple[str, str, Path]] = []
    if "decoder" in context.inputs:
        found.append((SCRATCH, "decoder", context.inputs["decoder"].path / "model"))
    if context.config["base"] is not None:
        found.append((context.config["base"], "base", context.execution.base))
    return found


def beginnings(context: Context) -> list[tuple[Document, str, str]]:
    """Documents with their first lines and what follows these, in the order of a hash of their ids.

    Those that gates were fitted on are left out. Of one cluster there may be several: they are held out together.
    """
    corpus, split = context.inputs["corpus"], context.inputs["split"]
    fitted = {document.id for document in read_documents(split.file(f"{FITTING}.parquet"))}
    held_out = [d for part in ("held_out", "package") for d in of_split(corpus, split, part) if d.id not in fitted]
    found: list[tuple[Document, str, str]] = []
    for document in in_drawn_order(held_out, context.config["seed"]):
        begins = beginning(document.text)
        follows = document.text[len(begins) :]
        if len(begins.encode()) >= LEAST_PROMPT and len(follows) >= 8 * TOKENS:  # characters: more than TOKENS tokens
            found.append((document, begins, follows[: 64 * TOKENS]))
        if len(found) == context.config["documents"]:
            break
    return found


def beginning(text: str) -> str:
    """The first lines of a text, whole, up to PROMPT_BYTES, without the line end behind them."""
    size = 0
    for line in text.splitlines(keepends=True):
        if size and size + len(line) > PROMPT_BYTES:
            break
        size += len(line)
    return text[:size].rstrip("\r\n")


def _write(
    context: Context, name: str, kind: str, brought: BroughtDecoder, documents: Sequence[tuple[Document, str, str]]
) -> tuple[Writer, list[dict[str, Any]]]:
    """The continuations of one decoder: alone and, where it has one, with the memory of the training documents."""
    import numpy as np

    from groundup.evaluation.continuations import Writer, measure
    from groundup.generation.batch import continue_many
    from groundup.generation.generator import Generator
    from groundup.generation.sampling import Sampling
    from groundup.nn.packed import packed

    generator, tokenizer = Generator(packed(brought.model), brought.tokenizer), brought.tokenizer
    room = generator.context_length - TOKENS
    prompts = [generator.encode_prompt(begins)[-room:] for _, begins, _ in documents]
    truths = [tokenizer.decode(tokenizer.encode(follows)[:TOKENS]) for _, _, follows in documents]
    mixture = None
    if has_mixture(context.inputs[f"mix-{kind}"]):
        mixture = measured_mixture(context.inputs[f"memory-{kind}"], context.inputs[f"mix-{kind}"])
    memories = [None] if mixture is None else [None, mixture]
    drawn: list[list[list[int]]] = [[] for _ in memories]
    for start in range(0, len(prompts), AT_A_TIME):
        seed = context.config["seed"] + start  # a beginning's text doesn't depend on how many there are
        sampling = Sampling(temperature=TEMPERATURE, top_p=TOP_P, max_tokens=TOKENS, seed=seed)
        some = continue_many(generator, prompts[start : start + AT_A_TIME], sampling, memories)
        for all_of_them, found in zip(drawn, some, strict=True):
            all_of_them += found
        context.progress(f"write with {name}", min(start + AT_A_TIME, len(prompts)), len(prompts))
    memory = None if mixture is None else mixture.memory
    ids = [[np.array(text, np.int64) for text in found] for found in drawn]
    texts = [[tokenizer.decode(text) for text in found] for found in drawn]
    measured = [
        [measure(text, tokens, truth, memory) for text, tokens, truth in zip(mine, its, truths, strict=True)]
        for mine, its in zip(texts, ids, strict=True)
    ]
    copies = [_longest(context, found, memory) for found in ids] + [None]
    writer = Writer(name, measured[0], measured[1] if len(measured) > 1 else (), copies[0], copies[1])
    note = f"temperature {TEMPERATURE:g}, top-p {TOP_P:g}"
    samples = [
        {"model": label, "prompt": begins, "text": text, "note": note}
        for (_, begins, _), *written in list(zip(documents, *texts, strict=True))[:SHOWN]
        for label, text in zip((name, name + WITH_MEMORY), written, strict=False)
    ]
    return writer, samples


def _longest(context: Context, texts: Sequence[Any], memory: Memory | None) -> Copy | None:
    from groundup.evaluation.continuations import Copy
    from groundup.infinigram.spans import longest_copied

    if memory is None:
        return None
    found = [(span, ids) for ids in texts if (span := longest_copied(memory, ids)) is not None]
    if not found:
        return None
    span, ids = max(found, key=lambda one: one[0].end - one[0].start)
    run = ids[span.start : span.end]
    name = memory.places(run, len(run), len(run), 1)[0][0]
    train = of_split(context.inputs["corpus"], context.inputs["split"], "train")
    source = next(document.source for document in train if document.id == name)
    return Copy(len(run), span.occurrences, source)
