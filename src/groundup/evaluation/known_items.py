"""Questions with known answers, made from the corpus by rules that do not leak the answer.

Code: the first sentence of a held-out function's docstring asks for that function, in a collection where every
docstring is taken out, of every document. Prose: a heading asks for its section, among sections without headings.
Left out are questions that a name already answers, that are asked twice, or whose answer stands there twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from groundup.corpus.document import make_document, with_text
from groundup.evaluation.collection import Collection
from groundup.evaluation.docstrings import Function, functions, strip_docstrings
from groundup.retrieval.analyzer import Analyzer
from groundup.retrieval.chunk import chunk_document, spans_of
from groundup.retrieval.chunk_prose import headings, sections

if TYPE_CHECKING:
    from groundup.corpus.document import Document

SHORTEST_QUESTION = 4  # words of a docstring's sentence: "Return the value." asks for nothing in particular
SHORTEST_HEADING = 2  # words
SHORTEST_SECTION = 100  # characters without the heading


@dataclass(frozen=True)
class _Question:
    text: str
    item: str
    content: str  # digest of the answer's text: one that stands there twice has no one answer


def known_items(
    held_out: Iterable[Document],
    training: Iterable[Document],
    *,
    seed: int,
    queries: int = 500,
    distractor_chunks: int = 2_000,
    clusters: Mapping[str, str] | None = None,
    name: str = "known items",
) -> Collection:
    """The corpus' own questions. All chunks of the held-out documents are in the collection, and whole training
    documents in a random order until they add `distractor_chunks` chunks. At most `queries` questions, a sample.

    Deterministic in documents and seed; the order of documents does not matter.
    """
    analyzer = Analyzer()
    clusters = clusters or {}
    asked: list[_Question] = []
    documents: list[Document] = []
    item_of_chunk: dict[str, str] = {}
    groups: dict[str, str] = {}

    def add(members: Sequence[Document], origin: Document) -> None:
        documents.extend(members)
        groups.update((member.id, clusters.get(origin.id, origin.id)) for member in members)

    own = sorted(held_out, key=_order)
    for document in own:
        if document.kind == "code":
            stripped, questions = _code_questions(document, analyzer, item_of_chunk)
            members = [] if stripped is None else [stripped]
        elif document.kind == "prose":
            members, questions = _prose_questions(document, item_of_chunk)
        else:
            members, questions = [document], []
        add(members, document)
        asked += questions
    distractors, chunks = 0, 0
    rest = sorted(training, key=_order)
    for index in np.random.default_rng(seed).permutation(len(rest)).tolist():
        if chunks >= distractor_chunks:
            break
        members = _without_answers(rest[index])
        add(members, rest[index])
        chunks += sum(len(spans_of(member)) for member in members)
        distractors += 1
    kept = _sample(_unambiguous(asked), queries, seed)
    note = (
        f"{len(kept):,} questions over {len(own):,} held-out documents, with {chunks:,} chunks of {distractors:,} "
        "training documents beside them; docstrings and headings are taken out of everything searched"
    )
    return Collection(
        name=name,
        documents=documents,
        queries={f"q{number:04d}": question.text for number, question in enumerate(kept)},
        judgements={f"q{number:04d}": {question.item: 1} for number, question in enumerate(kept)},
        item_of_chunk=item_of_chunk,
        clusters=groups,
        own=True,
        note=note,
    )


def _order(document: Document) -> tuple[str, str]:
    return document.source, document.id


def _code_questions(
    document: Document, analyzer: Analyzer, item_of_chunk: dict[str, str]
) -> tuple[Document | None, list[_Question]]:
    """The document without docstrings, and what its functions' docstrings ask; other languages stay as they are."""
    text = strip_docstrings(document.text)
    if text is None:
        return (document if document.language not in ("python", "") else None), []
    stripped = with_text(document, text)
    before, after = functions(document.text), functions(text)
    if len(before) != len(after):  # the marks changed how the file parses: rather no question than a wrong one
        return stripped, []
    chunks = chunk_document(stripped)
    questions = []
    for old, new in zip(before, after, strict=True):
        sentence = old.sentence
        if not new.substantial or not _asks(sentence, old, analyzer):
            continue
        item = f"{stripped.id}:{new.start}"
        mine = [c.id for c in chunks if c.kind == "function" and c.start < new.end and c.end > new.start]
        if not mine:  # a function inside an `if`: it has no chunk of its own
            continue
        item_of_chunk.update(dict.fromkeys(mine, item))
        questions.append(_Question(sentence, item, _digest(text[new.start : new.end])))
    return stripped, questions


def _asks(sentence: str, function: Function, analyzer: Analyzer) -> bool:
    """Whether the sentence is a question of its own: long enough, and more than the function's name in words."""
    if len(sentence.split()) < SHORTEST_QUESTION or f"{function.name}(" in sentence:
        return False
    return not set(analyzer.terms(sentence)) <= set(analyzer.terms(f"{function.name} {function.qualified_name}"))


def _prose_questions(document: Document, item_of_chunk: dict[str, str]) -> tuple[list[Document], list[_Question]]:
    """One document a section, without headings, and what the headings ask."""
    members, questions = [], []
    for member, heading in _sections_alone(document):
        members.append(member)
        name = " ".join(heading.split())
        if len(name.split()) < SHORTEST_HEADING or len(member.text.strip()) < SHORTEST_SECTION:
            continue
        if name.lower() in document.title.lower():
            continue
        item_of_chunk.update((chunk.id, member.id) for chunk in chunk_document(member))
        questions.append(_Question(name, member.id, _digest(member.text)))
    return members, questions


def _sections_alone(document: Document) -> list[tuple[Document, str]]:
    """Each section's text as a document, and its heading ("" for text before the first)."""
    found = headings(document.text)
    names = {heading.name for heading in found}
    title = "" if document.title in names else document.title
    result = []
    for number, (start, end, path) in enumerate(sections(document.text)):
        inside = [heading for heading in found if start <= heading.start < end]
        body = document.text[inside[-1].body : end] if inside else document.text[start:end]
        if body.strip():
            # The source is what a title falls back to: it must not hold the heading.
            member = make_document(
                f"{document.source}#{number}", body, group=document.group, title=title or document.group, kind="prose",
                language=document.language,
            )  # fmt: skip
            result.append((member, path[-1] if path and inside else ""))
    return result


def _without_answers(document: Document) -> list[Document]:
    """A training document in the form in which held-out ones are searched."""
    if document.kind == "code":
        text = strip_docstrings(document.text)
        if text is not None:
            return [with_text(document, text)]
        return [document] if document.language not in ("python", "") else []
    if document.kind == "prose":
        return [member for member, _ in _sections_alone(document)]
    return [document]


def _unambiguous(questions: Sequence[_Question]) -> list[_Question]:
    asked = Counter(question.text.lower() for question in questions)
    answers = Counter(question.content for question in questions)
    return [q for q in questions if asked[q.text.lower()] == 1 and answers[q.content] == 1]


def _sample(questions: list[_Question], size: int, seed: int) -> list[_Question]:
    if len(questions) <= size:
        return questions
    chosen = np.random.default_rng([seed, 1]).choice(len(questions), size, replace=False)
    return [questions[index] for index in sorted(chosen.tolist())]


def _digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()
