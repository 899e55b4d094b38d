"""verdict.py: what is written is what is read, and a terminal of any width can show it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import StoreError
from groundup.evaluation.verdict import Comparison, Estimate, Row, Table, best_row, format_estimate, render_text

numbers = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
estimates = st.builds(Estimate, numbers, numbers, numbers, st.integers(0, 10**9))
rows = st.builds(
    Row, text, st.sampled_from(["candidate", "baseline"]), st.dictionaries(text, estimates), text, st.booleans()
)
tables = st.builds(
    Table, text, text, text, text, st.booleans(), st.lists(text, max_size=3, unique=True), st.lists(rows, max_size=3),
    st.lists(st.builds(Comparison, text, text, text, estimates), max_size=2), text, st.lists(text, max_size=2),
    st.dictionaries(text, numbers), st.lists(text, max_size=2),
)  # fmt: skip


def example() -> Table:
    return Table(
        id="generation",
        title="Completion",
        metric="held-out bits per byte",
        unit="bits per byte",
        higher_is_better=False,
        columns=["held-out documents", "held-out packages"],
        rows=[
            Row("base", "candidate", {"held-out documents": Estimate(0.831, 0.802, 0.86, 60)}, serves=True),
            Row("5-gram", "baseline", {"held-out documents": Estimate(1.23, 1.2, 1.26, 60)}, note="on all of it"),
        ],
        comparisons=[Comparison("base", "5-gram", "held-out documents", Estimate(-0.4, -0.43, -0.37, 60))],
        sentence="The base serves, " + "because it is better, " * 12 + "and that is all.",
        warnings=["It may have read these files."],
    )


@given(tables)
def test_table_survives_json(table: Table) -> None:
    assert Table.from_json(table.to_json()) == table


def test_nan_is_never_written() -> None:
    table = example()
    table.rows[0].values["held-out documents"] = Estimate(math.nan, 0.0, 0.0, 1)
    with pytest.raises(ValueError, match="nan"):
        table.to_json()


def set_in(plain: dict[str, Any], path: list[str | int], value: Any) -> None:
    here: Any = plain
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (["higher_is_better"], 1, "higher_is_better"),
        (["columns"], "held-out documents", "columns"),
        (["columns", 0], None, r"columns\[0\]"),
        (["rows", 1, "role"], "judge", r"rows\[1\]\.role"),
        (["rows", 0, "values", "held-out documents", "n"], 1.5, r"rows\[0\]\.values\.held-out documents\.n"),
        (["rows", 0, "values", "held-out documents", "low"], True, r"rows\[0\]\.values\.held-out documents\.low"),
        (["rows", 0, "values", "held-out documents", "n"], True, r"rows\[0\]\.values\.held-out documents\.n"),
        (["rows", 0, "rank"], 1, r"rows\[0\]: unknown 'rank'"),
        (["comparisons", 0], [], r"comparisons\[0\]"),
    ],
)
def test_wrong_field_is_named_with_its_place(path: list[str | int], value: Any, place: str) -> None:
    plain = json.loads(example().to_json())
    set_in(plain, path, value)
    with pytest.raises(StoreError, match=place):
        Table.from_json(json.dumps(plain))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"id": NaN}', '{"id": "a", "id": "b"}', "[" * 100_000])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(StoreError):
        Table.from_json(text)


def test_missing_field_is_named() -> None:
    plain = json.loads(example().to_json())
    del plain["sentence"]
    with pytest.raises(StoreError, match="lacks 'sentence'"):
        Table.from_json(json.dumps(plain))


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_text_keeps_to_the_width_and_loses_no_figure(width: int) -> None:
    shown = render_text(example(), width)
    assert max(map(len, shown.splitlines())) <= width
    words = " ".join(shown.split())
    for part in (
        "> base",
        "0.831 (0.802 to 0.860)",
        "- 5-gram",
        "1.230",
        "–",
        "on all of it",
        "may have read",
    ):
        assert part in words
    assert "base is ahead of 5-gram" in words


def test_undecided_comparison_is_said_to_be_so() -> None:
    table = example()
    table.comparisons[0] = Comparison("base", "5-gram", "held-out documents", Estimate(-0.1, -0.3, 0.1, 60))
    assert "can't be told apart" in render_text(table)


def test_best_row_follows_the_direction_and_the_role() -> None:
    rows = example().rows
    assert best_row(rows, "held-out documents", higher_is_better=False) is rows[0]
    assert best_row(rows, "held-out documents", higher_is_better=True) is rows[1]
    assert best_row(rows, "held-out documents", higher_is_better=True, role="candidate") is rows[0]
    assert best_row(rows, "held-out packages", higher_is_better=True) is None


def test_what_was_not_measured_is_a_dash() -> None:
    assert format_estimate(None) == "–"


@pytest.mark.parametrize("n", [1, 4, 5])
def test_too_few_settle_nothing_and_have_no_interval(n: int) -> None:
    table = example()
    table.comparisons[0] = Comparison("base", "5-gram", "held-out documents", Estimate(-0.4, -0.4, -0.4, n))
    shown = " ".join(render_text(table).split())
    assert table.comparisons[0].settled == (n == 5)
    assert ("base is ahead of 5-gram" in shown) == (n == 5)
    assert ("base beside 5-gram: too few to tell" in shown) == (n < 5)
    assert format_estimate(Estimate(0.5, 0.5, 0.5, n)) == ("0.500 (0.500 to 0.500)" if n == 5 else f"0.500 (n={n})")


def wide() -> Table:
    """As long as a run's with two decoders and their memories."""
    columns = ["held-out documents", "held-out packages", "unlike training"]
    names = ["smollm2 + memory", "smollm2", "from-scratch + memory", "from-scratch"]
    beside = ["∞-gram, from-scratch's tokens", "∞-gram, smollm2's tokens", "5-gram (Kneser–Ney)"]
    cell = Estimate(0.831, 0.802, 0.86, 60)
    rows = [Row(name, "candidate", dict.fromkeys(columns, cell), serves=name == names[0]) for name in names]
    rows += [Row(name, "baseline", dict.fromkeys(columns, cell), note="of the corpus alone") for name in beside]
    comparisons = [
        Comparison(a, b, column, Estimate(-0.1 * (j - i), -0.3, -0.01, 60))
        for column in columns
        for i, a in enumerate(names + beside)
        for j, b in enumerate(names + beside)
        if i < j and (b in names or column == columns[0])
    ]
    seen = {columns[0]: 0.1402, columns[1]: 0.00002, columns[2]: 0.0}
    warnings = ["It may have read these files.", "It may have read these files."]
    return Table(
        "generation", "Completion", "text", "bits", False, columns, rows, comparisons, "", warnings, seen, ["Note."]
    )


