"""What each run did last, step by step, and from that the reason why a step reruns.

runs/<run>/lineage.json   step → the parts of its last key (configuration, inputs, code), key, digest
runs/<run>/summary.json   the run's summary; its report lies beside it
runs/latest               name of the run that worked last
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.pipeline.code import describe_change
from groundup.pipeline.files import write_atomically, write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.store import Artifact, Store


def run_name(label: str, identity: object) -> str:
    """A folder name for a run: `label` made safe, and 8 hex digits of what identifies it ("notes-3f09a1c2")."""
    words = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40].strip("-") or "run"
    return f"{words}-{digest_of(identity, 'run')[:8]}"


_FIELDS = {"version", "code", "configuration", "inputs", "key", "stopped", "artifact"}


class Lineage:
    """The last keys of one run's steps, kept in the store."""

    def __init__(self, store: Store, run: str) -> None:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run), f"{run!r} is no name for a folder"
        self.store, self.run = store, run
        self._last: dict[str, dict[str, Any]] = read_steps(self.folder)
        self._others: dict[str, dict[str, Any]] | None = None

    @property
    def folder(self) -> Path:
        """Where the run's summary and report go."""
        return self.store.runs / self.run

    def last(self, step: str) -> dict[str, Any] | None:
        """What is known of the step's last time: in this run, else in the run that worked before it."""
        if step in self._last:
            return self._last[step]
        if self._others is None:
            latest = latest_run(self.store)
            self._others = read_steps(self.store.runs / latest) if latest not in (None, self.run) else {}
        return self._others.get(step)

    def record(self, step: str, parts: Mapping[str, Any], *, key: str, digest: str = "") -> None:
        """Remember the parts of the step's key. digest "": it stopped before it had an artifact.

        The artifact made before a stop is remembered on: until there is a new one, it is the step's last. Written only
        if something changed.
        """
        artifact = {"key": key, "digest": digest} if digest else self._last.get(step, {}).get("artifact")
        entry = {**parts, "key": key, "stopped": not digest, "artifact": artifact}
        if self._last.get(step) == entry:
            return
        self._last = {**read_steps(self.folder), step: entry}  # another pipeline of this run may have added to it
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "lineage.json", self._last)

    def begin(self) -> None:
        """Say that this run is the one that works now."""
        if latest_run(self.store) != self.run:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.store.runs / "latest", self.run + "\n")

    def artifacts(self) -> dict[str, Artifact]:
        """The artifact that each step made last, by step; what isn't whole any more is left out."""
        made = {step: entry["artifact"] for step, entry in read_steps(self.folder).items() if entry["artifact"]}
        found = {step: self.store.find(step, artifact["key"]) for step, artifact in made.items()}
        return {step: artifact for step, artifact in found.items() if artifact is not None}

    def write_summary(self, summary: Mapping[str, Any]) -> Path:
        """Keep the run's summary (plain data); returns the path of the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "summary.json", summary)
        return self.folder / "summary.json"

    def summary(self) -> dict[str, Any] | None:
        """The summary kept last, or None."""
        return _read_object(self.folder / "summary.json")


def latest_run(store: Store) -> str | None:
    """Name of the run that worked last in this store, or None."""
    try:
        return (store.runs / "latest").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def runs(store: Store) -> list[str]:
    """Names of all runs with a lineage, sorted."""
    return sorted(path.parent.name for path in store.runs.glob("*/lineage.json"))


def differences(last: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed between two sets of key parts, in words: "configuration tokens 1,000 → 2,000; …"; "" if nothing."""
    found = [f"configuration {text}" for text in _changed(last.get("configuration"), now["configuration"])]
    before, after = last.get("inputs", {}), now["inputs"]
    for name in sorted({*before, *after}):
        if name not in before:
            found.append(f"input {name} is new")
        elif name not in after:
            found.append(f"input {name} is gone")
        elif before[name] != after[name]:
            found.append(f"input {name} changed (digest {before[name][:8]} → {after[name][:8]})")
    if code := describe_change(last.get("code", {}), now["code"]):
        found.append(code)
    if last.get("version") != now["version"]:
        found.append(f"version of the step {last.get('version')} → {now['version']}")
    return "; ".join(found)


def _changed(before: Any, after: Any, at: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for name in sorted({*before, *after}):
            found += _changed(before.get(name, _ABSENT), after.get(name, _ABSENT), f"{at}.{name}" if at else name)
        return found
    if type(before) is type(after) and before == after:
        return []
    return [f"{at} {_show(before)} → {_show(after)}".strip()]


_ABSENT = object()


def _show(value: Any) -> str:
    if value is _ABSENT:
        return "(absent)"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text):,} characters)"


def read_steps(folder: Path) -> dict[str, dict[str, Any]]:
    """Step → its last entry in a run's folder; an entry of another form is left out, as if it had never run."""
    steps = _read_object(folder / "lineage.json") or {}
    return {name: entry for name, entry in steps.items() if isinstance(entry, dict) and {*entry} >= _FIELDS}


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
