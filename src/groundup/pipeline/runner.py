"""Plan and run: which steps are cached, which rerun and why, and what becomes of the rest when one fails."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from groundup.errors import StoreError
from groundup.pipeline import provenance, space
from groundup.pipeline.code import code_versions
from groundup.pipeline.files import tree_bytes
from groundup.pipeline.identity import plain, step_key
from groundup.pipeline.lineage import Lineage, differences
from groundup.pipeline.steps import Context, RunResult, State, Step, StepPlan, StepRecord
from groundup.pipeline.store import Artifact, Store
from groundup.progress import MemoryMeter, Progress, Sink, duration, silent

OnStep = Callable[[StepRecord], None]


class Pipeline:
    """Steps over a store. `run` is the name under which the keys of this time are kept for the next (lineage.py)."""

    def __init__(self, store: Store, steps: Sequence[Step], execution: object = None, *, run: str = "default") -> None:
        self.store, self.execution = store, execution
        self.steps = in_order(steps)
        self.lineage = Lineage(store, run)

    def plan(self, only: Collection[str] | None = None) -> list[StepPlan]:
        """What `run` would do with each step, and why; changes nothing and needs no lock."""
        plans: list[StepPlan] = []
        known: dict[str, Artifact] = {}
        for step in self.wanted(only):
            waits = tuple(dict.fromkeys(source for source in step.inputs.values() if source not in known))
            if waits:
                have = "has" if len(waits) == 1 else "have"
                state = f"unknown until {', '.join(waits)} {have} run"
                plans.append(StepPlan(step.name, state, f"depends on {', '.join(waits)}", waits_for=waits))
                continue
            key, parts = self.key(step, known)
            artifact, fault = self.find(step, key)
            if artifact is not None:
                known[step.name] = artifact
                plans.append(StepPlan(step.name, "cached", "", key))
            else:
                plans.append(StepPlan(step.name, "run", self.reason(step, key, parts, fault), key))
        return plans

    def run(
        self,
        progress: Progress = silent,
        only: Collection[str] | None = None,
        on_step: OnStep | None = None,
        *,
        fresh: Collection[str] = (),
    ) -> RunResult:
        """Make what isn't there. Raises StoreBusyError if another process works in the store.

        only: these steps and what they stand on. fresh: steps that start over instead of going on from what a stopped
        attempt left. A step that fails stops the ones that stand on it, the others go on; Ctrl-C ends the run with
        `stopped` set and nothing half-made committed. Steps run one after another: each may use the whole machine.
        """
        wanted = self.wanted(only)
        with self.store.writing():
            try:
                self.lineage.begin()
            except OSError as error:
                raise space.disk_full(error, self.store.root) or error from None
            if isinstance(progress, Sink):  # it samples already
                return _Run(self, progress, progress.memory, on_step, fresh).all(wanted)
            with MemoryMeter() as memory:
                return _Run(self, progress, memory, on_step, fresh).all(wanted)

    def key(self, step: Step, artifacts: Mapping[str, Artifact]) -> tuple[str, dict[str, Any]]:
        """The step's key and its parts; the artifact of every input must be known."""
        parts = {
            "version": step.version,
            "code": code_versions(step.code or own_module(step)),
            "configuration": plain(step.identity, f"{step.name}.identity"),
            "inputs": {name: artifacts[source].digest for name, source in step.inputs.items()},
        }
        return step_key(step.name, **parts), parts  # type: ignore[arg-type]

    def find(self, step: Step, key: str) -> tuple[Artifact | None, str]:
        """The step's artifact, or None and why there is none that can be used."""
        artifact = self.store.find(step.name, key)
        if artifact is None:
            return None, self.store.damage(step.name, key)
        fault = step.intact(artifact) if step.intact is not None else ""
        return (None, fault) if fault else (artifact, "")

    def reason(self, step: Step, key: str, parts: Mapping[str, Any], fault: str) -> str:
        """Why a step runs. `fault`: why it has no artifact under its key."""
        last = self.lineage.last(step.name)
        if last is None:
            return "first time"
        changed = differences(last, parts)
        if changed or last["key"] != key:
            return changed or "the form of keys changed"
        return "it did not end last time" if last["stopped"] else fault

    def wanted(self, only: Collection[str] | None) -> list[Step]:
        """The named steps and all they stand on, in order; every step for None. Raises ValueError for unknown names."""
        if only is None:
            return self.steps
        known = [step.name for step in self.steps]
        unknown = sorted(set(only) - set(known))
        if unknown:
            raise ValueError(f"there is no step {', '.join(unknown)}; the steps are {', '.join(known)}")
        names = set(only)
        for step in reversed(self.steps):
            if step.name in names:
                names.update(step.inputs.values())
        return [step for step in self.steps if step.name in names]


