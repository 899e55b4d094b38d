"""What a run leaves to read: the summary as data, the last lines on a terminal, the report."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from groundup.corpus.funnel import Funnel
from groundup.errors import GroundupError, StoreError
from groundup.evaluation import plain_data
from groundup.evaluation.memory_verdict import MemoryVerdict
from groundup.evaluation.verdict import Table, render_text
from groundup.machine import Machine
from groundup.pipeline.steps import StepPlan, StepRecord
from groundup.pipeline.store import Artifact
from groundup.pipeline.summary import (
    Choice,
    Coverage,
    CurvePoint,
    Failure,
    Flow,
    FunnelRow,
    RunSummary,
    Sample,
    Staleness,
    Step,
)
from groundup.progress import duration
from groundup.stages import continuations, ways, written_answers
from groundup.stages.language import MEMORY, SCRATCH, completes_with
from groundup.stages.plan import Plan

T = TypeVar("T")
VERDICTS = (
    ("verdict-language", "table.json"),
    ("continuations", continuations.TABLE),
    ("ways", ways.TABLE),
    ("verdict-search", "search.json"),
    ("verdict-search", "answers.json"),
    ("written-answers", written_answers.TABLE),
)
WIDTH = 110  # columns of the last lines on a terminal


@dataclass(frozen=True)
class Outcome:
    """What `groundup run` did. `failure`: what went wrong, with its traceback. `stopped`: where Ctrl-C ended it."""

    summary: RunSummary
    report: Path
    failure: BaseException | None = None
    stopped: str = ""
    promotion: str = ""
    system: str | None = None  # that the release searches with
    notes: Sequence[str] = ()  # on choices of the recipe

    @property
    def failed(self) -> bool:
        return self.failure is not None or bool(self.stopped)

    def to_json(self) -> dict[str, Any]:
        return {**json.loads(self.summary.to_json()), "report": str(self.report)}

    def text(self) -> str:
        summary = self.summary
        parts = [render_text(table, WIDTH) for table in summary.verdicts]
        made = []
        states = [step.state for step in summary.steps]
        if not self.failed and all(state == "cached" for state in states):
            made.append(f"cached   everything: {len(states)} steps and the index are as the last run left them")
        if summary.release:
            made.append(f"release  {summary.release}" + (f" ({self.promotion})" if self.promotion else ""))
        if summary.documents_out is not None:
            made.append(
                f"corpus   {many(summary.documents_out, 'document')}, {size(summary.bytes_out or 0)} of text, "
                f"from {many(summary.documents_in or 0, 'file')} of {size(summary.bytes_in or 0)}"
            )
        over = [row for row in summary.funnel if row.rule == "over_budget"]
        if over:
            files, total = sum(row.count for row in over), sum(row.bytes for row in over)
            made.append(
                f"not read {many(files, 'file')} ({size(total)}), so not searched either: more --minutes take more"
            )
        left_out = [row for row in summary.funnel if row.action != "changed" and row not in over]
        if left_out:
            top = sorted(left_out, key=lambda row: -row.count)[:4]
            rules = ", ".join(f"{row.rule} {row.count:,} ({row.example_source})" for row in top)
            more = f", and {many(len(left_out) - 4, 'rule')} more" if len(left_out) > 4 else ""
            made.append(f"left out {rules}{more}; each rule is in the report")
        made += [f"note     {note}" for note in self.notes]
        if summary.coverage is not None:
            covered = f"dense covers {summary.coverage.dense:,} of {summary.coverage.chunks:,} chunks"
            rest = "; `groundup serve` goes on with the rest" if self._embeds else ""
            made.append(f"index    {summary.coverage.chunks:,} chunks; {covered}{rest}")
        if summary.stale is not None and summary.stale.files_changed:
            made.append(
                f"stale    the models have not seen {summary.stale.share_of_bytes:.1%} of the corpus "
                f"({many(summary.stale.files_changed, 'file')} changed since); `groundup run --retrain` trains on it"
            )
        peak = summary.peak_memory_bytes
        memory = f", at most {peak / 2**30:.1f} GiB" if peak else ""
        made.append(f"took     {duration(summary.seconds)}{memory}")
        made.append(f"report   {self.report}")
        made += [f"{'next' if number == 0 else '':8} {command}" for number, command in enumerate(summary.next)]
        if summary.release:
            completes = f"{summary.completes} completes; " if summary.completes else ""
            made.append(f"serves   {completes}{self._searches()}")
        return "\n".join([*parts, *(_wrapped(line) for line in made)])

    @property
    def _embeds(self) -> bool:
        """Whether chunks are left that the release's encoder has still to embed."""
        coverage = self.summary.coverage
        return ":" in (self.system or "") and coverage is not None and coverage.dense < coverage.chunks

    def _searches(self) -> str:
        """What a search gets today: the tables measure a collection that is embedded whole."""
        coverage = self.summary.coverage
        if not self._embeds or coverage is None:
            return f"{self.system} searches"
        if not coverage.dense:
            return f"bm25 searches until chunks have vectors, then {self.system}"
        return f"{self.system} searches, its dense share growing with the chunks that have vectors"


