"""Steps as data, what a step is given while it runs, and what a plan and a run say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from groundup.pipeline.store import Artifact
from groundup.progress import Progress, silent

State = Literal["running", "cached", "done", "failed", "blocked", "interrupted"]


@dataclass(frozen=True)
class Step:
    """A pure function of its identity configuration and its input artifacts.

    identity: all that its output depends on beside inputs and code; plain data, no paths, devices, threads or seconds.
    inputs: name the step uses → name of the step that makes it. code: groundup modules or packages whose source, with
    all they import of groundup, is part of the key; left out, the module that `run` stands in. version: raised by hand
    where the code hash can't see a change. disk_bytes: what it will write at most; checked against the free space
    before it starts. keeps_work: after a crash it finds its work folder as it was and decides itself what is usable;
    otherwise the folder starts empty (leftovers of a killed attempt would end up in the artifact) and only
    `Context.scratch` survives. intact: says why a whole artifact can't be used all the same, "" if it can.
    """

    name: str
    run: Callable[[Context], None]
    identity: Mapping[str, object]
    inputs: Mapping[str, str] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    version: int = 1
    disk_bytes: int = 0
    keeps_work: bool = False
    intact: Callable[[Artifact], str] | None = None


@dataclass
class Context:
    """What a step sees while it runs. It writes into `work` and returns nothing; what lies there is its artifact."""

    config: Mapping[str, Any]  # the step's identity configuration
    inputs: Mapping[str, Artifact]
    work: Path  # becomes the artifact. Starts empty, unless the step `keeps_work`
    progress: Progress = silent
    metrics: dict[str, Any] = field(default_factory=dict)  # plain data; goes to the manifest, is no part of the digest
    execution: Any = None  # devices, threads, paths: where and how, never what
    resumed: bool = False  # whether an earlier attempt at the same key left something to go on from
    notes: list[str] = field(default_factory=list)
    not_logical: set[str] = field(default_factory=set)
    replaced: dict[str, str] = field(default_factory=dict)
    scratch_path: Path | None = None

    @property
    def scratch(self) -> Path:
        """A folder that survives a crash or Ctrl-C and is thrown away at commit: checkpoints, partial results."""
        assert self.scratch_path is not None, "this context was made without a scratch folder"
        self.scratch_path.mkdir(parents=True, exist_ok=True)
        return self.scratch_path

    def note(self, text: str) -> None:
        """A sentence for the manifest and the report."""
        self.notes.append(text)

    def leave_out(self, *names: str) -> None:
        """Files or folders of `work` whose content is not the step's result (timings, logs): no part of the digest."""
        self.not_logical.update(names)

    def stand_in(self, name: str, digest: str) -> None:
        """Let `digest` stand for the file or folder `name`, whose bytes or names differ between equal writings."""
        self.replaced[name] = digest


@dataclass(frozen=True)
class StepPlan:
    """What `run` would do with a step, and why. `waits_for`: the inputs that decide it, if it can't be said yet."""

    name: str
    state: str  # "cached", "run", or "unknown until corpus, tokenizer have run"
    reason: str
    key: str | None = None
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepRecord:
    """What happened to a step. `peak_bytes`: of resident memory, over the process and its children, as sampled."""

    name: str
    state: State
    reason: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    key: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for summaries and JSON lines."""
        return {**self.__dict__, "notes": list(self.notes), "metrics": dict(self.metrics)}


@dataclass(frozen=True)
class RunResult:
    """Artifacts by step name (cached and new), a record for every step wanted, in order."""

    artifacts: Mapping[str, Artifact]
    records: list[StepRecord]
    failures: Mapping[str, Exception] = field(default_factory=dict)
    stopped: str = ""  # after Ctrl-C: where it stopped and where the next run goes on

    @property
    def failure(self) -> Exception | None:
        """The first step's exception, with its traceback, or None."""
        return next(iter(self.failures.values()), None)

    @property
    def interrupted(self) -> bool:
        return bool(self.stopped)

    @property
    def ok(self) -> bool:
        return not self.failures and not self.stopped

    @property
    def peak_bytes(self) -> int:
        return max((record.peak_bytes for record in self.records), default=0)
