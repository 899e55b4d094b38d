"""The whole pipeline, from files to a release that serves; and what it would do, without doing it.

Order matters to whoever waits or stops it: the index comes right after the corpus, so that search works while models
train; every artifact is kept the moment it is whole; the report is written whatever happens.
"""

from __future__ import annotations

import datetime
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from groundup import machine
from groundup.corpus.document import Document, iter_documents
from groundup.corpus.funnel import Event, Funnel
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.sources import SourceFile
from groundup.pipeline.lineage import Lineage, run_name
from groundup.pipeline.report import write_report
from groundup.pipeline.runner import Pipeline
from groundup.pipeline.space import disk_full
from groundup.pipeline.steps import Step, StepPlan, StepRecord
from groundup.pipeline.store import Artifact, Store
from groundup.pipeline.summary import Coverage, Staleness
from groundup.progress import Sink
from groundup.recipe import Recipe
from groundup.registry import champion, release
from groundup.stages.assemble import Brought, assemble, resolve_brought
from groundup.stages.budget import make_plan
from groundup.stages.corpus import clean_documents
from groundup.stages.execution import Execution
from groundup.stages.index import (
    EncoderFace,
    Live,
    coverage,
    embed,
    fault,
    read_live,
    refresh,
    wanted_version,
    write_live,
    write_reference,
)
from groundup.stages.outcome import Outcome, Outlook, summarise
from groundup.stages.plan import Plan, plan_step, read_plan
from groundup.stages.snapshot import (
    Change,
    FileState,
    Snapshot,
    compare,
    file_states,
    followed,
    list_files,
    read_snapshot,
    take_snapshot,
    write_snapshot,
)
from groundup.stages.stores import drift_reference, file_cache

SNAPSHOT, LIVE, FUNNEL, REPORT = "snapshot.json", "live.json", "funnel.parquet", "report.html"
MakePlan = Callable[[int, int], Plan]  # (bytes, files) that the sources hold → sizes


def run_pipeline(recipe: Recipe, root: Path, sink: Sink, *, retrain: bool = False) -> Outcome:
    """Make what isn't there and let it serve. Raises what a person can mend at the edge, before work starts."""
    brought = resolve_brought(recipe)
    store = Store(root)
    with store.writing():
        return _Run(recipe, store, brought, sink).go(retrain)


def plan_pipeline(recipe: Recipe, root: Path, *, retrain: bool = False) -> Outlook:
    """What `run_pipeline` would do. Nothing is written but the machine's measurements, which are cached."""
    brought = resolve_brought(recipe)
    run = _Run(recipe, Store(root), brought, None)
    return run.look_ahead(retrain)


@dataclass(frozen=True)
class _Models:
    """What the models are made from: the snapshot that is kept or taken, and the disk beside it."""

    snapshot: Snapshot
    plan: Plan
    states: tuple[FileState, ...]  # of the files the index follows, as they are now

    @property
    def change(self) -> Change:
        return compare(self.snapshot.files, self.states)


class _StepsEndedError(Exception):
    """Steps failed or were stopped; what they left is in the run's records."""

    def __init__(self, stopped: str, failure: BaseException | None) -> None:
        super().__init__(stopped)
        self.stopped, self.failure = stopped, failure