class _Run:
    """One pass over the steps: what was made so far and what went wrong."""

    def __init__(
        self,
        pipeline: Pipeline,
        progress: Progress,
        memory: MemoryMeter,
        on_step: OnStep | None,
        fresh: Collection[str],
    ) -> None:
        self.pipeline, self.store, self.lineage = pipeline, pipeline.store, pipeline.lineage
        self.progress, self.memory, self.on_step, self.fresh = progress, memory, on_step, fresh
        self.artifacts: dict[str, Artifact] = {}
        self.records: list[StepRecord] = []
        self.failures: dict[str, Exception] = {}
        self.stopped = ""

    def all(self, wanted: Sequence[Step]) -> RunResult:
        for step in wanted:
            missing = [source for source in dict.fromkeys(step.inputs.values()) if source not in self.artifacts]
            if self.stopped or missing:
                why = "the run was stopped before it" if self.stopped else f"needs {', '.join(missing)}"
                self.tell(StepRecord(step.name, "blocked", why))
                continue
            key, parts = self.pipeline.key(step, self.artifacts)
            begin = time.monotonic()
            try:
                self.one(step, key, parts)
            except KeyboardInterrupt:
                took = duration(time.monotonic() - begin)
                self.stopped = f"Stopped in step {step.name} after {took}. What was made before it is kept"
                self.stopped += " and the same command goes on from there."
                self.ended(step, key, parts, "interrupted", begin, self.stopped)
            except Exception as error:
                full = space.disk_full(error, self.store.root, step.name, step.disk_bytes, self.written(key))
                if full is not None:
                    full.__cause__ = error
                self.failures[step.name] = full or error
                self.ended(step, key, parts, "failed", begin, str(full or error) or type(error).__name__)
        return RunResult(self.artifacts, self.records, self.failures, self.stopped)

    def one(self, step: Step, key: str, parts: Mapping[str, Any]) -> None:
        """Find the step's artifact or make it."""
        artifact, fault = self.pipeline.find(step, key)
        if artifact is not None:
            self.store.abandon(key)  # scratch that a crash between commit and its removal left
            self.take(step, parts, artifact, "cached", "")
            return
        reason = self.pipeline.reason(step, key, parts, fault)
        self.tell(StepRecord(step.name, "running", reason, key=key))
        last = self.lineage.last(step.name)
        if step.name in self.fresh:
            self.store.abandon(key)
        artifact = self.store.settle(step.name, key) or self.make(step, key, parts, reason)
        before = (last or {}).get("artifact") or {}
        note = ""
        if before.get("key") == key and before["digest"] != artifact.digest:
            # No error, but somebody should look: the same key promised the same result.
            note = f"came out otherwise than last time: digest {before['digest'][:8]} → {artifact.digest[:8]}"
        self.take(step, parts, artifact, "done", reason, note)

    def check_inputs(self, step: Step) -> None:
        """Raises StoreError if an input's bytes are not what was written: else a library would trip over them."""
        for name in dict.fromkeys(step.inputs.values()):
            artifact = self.artifacts[name]
            wrong = self.store.verify(artifact)
            if wrong:
                mend = f"Delete {artifact.path} and run the same command again: it is made anew."
                raise StoreError(f"{wrong[0]}", place=str(artifact.path), mend=mend)

    def make(self, step: Step, key: str, parts: Mapping[str, Any], reason: str) -> Artifact:
        """Run the step in its work folder and commit what it made."""
        self.check_inputs(step)
        work, scratch = self.store.begin(key, keep=step.keeps_work), self.store.scratch(key)
        resumed = any(work.iterdir()) or scratch.exists()
        space.require_space(self.store.root, step.name, step.disk_bytes, self.written(key))
        inputs = {name: self.artifacts[source] for name, source in step.inputs.items()}
        context = Context(
            parts["configuration"],
            inputs,
            work,
            self.progress,
            execution=self.pipeline.execution,
            resumed=resumed,
            scratch_path=scratch,
        )
        self.memory.restart()
        started, begin = datetime.datetime.now(datetime.UTC), time.monotonic()
        step.run(context)
        seconds = time.monotonic() - begin
        self.memory.sample()
        facts = {
            "version": step.version,
            "code": parts["code"],
            "configuration": parts["configuration"],
            "inputs": {
                name: {"step": source.step, "key": source.key, "digest": source.digest}
                for name, source in inputs.items()
            },
            "metrics": plain(context.metrics, f"{step.name}.metrics"),
            "notes": list(context.notes),
            "reason": reason,
            "seeds": provenance.seeds(parts["configuration"]),
            "lock_hash": provenance.lock_hash(),
            "hardware": dict(provenance.hardware()),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "peak_bytes": self.memory.peak_bytes,
            "resumed": resumed,
        }
        return self.store.commit(step.name, key, facts, not_logical=context.not_logical, replaced=context.replaced)

    def take(
        self, step: Step, parts: Mapping[str, Any], artifact: Artifact, state: State, reason: str, note: str = ""
    ) -> None:
        """Remember an artifact and say so. Seconds and memory are those of the time it was made."""
        self.artifacts[step.name] = artifact
        self.lineage.record(step.name, parts, key=artifact.key, digest=artifact.digest)
        manifest = artifact.manifest
        notes = (*manifest["notes"], *([note] if note else []))
        record = StepRecord(step.name, state, reason, manifest["seconds"], manifest["peak_bytes"], artifact.key)
        self.tell(dataclasses.replace(record, digest=artifact.digest, notes=notes, metrics=manifest["metrics"]))

    def ended(self, step: Step, key: str, parts: Mapping[str, Any], state: State, begin: float, error: str) -> None:
        """Remember that a step stopped half-way and say so, unless its artifact was there already."""
        if step.name not in self.artifacts:
            with contextlib.suppress(OSError):  # the disk may be full: then only the reason next time is poorer
                if not step.keeps_work and (self.store.work / key).exists():
                    self.store.discard(self.store.work / key)  # nobody goes on from it, and the space may be missing
                self.lineage.record(step.name, parts, key=key)
        seconds, peak = time.monotonic() - begin, self.memory.peak_bytes
        self.tell(StepRecord(step.name, state, "", seconds, peak, key, error=error))

    def tell(self, record: StepRecord) -> None:
        if record.state != "running":
            self.records.append(record)
        if self.on_step is not None:
            self.on_step(record)

    def written(self, key: str) -> int:
        """Bytes that attempts at a key have left so far."""
        return tree_bytes(self.store.work / key) + tree_bytes(self.store.scratch(key))


def own_module(step: Step) -> tuple[str, ...]:
    """The module that a step's function stands in, for a step that names no code; none outside of groundup."""
    module = getattr(step.run, "__module__", "")
    return (module,) if module.startswith("groundup.") else ()


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Steps after their inputs, otherwise as given. Raises ValueError for names that are missing, double, circular."""
    names = [step.name for step in steps]
    for step in steps:
        if names.count(step.name) > 1:
            raise ValueError(f"two steps are called {step.name}")
        for name, source in step.inputs.items():
            if source not in names:
                raise ValueError(f"step {step.name} takes {name} from {source}, which is no step")
    ordered: list[Step] = []
    waiting = list(steps)
    while waiting:
        placed = {step.name for step in ordered}
        ready = next((step for step in waiting if placed.issuperset(step.inputs.values())), None)
        if ready is None:
            raise ValueError(f"steps {', '.join(step.name for step in waiting)} wait for each other")
        ordered.append(ready)
        waiting.remove(ready)
    return ordered