@dataclass(frozen=True)
class Outlook:
    """What `groundup plan` says."""

    choices: Sequence[Choice]
    steps: Sequence[StepPlan]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        return {
            "choices": [vars(choice) for choice in self.choices],
            "steps": [{"name": step.name, "state": step.state, "reason": step.reason} for step in self.steps],
            "notes": list(self.notes),
        }

    def text(self) -> str:
        lines = ["What would be chosen, and why", ""]
        width = max((len(choice.choice) for choice in self.choices), default=0)
        values = max((len(choice.value) for choice in self.choices), default=0)
        lines += [f"  {c.choice:{width}}  {c.value:>{values}}  {c.reason}" for c in self.choices]
        lines += ["", "What each step would do", ""]
        names = max((len(step.name) for step in self.steps), default=0)
        lines += [f"  {step.name:{names}}  {_ahead(step)}".rstrip() for step in self.steps]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])


def _wrapped(line: str) -> str:
    """Commands and paths stay on one line, since they are copied."""
    if len(line) <= WIDTH or line.startswith(("next", "report", " ")):
        return line
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * 9, break_long_words=False, break_on_hyphens=False)


def summarise(
    *,
    command: Sequence[str],
    started: str,
    seconds: float,
    plan: Plan | None,
    records: Sequence[StepRecord],
    artifacts: Mapping[str, Artifact],
    measured: Machine,
    store: Path,
    release: str,
    policies: Mapping[str, Any],
    coverage: Coverage | None,
    stale: Staleness | None,
    failure: BaseException | None,
    failed_step: str,
    next_commands: Sequence[str],
    funnel: Path,
    notes: Sequence[str] = (),
) -> RunSummary:
    """Everything that is known, from what is there; what was not reached is left empty and the report says so."""
    corpus = artifacts.get("corpus")
    split = artifacts.get("split")
    facts: Mapping[str, Any] = corpus.metrics if corpus is not None else {}
    flow = []
    if corpus is not None:
        flow = [
            Flow("files", facts["files_in"], facts["bytes_in"]),
            Flow("documents after cleaning and filters", facts["documents_read"], facts["bytes_read"]),
            Flow("documents after deduplication", facts["documents_out"], facts["bytes_out"]),
        ]
    if split is not None:
        flow.append(Flow("trained on", split.metrics["train_documents"], split.metrics["train_bytes"]))
    return RunSummary(
        command=shlex.join(command),
        started=started,
        seconds=seconds,
        verdicts=_verdicts(artifacts),
        memory=_memory(artifacts),
        warnings=[
            *(note for artifact in artifacts.values() for note in artifact.manifest.get("notes", ())),
            *_thin_vectors(artifacts, coverage),
            *notes,
        ],
        documents_in=facts.get("files_in"),
        bytes_in=facts.get("bytes_in"),
        documents_out=facts.get("documents_out"),
        bytes_out=facts.get("bytes_out"),
        flow=flow,
        funnel=_funnel(corpus, funnel),
        plan=list(plan.choices) if plan is not None else [],
        steps=[_step(record) for record in records],
        curves=_curves(artifacts),
        samples=[Sample(**sample) for sample in artifacts["continuations"].read_json(continuations.SAMPLES)]
        if "continuations" in artifacts
        else [],
        coverage=coverage,
        stale=stale,
        machine=measured,
        release=release,
        completes=completes_with(policies),
        store=str(store),
        next=list(next_commands),
        failure=_failure(failure, failed_step),
    )


