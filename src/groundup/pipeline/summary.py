"""What a run did, as pure data: all that the report, `--json` and the last lines on a terminal are made from.

Every part may be missing, because a summary is also written when a run stops half-way: None or an empty list is
"not reached", and the report says so. Strict JSON: `from_json(to_json())` is the same summary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from groundup.evaluation import plain_data
from groundup.evaluation.memory_verdict import MemoryVerdict
from groundup.evaluation.verdict import Table
from groundup.machine import Machine


@dataclass(frozen=True)
class Flow:
    """How much was there after a stage, in the order of stages: files found first, the corpus last."""

    stage: str
    documents: int
    bytes: int


@dataclass(frozen=True)
class FunnelRow:
    """One rule: what it removed or changed. Same fields as `corpus.funnel.FunnelRow`, which this room can't require."""

    stage: str
    action: str  # "removed", "changed" or "unread"
    rule: str
    documents: int
    count: int  # of changes; for removals the documents
    bytes: int
    example: str = ""
    example_source: str = ""


@dataclass(frozen=True)
class Choice:
    """One choice of the planner, with its reason in words."""

    choice: str
    value: str
    reason: str


@dataclass(frozen=True)
class Step:
    name: str
    state: str  # "done", "cached", "failed", "skipped", or "waiting" for what was not reached
    reason: str = ""
    seconds: float = 0.0
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class CurvePoint:
    """One look at a model in training. `tokens`: target tokens seen so far. None: not measured at this point."""

    tokens: int
    train_bits_per_byte: float | None = None
    held_out_bits_per_byte: float | None = None
    gradient_norm: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Sample:
    model: str
    prompt: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Coverage:
    """How many of the index's chunks have a dense vector."""

    dense: int
    chunks: int


@dataclass(frozen=True)
class Staleness:
    """What the models have not seen: the share of the corpus' bytes in files changed or added since their snapshot."""

    share_of_bytes: float
    files_changed: int


@dataclass(frozen=True)
class Failure:
    step: str
    error: str
    mend: str = ""


@dataclass(frozen=True)
class RunSummary:
    command: str = ""  # as it was typed
    started: str = ""  # ISO 8601, with the offset from UTC
    seconds: float = 0.0
    verdicts: list[Table] = field(default_factory=list)
    memory: list[MemoryVerdict] = field(default_factory=list)  # of each decoder that has one
    warnings: list[str] = field(default_factory=list)
    documents_in: int | None = None
    bytes_in: int | None = None
    documents_out: int | None = None
    bytes_out: int | None = None
    flow: list[Flow] = field(default_factory=list)
    funnel: list[FunnelRow] = field(default_factory=list)
    plan: list[Choice] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    curves: dict[str, list[CurvePoint]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    coverage: Coverage | None = None
    stale: Staleness | None = None
    machine: Machine | None = None
    release: str = ""
    completes: str = ""  # what of the release does, as "smollm2 + memory"
    store: str = ""
    next: list[str] = field(default_factory=list)  # commands
    failure: Failure | None = None

    def to_json(self) -> str:
        """Raises ValueError for NaN and infinities: a loss that is no number belongs into `failure`."""
        return plain_data.to_json(self)

    @classmethod
    def from_json(cls, text: str) -> RunSummary:
        """Inverse of `to_json`. Raises StoreError that names the field that is missing, unknown or of another type."""
        return plain_data.from_json(cls, text)

    @property
    def peak_memory_bytes(self) -> int | None:
        """Of the step that needed most, None if none was measured."""
        return max((step.peak_memory_bytes for step in self.steps if step.peak_memory_bytes is not None), default=None)
