"""Documents → training, held-out and whole held-out groups; and the texts that every model is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from groundup.corpus.distance import UNLIKE_JACCARD, nearest
from groundup.corpus.document import Document, iter_documents, read_documents, with_text, write_documents
from groundup.corpus.overlap import WORDS, overlap
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.shingles import ngram_hashes, word_hashes
from groundup.corpus.signatures import signatures
from groundup.corpus.split import split
from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.pipeline.store import Artifact

COLUMNS = {"held_out": "held-out documents", "package": "held-out packages"}
UNLIKE = "unlike training"  # title of the column of those held-out documents that no training document resembles
FITTING = "fitting"  # held-out documents that are not measured: what is fitted on held-out text is fitted on these
MIN_HELD_OUT = 60  # documents, or a tenth of them where a corpus has fewer: half to measure, a third to fit on
MAX_DOCUMENT_BYTES = 1_500  # of one document measured: many documents make the interval narrow, not long ones


def step(*, seed: int, held_out_share: float, package_share: float, measured_bytes: int) -> Step:
    """measured_bytes: of each column, scored by every model and baseline."""
    return Step(
        "split",
        run,
        identity={
            "seed": seed,
            "held_out_share": held_out_share,
            "package_share": package_share,
            "measured_bytes": measured_bytes,
            "policy": CorpusPolicy().digest(),
        },
        inputs={"corpus": "corpus"},
        code=("groundup.corpus", "groundup.stages.split"),
    )


def run(context: Context) -> None:
    corpus, config = context.inputs["corpus"], context.config
    documents = read_documents(corpus.file("documents.parquet"))
    clusters: dict[str, str] = corpus.read_json("clusters.json")
    made = split(
        documents,
        clusters,
        held_out_share=config["held_out_share"],
        package_share=config["package_share"],
        seed=config["seed"],
        min_documents=MIN_HELD_OUT,
    )
    for note in made.notes:
        context.note(note)
    by_id = {document.id: document for document in documents}
    columns = {name: [by_id[id_] for id_ in getattr(made, name)] for name in COLUMNS}
    columns["held_out"], fitting = apart(columns["held_out"], clusters, config["measured_bytes"], config["seed"])
    write_documents(context.work / f"{FITTING}.parquet", fitting)
    train = [by_id[id_] for id_ in made.train]
    pairs = {name: _measured(found, config["measured_bytes"], config["seed"]) for name, found in columns.items()}
    for name, found in pairs.items():
        write_documents(context.work / f"{name}.parquet", (text for _, text in found))
    similarity = _similarity(context, pairs["held_out"], train)
    unlike = [text for _, text in pairs["held_out"] if similarity[text.id] < UNLIKE_JACCARD]
    measured = {name: [text for _, text in found] for name, found in pairs.items()}
    write_json(
        context.work / "split.json",
        {
            "train": made.train,
            "held_out": made.held_out,
            "package": made.package,
            "left_out": made.left_out,
            "held_out_groups": made.held_out_groups,
            "similarity": similarity,
        },
    )
    context.metrics |= {
        "fitting_documents": len(fitting),
        "train_documents": len(made.train),
        "train_bytes": sum(len(document.text.encode()) for document in train),
        "held_out_documents": len(made.held_out),
        "package_documents": len(made.package),
        "held_out_groups": made.held_out_groups,
        "left_out_documents": len(made.left_out),
        "unlike_documents": len(unlike),
        "overlap": _overlaps(train, {**measured, UNLIKE: unlike}),
    }


def apart(
    held_out: Iterable[Document], clusters: Mapping[str, str], measured_bytes: int, seed: int
) -> tuple[list[Document], list[Document]]:
    """(documents to measure, texts to fit on): no near-duplicate cluster in both.

    What measuring leaves over is fitted on, a third of the documents at least; texts as in `measured_texts`, up to
    measured_bytes.
    """
    order = in_drawn_order(held_out, seed)
    names = [clusters.get(document.id, document.id) for document in order]
    sizes = [min(len(document.text.encode()), MAX_DOCUMENT_BYTES) for document in order]
    spent = 0
    wanted: set[str] = set()
    for name, size in zip(names, sizes, strict=True):
        spent += size
        if wanted and (spent > measured_bytes or 3 * len(wanted) >= 2 * len(set(names))):
            break
        wanted.add(name)
    measured = [document for document, name in zip(order, names, strict=True) if name in wanted]
    rest = [document for document, name in zip(order, names, strict=True) if name not in wanted]
    return measured, measured_texts(rest, measured_bytes, seed)


def in_drawn_order(documents: Iterable[Document], seed: int) -> list[Document]:
    """By a hash of their ids: a document keeps its place among the others whatever comes and goes."""
    return sorted(documents, key=lambda document: hashlib.sha256(f"{seed}\0{document.id}".encode()).digest())


def measured_texts(documents: Iterable[Document], total_bytes: int, seed: int) -> list[Document]:
    """The first MAX_DOCUMENT_BYTES of documents in the order of a hash of their ids, until the bytes are spent."""
    return [text for _, text in _measured(documents, total_bytes, seed)]


def _measured(documents: Iterable[Document], total_bytes: int, seed: int) -> list[tuple[Document, Document]]:
    """Each document with the part of it that is measured, as `measured_texts` says."""
    order = in_drawn_order(documents, seed)
    taken: list[tuple[Document, Document]] = []
    left = total_bytes
    for document in order:
        text = document.text.encode()[:MAX_DOCUMENT_BYTES].decode("utf-8", "ignore")
        size = len(text.encode())
        if taken and size > left:
            break
        taken.append((document, with_text(document, text)))
        left -= size
    return taken


def _similarity(
    context: Context, pairs: Sequence[tuple[Document, Document]], train: Sequence[Document]
) -> dict[str, float]:
    """By id of each text: the highest similarity of its whole document with a training document, see `nearest`."""
    execution = context.execution
    documents = [*(document for document, _ in pairs), *train]
    known = signatures(documents, CorpusPolicy(), execution.cache, execution.workers, context.progress)
    found = nearest([known[document.id] for document, _ in pairs], [known[document.id] for document in train])
    return {text.id: float(value) for (_, text), value in zip(pairs, found, strict=True)}


def _overlaps(train: Sequence[Document], columns: Mapping[str, Sequence[Document]]) -> dict[str, dict[str, float]]:
    """By column: how many word n-grams its texts have, how many stand in training texts, and their share."""
    texts = {text.id: text.text for found in columns.values() for text in found}
    share = overlap((document.text for document in train), texts).by_document  # training is read once for all columns
    sizes = {name: len(ngram_hashes(word_hashes(text)[0], WORDS)) for name, text in texts.items()}
    result = {}
    for name, found in columns.items():
        total = sum(sizes[text.id] for text in found)
        seen = round(sum(share[text.id] * sizes[text.id] for text in found))
        result[name] = {"ngrams": total, "seen": seen, "share": seen / total if total else 0.0, "words": WORDS}
    return result


def unlike_training(split: Artifact) -> set[str]:
    """Ids of the held-out texts whose documents no training document resembles."""
    similarity: dict[str, float] = split.read_json("split.json")["similarity"]
    return {name for name, value in similarity.items() if value < UNLIKE_JACCARD}


def of_split(corpus: Artifact, split: Artifact, part: str) -> Iterator[Document]:
    """The documents of one part of the split ("train", "held_out", …), in the corpus' order."""
    wanted = set(split.read_json("split.json")[part])
    return (document for document in iter_documents(corpus.file("documents.parquet")) if document.id in wanted)
