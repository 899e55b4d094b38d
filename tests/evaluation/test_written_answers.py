"""Answers beside the passage that is right, and when memory may have a say in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.evaluation.written_answers import (
    FRESH,
    LIKE,
    Answerer,
    AnswerText,
    measure,
    word_f1,
    written_answers_table,
)

few_words = st.lists(st.sampled_from("abc"), max_size=9)


@given(few_words, few_words)
def test_nearness_counts_the_words_that_both_have(a: list[str], b: list[str]) -> None:
    left, shared = list(b), 0
    for word in a:
        if word in left:
            left.remove(word)
            shared += 1
    precision, recall = (shared / len(side) if side else 0.0 for side in (a, b))
    expected = 2 * precision * recall / (precision + recall) if shared else 0.0
    assert word_f1(" ".join(a), " ".join(b)) == pytest.approx(expected)


def test_an_answer_is_measured_by_nearness_and_repetition() -> None:
    assert measure("x y z w x y z w x y z w", "x y") == AnswerText(pytest.approx(4 / 14), pytest.approx(4 / 9))


@pytest.mark.parametrize(
    ("like", "fresh", "spread", "n", "helps"),
    [
        (0.05, 0.0, 0.02, 40, True),
        (0.05, 0.0, 0.3, 40, False),  # can't be told apart: in answers memory has to earn its say
        (0.0, 0.1, 0.02, 40, False),
        (0.05, -0.2, 0.02, 40, False),
        (0.05, 0.0, 0.0, 4, False),
    ],
)
def test_memory_has_a_say_where_answers_are_surely_nearer(
    like: float, fresh: float, spread: float, n: int, *, helps: bool
) -> None:
    swing = [spread * (-1) ** i for i in range(n)]
    alone = [AnswerText(0.4, 0.8)] * n
    both = [AnswerText(0.4 + like + s, 0.8 + fresh + s) for s in swing]
    table, better = written_answers_table([Answerer("model", alone, both)], suffix=" + memory", seed=0)
    assert better == (["model"] if helps else [])
    assert (("memory has a say" in table.sentence), "memory has no say" in table.sentence) == (helps, not helps)
    assert table.rows[1].values[LIKE].value == pytest.approx(0.4 + like)
    assert table.rows[1].values[FRESH].value == pytest.approx(0.8 + fresh)
    ahead = next(c for c in table.comparisons if c.column == FRESH)
    assert ahead.difference.value == pytest.approx(abs(fresh))
    assert ahead.better == ("model + memory" if fresh >= 0 else "model")