def test_terminal_has_one_line_a_row_and_the_share_seen_under_each_column() -> None:
    lines = render_text(wide(), 110).splitlines()
    assert max(map(len, lines)) <= 110
    (served,) = [line for line in lines if line.startswith("> ")]
    assert served.count("0.831 (0.802 to 0.860)") == 3
    (seen,) = [line for line in lines if "12-grams seen in training" in line]
    assert seen.split()[-7:] == ["14.0", "%", "under", "0.1", "%", "0.0", "%"]
    heads = lines[next(i for i, line in enumerate(lines) if "unlike training" in line)]
    assert [served.index("(0.802 to 0.860)") + 16, len(served)] == [
        heads.index("held-out documents") + 18,
        len(heads),
    ]  # columns end where their figures do
    narrow = " ".join(render_text(wide(), 60).split())
    assert "held-out packages: under 0.1 %" in narrow


def test_terminal_shows_the_comparisons_that_decide_and_says_that_there_are_more() -> None:
    shown = render_text(wide(), 200).splitlines()
    ahead = [line for line in shown if " is ahead of " in line]
    assert [line.split(":")[0] for line in ahead] == [
        "smollm2 + memory is ahead of smollm2",
        "smollm2 + memory is ahead of ∞-gram, from-scratch's tokens",
        "smollm2 + memory is ahead of smollm2",
        "smollm2 + memory is ahead of smollm2",
    ]
    assert f"{len(wide().comparisons) - 4} more comparisons are in the report" in shown
    assert len([line for line in shown if "may have read" in line]) == 1
    assert len([line for line in shown if "of the corpus alone" in line]) == 1
    assert shown.count("Note.") == 1


def test_a_table_in_which_nothing_serves_shows_all_comparisons() -> None:
    table = example()
    rows = [replace(row, serves=False) for row in table.rows]
    assert "base is ahead of 5-gram" in render_text(replace(table, rows=rows))
