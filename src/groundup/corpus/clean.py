"""One document from raw to clean: repair, mask, tell the language, judge."""

from __future__ import annotations

from dataclasses import replace

from groundup.corpus.document import Document, with_text
from groundup.corpus.filters import first_refusal
from groundup.corpus.funnel import Event, cut
from groundup.corpus.language import detect
from groundup.corpus.pii import Masked, mask
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.repair import repair


def clean(document: Document, policy: CorpusPolicy) -> tuple[Document | None, list[Event]]:
    """The clean document, or None where a filter refuses it, with the events for the funnel.

    Masks come before the filters, so that nothing the funnel quotes holds what a mask hides, and cleaning a clean
    document changes nothing. Events of changes carry the id of the clean document, those of a removal the id of the
    one given. The text, the title and the values of the metadata are masked; source and group are where the document
    is found and stay.
    """
    code = document.kind == "code"
    text, repaired = repair(document.text, code=code)
    text, masked = mask(text, policy, code=code)
    clean_document = with_text(document, text) if text != document.text else document
    clean_document = _mask_labels(clean_document, policy)
    if document.kind == "prose" and not document.language:
        clean_document = replace(clean_document, language=detect(text, policy)[0])

    refusal = first_refusal(clean_document, policy)
    if refusal:
        return None, [_removal(document, clean_document, refusal)]
    return clean_document, _changes(clean_document, repaired, masked)


def _mask_labels(document: Document, policy: CorpusPolicy) -> Document:
    labels = {"title": document.title, **{f"metadata {key}": value for key, value in document.metadata.items()}}
    if not any("@" in label or sum(map(str.isdigit, label)) > 6 for label in labels.values()):
        return document  # nearly all: a title without address and number
    title, _ = mask(document.title, policy, code=False)
    metadata = {key: mask(value, policy, code=False)[0] for key, value in document.metadata.items()}
    return replace(document, title=title, metadata=metadata)


def _removal(document: Document, masked: Document, refusal: str) -> Event:
    return Event(
        action="removed",
        stage="filter",
        rule=refusal.partition(":")[0],
        reason=refusal,
        source=document.source,
        document_id=document.id,
        bytes=len(document.text.encode("utf-8", "surrogatepass")),
        example=cut(masked.text[:400]),
    )


def _changes(document: Document, repaired: dict[str, int], masked: list[Masked]) -> list[Event]:
    size = len(document.text.encode("utf-8", "surrogatepass"))
    events = []
    for rule, count in repaired.items():
        reason = f"{rule}: {count} repaired"
        events.append(Event("changed", "clean", rule, reason, document.source, document.id, count, size))
    for found in masked:
        rule = f"mask_{found.kind}"
        reason = f"{rule}: {found.count} masked"
        example = cut(found.example)
        events.append(
            Event("changed", "clean", rule, reason, document.source, document.id, found.count, found.bytes, example)
        )
    return events
