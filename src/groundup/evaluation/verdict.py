"""What an evaluation says, as pure data: the form in which verdicts travel to the report, the release and the API.

A table has one row per candidate or baseline and one column per held-out set; every figure carries its interval. Which
row serves, and the sentence that says why, are made by the evaluation, from the numbers, and stored with them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from groundup.evaluation import plain_data

Role = Literal["candidate", "baseline"]
ENOUGH_TO_TELL = 5  # documents or queries: resampling fewer gives intervals that say nothing; of one, no width at all


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval. `n`: how many documents or queries it rests on."""

    value: float
    low: float
    high: float
    n: int

    @property
    def has_interval(self) -> bool:
        """Whether it rests on enough for its interval to mean anything."""
        return self.n >= ENOUGH_TO_TELL


@dataclass(frozen=True)
class Row:
    """One system. `values` by column; a column without a value was not measured, and `note` says why."""

    name: str
    role: Role
    values: dict[str, Estimate]
    note: str = ""
    serves: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same documents. `difference`: better − worse in the table's unit, by paired bootstrap."""

    better: str
    worse: str
    column: str
    difference: Estimate

    @property
    def settled(self) -> bool:
        """Whether the interval leaves zero out, so that the order is more than chance; of too few, never."""
        return self.difference.has_interval and (self.difference.low > 0 or self.difference.high < 0)


@dataclass(frozen=True)
class Table:
    id: str
    title: str
    metric: str
    unit: str
    higher_is_better: bool
    columns: list[str]
    rows: list[Row]
    comparisons: list[Comparison] = field(default_factory=list)
    sentence: str = ""
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return plain_data.to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Table:
        """Inverse of `to_json`. Raises StoreError that names the field that is missing, unknown or of another type."""
        return plain_data.from_json(cls, text)

    @property
    def champion(self) -> Row | None:
        """The row that serves, if one does."""
        return next((row for row in self.rows if row.serves), None)


def format_value(value: float) -> str:
    """Three decimals below ten, then fewer: .831, 12.4, 1,204."""
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", "−")


def format_estimate(estimate: Estimate | None) -> str:
    """ "0.831 (0.802 to 0.860)", "0.831 (n=2)" without an interval, or an en dash for what was not measured."""
    if estimate is None:
        return "–"
    if not estimate.has_interval:
        return f"{format_value(estimate.value)} (n={estimate.n})"
    return f"{format_value(estimate.value)} ({format_value(estimate.low)} to {format_value(estimate.high)})"


def format_comparison(comparison: Comparison, table: Table) -> str:
    """One line: who is ahead of whom, by how much, and whether that is more than chance."""
    difference = comparison.difference
    if not difference.has_interval:
        beside = f"{comparison.better} beside {comparison.worse}: too few to tell"
        return f"{beside}: {comparison.column}, {format_value(difference.value)} {table.unit}, n={difference.n:,}"
    ahead = (
        f"{comparison.better} is ahead of {comparison.worse}"
        if comparison.settled
        else (f"{comparison.better} and {comparison.worse} can't be told apart")
    )
    return f"{ahead}: {comparison.column}, {format_estimate(difference)} {table.unit}, n={difference.n:,}"


def render_text(table: Table, width: int = 100) -> str:
    """The table for a terminal, plain characters, no line longer than `width` (at least 40) unless one word is.

    One line per row where that fits, else one line per row and column. The row that serves is marked with ">".
    """
    width = max(width, 40)
    direction = "higher is better" if table.higher_is_better else "lower is better"
    lines = _wrap(f"{table.title}: {table.metric} ({table.unit}), 95 % interval, {direction}", width)
    lines += _grid(table, width) or _stack(table, width)
    for row in table.rows:
        if row.note:
            lines += _wrap(f"{row.name}: {row.note}", width, "  ")
    for comparison in table.comparisons:
        lines += _wrap(format_comparison(comparison, table), width, "  ")
    if table.sentence:
        lines += ["", *_wrap(table.sentence, width)]
    for warning in table.warnings:
        lines += _wrap(f"! {warning}", width, "  ")
    return "\n".join(lines) + "\n"


def _grid(table: Table, width: int) -> list[str]:
    """Aligned cells, or nothing if they are wider than `width`."""
    columns = table.columns
    cells = [["", *columns]]
    cells += [[_label(row), *(format_estimate(row.values.get(column)) for column in columns)] for row in table.rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    if sum(widths) + 2 * (len(widths) - 1) > width:
        return []
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in cells
    ]


def _stack(table: Table, width: int) -> list[str]:
    lines: list[str] = []
    for row in table.rows:
        lines += _wrap(_label(row), width)
        for column in table.columns:
            lines += _wrap(f"    {column}: {format_estimate(row.values.get(column))}", width, "      ")
    return lines


def _label(row: Row) -> str:
    return f"{'>' if row.serves else ' '} {row.name}{' (baseline)' if row.role == 'baseline' else ''}"


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def best_row(rows: Sequence[Row], column: str, higher_is_better: bool, role: Role | None = None) -> Row | None:
    """The row with the best value in `column`, the first of equals; None if no row has one."""
    measured = [row for row in rows if column in row.values and role in (None, row.role)]
    sign = -1 if higher_is_better else 1
    return min(measured, key=lambda row: sign * row.values[column].value, default=None)
