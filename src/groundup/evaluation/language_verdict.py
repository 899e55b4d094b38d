"""The verdict on generation: bits per byte of every candidate and baseline, who serves, and what the figures mean.

The champion is the candidate with the fewest bits per byte in the first column. Where the paired interval to a
candidate behind it includes zero, or there are too few documents for one, the order there may be chance, and of those
that can't be told apart the one ahead in the second column serves, if that has enough. Baselines never serve, nor does
a decoder with memory that doesn't help it beyond the paired interval, or may make its text worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations

from groundup.evaluation import bootstrap
from groundup.evaluation.extrapolation import Slope, fit_slope, tokens_needed
from groundup.evaluation.memory_verdict import helps, memory_sentence
from groundup.evaluation.scores import DocumentScore, columns
from groundup.evaluation.verdict import ENOUGH_TO_TELL, Comparison, Role, Row, Table, format_value
from groundup.evaluation.words import count, duration, times

FEW_DOCUMENTS = 30  # below it, percentile intervals are known to be too narrow by several points
MANY_EPOCHS = 4  # from here on, reading again is worth less than new text (Muennighoff et al. 2023)
UNIT = "bits per byte"


@dataclass(frozen=True)
class System:
    """One candidate or baseline with its scores by column. All systems have scored the same texts in the same order."""

    name: str
    role: Role
    scores: Mapping[str, Sequence[DocumentScore]]
    note: str = ""
    brought: bool = False  # trained elsewhere, by others, on who knows what
    decoder: str = ""  # of a candidate with memory: the same without; of memory alone: the one whose tokens it is of
    writes: bool = True  # of a candidate with memory: whether what it writes was shown to be no worse


@dataclass(frozen=True)
class Scratch:
    """How the candidate `name` was trained here. `curve`: (target tokens seen, held-out bits per byte), ascending."""

    name: str
    tokens: int
    seconds: float
    curve: Sequence[tuple[int, float]] = field(default_factory=tuple)
    corpus_tokens: int | None = None  # of the training split, read once


def language_table(
    systems: Sequence[System],
    *,
    seed: int,
    scratch: Scratch | None = None,
    seen: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    id: str = "generation",
) -> Table:
    """The whole table: rows from the best to the worst, comparisons, sentence, warnings.

    Columns are those in which something was scored, in the systems' order. seen: by column, the share of the texts'
    word 12-grams that stand in the training text too. notes: on the columns.
    Raises ValueError if systems have scored different texts, if two share a name, or if there is none.
    """
    names = _check(systems)
    rows = [
        Row(
            system.name,
            system.role,
            {
                name: bootstrap.ratio_interval(*columns(scores), seed)
                for name, scores in system.scores.items()
                if scores
            },
            system.note,
        )
        for system in systems
    ]
    comparisons = _compare(systems, rows, names, seed)
    first = names[0]
    mixtures = [system for system in systems if system.role == "candidate" and system.decoder]
    idle = {
        system.name
        for system in mixtures
        if not (system.writes and helps(system.name, system.decoder, comparisons, first))
    }
    champion = _champion([row for row in rows if row.name not in idle], comparisons, names)
    kin = {system.name: system.decoder or system.name for system in systems if system.role == "candidate"}
    rows = [Row(row.name, row.role, row.values, row.note, row.name == champion) for row in rows]
    rows.sort(key=lambda row: row.values[first].value if first in row.values else float("inf"))
    return Table(
        id=id,
        title="Completion",
        metric="held-out text",
        unit=UNIT,
        higher_is_better=False,
        columns=names,
        rows=rows,
        comparisons=comparisons,
        sentence="\n".join(
            " ".join(said)
            for said in (
                _who_serves([row for row in rows if row.name not in idle], comparisons, first, kin),
                [
                    memory_sentence(system.name, system.decoder, rows, comparisons, names, writes=system.writes)
                    for system in mixtures
                ],
                _what_scratch_bought(rows, scratch, first, {system.name for system in systems if system.decoder}),
            )
            if said
        ),
        warnings=_warnings(systems, rows, names),
        seen={name: share for name, share in (seen or {}).items() if name in names},
        notes=list(notes),
    )


def _check(systems: Sequence[System]) -> list[str]:
    if not systems:
        raise ValueError("no system was scored")
    if len({system.name for system in systems}) < len(systems):
        raise ValueError("two systems share a name")
    if not any(scores for system in systems for scores in system.scores.values()):
        raise ValueError("no text was scored")
    names = list(dict.fromkeys(name for system in systems for name, scores in system.scores.items() if scores))
    for name in names:
        texts = [
            [(s.document_id, s.text_bytes) for s in system.scores[name]] for system in systems if name in system.scores
        ]
        if any(other != texts[0] for other in texts):
            raise ValueError(f"column {name!r}: the systems have scored different texts")
    return names


def _compare(systems: Sequence[System], rows: Sequence[Row], names: Sequence[str], seed: int) -> list[Comparison]:
    """Every two candidates in every column, and every candidate with every baseline in the first."""
    result = []
    for name in names:
        for (a, row_a), (b, row_b) in combinations(zip(systems, rows, strict=True), 2):
            candidates = (a.role == "candidate") + (b.role == "candidate")
            if name not in row_a.values or name not in row_b.values or candidates < (1 if name == names[0] else 2):
                continue
            if row_b.values[name].value < row_a.values[name].value:
                a, b = b, a
            bits_a, text_bytes = columns(a.scores[name])
            difference = bootstrap.paired_ratio(bits_a, columns(b.scores[name])[0], text_bytes, seed)
            result.append(Comparison(a.name, b.name, name, difference))
    return result


def _champion(rows: Sequence[Row], comparisons: Sequence[Comparison], names: Sequence[str]) -> str | None:
    first = names[0]
    measured = [row for row in rows if row.role == "candidate" and first in row.values]
    if not measured:
        return None
    best = min(measured, key=lambda row: row.values[first].value)
    level = {c.worse for c in comparisons if c.column == first and c.better == best.name and not c.settled}
    rivals = [row for row in measured if row is best or row.name in level]
    if len(names) > 1 and all(names[1] in row.values and row.values[names[1]].has_interval for row in rivals):
        return min(rivals, key=lambda row: (row.values[names[1]].value, row.values[first].value)).name
    return best.name


def _who_serves(
    rows: Sequence[Row], comparisons: Sequence[Comparison], column: str, kin: Mapping[str, str]
) -> list[str]:
    """kin: candidates' decoders; that a decoder needs more without its memory is said elsewhere."""
    champion = next((row for row in rows if row.serves), None)
    if champion is None:
        return ["No candidate was scored, so none serves."]
    own = champion.values[column]
    said = f"{champion.name} serves: {format_value(own.value)} bits per byte on {_documents(own.n)}"
    others = [row for row in rows if row.role == "candidate" and not row.serves and column in row.values]
    if not others:
        return [f"{said}, the only candidate."]
    others = [row for row in others if kin[row.name] != kin[champion.name]]
    if not others:
        return [f"{said}."]
    rival = others[0]
    pair = next(c for c in comparisons if c.column == column and {c.better, c.worse} == {champion.name, rival.name})
    other = rival.values[column].value
    if not pair.difference.has_interval:
        return [f"{said}; {rival.name} has {format_value(other)} there: too few to tell them apart."]
    if not pair.settled:
        ahead = ", which is behind in the second column," if other < own.value else ""
        return [f"{said}; {rival.name} ({format_value(other)}){ahead} can't be told apart from it on these documents."]
    share = 100 * (1 - own.value / other)
    low, high = sorted(100 * abs(end) / other for end in (pair.difference.low, pair.difference.high))
    return [
        f"{said}, {share:.0f} % fewer than {rival.name} ({format_value(other)}; interval {low:.0f} to {high:.0f} %)."
    ]


