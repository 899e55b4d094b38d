"""bootstrap.py against scipy, the normal approximation, and the coverage it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from groundup.evaluation import bootstrap


def test_interval_of_a_mean_is_the_one_of_scipy() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=200)
    ours = bootstrap.interval(values, seed=3, resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean(), rel=1e-12)
    assert ours.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.04 * width)
    assert ours.n == 200


def test_interval_of_a_ratio_is_the_one_of_scipy() -> None:
    generator = np.random.default_rng(2)
    lengths = generator.integers(100, 5000, size=150).astype(float)
    bits = lengths * generator.normal(2.0, 0.4, size=150)
    ours = bootstrap.ratio_interval(bits, lengths, seed=3, resamples=10_000)
    theirs = stats.bootstrap(
        (bits, lengths),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(bits.sum() / lengths.sum(), rel=1e-12)
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_interval_is_the_normal_one_where_that_is_exact() -> None:
    values = np.random.default_rng(5).normal(10.0, 2.0, size=1000)
    found = bootstrap.interval(values, seed=0, resamples=10_000)
    error = values.std() / np.sqrt(1000)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_interval_holds_the_truth_as_often_as_promised() -> None:
    generator = np.random.default_rng(6)
    trials, hits = 600, 0
    for trial in range(trials):
        lengths = generator.integers(100, 1000, size=80)
        bits = lengths * generator.normal(1.5, 0.3, size=80)
        found = bootstrap.ratio_interval(bits, lengths, seed=trial, resamples=400)
        hits += found.low <= 1.5 <= found.high
    # 600 trials at 95 %: three standard errors are 2.7 points, and percentiles undercover by one at n = 80
    assert 0.91 < hits / trials < 0.98


def test_paired_interval_is_narrower_than_two_apart() -> None:
    generator = np.random.default_rng(7)
    hardness = generator.normal(2.0, 0.8, size=100)
    lengths = generator.integers(500, 2000, size=100)
    first = lengths * (hardness - 0.05 + generator.normal(0, 0.02, size=100))
    second = lengths * hardness
    together = bootstrap.paired_ratio(first, second, lengths, seed=1)
    alone = bootstrap.ratio_interval(first, lengths, seed=1)
    assert together.high < 0
    assert together.high - together.low < 0.1 * (alone.high - alone.low)
    assert together.value == pytest.approx((first.sum() - second.sum()) / lengths.sum())


def test_paired_mean_is_the_mean_of_differences() -> None:
    found = bootstrap.paired([1.0, 0.0, 1.0], [0.0, 0.0, 0.5], seed=0)
    assert found.value == pytest.approx(0.5)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_same_seed_gives_the_same_interval_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(8).random(50)
    whole = bootstrap.interval(values, seed=9)
    monkeypatch.setattr(bootstrap, "BLOCK", 1700)
    assert bootstrap.interval(values, seed=9) == whole
    assert bootstrap.interval(values, seed=10) != whole


def test_documents_without_bytes_weigh_nothing() -> None:
    found = bootstrap.ratio_interval([8.0, 0.0, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0], seed=0)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("above", "below", "match"),
    [
        ([], [], "at least one"),
        ([1.0, 2.0], [1.0], "same documents"),
        ([1.0], [0.0], "above it"),
        ([1.0, 1.0], [2.0, -1.0], "at least zero"),
        ([float("nan")], [1.0], "not finite"),
        ([[1.0]], [[1.0]], "one dimension"),
    ],
)
def test_what_has_no_interval_is_refused(above: list[float], below: list[float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        bootstrap.ratio_interval(above, below, seed=0)
