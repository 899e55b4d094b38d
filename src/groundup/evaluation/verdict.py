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
SEEN = "12-grams seen in training"
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


def in_order(first: str, second: str, column: str, gain: Estimate) -> Comparison:
    """The better of two first. gain: first − second where more is better."""
    if gain.value >= 0:
        return Comparison(first, second, column, gain)
    return Comparison(second, first, column, Estimate(-gain.value, -gain.high, -gain.low, gain.n))


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
    sentence: str = ""  # or some, a line each that belong together
    warnings: list[str] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)  # by column, share of its word 12-grams that training holds
    notes: list[str] = field(default_factory=list)  # what a reader of the columns needs to know of them

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


def format_seen(share: float) -> str:
    """ "14.0 %", and "under 0.1 %" for what would read as none."""
    return "under 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def nearest_rival(table: Table, column: str) -> Comparison | None:
    """The comparison of the row that serves with the candidate, or else the baseline, that is closest to it."""
    if table.champion is None:
        return None
    name = table.champion.name
    candidates = {row.name for row in table.rows if row.role == "candidate"} - {name}
    pairs = [c for c in table.comparisons if c.column == column and name in (c.better, c.worse)]
    rivals = [c for c in pairs if candidates & {c.better, c.worse}]
    return min(rivals or pairs, key=lambda c: abs(c.difference.value), default=None)


def deciding(table: Table) -> list[Comparison]:
    """Those that a reader decides by: what serves beside its nearest rival in each column, and the best baseline.

    All of a table in which nothing serves.
    """
    if table.champion is None:
        return table.comparisons
    found = [nearest_rival(table, column) for column in table.columns]
    name, baselines = table.champion.name, {row.name for row in table.rows if row.role == "baseline"}
    beside = [c for c in table.comparisons if name in (c.better, c.worse) and baselines & {c.better, c.worse}]
    found.append(min(beside, key=lambda c: (c.column != table.columns[0], abs(c.difference.value)), default=None))
    return [comparison for comparison in table.comparisons if comparison in found]


def render_text(table: Table, width: int = 100) -> str:
    """The table for a terminal, plain characters, no line longer than `width` (at least 40) unless one word is.

    One line per row where that fits, else one line per row and column. The row that serves is marked with ">",
    baselines with "-". Of the comparisons those that decide.
    """
    width = max(width, 40)
    direction = "higher is better" if table.higher_is_better else "lower is better"
    said = [f"{table.title}: {table.metric} ({table.unit}), 95 % interval, {direction}"]
    said += ["> serves"] if table.champion is not None else []
    said += ["- baseline"] if any(row.role == "baseline" for row in table.rows) else []
    lines = _wrap("; ".join(said), width)
    lines += _grid(table, width) or _stack(table, width)
    for note, names in _notes(table.rows).items():
        lines += _wrap(f"{'; '.join(names)}: {note}", width, "  ")
    for note in table.notes:
        lines += _wrap(note, width, "  ")
    shown = deciding(table)
    for comparison in shown:
        lines += _wrap(format_comparison(comparison, table), width, "  ")
    if len(shown) < len(table.comparisons):
        lines.append(f"{len(table.comparisons) - len(shown)} more comparisons are in the report")
    if table.sentence:
        lines += ["", *(line for part in table.sentence.splitlines() for line in _wrap(part, width))]
    for warning in dict.fromkeys(table.warnings):
        lines += _wrap(f"! {warning}", width, "  ")
    return "\n".join(lines) + "\n"


def _notes(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The rows' names by what is said of them."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            found.setdefault(row.note, []).append(row.name)
    return found


def _grid(table: Table, width: int) -> list[str]:
    """Aligned cells, or nothing if they are wider than `width`."""
    columns = table.columns
    cells = [["", *columns]]
    cells += [[_label(row), *(format_estimate(row.values.get(column)) for column in columns)] for row in table.rows]
    if table.seen:
        seen = [format_seen(table.seen[column]) if column in table.seen else "" for column in columns]
        cells.append([f"  {SEEN}", *seen])
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
    if table.seen:
        lines += _wrap(f"  {SEEN}", width)
        lines += [line for c, share in table.seen.items() for line in _wrap(f"    {c}: {format_seen(share)}", width)]
    return lines


def _label(row: Row) -> str:
    return f"{'>' if row.serves else '-' if row.role == 'baseline' else ' '} {row.name}"


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def best_row(rows: Sequence[Row], column: str, higher_is_better: bool, role: Role | None = None) -> Row | None:
    """The row with the best value in `column`, the first of equals; None if no row has one."""
    measured = [row for row in rows if column in row.values and role in (None, row.role)]
    sign = -1 if higher_is_better else 1
    return min(measured, key=lambda row: sign * row.values[column].value, default=None)
