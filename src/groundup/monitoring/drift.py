"""Whether people still ask about what the corpus holds: one figure, with what it rests on.

Terms of the corpus fall into bands by how many of its chunks hold them; band 0 is terms it does not hold. A reference
(questions known to be about the corpus) gives each band its share; the queries served give theirs; the population
stability index (PSI) is the distance of the two: Σ (q − r) · ln(q / r). Only counts per band are logged, never words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from groundup.errors import StoreError

BANDS = 8  # 0: not in the corpus; then in fewer than 1, 2, 4, 8, … per 10,000 chunks, the last open
MIN_QUERIES = 50  # below this the figure is mostly chance
MIN_TERMS = 100
MOVING, DRIFTED = 0.1, 0.25  # the bounds in general use for PSI (Siddiqi 2006, Credit Risk Scorecards)
NEAREST_DROP = 0.1  # cosine; a mean nearest similarity lower by this much is drift by itself
SMOOTHING = 0.5  # terms added to each band, so that an empty one has a logarithm

Verdict = Literal["stable", "moving", "drifted", "too few queries"]


@dataclass(frozen=True)
class QueryCounts:
    """What is kept of a query. nearest: cosine of its vector with the nearest chunk's, if vectors exist."""

    bands: list[int]  # (BANDS,) terms in each
    nearest: float | None = None

    def to_record(self) -> dict[str, object]:
        return {"bands": self.bands} | ({} if self.nearest is None else {"nearest": round(self.nearest, 4)})


@dataclass(frozen=True)
class Reference:
    """What questions about this corpus look like. bands: terms in each; nearest: mean over `nearest_queries`."""

    bands: list[int]
    queries: int
    nearest: float | None = None
    nearest_queries: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Reference:
        try:
            values = json.loads(text)
            reference = cls(**values)
            whole = len(reference.bands) == BANDS and all(
                type(count) is int and count >= 0 for count in reference.bands
            )
        except (ValueError, TypeError):
            whole = False
        if not whole:
            raise StoreError(
                "the drift reference can't be read", place="drift reference", mend="Run the pipeline again."
            )
        return reference


@dataclass(frozen=True)
class Drift:
    """The figure and what it rests on. `psi` is None when there are too few queries to tell."""

    verdict: Verdict
    psi: float | None
    by_chance: float | None  # PSI that as many terms of the reference itself would stay under 95 times in 100
    queries: int
    unknown_share: float | None  # of the queries' terms, not in the corpus
    reference_unknown_share: float | None
    nearest: float | None
    reference_nearest: float | None
    sentence: str


def band(document_frequency: int, chunks: int) -> int:
    """The band of a term held by `document_frequency` of `chunks` chunks."""
    if document_frequency <= 0:
        return 0
    per_ten_thousand = 10_000 * document_frequency / max(1, chunks)
    return 1 + min(BANDS - 2, max(0, math.floor(math.log2(per_ten_thousand)) + 1) if per_ten_thousand >= 1 else 0)


def count_query(
    terms: Iterable[str], document_frequency: Callable[[str], int], chunks: int, nearest: float | None = None
) -> QueryCounts:
    """Counts of one query's terms, cut up by the index's own analyzer."""
    bands = [0] * BANDS
    for term in terms:
        bands[band(document_frequency(term), chunks)] += 1
    return QueryCounts(bands, nearest)


def make_reference(counts: Sequence[QueryCounts]) -> Reference:
    """From questions known to be about the corpus: the evaluation's known-item queries, titles, headings."""
    nearest = [count.nearest for count in counts if count.nearest is not None]
    return Reference(
        _summed(count.bands for count in counts),
        len(counts),
        sum(nearest) / len(nearest) if nearest else None,
        len(nearest),
    )


