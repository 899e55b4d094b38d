"""Measures of a ranking. One form for results everywhere: {query: {document: score}}, never changed in place.

Equal scores rank by document id, so that a measure does not depend on the order in which a dictionary was filled.
Queries that have judgements but no results count 0; queries without a relevant document are not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Results = Mapping[str, Mapping[str, float]]
Judgements = Mapping[str, Mapping[str, int]]  # {query: {document: gain}}; 0 or less: not relevant


def ndcg(results: Results, judgements: Judgements, k: int = 10) -> dict[str, float]:
    """nDCG@k of each query: Σ gain / log2(rank + 1) over the first k, divided by the best order's.

    Gains are linear, as in trec_eval and BEIR (Järvelin & Kekäläinen 2002).
    """
    measured = {}
    for query, relevant in sorted(judgements.items()):
        gains = sorted((gain for gain in relevant.values() if gain > 0), reverse=True)
        if gains:
            ranked = first(results.get(query, {}), k)
            measured[query] = _dcg([max(relevant.get(document, 0), 0) for document in ranked]) / _dcg(gains[:k])
    return measured


def recall(results: Results, judgements: Judgements, k: int = 100) -> dict[str, float]:
    """Share of each query's relevant documents that are among the first k."""
    measured = {}
    for query, judged in sorted(judgements.items()):
        relevant = {document for document, gain in judged.items() if gain > 0}
        if relevant:
            found = relevant.intersection(first(results.get(query, {}), k))
            measured[query] = len(found) / len(relevant)
    return measured


def ndcg_at_10(results: Results, judgements: Judgements) -> dict[str, float]:
    return ndcg(results, judgements, 10)


def recall_at_100(results: Results, judgements: Judgements) -> dict[str, float]:
    return recall(results, judgements, 100)


def first(scores: Mapping[str, float], k: int) -> list[str]:
    """The k best documents, best first."""
    return sorted(scores, key=lambda document: (-scores[document], document))[:k]


def _dcg(gains: list[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