def _what_scratch_bought(rows: Sequence[Row], scratch: Scratch | None, column: str, memories: Set[str]) -> list[str]:
    """What training here reached beside the baselines, and what its curve says about those ahead of it.

    memories: rows that are or have a memory; a decoder is set beside what is made as it is, from training alone.
    """
    rows = [row for row in rows if row.name not in memories]
    own = next((row for row in rows if scratch and row.name == scratch.name and column in row.values), None)
    if scratch is None or own is None:
        return []
    value = own.values[column].value
    beside = [_beside(value, row, column) for row in rows if row.role == "baseline" and column in row.values]
    said = (
        f"Training from scratch, {duration(scratch.seconds)} on {count(scratch.tokens)} tokens, "
        f"bought {format_value(value)} bits per byte"
    )
    sentences = [f"{said}: {', '.join(beside)}." if beside else f"{said}."]
    ahead = [row for row in rows if column in row.values and row.values[column].value < value]
    goals = [next((row for row in ahead if row.role == role), None) for role in ("candidate", "baseline")]
    slope = fit_slope(scratch.curve)
    for goal in (goal for goal in goals if goal is not None):
        sentences.append(_overtaking(scratch, slope, value, goal, column, is_first=len(sentences) == 1))
        if slope is None or slope.per_doubling >= 0:
            break
    return sentences