def _verdicts(artifacts: Mapping[str, Artifact]) -> list[Table]:
    places = [artifacts[step].path / name for step, name in VERDICTS if step in artifacts]
    return [table for place in places if (table := _read(Table, place)) is not None]


def _memory(artifacts: Mapping[str, Artifact]) -> list[MemoryVerdict]:
    step = artifacts.get("verdict-language")
    return [] if step is None else _read(list[MemoryVerdict], step.path / MEMORY) or []


def _read(kind: type[T], place: Path) -> T | None:
    """None of what isn't there, or is of another version: a run that stops half-way finds what was there before."""
    try:
        return plain_data.from_json(kind, place.read_text(encoding="utf-8")) if place.exists() else None
    except StoreError:
        return None


def _thin_vectors(artifacts: Mapping[str, Artifact], coverage: Coverage | None) -> list[str]:
    """That the search measured is not yet the search served, where most chunks still lack a vector."""
    system = artifacts["verdict-search"].read_json("policy.json")["system"] if "verdict-search" in artifacts else ""
    if coverage is None or ":" not in system or coverage.dense >= coverage.chunks:
        return []
    share = coverage.dense / coverage.chunks
    return [
        f"{system} was measured on a collection that is embedded whole; of the index {share:.0%} of the chunks have a "
        "vector so far, and the rest is found by BM25."
    ]


def _ahead(step: StepPlan) -> str:
    """State and reason; of a step that can't be known yet, what decides it."""
    if step.waits_for:
        return f"{'later':7}  runs unless {', '.join(step.waits_for)} come out as they were"
    return f"{step.state:7}  {step.reason}"


def _failure(failure: BaseException | None, step: str) -> Failure | None:
    if failure is None:
        return None
    if isinstance(failure, GroundupError):
        place = f"{failure.place}: " if failure.place else ""
        return Failure(step, f"{place}{failure.wrong}", failure.mend)
    return Failure(step, str(failure) or type(failure).__name__)


def _step(record: StepRecord) -> Step:
    states = {"blocked": "waiting", "interrupted": "failed"}
    return Step(
        record.name,
        states.get(record.state, record.state),
        record.error or record.reason,
        record.seconds,
        record.peak_bytes or None,
    )


def _funnel(corpus: Artifact | None, today: Path) -> list[FunnelRow]:
    """The funnel of the files as they are: `today` if they changed since the models' snapshot, else the corpus' own."""
    path = today if today.exists() else corpus.file("funnel.parquet") if corpus is not None else None
    if path is None:
        return []
    rows = Funnel.read(path).summary()
    return [FunnelRow(**{name: getattr(row, name) for name in FunnelRow.__dataclass_fields__}) for row in rows]


def size(count: float) -> str:
    """ "312 bytes", "4.1 kB", "72.7 MB"."""
    for bound, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= bound:
            return f"{count / bound:.1f} {unit}"
    return f"{count:.0f} bytes"


def many(count: int, noun: str) -> str:
    """ "1 file", "5,275 files"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _curves(artifacts: Mapping[str, Artifact]) -> dict[str, list[CurvePoint]]:
    """The decoder's curve in bits per byte. The loss is nats per token: bytes per token turn one into the other."""
    if "decoder" not in artifacts or "tokens" not in artifacts:
        return {}
    bytes_per_token = artifacts["tokens"].metrics["train"]["bytes_per_token"]
    points = []
    for point in artifacts["decoder"].read_json("curve.json"):
        loss = point.get("loss")
        points.append(
            CurvePoint(
                int(point["tokens"]),
                None if loss is None else loss / 0.6931471805599453 / bytes_per_token,
                point.get("held_out_bits_per_byte"),
                point.get("gradient_norm"),
                point.get("seconds"),
            )
        )
    return {SCRATCH: points}
