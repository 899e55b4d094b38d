"""language_verdict.py: the order, the champion and the sentence are what the numbers say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from groundup.evaluation.bits import DocumentScore, bits_per_byte
from groundup.evaluation.extrapolation import fit_slope, tokens_needed
from groundup.evaluation.language_verdict import Scratch, System, language_table
from groundup.evaluation.verdict import Role, Table
from groundup.evaluation.words import count, duration, times

DOCUMENTS, PACKAGES = "held-out documents", "held-out packages"
LENGTHS = np.random.default_rng(0).integers(500, 5000, size=80)
HARDNESS = np.random.default_rng(1).normal(1.0, 0.2, size=80)


def scores(
    bits_per_byte: float, noise: float = 0.02, seed: int = 2, n: int = 80, missing: int = 0
) -> list[DocumentScore]:
    """Scores with exactly this figure over all, harder on some documents than on others, whoever scores."""
    wobble = np.random.default_rng(seed).normal(1.0, noise, size=n)
    bits = LENGTHS[:n] * HARDNESS[:n] * wobble
    bits *= bits_per_byte * LENGTHS[:n].sum() / bits.sum()
    return [
        DocumentScore(
            f"d{i}", float(bits[i]) * math.log(2), int(LENGTHS[i]), int(LENGTHS[i]) // 4, missing if i == 0 else 0
        )
        for i in range(n)
    ]


def system(name: str, value: float, role: Role = "candidate", package: float | None = None, **more: object) -> System:
    columns = {DOCUMENTS: scores(value, seed=len(name))}
    if package is not None:
        columns[PACKAGES] = scores(package, seed=len(name) + 50)
    return System(name, role, columns, **more)  # type: ignore[arg-type]


SCRATCH, GRAM, ZSTD = "from scratch", "5-gram", "zstd -19"


def straight(last: int, value: float, per_doubling: float, points: int = 5) -> list[tuple[int, float]]:
    return [(last >> k, value - k * per_doubling) for k in range(points)][::-1]


def usual(scratch: float = 2.17, base: float = 0.83) -> list[System]:
    return [
        system(SCRATCH, scratch, package=scratch + 0.2),
        system("base", base, package=base + 0.1, brought=True),
        system(GRAM, 1.23, "baseline", package=1.5, note="counted on all training tokens"),
        system(ZSTD, 1.4, "baseline", package=1.7),
    ]


def table(systems: list[System], **more: object) -> Table:
    return language_table(systems, seed=0, **more)  # type: ignore[arg-type]


def test_rows_stand_in_the_order_of_their_figures() -> None:
    found = table(usual())
    assert [row.name for row in found.rows] == ["base", GRAM, ZSTD, SCRATCH]
    assert [row.values[DOCUMENTS].value for row in found.rows] == pytest.approx([0.83, 1.23, 1.4, 2.17])
    for s in usual():
        row = next(row for row in found.rows if row.name == s.name)
        assert row.values[PACKAGES].value == pytest.approx(bits_per_byte(s.scores[PACKAGES]))
        assert row.values[DOCUMENTS].low < row.values[DOCUMENTS].value < row.values[DOCUMENTS].high
    assert found.champion is not None
    assert (found.champion.name, found.columns) == ("base", [DOCUMENTS, PACKAGES])
    assert Table.from_json(found.to_json()) == found


def test_a_baseline_never_serves() -> None:
    found = table([system(GRAM, 0.5, "baseline"), system(SCRATCH, 2.0)])
    assert found.champion is not None
    assert found.champion.name == SCRATCH
    alone = table([system(GRAM, 0.5, "baseline")])
    assert alone.champion is None
    assert "none serves" in alone.sentence


def test_comparisons_are_of_candidates_everywhere_and_with_baselines_in_the_first_column() -> None:
    pairs = {(c.better, c.worse, c.column) for c in table(usual()).comparisons}
    assert pairs == {
        ("base", SCRATCH, DOCUMENTS), ("base", SCRATCH, PACKAGES), ("base", GRAM, DOCUMENTS), ("base", ZSTD, DOCUMENTS),
        (GRAM, SCRATCH, DOCUMENTS), (ZSTD, SCRATCH, DOCUMENTS),
    }  # fmt: skip
    for comparison in table(usual()).comparisons:
        assert comparison.difference.value < 0
        assert comparison.settled


def test_of_candidates_that_cannot_be_told_apart_the_second_column_decides() -> None:
    noisy = System("noisy", "candidate", {DOCUMENTS: scores(1.0, noise=0.3, seed=9), PACKAGES: scores(1.5, seed=10)})
    steady = System("steady", "candidate", {DOCUMENTS: scores(1.01, seed=11), PACKAGES: scores(1.2, seed=12)})
    found = table([noisy, steady])
    assert not found.comparisons[0].settled
    assert found.champion is not None
    assert found.champion.name == "steady"
    assert "can't be told apart" in found.sentence
    clear = System("clear", "candidate", {DOCUMENTS: scores(0.7, seed=9), PACKAGES: scores(1.5, seed=10)})
    champion = table([clear, steady]).champion
    assert champion is not None
    assert champion.name == "clear"


def test_sentence_says_what_training_bought_and_what_it_would_need() -> None:
    scratch = Scratch(SCRATCH, 1_100_000, 240.0, straight(1_100_000, 2.2, -0.2), corpus_tokens=20_000_000)
    said = table(usual(), scratch=scratch).sentence
    assert "base serves: 0.830 bits per byte on 80 held-out documents, 62 % fewer than from scratch" in said
    assert (
        "4.0 minutes on 1.1 M tokens, bought 2.170 bits per byte: 0.940 more than 5-gram, 0.770 more than zstd" in said
    )
    factor = 2 ** ((2.17 - 0.83) / 0.2)  # 104
    assert f"falls by 0.200 with each doubling: at this slope it would need about {times(factor)} the tokens" in said
    assert (
        f"({duration(240 * factor)} here) to overtake base, reading this corpus 5.7 times, if the curve stayed" in said
    )
    assert f"By the same line it would need {times(2 ** (0.94 / 0.2))} the tokens" in said
    assert "they flatten" in said


def test_scratch_that_is_ahead_of_all_has_nothing_to_overtake() -> None:
    scratch = Scratch(SCRATCH, 1_000_000, 60.0, straight(1_000_000, 0.7, -0.1))
    said = table(usual(scratch=0.7), scratch=scratch).sentence
    assert "from scratch serves" in said
    assert "0.530 fewer than 5-gram" in said
    assert "overtake" not in said


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ([], "too few points"),
        ([(900_000, 2.2), (950_000, 2.19), (1_000_000, 2.18)], "too few points"),
        (straight(1_000_000, 2.2, 0.05), "no longer falls"),
        (straight(1_000_000, 2.2, -0.001), "over a million times the tokens (over a thousand years here)"),
    ],
)
def test_curve_that_says_nothing_is_not_extrapolated(curve: list[tuple[int, float]], said: str) -> None:
    assert said in table(usual(), scratch=Scratch(SCRATCH, 1_000_000, 60.0, curve)).sentence


def test_warnings_name_the_base_the_bytes_and_the_few() -> None:
    few = [
        System("base", "candidate", {DOCUMENTS: scores(0.8, n=5, missing=7)}, brought=True),
        System(GRAM, "baseline", {DOCUMENTS: scores(1.2, n=5)}),
    ]
    said = table(few).warnings
    assert any("base may have read these very files" in warning for warning in said)
    assert any("base has no token for 7 bytes" in warning for warning in said)
    assert any("5 held-out documents, so the intervals are rough" in warning for warning in said)
    assert table(usual()[2:]).warnings == []


def test_systems_that_scored_different_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="different texts"):
        table([system("a", 1.0), System("b", "candidate", {DOCUMENTS: scores(1.0, n=79)})])
    with pytest.raises(ValueError, match="share a name"):
        table([system("a", 1.0), system("a", 1.1)])
    with pytest.raises(ValueError, match="no system"):
        table([])
    with pytest.raises(ValueError, match="no text"):
        table([System("a", "candidate", {DOCUMENTS: []})])


def test_column_that_one_system_lacks_leaves_its_cell_empty() -> None:
    found = table([system("a", 1.0, package=1.1), system("b", 1.2)])
    assert PACKAGES not in next(row for row in found.rows if row.name == "b").values
    empty = table([System("a", "candidate", {DOCUMENTS: scores(1.0), PACKAGES: []})])
    assert list(empty.rows[0].values) == empty.columns == [DOCUMENTS]


def test_slope_is_that_of_the_last_two_doublings() -> None:
    curve = [(100_000, 9.0), (200_000, 5.0), (250_000, 3.0), (500_000, 2.8), (1_000_000, 2.6)]
    slope = fit_slope(curve)
    assert slope is not None
    assert (slope.per_doubling, slope.first_tokens, slope.points) == (pytest.approx(-0.2), 250_000, 3)
    noisy = [(t, 4 - 0.3 * math.log2(t / 1e5) + 0.01 * math.sin(t)) for t in range(100_000, 2_000_000, 50_000)]
    end = [point for point in noisy if point[0] >= 1_950_000 / 4]
    expected = np.polyfit(np.log2([t for t, _ in end]), [v for _, v in end], 1)[0]
    found = fit_slope(noisy)
    assert found is not None
    assert found.per_doubling == pytest.approx(expected)


def test_needed_tokens_follow_the_line() -> None:
    slope = fit_slope(straight(1_000_000, 2.0, -0.25))
    assert slope is not None
    assert tokens_needed(1_000_000, 2.0, 1.5, slope) == pytest.approx(4_000_000)
    assert tokens_needed(1_000_000, 2.0, 2.5, slope) == pytest.approx(1_000_000)


def test_figures_in_words() -> None:
    assert [count(n) for n in (950, 12_400, 1_100_000, 999_900, 3.4e9)] == ["950", "12 k", "1.1 M", "1.0 M", "3.4 G"]
    assert [duration(s) for s in (1, 45, 240, 5400, 10_000, 200_000, 1e8, 1e12)] == [
        "1 second", "45 seconds", "4.0 minutes", "1.5 hours", "2.8 hours", "2.3 days", "3 years",
        "over a thousand years",
    ]  # fmt: skip
    assert [times(f) for f in (1.44, 39.6, 12_345, 2e6, math.inf)] == [
        "1.4 times", "40 times", "12,000 times", "over a million times", "over a million times"
    ]  # fmt: skip


@pytest.mark.parametrize("n", [1, 4])
def test_too_few_documents_settle_nothing(n: int) -> None:
    systems = [
        System(name, "candidate", {DOCUMENTS: scores(value, n=n), PACKAGES: scores(3 - value, n=n)})
        for name, value in (("base", 0.8), (SCRATCH, 2.2))
    ]
    found = table(systems)
    assert not any(c.settled for c in found.comparisons)
    assert found.champion is not None
    assert found.champion.name == "base"  # the second column has too few to decide, either
    assert f"{SCRATCH} has 2.200 there: too few to tell them apart." in found.sentence
    assert "interval" not in found.sentence
    assert any("too few to tell" in warning for warning in found.warnings)
    enough = [{**s.scores, PACKAGES: scores(3 - value)} for s, value in zip(systems, (0.8, 2.2), strict=True)]
    known = table([System(s.name, s.role, columns) for s, columns in zip(systems, enough, strict=True)])
    assert known.champion is not None
    assert known.champion.name == SCRATCH  # one that has enough decides
    assert "too few to tell" in known.sentence
