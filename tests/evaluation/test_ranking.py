from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from groundup.evaluation.ranking import first, ndcg, ndcg_at_10, recall_at_100


def test_ndcg_by_hand() -> None:
    # gains 3, 0, 2 at ranks 1, 2, 3: (3 + 2 / 2) / (3 + 2 / log2(3))
    results = {"q": {"a": 9.0, "b": 8.0, "c": 7.0}}
    judgements = {"q": {"a": 3, "c": 2, "b": 0}}
    assert ndcg_at_10(results, judgements) == {"q": pytest.approx(4 / (3 + 2 / np.log2(3)))}


def test_ranks_beyond_ten_count_nothing_and_the_ideal_is_cut_there_too() -> None:
    results = {"q": {f"d{i:02d}": -float(i) for i in range(20)}}
    assert ndcg_at_10(results, {"q": {"d10": 1}}) == {"q": 0.0}
    assert ndcg_at_10(results, {"q": {f"d{i:02d}": 1 for i in range(20)}}) == {"q": pytest.approx(1.0)}


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-500, 500)), min_size=2, max_size=30, unique_by=lambda p: p[1]),
    st.integers(1, 12),
)
def test_ndcg_equals_scikit_learn(pairs: list[tuple[int, int]], k: int) -> None:
    gains, scores = zip(*pairs, strict=True)
    if not any(gains):
        return
    results = {"q": {f"d{i}": float(score) for i, score in enumerate(scores)}}
    judgements = {"q": {f"d{i}": gain for i, gain in enumerate(gains)}}
    expected = ndcg_score([gains], [scores], k=k)
    assert ndcg(results, judgements, k)["q"] == pytest.approx(expected, abs=1e-12)


def test_recall_by_hand() -> None:
    results = {"q": {f"d{i:03d}": -float(i) for i in range(150)}}
    judgements = {"q": {"d000": 1, "d099": 2, "d100": 1, "absent": 1, "d005": 0}}
    assert recall_at_100(results, judgements) == {"q": 0.5}


def test_a_query_without_results_counts_zero_and_one_without_relevant_documents_does_not_count() -> None:
    assert ndcg_at_10({}, {"q": {"a": 1}, "r": {"a": 0}}) == {"q": 0.0}
    assert recall_at_100({"r": {"a": 1.0}}, {"q": {"a": 1}, "r": {"a": -1}}) == {"q": 0.0}


def test_equal_scores_rank_by_id_whatever_the_order_of_the_dictionary() -> None:
    assert first({"b": 1.0, "a": 1.0, "c": 2.0}, 3) == first({"c": 2.0, "a": 1.0, "b": 1.0}, 3) == ["c", "a", "b"]


def test_nothing_given_is_changed() -> None:
    results, judgements = {"q": {"b": 1.0, "a": 2.0}}, {"q": {"a": 1, "b": 2, "c": -1}}
    before = copy.deepcopy((results, judgements))
    ndcg_at_10(results, judgements)
    recall_at_100(results, judgements)
    assert (results, judgements) == before
