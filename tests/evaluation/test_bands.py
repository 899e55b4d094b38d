"""Sums by matched length against a plain loop over the tokens."""

from __future__ import annotations

import math
from dataclasses import astuple, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.evaluation.bands import BOUNDS, Band, banded, total

probability = st.floats(1e-6, 0.999)
tokens = st.lists(
    st.tuples(st.integers(0, 50), probability, probability, st.floats(0, 1), st.integers(0, 9)), max_size=40
)


@given(tokens)
def test_bands_sum_what_a_plain_loop_sums(drawn: list[tuple[int, float, float, float, int]]) -> None:
    mixed = [(1 - share) * decoder + share * memory for _, decoder, memory, share, _ in drawn]
    columns = [np.array(column) for column in zip(*drawn, strict=True)] if drawn else [np.zeros(0)] * 5
    lengths, decoder, memory, share, sizes = columns
    found = banded(lengths.astype(np.int64), decoder, memory, np.array(mixed), share, sizes.astype(np.int64))
    assert [(band.low, band.high) for band in found] == list(BOUNDS)
    for band in found:
        sums = dict.fromkeys((field.name for field in fields(Band) if field.name not in ("low", "high")), 0.0)
        for (length, p, q, weight, size), both in zip(drawn, mixed, strict=True):
            if length < band.low or (band.high is not None and length > band.high):
                continue
            sums["tokens"] += 1
            sums["text_bytes"] += size
            sums["decoder_bits"] -= math.log2(p)
            sums["memory_bits"] -= math.log2(q)
            sums["mixed_bits"] -= math.log2(both)
            sums["decided"] += weight * q > (1 - weight) * p
            sums["worse"] += both < p
            sums["saved_bits"] += max(0.0, math.log2(both) - math.log2(p))
            sums["cost_bits"] += max(0.0, math.log2(p) - math.log2(both))
        for name, value in sums.items():
            assert getattr(band, name) == pytest.approx(value, abs=1e-9), name
        assert band.saved_bits - band.cost_bits == pytest.approx(band.decoder_bits - band.mixed_bits, abs=1e-9)
    whole = total(found)
    assert whole.tokens == len(drawn)
    assert whole.text_bytes == sum(size for *_, size in drawn)
    assert whole.mixed_bits == pytest.approx(-sum(map(math.log2, mixed)), abs=1e-9)


def test_bands_of_no_token_are_empty() -> None:
    none = np.zeros(0)
    for band in banded(none.astype(np.int64), none, none, none, none, none.astype(np.int64)):
        assert not any(astuple(band)[2:])
