"""The prompt for a generated answer: the passages with their numbers, then the question."""

from __future__ import annotations

from groundup.serving.results import Citation, Extract, Quote

INSTRUCTION = (
    "Answer the question in two or three sentences, using only the passages. "
    "If they don't answer it, say that they don't."
)
MAX_PASSAGES = 3  # a small model loses the question behind more
MAX_PASSAGE = 900  # characters of each, around its first quote


def passages(extract: Extract) -> str:
    """ "[1] source: text", a blank line between."""
    shown = []
    for citation in extract.citations[:MAX_PASSAGES]:
        quotes = [quote for quote in extract.quotes if quote.citation == citation.number]
        shown.append(f"[{citation.number}] {citation.source}:\n{_around(citation, quotes)}")
    return "\n\n".join(shown)


def chat_messages(question: str, extract: Extract) -> list[dict[str, str]]:
    content = f"{INSTRUCTION}\n\n{passages(extract)}\n\nQuestion: {question}"
    return [{"role": "user", "content": content}]


def completion_prompt(question: str, extract: Extract) -> str:
    """For a model that only continues text: a page on which the answer comes next."""
    return f"{passages(extract)}\n\nQuestion: {question}\nAnswer:"


def _around(citation: Citation, quotes: list[Quote]) -> str:
    if len(citation.text) <= MAX_PASSAGE:
        return citation.text
    start = max(0, min((quote.start for quote in quotes), default=0) - MAX_PASSAGE // 4)
    end = start + MAX_PASSAGE
    return ("…" if start else "") + citation.text[start:end] + ("…" if end < len(citation.text) else "")
