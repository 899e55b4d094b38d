"""The table of the ways to use a corpus: against sums and shares worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from groundup.evaluation.bootstrap import paired_ratio
from groundup.evaluation.verdict import Table, render_text
from groundup.evaluation.ways import COLUMN, Way, ways_table

OFFSETS = np.array([0, 2, 3, 6, 7, 8, 9])
BYTES = np.array([1, 3, 2, 4, 1, 1, 2, 2, 2])


def way(name: str, bits: list[float], label: str = "") -> Way:
    return Way(name, np.array(bits) * math.log(2), f"note of {name}", label)


ALONE = way("base", [4, 4, 2, 4, 4, 4, 3, 3, 3])
HALVED = way("base + memory", [2, 2, 1, 2, 2, 2, 1.5, 1.5, 1.5], "memory")
NOISY = way("base + passages", [2, 2, 4, 5, 5, 4, 2, 3, 3], "passages")


def test_bits_per_byte_are_those_of_all_tokens_and_rows_stand_from_the_best_on() -> None:
    table = ways_table(ALONE, [NOISY, HALVED], OFFSETS, BYTES, seed=0)
    values = {row.name: row.values[COLUMN] for row in table.rows}
    assert values["base"].value == pytest.approx(31 / 18)
    assert values["base + passages"].value == pytest.approx(30 / 18)
    assert values["base + memory"].value == pytest.approx(15.5 / 18)
    assert [row.name for row in table.rows] == ["base + memory", "base + passages", "base"]
    assert {estimate.n for estimate in values.values()} == {6}
    assert table.champion is None
    assert Table.from_json(table.to_json()) == table


def test_ways_are_compared_by_the_paired_bootstrap_over_documents() -> None:
    table = ways_table(ALONE, [HALVED], OFFSETS, BYTES, seed=3)
    (pair,) = table.comparisons
    before, after, size = [8, 2, 12, 3, 3, 3], [4, 1, 6, 1.5, 1.5, 1.5], [4, 2, 6, 2, 2, 2]
    expected = paired_ratio(after, before, size, 3)
    assert (pair.better, pair.worse, pair.settled) == ("base + memory", "base", True)
    assert pair.difference.value == pytest.approx(expected.value)
    assert (pair.difference.low, pair.difference.high) == pytest.approx((expected.low, expected.high))


def test_the_sentence_says_what_each_way_brings_and_what_may_be_chance() -> None:
    sentence = ways_table(ALONE, [HALVED, NOISY], OFFSETS, BYTES, seed=0).sentence
    assert sentence.startswith("For the ends of 6 held-out documents base needs 1.722 bits per byte; ")
    # The halved figure is half in every document, but documents differ in bits per byte: so the interval is around 50.
    assert "with memory 50 % fewer (interval " in sentence
    assert sentence.endswith("; with passages 3 % fewer, which may be chance.")
    worse = way("base + passages", [8, 8, 4, 8, 8, 8, 6, 6, 6], "passages")
    assert "with passages 100 % more (interval " in ways_table(ALONE, [worse], OFFSETS, BYTES, seed=0).sentence


def test_too_few_documents_say_so() -> None:
    alone, halved = (Way(one.name, one.nats[:7], one.note, one.label) for one in (ALONE, HALVED))
    table = ways_table(alone, [halved], OFFSETS[:5], BYTES[:7], seed=0)
    assert "too few documents to tell" in table.sentence


def test_the_table_fits_a_terminal() -> None:
    table = ways_table(ALONE, [HALVED, NOISY], OFFSETS, BYTES, seed=0)
    assert max(map(len, render_text(table, 110).splitlines())) <= 110
