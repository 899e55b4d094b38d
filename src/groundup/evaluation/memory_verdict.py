"""Whether a memory helps a decoder, in a sentence from the numbers, and where: by the length of the matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundup.evaluation.bands import Band
from groundup.evaluation.verdict import Comparison, Row


@dataclass(frozen=True)
class MemoryVerdict:
    """decoder: its name in tables. helps: to foretell, beyond the paired interval, in the table's first column."""

    decoder: str
    helps: bool
    sentence: str
    bands: dict[str, list[Band]]  # by column


def helps(both: str, alone: str, comparisons: Sequence[Comparison], column: str) -> bool:
    """Whether the row `both` is ahead of the row `alone` by more than chance."""
    return any(c.column == column and (c.better, c.worse) == (both, alone) and c.settled for c in comparisons)


def memory_sentence(
    both: str,
    alone: str,
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
    columns: Sequence[str],
    *,
    writes: bool = True,
) -> str:
    """How many bits fewer the row `both` needs than the row `alone`, column by column, and what follows from it.

    writes: whether what is written with memory was shown to be no worse.
    """
    first, *others = [_Gain.of(both, alone, rows, comparisons, column) for column in columns]
    assert first is not None, f"{both} and {alone} were not compared"
    beside = ", ".join(f"{gain.column} {gain.in_words}" for gain in others if gain is not None and gain.known)
    beside = f"; {beside}" if beside else ""
    if not first.known:
        return f"Too few documents to tell whether memory helps {alone}, so it is switched off."
    if first.low > 0 and not writes:
        off = f"What {alone} writes with it may be worse, so it is switched off."
        return f"Memory helps {alone} by {first.in_words}{beside}. {off}"
    if first.low > 0:
        return f"Memory helps {alone} by {first.in_words}{beside}."
    if first.high < 0:
        return f"Memory makes {alone} worse: it helps by {first.in_words}{beside}, so it is switched off."
    return f"Memory doesn't help {alone} beyond its interval, {first.in_words}{beside}, so it is switched off."


@dataclass(frozen=True)
class _Gain:
    """Shares of the bits that the decoder alone needs."""

    column: str
    known: bool  # from enough documents for an interval
    value: float
    low: float
    high: float

    @classmethod
    def of(
        cls, both: str, alone: str, rows: Sequence[Row], comparisons: Sequence[Comparison], column: str
    ) -> _Gain | None:
        pair = next((c for c in comparisons if c.column == column and {c.better, c.worse} == {both, alone}), None)
        if pair is None:
            return None
        base = next(row for row in rows if row.name == alone).values[column].value
        difference = pair.difference
        ends = (difference.value, difference.low, difference.high)
        if pair.better == both:  # better − worse, so a gain is below zero
            value, high, low = (-end / base for end in ends)
        else:
            value, low, high = (end / base for end in ends)
        return cls(column, difference.has_interval, value, low, high)

    @property
    def in_words(self) -> str:
        value, low, high = (f"{100 * end:.0f}".replace("-0", "0").replace("-", "−") for end in self._ends)
        return f"{value} % (interval {low} to {high} %)"

    @property
    def _ends(self) -> tuple[float, float, float]:
        return self.value, self.low, self.high
