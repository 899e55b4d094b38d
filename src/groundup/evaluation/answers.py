"""Are the answers right, and are questions without an answer refused? Measured on known items.

Answered: the share of questions whose first citation is the right passage (a refusal is a miss). Unanswerable:
questions whose document, with its near-duplicate cluster, is left out of the search; another document may hold an
equal answer by chance, so some of what is not refused is right. The threshold is fitted on other questions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from groundup.evaluation.bootstrap import interval
from groundup.evaluation.collection import ENOUGH_QUERIES, Collection
from groundup.evaluation.verdict import Estimate, Row, Table
from groundup.retrieval.answer import AnswerPolicy, confidence
from groundup.retrieval.chunk import Chunk
from groundup.retrieval.dense import Encoder
from groundup.retrieval.index import Index

ENOUGH_TO_FIT = 20  # questions: fewer would let one decide what is refused
RIGHT, REFUSED = "first citation right", "unanswerable refused"
CAVEAT = (
    "An unanswerable question is one whose document and near-duplicates were left out of the search; another document "
    "may answer it all the same."
)


@dataclass(frozen=True)
class AnswerVerdict:
    """`policy`: the given one with the fitted threshold. `table`: as the report shows it."""

    policy: AnswerPolicy
    table: Table


@dataclass(frozen=True)
class _Outcome:
    confidence: float
    right: bool


def evaluate_answers(
    collection: Collection,
    index: Index,
    *,
    seed: int,
    system: str = "best",
    encoder: Encoder | None = None,
    policy: AnswerPolicy | None = None,
    answerable: int = 200,
    unanswerable: int = 100,
) -> AnswerVerdict:
    """`index` holds the collection's documents (see `search_verdict.index_collection`).

    A quarter of the questions, drawn at random, fits the threshold: each is asked as it is and again without its
    documents. Of the others the first `answerable` are reported as they are and the last `unanswerable` without their
    documents; with few questions these overlap, as questions, never as searches.
    """
    policy = policy or AnswerPolicy()
    queries = sorted(collection.queries)
    drawn = [queries[i] for i in np.random.default_rng(seed).permutation(len(queries)).tolist()]
    fitting, rest = drawn[: len(drawn) // 4], drawn[len(drawn) // 4 :]

    def ask(asked: Sequence[str], *, without: bool) -> list[_Outcome]:
        return [_ask(collection, index, query, policy, system, encoder, without) for query in asked]

    threshold = AnswerPolicy.default_threshold(encoder is not None)
    if len(fitting) >= ENOUGH_TO_FIT:
        threshold = fit_threshold(ask(fitting, without=False), ask(fitting, without=True))
    answered = ask(rest[:answerable], without=False)
    refused = ask(rest[max(0, len(rest) - unanswerable) :], without=True)
    table = _table(answered, refused, threshold, seed, len(fitting) if len(fitting) >= ENOUGH_TO_FIT else 0)
    return AnswerVerdict(replace(policy, threshold=threshold), table)


def fit_threshold(answered: Sequence[_Outcome], without: Sequence[_Outcome]) -> float:
    """The confidence that maximises the mean of both shares: right and answered, refused. The middle of equal ones."""
    assert answered, "the caller sees that there are enough"
    assert without
    values = sorted({0.0, *(outcome.confidence for outcome in (*answered, *without))})
    candidates = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(values)), values[-1] + 1e-6]
    right = np.sort([outcome.confidence for outcome in answered if outcome.right])
    others = np.sort([outcome.confidence for outcome in without])
    gains = [
        (len(right) - np.searchsorted(right, c)) / len(answered) + np.searchsorted(others, c) / len(others)
        for c in candidates
    ]
    best = [c for c, gain in zip(candidates, gains, strict=True) if gain >= max(gains) - 1e-12]
    return float(best[len(best) // 2])


def _ask(
    collection: Collection,
    index: Index,
    query: str,
    policy: AnswerPolicy,
    system: str,
    encoder: Encoder | None,
    without: bool = False,
) -> _Outcome:
    exclude = _cluster_of(collection, query) if without else frozenset()
    question = collection.queries[query]
    cited, value = confidence(index, question, policy, system=system, encoder=encoder, exclude=exclude)
    return _Outcome(value, cited is not None and _is_right(collection, query, cited))


def _is_right(collection: Collection, query: str, cited: Chunk) -> bool:
    item = collection.item_of_chunk.get(cited.id, cited.document_id)
    return collection.judgements[query].get(item, 0) > 0


def _cluster_of(collection: Collection, query: str) -> frozenset[str]:
    """Ids of the documents that hold the answer, and of all in their clusters."""
    documents = {item.partition(":")[0] for item, gain in collection.judgements[query].items() if gain > 0}
    clusters = {collection.clusters[document] for document in documents if document in collection.clusters}
    return frozenset(documents | {d for d, cluster in collection.clusters.items() if cluster in clusters})


def _table(
    answered: Sequence[_Outcome], without: Sequence[_Outcome], threshold: float, seed: int, fitted_on: int
) -> Table:
    values: dict[str, Estimate] = {}
    if answered:
        values[RIGHT] = interval([float(o.right and o.confidence >= threshold) for o in answered], seed)
    if without:
        values[REFUSED] = interval([float(o.confidence < threshold) for o in without], seed)
    warnings = [CAVEAT]
    if len(answered) < ENOUGH_QUERIES or len(without) < ENOUGH_QUERIES:
        warnings.insert(0, f"Too few to tell: {len(answered)} questions with an answer, {len(without)} without.")
    sentence = "No questions could be made from this corpus."
    if values:
        parts = []
        if RIGHT in values:
            unrefused = sum(o.right for o in answered) / len(answered)
            parts.append(
                f"the first citation is the right passage for {values[RIGHT].value:.0%} of {values[RIGHT].n} questions "
                f"({unrefused:.0%} if none were refused)"
            )
        if REFUSED in values:
            parts.append(f"{values[REFUSED].value:.0%} of {values[REFUSED].n} without an answer are refused")
        source = f"fitted on {fitted_on} other questions" if fitted_on else "the default: too few questions to fit one"
        sentence = f"{' and '.join(parts)} (threshold {threshold:.2f}, {source})."
        sentence = sentence[0].upper() + sentence[1:]
    return Table(
        id="answers",
        title="Answers",
        metric="share",
        unit="of questions",
        higher_is_better=True,
        columns=[RIGHT, REFUSED],
        rows=[Row("extractive answers", "candidate", values, serves=bool(values))],
        sentence=sentence,
        warnings=warnings,
    )
