"""Answers that decoders write from the passages found, alone and with memory, beside the passage that is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from groundup.evaluation import bootstrap
from groundup.evaluation.continuations import distinct, words
from groundup.evaluation.verdict import Row, Table, format_estimate, in_order

LIKE, FRESH = "like the right passage", "not repeated"


@dataclass(frozen=True)
class AnswerText:
    """Shares from 0 to 1."""

    like: float
    fresh: float


@dataclass(frozen=True)
class Answerer:
    """A decoder's answers to the same questions, in the same order, alone and with memory."""

    name: str
    alone: Sequence[AnswerText]
    with_memory: Sequence[AnswerText]


def measure(answer: str, right: str) -> AnswerText:
    return AnswerText(word_f1(answer, right), distinct(answer))


def word_f1(answer: str, right: str) -> float:
    """F1 of the words both have, as often as both have them (Rajpurkar et al. 2016), capitals and signs included."""
    a, b = Counter(words(answer)), Counter(words(right))
    both = (a & b).total()
    return 2 * both / (a.total() + b.total()) if both else 0.0


def written_answers_table(answerers: Sequence[Answerer], *, suffix: str, seed: int) -> tuple[Table, list[str]]:
    """The table, and the names of decoders whose answers memory makes better. suffix: of a name with memory.

    Better: nearer to the right passage, the paired interval above 0, and repetition not worse beyond its interval. An
    answer is asked to be right, and a passage in the prompt says what is: memory has to earn its say.
    """
    rows, comparisons, sentences, better = [], [], [], []
    for one in answerers:
        both = one.name + suffix
        rows += [_row(one.name, one.alone, seed), _row(both, one.with_memory, seed)]
        gains = {
            LIKE: bootstrap.paired([a.like for a in one.with_memory], [a.like for a in one.alone], seed),
            FRESH: bootstrap.paired([a.fresh for a in one.with_memory], [a.fresh for a in one.alone], seed),
        }
        comparisons += [in_order(both, one.name, column, gain) for column, gain in gains.items()]
        helps = gains[LIKE].has_interval and gains[LIKE].low > 0 and gains[FRESH].high >= 0
        better += [one.name] if helps else []
        say = "a say" if helps else "no say"
        sentences.append(
            f"The answers of {both} to {gains[LIKE].n} questions are by {format_estimate(gains[LIKE])} nearer to the "
            f"right passage than those of {one.name}, and by {format_estimate(gains[FRESH])} less repetitive: "
            f"memory has {say} in answers."
        )
    table = Table(
        id="written-answers",
        title="Written answers",
        metric="known questions, answered from the passages found",
        unit="share",
        higher_is_better=True,
        columns=[LIKE, FRESH],
        rows=rows,
        comparisons=comparisons,
        sentence=" ".join(sentences),
    )
    return table, better


def _row(name: str, found: Sequence[AnswerText], seed: int) -> Row:
    values = {
        LIKE: bootstrap.interval([one.like for one in found], seed),
        FRESH: bootstrap.interval([one.fresh for one in found], seed),
    }
    return Row(name, "candidate", values)