def _beside(value: float, row: Row, column: str) -> str:
    gap = value - row.values[column].value
    return f"{format_value(abs(gap))} {'more' if gap > 0 else 'fewer'} than {row.name}"


def _overtaking(scratch: Scratch, slope: Slope | None, value: float, goal: Row, column: str, *, is_first: bool) -> str:
    """One sentence: the straight line through the end of the curve, carried on to the goal, with its limit."""
    if slope is None:
        return f"Its curve has too few points to say what it would need to overtake {goal.name}."
    if slope.per_doubling >= 0:
        return f"Its held-out curve no longer falls, so more tokens alone would not overtake {goal.name}."
    needed = tokens_needed(scratch.tokens, value, goal.values[column].value, slope)
    factor = needed / scratch.tokens
    line = f"{times(factor)} the tokens ({duration(scratch.seconds * factor)} here) to overtake {goal.name}"
    if not is_first:
        return f"By the same line it would need {line}."
    epochs = needed / scratch.corpus_tokens if scratch.corpus_tokens else 0
    again = f", reading this corpus {times(epochs)}," if epochs > MANY_EPOCHS else ""
    return (
        f"Between {count(slope.first_tokens)} and {count(slope.last_tokens)} tokens its held-out curve falls by "
        f"{format_value(-slope.per_doubling)} with each doubling: at this slope it would need about {line}{again} "
        "if the curve stayed straight, which curves don't: they flatten."
    )


def _warnings(systems: Sequence[System], rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Of a decoder and the same with memory once."""
    systems = [system for system in systems if not system.decoder]
    result = [
        f"{system.name} may have read these very files in its own training; then its figure flatters it."
        for system in systems
        if system.brought
    ]
    for system in systems:
        missing = sum(score.missing_bytes for scores in system.scores.values() for score in scores)
        if missing:
            what = "byte" if missing == 1 else "bytes"
            result.append(f"{system.name} has no token for {missing:,} {what} of this text; each is charged 8 bits.")
    for name in names:
        n = max((row.values[name].n for row in rows if name in row.values), default=0)
        if n < ENOUGH_TO_TELL:
            result.append(f"{name}: {_documents(n)}, too few to tell anything apart; no interval is given.")
        elif n < FEW_DOCUMENTS:
            result.append(f"{name}: {_documents(n)}, so the intervals are rough.")
    return result


def _documents(n: int) -> str:
    return f"{n:,} held-out document" + ("" if n == 1 else "s")
