"""The ways to use the corpus beside one another: the decoder alone, with memory, with passages before the text, both.

Passages come from the training documents alone, as the measured memory does: what is held out stands in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.pipeline.steps import Context, Step
from groundup.stages.language import WITH_MEMORY
from groundup.stages.leave_out import LeaveOut
from groundup.stages.memory import has_mixture, measured_mixture
from groundup.stages.scores import RECORD, read_scores
from groundup.stages.split import of_split

if TYPE_CHECKING:
    from groundup.corpus.document import Document
    from groundup.evaluation.passages import Window
    from groundup.evaluation.token_record import TokenRecord
    from groundup.evaluation.ways import Way
    from groundup.retrieval.chunk import Chunk
    from groundup.retrieval.searcher import Index

TABLE = "table.json"
WITH_PASSAGES = " + passages"  # behind the name of a decoder
READ_SHARE = 0.5  # of the tokens that were scored before: what reading passages and texts may come to
CODE = (
    "groundup.evaluation.ways",
    "groundup.infinigram",
    "groundup.interop",
    "groundup.nn",
    "groundup.retrieval",
    "groundup.stages.ways",
)


def step(decoder: str, name: str, *, seed: int, base_digest: str | None, leave_out: Sequence[str], index: Path) -> Step:
    """decoder: "decoder" or "base"; name: in tables. leave_out: patterns of what search never finds.

    index: the store of the live index, from which chunks are taken over that it holds already; they decide nothing.
    """
    inputs = {kind: kind for kind in ("corpus", "split")}
    inputs |= {f"{kind}-{decoder}": f"{kind}-{decoder}" for kind in ("score", "memory", "mix")}
    if decoder == "decoder":
        inputs["decoder"] = "decoder"
    identity = {"decoder": decoder, "name": name, "seed": seed, "base": base_digest, "leave_out": list(leave_out)}
    return Step("ways", partial(run, index=index), identity=identity, inputs=inputs, code=CODE)


def run(context: Context, index: Path) -> None:
    """Writes the table, or a note where the decoder's context has no room for passages before a text."""
    from groundup.evaluation.passages import of_windows, windows, with_passages
    from groundup.evaluation.plain_data import to_json
    from groundup.evaluation.token_record import TokenRecord
    from groundup.evaluation.ways import Way, ways_table
    from groundup.interop.base import load_base
    from groundup.machine import use_threads

    name, scored = context.config["name"], context.inputs[f"score-{context.config['decoder']}"]
    whole = TokenRecord.load(scored.file(RECORD))
    record = whole.part(0, len(read_scores(scored)["held_out"]))
    chosen = windows(record, scored.metrics["context"], int(READ_SHARE * len(whole.tokens)))
    if not chosen:
        context.note(f"{name} reads {scored.metrics['context']} tokens at once: too few for passages before a text.")
        return
    use_threads()
    trained = context.inputs["decoder"].path / "model" if "decoder" in context.inputs else None
    brought = load_base(trained or context.execution.base)
    find = partial(passages, searchable(context, index))
    read, sizes = with_passages(brought.model, brought.tokenizer, record, chosen, find, context.progress)
    alone = of_windows(record, chosen)
    mean = sum(sizes) / len(sizes)
    untuned = "as it came. To tune it on the corpus would be one more way; nothing here does"
    first = Way(name, -alone.logp, untuned if trained is None else "trained here")
    retrieved = f"{mean:,.0f} tokens on average before each text, found by BM25 with what stands before its end"
    others = [Way(name + WITH_PASSAGES, -read.logp, retrieved, "passages")]
    if has_mixture(context.inputs[f"mix-{context.config['decoder']}"]):
        others = _with_memory(context, record, chosen, first, others[0], read)
    token_bytes = brought.tokenizer.token_lengths[alone.tokens]
    table = ways_table(first, others, alone.offsets, token_bytes, seed=context.config["seed"])
    (context.work / TABLE).write_text(to_json(table), encoding="utf-8")
    context.metrics |= {"documents": len(chosen), "tokens": len(alone.tokens), "passage_tokens": sum(sizes)}


def searchable(context: Context, live: Path) -> Index:
    """The training documents that search may find, for BM25."""
    from groundup.retrieval.build import IndexSettings, build, canonical
    from groundup.retrieval.index import IndexStore
    from groundup.retrieval.searcher import Index

    documents: list[Document] = list(of_split(context.inputs["corpus"], context.inputs["split"], "train"))
    kept = LeaveOut(tuple(context.config["leave_out"])).kept(documents)
    settings, store = IndexSettings(), IndexStore(live)
    known = None if store.fault() else store.open()
    previous = known.columns if known is not None and known.settings.digest == settings.digest else None
    columns = build(canonical(kept), settings, previous, context.execution.workers, context.progress)
    return Index(columns, settings, embeddings=context.scratch)


def passages(index: Index, query: str) -> list[Chunk]:
    from groundup.evaluation.passages import MAX_PASSAGES

    return [hit.chunk for hit in index.search(query, MAX_PASSAGES, "bm25")]


def _with_memory(
    context: Context, record: TokenRecord, chosen: list[Window], alone: Way, retrieved: Way, read: TokenRecord
) -> list[Way]:
    """Memory beside the decoder alone, the passages, and memory beside the decoder that has read them."""
    from dataclasses import replace

    from groundup.evaluation.memory_scores import mixed_nats
    from groundup.evaluation.ways import Way, surveyed_windows

    decoder = context.config["decoder"]
    mixture = measured_mixture(context.inputs[f"memory-{decoder}"], context.inputs[f"mix-{decoder}"])
    assert mixture.gate is not None
    mixed = partial(mixed_nats, mixture.memory, mixture.backoff, mixture.gate)
    surveyed = surveyed_windows(mixture.memory, record, chosen)
    both = mixed(replace(surveyed, record=read))
    return [
        Way(
            alone.name + WITH_MEMORY,
            mixed(surveyed),
            "the corpus as ∞-gram memory, with nothing more to read",
            "memory",
        ),
        retrieved,
        Way(
            retrieved.name + WITH_MEMORY,
            both,
            "the gate as fitted for the decoder without passages",
            f"{retrieved.label} and memory",
        ),
    ]
