"""The ways to use a corpus beside one another: nothing, memory, retrieved passages, both, on the same tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from groundup.evaluation import bootstrap
from groundup.evaluation.language_verdict import FEW_DOCUMENTS, UNIT
from groundup.evaluation.memory_scores import Surveyed
from groundup.evaluation.passages import TARGET_TOKENS, Window, of_windows
from groundup.evaluation.token_record import TokenRecord
from groundup.evaluation.verdict import ENOUGH_TO_TELL, Comparison, Estimate, Row, Table, format_value
from groundup.infinigram.memory import Memory

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

COLUMN = "ends of held-out documents"


@dataclass(frozen=True)
class Way:
    """nats: (P,) −ln p of each token measured. label: as sentences call it after "with"."""

    name: str
    nats: Float64
    note: str = ""
    label: str = ""


def surveyed_windows(memory: Memory, record: TokenRecord, chosen: Sequence[Window]) -> Surveyed:
    """What the record says of the windows, and memory's survey of them: it looks back on the whole text before."""
    whole = [replace(one, start=0) for one in chosen]
    surveys = Surveyed.of(memory, of_windows(record, whole)).surveys
    return Surveyed(of_windows(record, chosen), surveys, [one.start for one in chosen])


def ways_table(alone: Way, others: Sequence[Way], offsets: Int64, token_bytes: Int64, *, seed: int) -> Table:
    """All ways from the best to the worst, each compared with the next, and a sentence on what each brings.

    offsets: (D + 1,) where the documents' tokens begin, two documents' never at the same place. token_bytes: (P,).
    """
    text_bytes = np.add.reduceat(token_bytes, offsets[:-1])
    bits = {way.name: np.add.reduceat(way.nats, offsets[:-1]) / math.log(2) for way in (alone, *others)}
    values = {name: bootstrap.ratio_interval(own, text_bytes, seed) for name, own in bits.items()}
    ranked = sorted((alone, *others), key=lambda way: values[way.name].value)
    base, n = values[alone.name].value, len(text_bytes)
    brought = [(way, bootstrap.paired_ratio(bits[alone.name], bits[way.name], text_bytes, seed)) for way in others]
    said = f"For the ends of {n:,} held-out documents {alone.name} needs {format_value(base)} bits per byte"
    few = [f"{COLUMN}: {n:,}, so the intervals are rough."] if ENOUGH_TO_TELL <= n < FEW_DOCUMENTS else []
    return Table(
        id="ways",
        title="Ways to use the corpus",
        metric=f"the last half of each text, {TARGET_TOKENS} tokens at most",
        unit=UNIT,
        higher_is_better=False,
        columns=[COLUMN],
        rows=[Row(way.name, "candidate", {COLUMN: values[way.name]}, way.note) for way in ranked],
        comparisons=[
            Comparison(a.name, b.name, COLUMN, bootstrap.paired_ratio(bits[a.name], bits[b.name], text_bytes, seed))
            for a, b in pairwise(ranked)
        ],
        sentence="; ".join([said, *(f"with {way.label} {_change(gain, base)}" for way, gain in brought)]) + ".",
        warnings=few,
    )


def _change(gain: Estimate, base: float) -> str:
    """ "12 % fewer (interval 8 to 16 %)". gain: bits per byte less than `base`."""
    share, low, high = (100 * end / base for end in (gain.value, gain.low, gain.high))
    told = f"{abs(share):.0f} % {'fewer' if share >= 0 else 'more'}"
    if not gain.has_interval:
        return f"{told}, too few documents to tell"
    if low <= 0 <= high:
        return f"{told}, which may be chance"
    low, high = sorted((abs(low), abs(high)))
    return f"{told} (interval {low:.0f} to {high:.0f} %)"
