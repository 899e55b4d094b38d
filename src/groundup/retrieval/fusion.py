"""Several rankings into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from groundup.retrieval.sparse import Ranking

RRF_K = 60  # Cormack, Clarke & Büttcher 2009; flat between 20 and 100 on the sets measured in the log

# Share of the dense score in the convex fusion where none was fitted (`search_verdict.fit_dense_weight`). The best
# lies at .5 on SciFact's training queries and at .9 on CoSQA's; .7 loses least on both together.
DENSE_WEIGHT = 0.7


def reciprocal_rank_fusion(
    rankings: Mapping[str, Ranking], k: int, constant: int = RRF_K, weights: Mapping[str, float] | None = None
) -> Ranking:
    """Σ weight / (constant + rank) over the systems that found a row, ranks from 1. Needs no scores on one scale."""
    fused: dict[int, float] = {}
    for name in sorted(rankings):
        weight = 1.0 if weights is None else weights.get(name, 1.0)
        for rank, row in enumerate(rankings[name].rows.tolist(), start=1):
            fused[row] = fused.get(row, 0.0) + weight / (constant + rank)
    return _best(fused, k)


def convex_fusion(rankings: Sequence[Ranking], weights: Sequence[float], k: int) -> Ranking:
    """Σ weight · (score − least) / (best − least) over each ranking; a row that a system did not find counts 0 there.

    (Bruch, Gai & Ingber 2023: better than reciprocal ranks where a weight can be fitted.)
    """
    fused: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        if not len(ranking):
            continue
        least, best = float(ranking.scores[-1]), float(ranking.scores[0])
        spread = (best - least) or 1.0
        for row, score in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True):
            fused[row] = fused.get(row, 0.0) + weight * ((score - least) / spread if best > least else 1.0)
    return _best(fused, k)


def _best(fused: Mapping[int, float], k: int) -> Ranking:
    ordered = sorted(fused.items(), key=lambda item: (-item[1], item[0]))[:k]
    rows = np.array([row for row, _ in ordered], np.int64)
    return Ranking(rows, np.array([score for _, score in ordered], np.float32))
