from __future__ import annotations

import numpy as np
import pytest

from groundup.retrieval.fusion import convex_fusion, reciprocal_rank_fusion
from groundup.retrieval.sparse import Ranking


def ranking(*pairs: tuple[int, float]) -> Ranking:
    return Ranking(np.array([row for row, _ in pairs], np.int64), np.array([score for _, score in pairs], np.float32))


def test_reciprocal_ranks_by_hand() -> None:
    fused = reciprocal_rank_fusion({"a": ranking((5, 9.0), (7, 3.0)), "b": ranking((7, 0.2), (1, 0.1))}, 10)
    assert fused.rows.tolist() == [7, 5, 1]
    assert fused.scores.tolist() == pytest.approx([1 / 61 + 1 / 62, 1 / 61, 1 / 62])


def test_convex_fusion_by_hand() -> None:
    fused = convex_fusion(
        [ranking((0, 4.0), (1, 3.0), (2, 0.0)), ranking((1, 0.9), (3, 0.5), (0, 0.4))], [0.25, 0.75], 10
    )
    assert fused.rows.tolist() == [1, 0, 3, 2]
    assert fused.scores.tolist() == pytest.approx([0.75 * 0.25 + 0.75, 0.25, 0.75 * 0.2, 0.0])


def test_equal_scores_rank_by_row_and_empty_rankings_are_nothing() -> None:
    assert reciprocal_rank_fusion({"a": ranking((9, 1.0)), "b": ranking((4, 1.0))}, 1).rows.tolist() == [4]
    assert convex_fusion([ranking((3, 2.0)), ranking()], [0.5, 0.5], 5).rows.tolist() == [3]
    assert len(reciprocal_rank_fusion({}, 5)) == 0
