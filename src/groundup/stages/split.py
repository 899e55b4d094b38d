"""Documents → training, held-out and whole held-out groups; and the texts that every model is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from groundup.corpus.document import Document, iter_documents, read_documents, with_text, write_documents
from groundup.corpus.overlap import overlap
from groundup.corpus.split import split
from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.pipeline.store import Artifact

COLUMNS = {"held_out": "held-out documents", "package": "held-out packages"}
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
    seen = {}
    for name, held_out in columns.items():
        texts = measured_texts(held_out, config["measured_bytes"], config["seed"])
        write_documents(context.work / f"{name}.parquet", texts)
        found = overlap((document.text for document in train), {text.id: text.text for text in texts})
        seen[name] = {"ngrams": found.ngrams, "seen": found.seen, "share": found.share, "words": found.words}
    write_json(
        context.work / "split.json",
        {
            "train": made.train,
            "held_out": made.held_out,
            "package": made.package,
            "left_out": made.left_out,
            "held_out_groups": made.held_out_groups,
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
        "overlap": seen,
    }


def apart(
    held_out: Iterable[Document], clusters: Mapping[str, str], measured_bytes: int, seed: int
) -> tuple[list[Document], list[Document]]:
    """(documents to measure, texts to fit on): no near-duplicate cluster in both.

    What measuring leaves over is fitted on, a third of the documents at least; texts as in `measured_texts`, up to
    measured_bytes.
    """
    order = sorted(held_out, key=lambda document: _draw(document.id, seed))
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


def _draw(identifier: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{identifier}".encode()).digest()


def measured_texts(documents: Iterable[Document], total_bytes: int, seed: int) -> list[Document]:
    """The first MAX_DOCUMENT_BYTES of documents in the order of a hash of their ids, until the bytes are spent."""
    order = sorted(documents, key=lambda document: _draw(document.id, seed))
    taken: list[Document] = []
    left = total_bytes
    for document in order:
        text = document.text.encode()[:MAX_DOCUMENT_BYTES].decode("utf-8", "ignore")
        size = len(text.encode())
        if taken and size > left:
            break
        taken.append(with_text(document, text))
        left -= size
    return taken


def of_split(corpus: Artifact, split: Artifact, part: str) -> Iterator[Document]:
    """The documents of one part of the split ("train", "held_out", …), in the corpus' order."""
    wanted = set(split.read_json("split.json")[part])
    return (document for document in iter_documents(corpus.file("documents.parquet")) if document.id in wanted)
