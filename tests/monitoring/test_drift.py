from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from groundup.errors import StoreError
from groundup.monitoring.drift import (
    BANDS,
    DRIFTED,
    MIN_QUERIES,
    QueryCounts,
    Reference,
    _by_chance,
    band,
    count_query,
    counts_in,
    make_reference,
    measure,
    psi,
)

COUNTS = st.lists(st.integers(0, 500), min_size=BANDS, max_size=BANDS)
USUAL = np.array([2, 5, 8, 10, 15, 20, 20, 20]) / 100
FOREIGN = np.array([60, 10, 5, 5, 5, 5, 5, 5]) / 100


def queries(shares: np.ndarray, count: int, seed: int, nearest: float | None = None) -> list[QueryCounts]:
    random = np.random.default_rng(seed)
    return [QueryCounts(random.multinomial(5, shares).tolist(), nearest) for _ in range(count)]


@given(COUNTS, COUNTS)
def test_psi_is_symmetric_and_zero_only_for_equal_shares(left: list[int], right: list[int]) -> None:
    assert psi(left, left) == 0
    assert psi(left, right) == pytest.approx(psi(right, left))
    assert psi(left, right) >= 0


def test_psi_is_the_sum_of_both_divergences() -> None:
    # Jeffreys divergence: KL(p‖q) + KL(q‖p), computed another way, on counts where smoothing hardly shows.
    left, right = [10_000 * n for n in (1, 2, 3, 4, 5, 6, 7, 8)], [10_000 * n for n in (8, 7, 6, 5, 4, 3, 2, 1)]
    p, q = np.array(left) / sum(left), np.array(right) / sum(right)
    expected = (p * np.log(p / q)).sum() + (q * np.log(q / p)).sum()
    assert psi(left, right) == pytest.approx(expected, rel=1e-3)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_bands_grow_with_frequency_and_zero_is_for_absent_terms(a: int, b: int, chunks: int) -> None:
    low, high = sorted((a, b))
    assert 0 <= band(low, chunks) <= band(high, chunks) < BANDS
    assert (band(a, chunks) == 0) is (a == 0)


def test_a_query_is_counted_by_the_frequency_of_its_terms() -> None:
    frequency = {"json": 5000, "scanstring": 1}
    counts = count_query(["json", "scanstring", "zebra"], lambda term: frequency.get(term, 0), 100_000, 0.4)
    assert counts.bands == [1, 1, 0, 0, 0, 0, 0, 1]
    assert counts_in([{"query": counts.to_record()}]) == [counts]


@pytest.mark.parametrize("seed", range(5))
def test_queries_like_the_reference_are_stable_and_others_drift(seed: int) -> None:
    reference = make_reference(queries(USUAL, 300, 100 + seed, 0.6))
    same, other = measure(reference, queries(USUAL, 200, seed, 0.58)), measure(reference, queries(FOREIGN, 200, seed))
    assert same.verdict == "stable"
    assert other.verdict == "drifted"
    assert other.psi is not None
    assert other.psi > DRIFTED
    assert other.unknown_share == pytest.approx(0.6, abs=0.05)
    assert "not in the corpus" in other.sentence


def test_vectors_far_from_the_corpus_are_drift_even_if_words_are_usual() -> None:
    reference = make_reference(queries(USUAL, 300, 1, 0.6))
    assert measure(reference, queries(USUAL, 200, 2, 0.45)).verdict == "drifted"


def test_too_few_queries_give_no_figure() -> None:
    reference = make_reference(queries(USUAL, 300, 1))
    drift = measure(reference, queries(FOREIGN, MIN_QUERIES - 1, 2))
    assert (drift.verdict, drift.psi) == ("too few queries", None)
    assert "too few to tell" in drift.sentence
    assert measure(None, []).verdict == "too few queries"


def test_what_chance_gives_is_the_chi_squared_quantile() -> None:
    expected = chi2.ppf(0.95, BANDS - 1) * (1 / 250 + 1 / 5000)
    assert _by_chance(250, 5000) == pytest.approx(expected, rel=0.01)


def test_a_false_alarm_is_rare() -> None:
    # 200 small samples of the reference's own distribution: none may be called drifted, few moving.
    reference = make_reference(queries(USUAL, 300, 1))
    verdicts = [measure(reference, queries(USUAL, MIN_QUERIES, seed)).verdict for seed in range(200)]
    assert verdicts.count("drifted") == 0
    assert verdicts.count("stable") >= 180


def test_a_reference_survives_json_and_a_broken_one_is_named() -> None:
    reference = make_reference(queries(USUAL, 10, 1, 0.5))
    assert Reference.from_json(reference.to_json()) == reference
    for text in ("{", "{}", '{"bands": [1], "queries": 1}'):
        with pytest.raises(StoreError, match="drift reference"):
            Reference.from_json(text)


def test_records_of_another_form_are_passed_over() -> None:
    good = {"query": {"bands": [1] * BANDS, "nearest": 0.5}}
    assert len(counts_in([{}, {"query": 3}, {"query": {"bands": [1]}}, {"query": {"bands": ["x"] * BANDS}}, good])) == 1
