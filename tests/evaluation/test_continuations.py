"""What a decoder writes, measured: by plain definitions, and by a rule that turns with the numbers."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.evaluation import bootstrap
from groundup.evaluation.continuations import (
    FRESH,
    LIKE,
    MARGIN,
    OWN,
    Copy,
    Measured,
    Writer,
    continuations_table,
    copied_share,
    distinct,
    measure,
    rouge_l,
)
from groundup.evaluation.verdict import render_text
from groundup.infinigram.memory import Memory
from groundup.infinigram.spans import COPIED_TOKENS
from tests.infinigram.plain import segment

few_words = st.lists(st.sampled_from(["a", "b", "c", "("]), max_size=8)


@given(few_words, few_words)
@settings(max_examples=150, deadline=None)
def test_nearness_is_by_the_longest_common_subsequence_of_all(a: list[str], b: list[str]) -> None:
    of_b = {some for size in range(len(b) + 1) for some in combinations(b, size)}
    longest = max(size for size in range(len(a) + 1) for some in combinations(a, size) if some in of_b)
    expected = 2 * longest / (len(a) + len(b)) if a and b else 0.0
    assert rouge_l("  ".join(a), "\n".join(b)) == pytest.approx(expected)


def test_words_and_signs_are_compared_and_white_space_is_not() -> None:
    assert rouge_l("def f(x):\n\treturn x", "def f( x ) : return x") == 1.0
    assert rouge_l("äöü", "aou") == 0.0


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_repetition_counts_four_words_in_a_row(found: list[str]) -> None:
    counted = Counter(" ".join(found[i : i + 4]) for i in range(max(0, len(found) - 3)))
    assert distinct(" ".join(found)) == (len(counted) / counted.total() if counted else 1.0)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_copied_is_what_lies_in_a_long_run_of_a_remembered_document(data: st.DataObject) -> None:
    token = st.integers(1, 3)
    documents = data.draw(st.lists(st.lists(token, max_size=40), min_size=1, max_size=3))
    source = data.draw(st.sampled_from(documents))
    begin = data.draw(st.integers(0, len(source)))
    text = [*data.draw(st.lists(token, max_size=10)), *source[begin:], *data.draw(st.lists(token, max_size=10))]
    memory = Memory(segment({str(i): one for i, one in enumerate(documents)}, 4))
    runs = {tuple(one[i : i + COPIED_TOKENS]) for one in documents for i in range(len(one) - COPIED_TOKENS + 1)}
    inside = np.zeros(len(text), bool)
    for i in range(len(text) - COPIED_TOKENS + 1):
        if tuple(text[i : i + COPIED_TOKENS]) in runs:
            inside[i : i + COPIED_TOKENS] = True
    expected = inside.mean() if text else 0.0
    ids = np.array(text, np.int64)
    assert copied_share(ids, memory) == pytest.approx(expected)
    assert measure("a", ids, "a", memory) == Measured(1.0, 1.0, 1 - copied_share(ids, memory))
    assert measure("a", ids, "b", None) == Measured(0.0, 1.0, 1.0)


# ------------------------------------------------------------------ the rule


def writer(like: float, fresh: float, n: int = 40, spread: float = 0.02, name: str = "model") -> Writer:
    """With memory it is nearer by `like` and less repetitive by `fresh`, from text to text within `spread`."""
    swing = [spread * (-1) ** i for i in range(n)]
    alone = [Measured(0.3, 0.8, 1.0) for _ in range(n)]
    return Writer(name, alone, [Measured(0.3 + like + s, 0.8 + fresh + s, 0.5) for s in swing])


def may_write(*writers: Writer) -> list[str]:
    return continuations_table(writers, suffix=" + memory", tokens=32, seed=0)[1]


@pytest.mark.parametrize(
    ("like", "fresh", "spread", "n", "writes"),
    [
        (0.05, 0.0, 0.02, 40, True),
        (0.05, 0.1, 0.02, 40, True),
        (0.001, 0.0, 0.02, 40, True),  # not told apart, and surely no loss of a tenth
        (-0.001, 0.0, 0.02, 40, False),
        (0.001, 0.0, 0.3, 40, False),  # it may be worse by more
        (0.05, -0.2, 0.02, 40, False),  # nearer, and it repeats itself
        (-0.1, 0.1, 0.02, 40, False),
        (0.05, 0.1, 0.0, 4, False),  # too few to tell
    ],
)
def test_memory_writes_along_where_its_text_is_nearer_and_surely_not_worse(
    like: float, fresh: float, spread: float, n: int, *, writes: bool
) -> None:
    one = writer(like, fresh, n, spread)
    table, better = continuations_table([one], suffix=" + memory", tokens=32, seed=0)
    assert better == (["model"] if writes else [])
    assert ("so memory writes along" in table.sentence) is writes
    assert ("so memory does not write along" in table.sentence) is not writes
    gain = bootstrap.paired([m.like for m in one.with_memory], [m.like for m in one.alone], 0)
    if n >= 5:
        assert (gain.low > -MARGIN * 0.3 and like > 0 and fresh > -MARGIN * 0.8) is writes


def test_each_decoder_is_judged_by_its_own_texts_and_one_without_a_memory_is_shown_alone() -> None:
    good, bad = writer(0.05, 0.0, name="good"), writer(-0.2, 0.0, name="bad")
    plain = Writer("plain", good.alone)
    table, better = continuations_table([bad, plain, good], suffix=" + memory", tokens=32, seed=0)
    assert better == ["good"]
    assert [row.name for row in table.rows] == ["bad", "bad + memory", "plain", "good", "good + memory"]
    assert {(c.better, c.worse) for c in table.comparisons if c.column == LIKE} == {
        ("bad", "bad + memory"),
        ("good + memory", "good"),
    }
    assert may_write(plain) == []


def test_the_table_shows_means_and_the_longest_copy_and_fits_a_terminal() -> None:
    one = writer(0.05, 0.0, name="from-scratch")
    copied = Writer(one.name, one.alone, one.with_memory, None, Copy(31, 3, "numpy/core/numeric.py"))
    table, _ = continuations_table([copied], suffix=" + memory", tokens=32, seed=0)
    alone, both = table.rows
    assert alone.values[LIKE].value == pytest.approx(0.3)
    assert both.values[LIKE].value == pytest.approx(0.35)
    assert both.values[FRESH].value == pytest.approx(0.8)
    assert both.values[OWN].value == pytest.approx(0.5)
    assert alone.note == ""
    assert both.note == (
        "its longest run out of the corpus has 31 tokens and stands in numpy/core/numeric.py and 2 more places"
    )
    assert max(map(len, render_text(table, 110).splitlines())) <= 110