def counts_in(records: Iterable[Mapping[str, object]]) -> list[QueryCounts]:
    """The counts a request log holds; records of another form are passed over."""
    found = []
    for record in records:
        query = record.get("query")
        if not isinstance(query, dict):
            continue
        bands, nearest = query.get("bands"), query.get("nearest")
        if isinstance(bands, list) and len(bands) == BANDS and all(isinstance(n, int) and n >= 0 for n in bands):
            found.append(QueryCounts(bands, float(nearest) if isinstance(nearest, int | float) else None))
    return found


def psi(left: Sequence[int], right: Sequence[int]) -> float:
    """Population stability index of two rows of counts, SMOOTHING added to each; 0 for equal shares, symmetric."""
    total_left, total_right = sum(left) + SMOOTHING * len(left), sum(right) + SMOOTHING * len(right)
    value = 0.0
    for a, b in zip(left, right, strict=True):
        p, q = (a + SMOOTHING) / total_left, (b + SMOOTHING) / total_right
        value += (p - q) * math.log(p / q)
    return value


def measure(reference: Reference | None, queries: Sequence[QueryCounts]) -> Drift:
    """The drift of `queries` from `reference`."""
    bands = _summed(count.bands for count in queries)
    terms, asked = sum(bands), len(queries)
    near = [count.nearest for count in queries if count.nearest is not None]
    nearest = sum(near) / len(near) if near else None
    unknown = bands[0] / terms if terms else None
    if reference is None or not sum(reference.bands):
        sentence = "There is no reference to compare queries with."
        return Drift("too few queries", None, None, asked, unknown, None, nearest, None, sentence)
    usual = reference.bands[0] / sum(reference.bands)
    if asked < MIN_QUERIES or terms < MIN_TERMS:
        sentence = f"{asked} queries with {terms} terms are too few to tell; {MIN_QUERIES} and {MIN_TERMS} are needed."
        return Drift("too few queries", None, None, asked, unknown, usual, nearest, reference.nearest, sentence)
    value = psi(bands, reference.bands)
    chance = _by_chance(terms, sum(reference.bands))
    dropped = (
        len(near) >= MIN_QUERIES and nearest is not None and reference.nearest is not None
        and reference.nearest - nearest >= NEAREST_DROP
    )  # fmt: skip
    verdict: Verdict = "stable"
    if value > chance:
        verdict = "drifted" if value >= DRIFTED else "moving" if value >= MOVING else "stable"
    verdict = "drifted" if dropped else verdict
    return Drift(
        verdict, value, chance, asked, unknown, usual, nearest, reference.nearest,
        _sentence(verdict, value, unknown or 0.0, usual, nearest, reference.nearest),
    )  # fmt: skip


def _by_chance(terms: int, reference_terms: int) -> float:
    """Two samples of one population: PSI is about chi-squared with BANDS − 1 degrees × (1/n + 1/m) (Yurdakul 2018).

    95th percentile by Wilson and Hilferty's cube, good to a hundredth here.
    """
    degrees = BANDS - 1
    cube = 1 - 2 / (9 * degrees) + 1.645 * math.sqrt(2 / (9 * degrees))
    return degrees * cube**3 * (1 / terms + 1 / reference_terms)


def _sentence(
    verdict: Verdict, value: float, unknown: float, usual: float, nearest: float | None, before: float | None
) -> str:
    meaning = {
        "stable": "Queries are about what the corpus holds",
        "moving": "Queries begin to differ from what the corpus holds",
        "drifted": "Queries are about something else than the corpus holds",
        "too few queries": "",
    }[verdict]
    text = f"{meaning}: PSI {value:.2f} (moving from {MOVING}, drifted from {DRIFTED})"
    text += f"; {unknown:.0%} of their words are not in the corpus, {usual:.0%} in the reference"
    if nearest is not None and before is not None:
        text += f"; nearest passage at cosine {nearest:.2f}, {before:.2f} in the reference"
    return text + "."


def _summed(rows: Iterable[Sequence[int]]) -> list[int]:
    total = [0] * BANDS
    for row in rows:
        total = [a + b for a, b in zip(total, row, strict=True)]
    return total