class _Run:
    """One run of a recipe in a store, and what is known of it so far."""

    def __init__(self, recipe: Recipe, store: Store, brought: Brought, sink: Sink | None) -> None:
        self.recipe, self.store, self.brought, self.sink = recipe, store, brought, sink
        label = recipe.sources[0].name if recipe.sources else "python"
        self.name = run_name(label, {"sources": [str(source) for source in recipe.sources]})
        self.lineage = Lineage(store, self.name)
        self.folder = self.lineage.folder
        self.records: dict[str, StepRecord] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.models: _Models | None = None
        self.coverage: Coverage | None = None
        self.whole_before = False  # whether every chunk had a vector before the index was refreshed
        self.covered_before = 0
        self.promotion: champion.Promotion | None = None

    # ------------------------------------------------------------------ run

    def go(self, retrain: bool) -> Outcome:
        begun = time.monotonic()
        started = datetime.datetime.now(datetime.UTC).astimezone().isoformat(timespec="seconds")
        failure: BaseException | None = None
        stopped = ""
        try:
            self._work(retrain, begun + 60 * self.recipe.minutes)
        except _StepsEndedError as ended:
            stopped, failure = ended.stopped, ended.failure
        except KeyboardInterrupt:
            stopped = "Stopped. What was finished is kept; the same command goes on from there."
        except Exception as error:
            failure = disk_full(error, self.store.root) or error
        return self._outcome(started, time.monotonic() - begun, failure, stopped)

    def _work(self, retrain: bool, deadline: float) -> None:
        files, events = list_files(self.recipe)
        self.models = models = self._choose(files, events, retrain, self._made_plan)
        write_snapshot(self.folder / SNAPSHOT, models.snapshot)
        steps = assemble(self.recipe, models.plan, models.snapshot, self.brought, self.store, self.name)
        pipeline = Pipeline(self.store, steps, self._execution(models.snapshot), run=self.name)
        self._run_steps(pipeline, {"corpus"})
        self._timed("index", lambda: self._refresh_index(models, events))
        made = self._run_steps(pipeline, None)
        self._promote()
        self._timed("vectors", lambda: self._embed(deadline if made else None))

    def _made_plan(self, listed_bytes: int, listed_files: int) -> Plan:
        """The plan as the pipeline's first artifact."""
        step = self._plan_step(listed_bytes, listed_files)
        self._run_steps(Pipeline(self.store, [step], self._execution(None), run=self.name), None)
        return read_plan(self.artifacts["plan"].path)

    def _run_steps(self, pipeline: Pipeline, only: set[str] | None) -> bool:
        """Runs steps and keeps what came of them; True if anything was made."""
        assert self.sink is not None
        result = pipeline.run(self.sink, only, self._on_step)
        self.artifacts |= result.artifacts
        if result.stopped or result.failures:
            raise _StepsEndedError(result.stopped, result.failure)
        return any(record.state == "done" for record in result.records)

    def _on_step(self, record: StepRecord) -> None:
        assert self.sink is not None
        if record.state == "cached" and record.name in self.records:
            return  # told already, when the step was asked for alone
        if record.state != "running":
            self.records[record.name] = record
        self.sink.on_step(record)

    def _timed(self, name: str, work: Callable[[], str]) -> None:
        """Keeps a store up to date and tells it like a step. `work` returns what it did, "" if there was nothing."""
        assert self.sink is not None
        self.sink.memory.restart()
        begun = time.monotonic()
        self._on_step(StepRecord(name, "running"))
        try:
            did = work()
        except BaseException as error:
            self._on_step(StepRecord(name, "failed", "", time.monotonic() - begun, error=str(error)))
            raise
        seconds, peak = time.monotonic() - begun, self.sink.memory.peak_bytes
        self._on_step(StepRecord(name, "done" if did else "cached", did, seconds, peak))

    # ------------------------------------------------------------------ the two clocks

    def _choose(self, files: list[SourceFile], events: list[Event], retrain: bool, make: MakePlan) -> _Models:
        """The snapshot the models are made from: the last one while it stands, else the files as they are."""
        kept = read_snapshot(self.folder / SNAPSHOT)
        live = read_live(self.folder / LIVE)
        states: tuple[FileState, ...] = ()
        if kept is not None:
            known = (*kept.files, *(live.files if live is not None else ()))
            states = file_states(followed(kept, files), known)
            change = compare(kept.files, states)
            # Without an index the snapshot's corpus was never whole: nothing stands on it yet.
            if retrain or (change and (live is None or change.share >= self.recipe.retrain_share)):
                kept = None
        if kept is not None:
            plan = make(kept.listed_bytes, kept.listed_files)
        else:
            plan = make(sum(file.size for file in files), len(files))
        if kept is None or kept.take_bytes != plan.take_bytes:
            kept = take_snapshot(files, events, plan.take_bytes)
            states = kept.files
        return _Models(kept, plan, states)

    def _refresh_index(self, models: _Models, listed: list[Event]) -> str:
        """Brings the index up to the disk. `listed`: what listing passed over today, for the funnel."""
        assert self.sink is not None
        live, broken = read_live(self.folder / LIVE), fault(self.store, self.name)
        wanted = wanted_version(models.states)
        if not broken:
            covered, chunks = coverage(self.store, self.name, self._face())
            self.coverage = Coverage(covered, chunks)
            self.whole_before, self.covered_before = covered == chunks > 0, covered
            if live is not None and live.wanted == wanted:
                return ""
        execution = self._execution(models.snapshot)
        change = models.change
        if change:
            files = [state.file for state in models.states]
            made, events, _ = clean_documents(execution, files, CorpusPolicy(), self.sink)
            documents: list[Document] = made.documents
            Funnel([*listed, *events]).write(self.folder / FUNNEL)
        else:
            documents = list(iter_documents(self.artifacts["corpus"].file("documents.parquet")))
            (self.folder / FUNNEL).unlink(missing_ok=True)  # the corpus' own is today's
        index = refresh(self.store, self.name, documents, execution.workers, self.sink)
        write_live(self.folder / LIVE, Live(wanted, models.states))
        self.coverage = Coverage(0, index.chunks)
        if live is None:
            why = "first time"
        elif broken:
            why = broken
        else:
            since = compare(live.files, models.states)
            why = since.text() if since else "the code that makes it changed"
        return f"{index.documents:,} documents, {index.chunks:,} chunks: {why}"

    def _face(self) -> EncoderFace | None:
        """The encoder whose vectors the index holds, as the last verdict named it."""
        verdict = self.artifacts.get("verdict-search") or self.lineage.artifacts().get("verdict-search")
        policy = verdict.read_json("policy.json") if verdict is not None else {}
        if policy.get("encoder") is None:
            return None
        return EncoderFace(policy["encoder"], policy["dim"], policy["encoder_digest"])

    def _embed(self, deadline: float | None) -> str:
        """Vectors of the encoder that serves: all if all had one, else as many as had; and on until the deadline."""
        assert self.sink is not None
        policy = self.artifacts["verdict-search"].read_json("policy.json")
        refreshed = self.records["index"].state == "done"
        reference = drift_reference(self.store, self.name)
        if deadline is None and not refreshed and reference.exists():
            return ""
        encoder = self._serving_encoder(policy["encoder"])
        done = 0
        if encoder is not None:
            at_least = sys.maxsize if self.whole_before else self.covered_before
            done, covered, chunks = embed(self.store, self.name, encoder, at_least, deadline, self.sink)
            self.coverage = Coverage(covered, chunks)
        questions = self.artifacts["verdict-search"].read_json("questions.json")
        write_reference(reference, self.store, self.name, questions, encoder)
        if encoder is None:
            return f"none: {policy['system']} serves, which needs no vectors"
        return f"{done:,} chunks embedded by {encoder.name}"

    def _serving_encoder(self, name: str | None):  # type: ignore[no-untyped-def]  # its type would import torch
        if name is None:
            return None
        from groundup.interop.encoders import load_encoder
        from groundup.stages.encoder import NAME

        brought = name == self.brought.encoder
        place = self.brought.encoder_path if brought else self.artifacts["encoder"].path / NAME
        assert place is not None
        encoder = load_encoder(place)
        encoder.name = name
        return encoder

    def _promote(self) -> None:
        """A release just made serves unless it is worse; one made earlier was judged then, or rolled back since."""
        if self.records["release"].state != "done" and champion.current(self.store) is not None:
            return
        made = self.artifacts["release"].read_json("release.json")["release"]
        self.promotion = champion.promote(self.store, release.open_release(self.store, made))

    # ------------------------------------------------------------------ what is left to read

    def _outcome(self, started: str, seconds: float, failure: BaseException | None, stopped: str) -> Outcome:
        known: Mapping[str, Artifact] = {**self.lineage_artifacts(), **self.artifacts}
        failed = next((r.name for r in self.records.values() if r.state in ("failed", "interrupted")), "")
        change = self.models.change if self.models is not None else None
        serving = champion.current(self.store)
        summary = summarise(
            command=["groundup", *sys.argv[1:]],
            started=started,
            seconds=seconds,
            plan=self.models.plan if self.models is not None else None,
            records=list(self.records.values()),
            artifacts=known,
            measured=machine.profile(),
            store=self.store.root,
            release=serving.id if serving is not None else "",
            coverage=self.coverage,
            stale=None if change is None else Staleness(change.share, change.files),
            failure=failure if failure is not None else (KeyboardInterrupt(stopped) if stopped else None),
            failed_step=failed,
            next_commands=self._next(failure is None and not stopped and serving is not None),
            funnel=self.folder / FUNNEL,
        )
        report = self.folder / REPORT
        try:
            self.lineage.write_summary(json.loads(summary.to_json()))
            write_report(summary, report)
        except OSError as error:  # a full disk, most likely the one that ended the run
            failure = failure or disk_full(error, self.store.root) or error
        best = None if serving is None else serving.policies["champion"]
        why = "" if self.promotion is None else self.promotion.why
        return Outcome(summary, report, failure, stopped, best, why)

    def lineage_artifacts(self) -> dict[str, Artifact]:
        """What this run's steps made last: a run that stops half-way still shows what was there before."""
        return self.lineage.artifacts()

    def _next(self, served: bool) -> list[str]:
        if not served:
            return [shlex.join(["groundup", *sys.argv[1:]])]
        where = "" if str(self.store.root) == "groundup-store" else f" --store {shlex.quote(str(self.store.root))}"
        return [f"groundup serve{where}", f'groundup ask "…"{where}', f'groundup generate "…"{where}']

    # ------------------------------------------------------------------ plan

    def look_ahead(self, retrain: bool) -> Outlook:
        """The plan and what each step would do; the plan is made here if it isn't there yet, and thrown away."""
        files, events = list_files(self.recipe)
        ahead: list[StepPlan] = []

        def make(listed_bytes: int, listed_files: int) -> Plan:
            pipeline = Pipeline(self.store, [self._plan_step(listed_bytes, listed_files)], None, run=self.name)
            ahead.extend(pipeline.plan())
            key = ahead[0].key
            artifact = self.store.find("plan", key) if ahead[0].state == "cached" and key is not None else None
            if artifact is not None:
                return read_plan(artifact.path)
            brought = self.brought
            return make_plan(self.recipe, listed_bytes, listed_files, brought.base_path, brought.encoder_path)

        models = self._choose(files, events, retrain, make)
        steps = assemble(self.recipe, models.plan, models.snapshot, self.brought, self.store, self.name)
        ahead += Pipeline(self.store, steps, None, run=self.name).plan()
        live = read_live(self.folder / LIVE)
        broken = fault(self.store, self.name)
        if live is not None and not broken and live.wanted == wanted_version(models.states):
            ahead.append(StepPlan("index", "cached", ""))
        else:
            since = "first time" if live is None else broken or compare(live.files, models.states).text()
            ahead.append(StepPlan("index", "refresh", since))
        notes = []
        if models.change:
            share = models.change.share
            notes.append(
                f"The models keep their snapshot: {models.change.text()} since ({share:.1%} of its bytes). Training "
                f"starts by itself at {self.recipe.retrain_share:.0%}, or with --retrain."
            )
        return Outlook(models.plan.choices, ahead, notes)

    def _plan_step(self, listed_bytes: int, listed_files: int) -> Step:
        return plan_step(self.recipe, listed_bytes, listed_files, self.brought.base_digest, self.brought.encoder_digest)

    def _execution(self, snapshot: Snapshot | None) -> Execution:
        return Execution(
            recipe=self.recipe,
            store=self.store,
            files=() if snapshot is None else tuple(state.file for state in snapshot.files),
            passed_over=() if snapshot is None else snapshot.passed_over,
            cache=file_cache(self.store),
            workers=machine.cores(),
            base=self.brought.base_path,
            encoder=self.brought.encoder_path,
        )
