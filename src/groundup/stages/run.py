"""The whole pipeline, from files to a release that serves.

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
from pathlib import Path
from typing import TYPE_CHECKING

from groundup import machine
from groundup.pipeline.report import write_report
from groundup.pipeline.runner import Pipeline
from groundup.pipeline.space import disk_full
from groundup.pipeline.steps import StepRecord
from groundup.pipeline.store import Artifact, Store
from groundup.pipeline.summary import Staleness
from groundup.progress import Sink
from groundup.recipe import Recipe
from groundup.registry import champion, release
from groundup.stages.assemble import resolve_brought
from groundup.stages.clocks import Models, choose_models
from groundup.stages.index import LiveIndex, wanted_version
from groundup.stages.leave_out import LeaveOut
from groundup.stages.outcome import Outcome, summarise
from groundup.stages.plan import Plan, read_plan
from groundup.stages.site import RunSite
from groundup.stages.snapshot import list_files, read_snapshot, write_snapshot

if TYPE_CHECKING:
    from groundup.corpus.funnel import Event
    from groundup.interop.sentence_encoder import NumberFormat, SentenceEncoder


def run_pipeline(recipe: Recipe, root: Path, sink: Sink, *, retrain: bool = False) -> Outcome:
    """Make what isn't there and let it serve. Raises what a person can mend at the edge, before work starts."""
    site = RunSite(recipe, Store(root), resolve_brought(recipe))
    with site.store.writing():
        return _Run(site, sink).go(retrain)


class _StepsEndedError(Exception):
    """Steps failed or were stopped; what they left is in the run's records."""

    def __init__(self, stopped: str, failure: BaseException | None) -> None:
        super().__init__(stopped)
        self.stopped, self.failure = stopped, failure


