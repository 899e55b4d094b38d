"""What decoders write after the beginnings of held-out documents, alone and with memory, beside what stands there.

Fewer bits per byte say that the next token is foretold better after text that is right. Writing is another thing: each
token stands on the model's own, and kNN-LM foretold better without writing better (Wang et al. 2023, 2305.14625). So
memory that foretells better writes along only where this test says that what it writes is no worse for it.

The difference between two texts of one beginning is mostly chance: on Python files it took 200 beginnings to tell .23
from .20 (of ROUGE-L). Few minutes have time for 60. So it is a test of non-inferiority: the text has to be nearer to
the truth as measured, and the interval has to leave out that it is farther, or more repetitive, by more than MARGIN.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundup.evaluation import bootstrap
from groundup.evaluation.verdict import Estimate, Row, Table, format_value, in_order
from groundup.infinigram.memory import Memory
from groundup.infinigram.span_filters import covered_by
from groundup.infinigram.spans import COPIED_TOKENS, maximal_runs

LIKE, FRESH, OWN = "like the truth", "not repeated", "not copied"
COLUMNS = (LIKE, FRESH, OWN)
MARGIN = 0.1  # of the decoder's own share
NGRAM = 4  # words, of which repetition is counted
_WORDS = re.compile(r"\w+|[^\w\s]")

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """One continuation, in shares from 0 to 1; more is better, but for `own`, which is neither good nor bad."""

    like: float
    fresh: float
    own: float


def measure(written: str, ids: Int64, truth: str, memory: Memory | None) -> Measured:
    """written: a text, whose tokens are `ids`, (T,). truth: as many tokens of what the document goes on with."""
    return Measured(rouge_l(written, truth), distinct(written), 1.0 - copied_share(ids, memory))


def rouge_l(written: str, truth: str) -> float:
    """F1 of the longest common subsequence of words and signs (ROUGE-L, Lin 2004); 0 if either has none."""
    a, b = words(written), words(truth)
    return 2 * _common(a, b) / (len(a) + len(b)) if a and b else 0.0


def distinct(text: str) -> float:
    """Distinct 4-grams of words and signs, as a share of all (1 − seq-rep-4, Welleck et al. 2020); 1 without any."""
    found = words(text)
    ngrams = [tuple(found[i : i + NGRAM]) for i in range(len(found) - NGRAM + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 1.0


def copied_share(ids: Int64, memory: Memory | None) -> float:
    """The share of tokens that lie in a run of `COPIED_TOKENS` or more that the memory has; 0 without one."""
    if memory is None or not len(ids):
        return 0.0
    return float(covered_by(maximal_runs(memory, ids, COPIED_TOKENS), len(ids)).mean())


@dataclass(frozen=True)
class Copy:
    """The longest run that memory has of what a decoder wrote. occurrences: in all of memory. source: one of them."""

    tokens: int
    occurrences: int
    source: str


@dataclass(frozen=True)
class Writer:
    """A decoder's continuations of the same beginnings, in the same order, alone and with memory, if it has one."""

    name: str
    alone: Sequence[Measured]
    with_memory: Sequence[Measured] = ()
    copy: Copy | None = None  # of what it wrote alone: what it knows by heart, or writes as others do
    copy_with_memory: Copy | None = None


def continuations_table(writers: Sequence[Writer], *, suffix: str, tokens: int, seed: int) -> tuple[Table, list[str]]:
    """The table, and the names of decoders that may write with memory.

    suffix: of a decoder's name with memory. tokens: of a continuation, at most.
    """
    rows, comparisons, sentences, better = [], [], [], []
    for writer in writers:
        rows.append(_row(writer.name, writer.alone, writer.copy, seed))
        if not writer.with_memory:
            continue
        both = writer.name + suffix
        rows.append(_row(both, writer.with_memory, writer.copy_with_memory, seed))
        gains = {name: _gain(writer, name, seed) for name in (LIKE, FRESH)}
        comparisons += [in_order(both, writer.name, name, gain) for name, gain in gains.items()]
        helps = _no_worse(writer, gains)
        better += [writer.name] if helps else []
        sentences.append(_sentence(both, writer, gains, helps=helps))
    table = Table(
        id="continuations",
        title="Writing",
        metric="beginnings of held-out documents, continued",
        unit="share",
        higher_is_better=True,
        columns=list(COLUMNS),
        rows=rows,
        comparisons=comparisons,
        sentence=" ".join(sentences),
        warnings=[
            f"Copied is what stands in runs of {COPIED_TOKENS} or more tokens of the corpus, of the {tokens} that a "
            "text has at most; that is no fault."
        ],
    )
    return table, better


def _row(name: str, found: Sequence[Measured], copy: Copy | None, seed: int) -> Row:
    values = {column: bootstrap.interval(_values(found, column), seed) for column in COLUMNS}
    if copy is None:
        return Row(name, "candidate", values)
    where = f"its longest run out of the corpus has {copy.tokens} tokens and stands in {copy.source}"
    more = copy.occurrences - 1
    others = f" and {more:,} more place{'s' if more > 1 else ''}" if more else ""
    return Row(name, "candidate", values, where + others)


def _values(found: Sequence[Measured], column: str) -> list[float]:
    return [dict(zip(COLUMNS, (one.like, one.fresh, one.own), strict=True))[column] for one in found]


def _gain(writer: Writer, column: str, seed: int) -> Estimate:
    return bootstrap.paired(_values(writer.with_memory, column), _values(writer.alone, column), seed)


def _no_worse(writer: Writer, gains: dict[str, Estimate]) -> bool:
    enough = all(gain.has_interval for gain in gains.values())
    return enough and gains[LIKE].value > 0 and not _may_lose(writer, gains)


def _may_lose(writer: Writer, gains: dict[str, Estimate]) -> list[str]:
    """Columns in which the interval does not leave out a loss of more than MARGIN."""
    alone = {name: sum(_values(writer.alone, name)) / len(writer.alone) for name in gains}
    return [name for name, gain in gains.items() if gain.low <= -MARGIN * alone[name]]


def _sentence(both: str, writer: Writer, gains: dict[str, Estimate], *, helps: bool) -> str:
    n = gains[LIKE].n
    nearer, varied = (_signed(gains[name]) for name in (LIKE, FRESH))
    said = f"After {n} beginnings {both} is by {nearer} nearer to the truth than {writer.name}, and by {varied} less"
    if not all(gain.has_interval for gain in gains.values()):
        return f"{said} repetitive: too few to tell, so memory does not write along."
    if helps:
        return f"{said} repetitive: no worse by more than {100 * MARGIN:.0f} % in either, so memory writes along."
    losses = " and ".join(
        {LIKE: "farther from the truth", FRESH: "more repetitive"}[n] for n in _may_lose(writer, gains)
    )
    why = f"it may be {losses} by more than {100 * MARGIN:.0f} %" if losses else "it is no nearer to the truth"
    return f"{said} repetitive: {why}, so memory does not write along."


def _signed(gain: Estimate) -> str:
    if not gain.has_interval:
        return format_value(gain.value)
    return f"{format_value(gain.value)} ({format_value(gain.low)} to {format_value(gain.high)})"


def words(text: str) -> list[str]:
    return _WORDS.findall(text)


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, by rows (Wagner and Fischer 1974)."""
    row = [0] * (len(b) + 1)
    for word in a:
        above_left = 0
        for j, other in enumerate(b, 1):
            above = row[j]
            row[j] = above_left + 1 if word == other else max(above, row[j - 1])
            above_left = above
    return row[-1]
