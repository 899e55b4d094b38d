"""Training documents → a memory of the corpus for each decoder's tokenizer, and what it adds to that decoder.

Measured is a memory of the training documents alone: what is held out stands in none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from groundup.corpus.document import Document
from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.stages.leave_out import LeaveOut
from groundup.stages.scores import RECORD, RECORDED, SCORES, read_scores, write_scores
from groundup.stages.split import COLUMNS, FITTING, of_split

if TYPE_CHECKING:
    from groundup.infinigram.mixture import Mixture
    from groundup.pipeline.store import Artifact

SEGMENT, MIXTURE, ALONE, BANDS = "segment", "mixture.json", "memory.json", "bands.json"
CODE = ("groundup.infinigram", "groundup.tokens", "groundup.stages.memory")


def trained_step(leave_out: Sequence[str]) -> Step:
    """For the decoder trained here: its tokens are there already. leave_out: patterns of what is not remembered."""
    inputs = {"tokens": "tokens"}
    if leave_out:
        inputs |= {"corpus": "corpus", "split": "split"}
    return Step("memory-decoder", run_trained, identity={"leave_out": list(leave_out)}, inputs=inputs, code=CODE)


def base_step(base_digest: str, train_bytes_bound: int, leave_out: Sequence[str]) -> Step:
    return Step(
        "memory-base",
        run_base,
        identity={"base": base_digest, "leave_out": list(leave_out)},
        inputs={"corpus": "corpus", "split": "split"},
        code=CODE,
        disk_bytes=4 * train_bytes_bound,  # 8 bytes a token of two bytes of text or more
    )


def mix_step(decoder: str, *, seed: int, base_digest: str | None = None) -> Step:
    """decoder: "decoder" or "base"."""
    inputs = {"split": "split", f"memory-{decoder}": f"memory-{decoder}", f"score-{decoder}": f"score-{decoder}"}
    if decoder == "decoder":
        inputs["decoder"] = "decoder"
    return Step(
        f"mix-{decoder}",
        run_mix,
        identity={"seed": seed, "decoder": decoder, "base": base_digest},
        inputs=inputs,
        code=(*CODE, "groundup.evaluation.memory_scores"),
    )


def run_trained(context: Context) -> None:
    import numpy as np

    from groundup.infinigram.segment import Segment
    from groundup.tokens.shards import Shards

    shards = Shards.open(context.inputs["tokens"].path / "train")
    tokens, offsets, names = shards.tokens, shards.offsets, shards.document_ids
    if "corpus" in context.inputs:
        kept = {document.id for document in _remembered(context)}
        if not kept:
            return
        parts = [tokens[offsets[i] : offsets[i + 1]] for i, name in enumerate(names) if name in kept]
        tokens, names = np.concatenate(parts), [name for name in names if name in kept]
        offsets = np.cumsum([0, *map(len, parts)])
    segment = Segment.build(
        tokens,
        offsets,
        names,
        tokenizer=shards.tokenizer_digest,
        vocab_size=shards.vocab_size,
        separator=shards.separator_id,
    )
    _keep(context, segment, {})


def run_base(context: Context) -> None:
    from groundup.interop.base import load_tokenizer
    from groundup.stages.memory_tokens import segment_of

    tokenizer = load_tokenizer(context.execution.base)
    if tokenizer.separator_id is None:
        context.note("Its tokenizer names no token to stand before a document, so it has no memory of the corpus.")
        return
    documents = _remembered(context)
    if not documents:
        return
    segment, encoder = segment_of(tokenizer, documents)
    _keep(context, segment, encoder.metrics())


def _remembered(context: Context) -> list[Document]:
    """The training documents that memory may hold."""
    documents = list(of_split(context.inputs["corpus"], context.inputs["split"], "train"))
    kept = LeaveOut(tuple(context.config["leave_out"])).kept(documents)
    if documents and not kept:
        context.note("memory.leave_out leaves no training document, so memory is empty and not used.")
    return kept


def _keep(context: Context, segment: Any, encoder: dict[str, str | int]) -> None:
    segment.save(context.work / SEGMENT)
    context.metrics |= {"tokens": len(segment), "documents": len(segment.names), **encoder}


def run_mix(context: Context) -> None:
    """Fits backoff and gate on the texts to fit on, and scores all columns with them."""
    from groundup.evaluation.memory_scores import Surveyed, fit, mix
    from groundup.evaluation.token_record import TokenRecord
    from groundup.infinigram.memory import Memory
    from groundup.infinigram.segment import Segment
    from groundup.interop.base import load_tokenizer

    name = context.config["decoder"]
    place = context.inputs[f"memory-{name}"].path / SEGMENT
    if not place.exists():
        return
    trained = context.inputs["decoder"].path / "model" if "decoder" in context.inputs else None
    memory, tokenizer = Memory(Segment.open(place)), load_tokenizer(trained or context.execution.base)
    scores = read_scores(context.inputs[f"score-{name}"])
    if not any(score.tokens for score in scores[FITTING]):
        context.note("No held-out document is left to fit the memory's gate on, so memory is not used.")
        return
    surveyed, start = {}, 0
    whole = TokenRecord.load(context.inputs[f"score-{name}"].file(RECORD))
    for done, part in enumerate(RECORDED, 1):
        stop = start + len(scores[part])
        surveyed[part], start = Surveyed.of(memory, whole.part(start, stop)), stop
        context.progress("look up matches", done, len(RECORDED))
    assert start == len(whole.offsets) - 1
    # A decoder trained here knows nothing that the corpus doesn't hold: beside it memory is right to speak everywhere.
    backoff, gate = fit(memory, surveyed[FITTING], context.config["seed"], cautious=trained is None)
    mixed = {
        column: mix(memory, backoff, gate, surveyed[column], scores[column], tokenizer.token_lengths)
        for column in COLUMNS
    }
    write_scores(context, {column: found.mixed for column, found in mixed.items()})
    write_scores(context, {column: found.memory for column, found in mixed.items()}, ALONE)
    write_json(context.work / MIXTURE, {"backoff": list(backoff.weights), "gate": gate.to_json()})
    write_json(
        context.work / BANDS,
        {
            column: {
                "bands": [asdict(band) for band in found.bands],
                "long_match_share": found.long_match_share,
            }
            for column, found in mixed.items()
        },
    )
    context.metrics |= {
        "fitting_documents": len(scores[FITTING]),
        "fitting_tokens": len(surveyed[FITTING].record.tokens),
    }


def has_mixture(artifact: Any) -> bool:
    """Whether a mix step came to something: there was a memory, and a text to fit on."""
    return bool((artifact.path / SCORES).exists())


def measured_mixture(memory: Artifact, mixed: Artifact) -> Mixture:
    """The memory of the training documents alone, beside the gate that was fitted for it."""
    from groundup.infinigram.backoff import Backoff
    from groundup.infinigram.gate import Gate
    from groundup.infinigram.memory import Memory
    from groundup.infinigram.mixture import Mixture
    from groundup.infinigram.segment import Segment

    fitted = mixed.read_json(MIXTURE)
    segment = Segment.open(memory.path / SEGMENT)
    return Mixture(Memory(segment), Backoff(tuple(fitted["backoff"])), Gate.from_json(fitted["gate"]))
