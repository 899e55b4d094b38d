"""Files → documents, clean and without duplicates, with an account of what went."""

from __future__ import annotations

from collections.abc import Sequence

from groundup.corpus.dedup import DedupResult, deduplicate
from groundup.corpus.document import Document, write_documents
from groundup.corpus.funnel import Event, Funnel
from groundup.corpus.ingest import ingest
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.signatures import signatures
from groundup.corpus.sources import SourceFile
from groundup.errors import CorpusError
from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.progress import Progress
from groundup.stages.execution import Execution


def step(files_digest: str, passed_over_digest: str, policy: CorpusPolicy, total_bytes: int) -> Step:
    """files_digest: of the sources' contents. passed_over_digest: of the events before ingest, for the funnel."""
    return Step(
        "corpus",
        run,
        identity={"files": files_digest, "passed_over": passed_over_digest, "policy": policy.digest()},
        code=("groundup.corpus", "groundup.stages.corpus"),
        disk_bytes=2 * total_bytes,
    )


def run(context: Context) -> None:
    execution: Execution = context.execution
    policy = CorpusPolicy()
    made, events, read = clean_documents(execution, execution.files, policy, context.progress)
    funnel = Funnel([*execution.passed_over, *events])
    write_documents(context.work / "documents.parquet", made.documents)
    funnel.write(context.work / "funnel.parquet")
    write_json(context.work / "clusters.json", made.clusters)
    bytes_in = sum(file.size for file in execution.files)
    bytes_out = sum(len(document.text.encode()) for document in made.documents)
    context.metrics |= {
        "files_in": len(execution.files),
        "bytes_in": bytes_in,
        "documents_read": len(read),
        "bytes_read": sum(len(document.text.encode()) for document in read),
        "documents_out": len(made.documents),
        "bytes_out": bytes_out,
    }
    if not made.documents:
        raise CorpusError(
            f"of {len(execution.files):,} files no document is left after cleaning",
            mend=f"The funnel says why: {_main_reason(funnel)}. Add sources with text in them.",
        )


def clean_documents(
    execution: Execution, files: Sequence[SourceFile], policy: CorpusPolicy, progress: Progress
) -> tuple[DedupResult, list[Event], list[Document]]:
    """(kept documents with clusters, all events, documents before duplicates went). Work is kept by file content."""
    read = ingest(files, policy, execution.cache, execution.workers, progress)
    known = signatures(read.documents, policy, execution.cache, execution.workers, progress)
    result = deduplicate(read.documents, policy, known)
    return result, [*read.events, *result.events], read.documents


def _main_reason(funnel: Funnel) -> str:
    rows = [row for row in funnel.summary() if row.action != "changed"]
    top = max(rows, key=lambda row: row.documents, default=None)
    return f"{top.rule} ({top.documents:,} times, e.g. {top.example_source})" if top else "no file held any text"
