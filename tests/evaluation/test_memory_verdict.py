"""What is said of a decoder with memory, and whether it serves so, follows from the paired interval."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from groundup.evaluation.language_verdict import System, language_table
from groundup.evaluation.memory_verdict import helps, memory_sentence
from groundup.evaluation.verdict import Estimate, Table
from tests.evaluation.test_language_verdict import DOCUMENTS, GRAM, LENGTHS, PACKAGES, scores, system

UNLIKE = "unlike training"
BOTH = "base + memory"


def mixture(value: float, noise: float = 0.02, n: int = 80, **columns: float) -> System:
    measured = {DOCUMENTS: scores(value, noise, seed=7, n=n)}
    measured |= {name: scores(figure, seed=8, n=n) for name, figure in columns.items()}
    return System(BOTH, "candidate", measured, decoder="base", brought=True)


def table(with_memory: System, base: float = 1.0, n: int = 80, **columns: float) -> Table:
    measured = {DOCUMENTS: scores(base, seed=4, n=n)}
    measured |= {name: scores(figure, seed=5, n=n) for name, figure in columns.items()}
    alone = System("base", "candidate", measured, brought=True)
    return language_table(
        [alone, with_memory, system(GRAM, 1.4, "baseline")] if n == 80 else [alone, with_memory], seed=0
    )


def said(found: Table) -> str:
    return memory_sentence(BOTH, "base", found.rows, found.comparisons, found.columns)


def test_the_sentence_and_what_serves_change_with_the_sign_of_the_interval() -> None:
    better, chance, worse = table(mixture(0.8)), table(mixture(0.99, noise=0.3)), table(mixture(1.3))
    assert re.fullmatch(r"Memory helps base by 20 % \(interval 1\d to 2\d %\)\.", said(better))
    assert re.fullmatch(
        r"Memory doesn't help base beyond its interval, 1 % \(interval −\d+ to \d+ %\), so it is switched off\.",
        said(chance),
    )
    assert re.fullmatch(
        r"Memory makes base worse: it helps by −30 % \(interval −3\d to −2\d %\), so it is switched off\.", said(worse)
    )
    served = [None if one.champion is None else one.champion.name for one in (better, chance, worse)]
    assert served == [BOTH, "base", "base"]
    assert [helps(BOTH, "base", one.comparisons, DOCUMENTS) for one in (better, chance, worse)] == [True, False, False]
    for one in (better, chance, worse):
        assert said(one) in one.sentence


def test_a_decoder_that_may_write_worse_with_memory_serves_without() -> None:
    found = table(replace(mixture(0.8), writes=False))
    assert re.search(r"Memory helps base by 20 % .*\. What base writes with it may be worse, so", found.sentence)
    assert found.champion is not None
    assert found.champion.name == "base"
    assert "base serves: 1.000 bits per byte" in found.sentence


def test_the_figures_of_the_sentence_are_those_of_the_documents() -> None:
    alone, both = scores(1.0, seed=4), scores(0.8, seed=7)
    a, b = np.array([s.bits for s in alone]), np.array([s.bits for s in both])
    draw = np.random.default_rng(99)
    ends = []
    for _ in range(4000):
        chosen = draw.integers(0, 80, 80)
        ends.append((a - b)[chosen].sum() / LENGTHS[chosen].sum() / (a.sum() / LENGTHS.sum()))
    low, high = (100 * end for end in np.quantile(ends, [0.025, 0.975]))
    value, *interval = map(int, re.findall(r"\d+", said(table(mixture(0.8)))))
    assert value == round(100 * (1 - b.sum() / a.sum()))
    assert interval == [pytest.approx(low, abs=1.5), pytest.approx(high, abs=1.5)]


def test_other_columns_stand_beside_the_first() -> None:
    found = table(mixture(0.8, **{PACKAGES: 0.95, UNLIKE: 1.1}), **{PACKAGES: 1.0, UNLIKE: 1.0})
    assert re.search(r"; held-out packages 5 % \(interval .*\), unlike training −10 % \(interval .*\)\.$", said(found))


@pytest.mark.parametrize("n", [1, 4])
def test_of_too_few_documents_nothing_is_said_to_help(n: int) -> None:
    found = table(mixture(0.5, n=n), n=n)
    assert said(found) == "Too few documents to tell whether memory helps base, so it is switched off."
    assert found.champion is not None
    assert found.champion.name == "base"


def test_a_decoder_without_its_memory_is_no_rival() -> None:
    others = [system("base", 1.0), mixture(0.8)]
    assert (
        "base + memory serves: 0.800 bits per byte on 80 held-out documents." in language_table(others, seed=0).sentence
    )
    further = language_table([*others, system("from scratch", 2.0)], seed=0).sentence
    assert "60 % fewer than from scratch (2.000; interval" in further


def test_warnings_of_a_decoder_stand_once() -> None:
    warned = table(mixture(0.8)).warnings
    assert [w for w in warned if "may have read" in w] == [
        "base may have read these very files in its own training; then its figure flatters it."
    ]
    lacking = [
        System(name, "candidate", {DOCUMENTS: scores(value, missing=7)}, decoder=decoder)
        for name, value, decoder in (("base", 1.0, ""), (BOTH, 0.8, "base"))
    ]
    assert len(language_table(lacking, seed=0).warnings) == 1


def test_shares_seen_in_training_are_of_the_columns_that_were_measured() -> None:
    found = language_table([system("base", 1.0)], seed=0, seen={DOCUMENTS: 0.123, PACKAGES: 0.5}, notes=["a note"])
    assert (found.seen, found.notes) == ({DOCUMENTS: 0.123}, ["a note"])


def test_an_estimate_of_no_gain_is_written_without_a_sign() -> None:
    found = table(mixture(0.8))
    comparison = next(c for c in found.comparisons if {c.better, c.worse} == {BOTH, "base"})
    pairs = [type(comparison)(BOTH, "base", DOCUMENTS, Estimate(-0.001, -0.003, 0.002, 80))]
    assert "0 % (interval 0 to 0 %)" in memory_sentence(BOTH, "base", found.rows, pairs, [DOCUMENTS])
