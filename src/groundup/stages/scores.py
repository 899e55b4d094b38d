"""Held-out texts → nats per document, for every candidate and baseline on the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

from groundup.corpus.document import Document, read_documents
from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.pipeline.store import Artifact
from groundup.stages.split import COLUMNS, FITTING, of_split

if TYPE_CHECKING:
    from groundup.evaluation.scores import DocumentScore
    from groundup.interop.base import BroughtDecoder

Scores = dict[str, "list[DocumentScore]"]  # by column
SCORES, RECORD = "scores.json", "record.npz"
RECORDED = (*COLUMNS, FITTING)  # parts of the split in the order of a decoder's record
CODE = ("groundup.evaluation", "groundup.nn", "groundup.tokens", "groundup.interop", "groundup.stages.scores")


def decoder_step() -> Step:
    return Step("score-decoder", run_decoder, identity={}, inputs={"split": "split", "decoder": "decoder"}, code=CODE)


def base_step(base_digest: str) -> Step:
    return Step("score-base", run_base, identity={"base": base_digest}, inputs={"split": "split"}, code=CODE)


def ngram_step() -> Step:
    inputs = {"split": "split", "tokens": "tokens", "tokenizer": "tokenizer"}
    return Step("score-5-gram", run_ngram, identity={}, inputs=inputs, code=CODE)


def zstd_step() -> Step:
    return Step("score-zstd", run_zstd, identity={}, inputs={"corpus": "corpus", "split": "split"}, code=CODE)


def run_decoder(context: Context) -> None:
    from groundup.interop.base import load_base

    trained = load_base(context.inputs["decoder"].path / "model")
    length = trained.model.config.context_length
    _record_all(context, trained, length)
    context.metrics |= {"context": length, "stride": length // 2}


def run_base(context: Context) -> None:
    from groundup.interop.base import load_base

    base = load_base(context.execution.base)
    length = min(2048, base.context_length)
    _record_all(context, base, length)
    context.metrics |= {"context": length, "stride": length // 2, "name": base.name, "license": base.license}


def run_ngram(context: Context) -> None:
    from groundup.evaluation import kneser_ney
    from groundup.tokens.shards import Shards
    from groundup.tokens.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(context.inputs["tokenizer"].path)
    shards = Shards.open(context.inputs["tokens"].path / "train")
    model = kneser_ney.train(shards.tokens, shards.vocab_size, shards.separator_id, progress=context.progress)
    _score_all(context, lambda texts: kneser_ney.score_documents(model, tokenizer, texts))
    context.metrics |= {"order": model.order, "tokens": len(shards.tokens)}


def run_zstd(context: Context) -> None:
    from groundup.evaluation import compression

    train = [document.text for document in of_split(context.inputs["corpus"], context.inputs["split"], "train")]
    dictionary = compression.sample_dictionary(train, compression.DICTIONARY_BYTES, seed=0)
    _score_all(context, lambda texts: compression.score_documents(dictionary, texts, progress=context.progress))
    context.metrics |= {"dictionary_bytes": len(dictionary)}


def _record_all(context: Context, decoder: BroughtDecoder, length: int) -> None:
    """Scores of all columns and of the texts to fit on, and what the decoder said before each of their tokens."""
    from groundup.evaluation.bits import record_documents
    from groundup.machine import use_threads

    use_threads()
    split = context.inputs["split"]
    parts = {name: read_documents(split.file(f"{name}.parquet")) for name in RECORDED}
    texts = [text for found in parts.values() for text in found]
    scores, record = record_documents(
        decoder.model, decoder.tokenizer, texts, context=length, progress=context.progress
    )
    record.save(context.work / RECORD)
    found = iter(scores)
    write_scores(context, {name: list(islice(found, len(texts))) for name, texts in parts.items()})


def _score_all(context: Context, score: Callable[[Sequence[Document]], list[DocumentScore]]) -> None:
    """Scores the texts of all columns in one go: what is costly to set up is set up once."""
    columns = {column: read_documents(context.inputs["split"].file(f"{column}.parquet")) for column in COLUMNS}
    found = iter(score([text for texts in columns.values() for text in texts]))
    write_scores(context, {column: list(islice(found, len(texts))) for column, texts in columns.items()})


def write_scores(context: Context, scores: Scores, name: str = SCORES) -> None:
    write_json(context.work / name, {part: [asdict(one) for one in found] for part, found in scores.items()})


def read_scores(artifact: Artifact, name: str = SCORES) -> Scores:
    """By part: the columns, and for decoders the texts to fit on."""
    from groundup.evaluation.scores import DocumentScore

    stored = artifact.read_json(name)
    return {part: [DocumentScore(**one) for one in found] for part, found in stored.items()}
