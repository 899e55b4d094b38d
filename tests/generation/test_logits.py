"""Against transformers' own processors, and against the distribution they define."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare
from transformers import (
    LogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from groundup.generation import logits as ours
from groundup.generation.sampling import Sampling

V = 50


def random_logits(seed: int, size: int = V) -> ours.Logits:
    return np.random.default_rng(seed).normal(0, 3, size)


def theirs(processor: LogitsProcessor, values: ours.Logits, seen: list[int] | None = None) -> ours.Logits:
    ids = torch.tensor([seen or []], dtype=torch.long)
    result: ours.Logits = processor(ids, torch.tensor(values)[None])[0].numpy()
    return result


@pytest.mark.parametrize("seed", range(20))
def test_each_step_equals_that_of_transformers(seed: int) -> None:
    values, seen = random_logits(seed), [3, 3, 7, 11]
    share = (seed + 1) / 21
    np.testing.assert_array_equal(
        ours.repetition(values, seen, 1.3), theirs(RepetitionPenaltyLogitsProcessor(1.3), values, seen)
    )
    np.testing.assert_allclose(
        ours.temperature(values, 0.6) + values.max() / 0.6, theirs(TemperatureLogitsWarper(0.6), values), rtol=1e-12
    )
    np.testing.assert_array_equal(ours.top_k(values, 1 + seed), theirs(TopKLogitsWarper(1 + seed), values))
    np.testing.assert_array_equal(ours.top_p(values, share), theirs(TopPLogitsWarper(share), values))
    np.testing.assert_array_equal(ours.min_p(values, share), theirs(MinPLogitsWarper(share), values))


def test_the_order_is_penalties_temperature_top_k_nucleus_min_p() -> None:
    values, seen = random_logits(4), [1, 2, 2]
    sampling = Sampling(temperature=1.7, top_k=20, top_p=0.9, min_p=0.05, repetition_penalty=1.2)
    expected = values
    for processor in (
        RepetitionPenaltyLogitsProcessor(1.2),
        TemperatureLogitsWarper(1.7),
        TopKLogitsWarper(20),
        TopPLogitsWarper(0.9),
        MinPLogitsWarper(0.05),
    ):
        expected = theirs(processor, expected, seen)
    got = ours.processed(values, seen[:1], seen[1:], sampling)
    np.testing.assert_allclose(ours.softmax(got), ours.softmax(expected), rtol=1e-12)
    # Another order keeps other tokens here, so the comparison says something.
    other = ours.temperature(ours.top_p(ours.top_k(ours.repetition(values, seen, 1.2), 20), 0.9), 1.7)
    assert np.isfinite(other).sum() != np.isfinite(got).sum()


def test_presence_and_frequency_follow_the_published_formula() -> None:
    # logit − count · frequency − (count > 0) · presence, over generated tokens (OpenAI's API reference)
    values = random_logits(0)
    got = ours.presence_and_frequency(values, [5, 5, 9], 0.5, 0.25)
    expected = values.copy()
    expected[5] -= 2 * 0.25 + 0.5
    expected[9] -= 0.25 + 0.5
    np.testing.assert_allclose(got, expected)


@given(
    arrays(np.float64, st.integers(1, 40), elements=st.floats(-50, 50)),
    st.floats(0, 1),
    st.integers(1, 50),
    st.floats(0, 1),
    st.floats(0.01, 10),
)
@settings(max_examples=200, deadline=None)
def test_filters_keep_the_likeliest_token_and_change_no_other_kept_one(
    values: ours.Logits, p: float, k: int, share: float, heat: float
) -> None:
    for out in (ours.top_p(values, p), ours.top_k(values, k), ours.min_p(values, share)):
        kept = out > -np.inf
        assert kept.any()
        np.testing.assert_array_equal(out[kept], values[kept])
        assert values[kept].max() == pytest.approx(values.max(), abs=1e-12)
    drawn = ours.processed(values, [], [], Sampling(temperature=heat, top_k=k, top_p=p, min_p=share))
    assert np.isfinite(drawn.max())


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-30, 30)), st.floats(0, 0.999))
@settings(max_examples=200, deadline=None)
def test_nucleus_is_the_smallest_set_that_reaches_the_mass(values: ours.Logits, p: float) -> None:
    kept = ours.top_p(values, p) > -np.inf
    probabilities = ours.softmax(values)
    mass = probabilities[kept].sum()
    assert mass >= p - 1e-9
    assert kept.sum() == 1 or mass - probabilities[kept].min() < p + 1e-9  # without its smallest it falls short
    if not kept.all():
        assert probabilities[~kept].max() <= probabilities[kept].min() + 1e-15


def test_draws_follow_the_processed_distribution() -> None:
    values = random_logits(2, 12)
    sampling = Sampling(temperature=1.3, top_p=0.95)
    row = ours.processed(values, [], [], sampling)
    expected = ours.softmax(row)
    random = np.random.default_rng(7)
    counts = np.bincount([ours.draw(row, sampling, random) for _ in range(20_000)], minlength=len(values))
    kept = expected > 0
    assert counts[~kept].sum() == 0
    assert (~kept).any()
    assert chisquare(counts[kept], expected[kept] * counts.sum()).pvalue > 0.001


def test_greedy_takes_the_largest_after_penalties_and_the_lower_id_of_equals() -> None:
    sampling = Sampling(temperature=0, presence_penalty=1.0, top_k=1)
    row = ours.processed(np.array([1.0, 5.0, 5.0, 4.5]), [], [1], sampling)
    assert ours.draw(row, sampling, np.random.default_rng(0)) == 2
    assert ours.draw(np.array([1.0, 5.0, 5.0]), sampling, np.random.default_rng(0)) == 1


def test_a_tiny_temperature_is_greedy_and_no_nan() -> None:
    row = ours.processed(random_logits(1), [], [], Sampling(temperature=1e-300))
    assert np.isfinite(ours.softmax(row)).all()
    assert ours.draw(row, Sampling(), np.random.default_rng(0)) == int(np.argmax(random_logits(1)))
