"""Garbage collection: what no release and no run's last time needs any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from groundup.pipeline.files import tree_bytes
from groundup.pipeline.lineage import read_steps, runs
from groundup.pipeline.store import MANIFEST, Store


@dataclass(frozen=True)
class Garbage:
    """A folder of the store that nothing needs. `what`: "artifact corpus 3f09a1c2", "work of a stopped attempt", …"""

    what: str
    path: Path
    bytes: int


def clean(store: Store, *, delete: bool = False) -> list[Garbage]:
    """What nothing reaches, and deletes it if told to (then the store is locked; raises StoreBusyError).

    Reached are the artifacts of every run's last time, those a release was made from, the artifacts these were made
    from in turn, and the work folders from which a stopped step can go on.
    """
    if not delete:
        return list(_garbage(store))
    with store.writing():
        found = list(_garbage(store))
        for item in found:
            store.discard(item.path)
    return found


def _garbage(store: Store) -> Iterator[Garbage]:
    artifacts, work = _reached(store)
    for folder in sorted(store.objects.glob("*/*")):
        step, key = folder.parent.name, folder.name
        if folder.is_dir() and (step, key) not in artifacts:
            yield Garbage(f"artifact {step} {key[:8]}", folder, tree_bytes(folder))
    for folder in sorted(store.work.glob("*")):
        if folder.is_dir() and folder.name.removesuffix(".scratch") not in work:
            yield Garbage(f"work folder {folder.name[:8]}", folder, tree_bytes(folder))


def _reached(store: Store) -> tuple[set[tuple[str, str]], set[str]]:
    """(step, key) of the artifacts that are needed, and names of the work folders that are."""
    waiting: list[tuple[str, str]] = []
    work: set[str] = set()
    for run in runs(store):
        for step, entry in read_steps(store.runs / run).items():
            if entry["artifact"]:
                waiting.append((step, entry["artifact"]["key"]))
            if entry["stopped"]:
                work.add(entry["key"])
    for path in store.releases.glob(f"*/{MANIFEST}"):
        waiting += [(entry["step"], entry["key"]) for entry in json.loads(path.read_bytes())["artifacts"]]
    reached: set[tuple[str, str]] = set()
    while waiting:
        step, key = waiting.pop()
        if (step, key) in reached:
            continue
        reached.add((step, key))
        artifact = store.find(step, key)
        if artifact is not None:
            waiting += [(entry["step"], entry["key"]) for entry in artifact.manifest["inputs"].values()]
    return reached, work