class _Run:
    """One run, and what is known of it so far."""

    def __init__(self, site: RunSite, sink: Sink) -> None:
        self.site, self.sink = site, sink
        self.index = LiveIndex(site)
        self.records: dict[str, StepRecord] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.models: Models | None = None
        self.promotion: champion.Promotion | None = None

    def go(self, retrain: bool) -> Outcome:
        begun = time.monotonic()
        started = datetime.datetime.now(datetime.UTC).astimezone().isoformat(timespec="seconds")
        failure: BaseException | None = None
        stopped = ""
        try:
            self._work(retrain, begun + 60 * self.site.recipe.minutes)
        except _StepsEndedError as ended:
            stopped, failure = ended.stopped, ended.failure
        except KeyboardInterrupt:
            stopped = "Stopped. What was finished is kept; the same command goes on from there."
        except Exception as error:
            failure = disk_full(error, self.site.store.root) or error
        return self._outcome(started, time.monotonic() - begun, failure, stopped)

    def _work(self, retrain: bool, deadline: float) -> None:
        site = self.site
        files, events = list_files(site.recipe)
        self.models = models = choose_models(
            read_snapshot(site.snapshot),
            self.index.files(),
            files,
            events,
            retrain,
            site.recipe.retrain_share,
            self._made_plan,
        )
        write_snapshot(site.snapshot, models.snapshot)
        pipeline = Pipeline(site.store, site.steps(models), site.execution(models.snapshot), run=site.name)
        self._run_steps(pipeline, {"corpus"})
        self._timed("index", lambda: self.index.refresh(models, events, self.artifacts["corpus"], self.sink))
        made = self._run_steps(pipeline, None)
        self._promote()
        self._timed("memory", lambda: self._remember(models, events))
        self._timed("vectors", lambda: self._embed(deadline if made else None))

    def _made_plan(self, listed_bytes: int, listed_files: int) -> Plan:
        """The plan as the pipeline's first artifact."""
        step = self.site.plan_step(listed_bytes, listed_files)
        self._run_steps(Pipeline(self.site.store, [step], self.site.execution(None), run=self.site.name), None)
        return read_plan(self.artifacts["plan"].path)

    def _run_steps(self, pipeline: Pipeline, only: set[str] | None) -> bool:
        """Runs steps and keeps what came of them; True if anything was made."""
        result = pipeline.run(self.sink, only, self._on_step)
        self.artifacts |= result.artifacts
        if result.stopped or result.failures:
            raise _StepsEndedError(result.stopped, result.failure)
        return any(record.state == "done" for record in result.records)

    def _on_step(self, record: StepRecord) -> None:
        if record.state == "cached" and record.name in self.records:
            return  # told already, when the step was asked for alone
        if record.state != "running":
            self.records[record.name] = record
        self.sink.on_step(record)

    def _timed(self, name: str, work: Callable[[], str]) -> None:
        """Keeps a store up to date and tells it like a step. `work` returns what it did, "" if there was nothing."""
        self.sink.memory.restart()
        begun = time.monotonic()
        self._on_step(StepRecord(name, "running"))
        try:
            did = work()
        except KeyboardInterrupt:
            self._on_step(StepRecord(name, "interrupted", "", time.monotonic() - begun))
            raise
        except BaseException as error:
            self._on_step(StepRecord(name, "failed", "", time.monotonic() - begun, error=str(error)))
            raise
        seconds, peak = time.monotonic() - begun, self.sink.memory.peak_bytes
        self._on_step(StepRecord(name, "done" if did else "cached", did, seconds, peak))

    def _embed(self, deadline: float | None) -> str:
        """Vectors of the encoder that serves, and what questions about the index look like to it."""
        verdict = self.artifacts["verdict-search"]
        policy = verdict.read_json("policy.json")
        if deadline is None and self.records["index"].state != "done" and self.index.measured:
            return ""
        encoder = None if policy["encoder"] is None else self._encoder(policy["encoder"], policy["encoder_format"])
        done = 0 if encoder is None else self.index.embed(encoder, deadline, self.sink)
        self.index.measure(verdict.read_json("questions.json"), encoder)
        if encoder is None:
            return f"none: {policy['system']} serves, which needs no vectors"
        return f"{done:,} chunks embedded by {encoder.name}"

    def _remember(self, models: Models, events: list[Event]) -> str:
        """The memory of every decoder that serves with one, brought up to the documents of today."""
        from groundup.stages.live_memory import refresh_memories

        serving = self._serving()
        if serving is None:
            return ""
        return "; ".join(
            refresh_memories(
                self.site.store,
                serving,
                wanted_version(models.states),
                lambda: self.index.documents(models, events, self.artifacts["corpus"], self.sink),
                LeaveOut(self.site.recipe.memory.leave_out),
            )
        )

    def _encoder(self, name: str, number_format: NumberFormat) -> SentenceEncoder:
        from groundup.interop.encoders import load_encoder
        from groundup.stages.encoder import NAME

        brought = self.site.brought
        place = brought.encoder_path if name == brought.encoder else self.artifacts["encoder"].path / NAME
        assert place is not None
        encoder = load_encoder(place).use_format(number_format)
        encoder.name = name
        return encoder

    def _promote(self) -> None:
        """A release just made serves unless it is worse; one made earlier was judged then, or rolled back since.

        Where another run's release serves, this one's takes its place: its sources are what was asked for last.
        """
        store = self.site.store
        if self.records["release"].state != "done" and self._serving() is not None:
            return
        made = self.artifacts["release"].read_json("release.json")["release"]
        self.promotion = champion.promote(store, release.open_release(store, made))

    def _serving(self) -> release.Release | None:
        """The champion, if it is one of this run's."""
        serving = champion.current(self.site.store)
        return serving if serving is not None and serving.policies["index"] == self.site.name else None

    def _outcome(self, started: str, seconds: float, failure: BaseException | None, stopped: str) -> Outcome:
        site = self.site
        # With what the steps made last: a run that stops half-way still shows what was there before.
        known: Mapping[str, Artifact] = {**site.lineage.artifacts(), **self.artifacts}
        failed = next((r.name for r in self.records.values() if r.state in ("failed", "interrupted")), "")
        change = self.models.change if self.models is not None else None
        serving = self._serving()
        policies = {} if serving is None else serving.policies
        summary = summarise(
            command=["groundup", *sys.argv[1:]],
            started=started,
            seconds=seconds,
            plan=self.models.plan if self.models is not None else None,
            records=list(self.records.values()),
            artifacts=known,
            measured=machine.profile(),
            store=site.store.root,
            release=serving.id if serving is not None else "",
            policies=policies,
            coverage=self.index.coverage,
            stale=None if change is None else Staleness(change.share, change.files),
            failure=failure if failure is not None else (KeyboardInterrupt(stopped) if stopped else None),
            failed_step=failed,
            next_commands=self._next(stopped, serving),
            funnel=site.funnel,
            notes=self.index.notes,
        )
        try:
            site.lineage.write_summary(json.loads(summary.to_json()))
            write_report(summary, site.report)
        except OSError as error:  # a full disk, most likely the one that ended the run
            failure = failure or disk_full(error, site.store.root) or error
        why = "" if self.promotion is None else self.promotion.why
        system = policies.get("search", {}).get("system")
        return Outcome(summary, site.report, failure, stopped, why, system, self.index.notes)

    def _next(self, stopped: str, serving: release.Release | None) -> list[str]:
        """Commands that make sense now; after a failure its own text says what to do."""
        if stopped:
            return [shlex.join(["groundup", *sys.argv[1:]])]
        if serving is None or any(record.state == "failed" for record in self.records.values()):
            return []
        root = str(self.site.store.root)
        where = "" if root == "groundup-store" else f" --store {shlex.quote(root)}"
        generate = [f'groundup generate "…"{where}'] if serving.policies["champion"] else []
        return [f"groundup serve{where}", f'groundup ask "…"{where}', *generate]
