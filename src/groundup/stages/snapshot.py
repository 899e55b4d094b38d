"""Two clocks: the files as the models knew them (the snapshot), and the files as they are now.

A run trains on a snapshot and remembers it. Later runs compare the disk with it: the index follows the disk at once,
the models stay until a stated share of the bytes has changed or training is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groundup.corpus.funnel import Event
from groundup.corpus.sources import SourceFile, default_sources, discover, take
from groundup.errors import SourceError
from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.recipe import Recipe


@dataclass(frozen=True, slots=True)
class FileState:
    file: SourceFile
    sha256: str  # of its bytes; "" where it can't be read, which ingest then puts in the funnel


@dataclass(frozen=True)
class Snapshot:
    """Files with their contents' digests, in order of source. `digest` says nothing of paths or times.

    rule: how they were chosen, in words. left: groups that the budget had no room for at all. left_files: sources it
    had no room for in groups that it took in part.
    passed_over: what listing and budget left out, for the funnel. listed_*: of everything the sources held then.
    """

    files: tuple[FileState, ...]
    rule: str = ""
    take_bytes: int = 0
    left: tuple[str, ...] = ()
    left_files: tuple[str, ...] = ()
    passed_over: tuple[Event, ...] = ()
    listed_bytes: int = 0
    listed_files: int = 0

    @property
    def digest(self) -> str:
        return states_digest(self.files)

    @property
    def total_bytes(self) -> int:
        return sum(state.file.size for state in self.files)

    @property
    def passed_over_digest(self) -> str:
        return digest_of([asdict(event) for event in self.passed_over])

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "take_bytes": self.take_bytes,
            "left": list(self.left),
            "left_files": list(self.left_files),
            "passed_over": [asdict(event) for event in self.passed_over],
            "listed_bytes": self.listed_bytes,
            "listed_files": self.listed_files,
            "files": states_to_json(self.files),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Snapshot:
        return cls(
            states_from_json(value["files"]),
            value["rule"],
            value["take_bytes"],
            tuple(value["left"]),
            tuple(value["left_files"]),
            tuple(Event(**event) for event in value["passed_over"]),
            value["listed_bytes"],
            value["listed_files"],
        )


def states_to_json(states: Iterable[FileState]) -> list[list[Any]]:
    return [[s.file.source, str(s.file.path), s.file.group, s.file.size, s.file.mtime_ns, s.sha256] for s in states]


def states_from_json(rows: Iterable[Sequence[Any]]) -> tuple[FileState, ...]:
    return tuple(
        FileState(SourceFile(Path(path), source, group, size, mtime_ns), sha)
        for source, path, group, size, mtime_ns, sha in rows
    )


@dataclass(frozen=True)
class Change:
    """What differs between two states of the files.

    share: bytes whose content is new, of the later state's bytes: what models made from the earlier one have not seen.
    What went or was renamed adds nothing to it.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    share: float

    @property
    def files(self) -> int:
        return len(self.added) + len(self.changed) + len(self.removed)

    def __bool__(self) -> bool:
        return self.files > 0

    def text(self) -> str:
        parts = [
            f"{len(names):,} {word} ({names[0]}{', …' if len(names) > 1 else ''})"
            for word, names in (("added", self.added), ("changed", self.changed), ("removed", self.removed))
            if names
        ]
        return "files " + ", ".join(parts) if parts else "no file changed"


def list_files(recipe: Recipe) -> tuple[list[SourceFile], list[Event]]:
    """Every file the recipe's sources hold now, and what was passed over. Raises SourceError when there is none."""
    listing = discover(recipe.sources) if recipe.sources else default_sources()
    if not listing.files:
        names = ", ".join(str(source) for source in recipe.sources) or "the default source"
        raise SourceError("there is no file to read", place=names, mend="Name a file, or a folder that holds some.")
    return listing.files, listing.events


def file_states(files: Iterable[SourceFile], known: Iterable[FileState] = ()) -> tuple[FileState, ...]:
    """Digest of every file, in order of source; files whose path, size and time stand in `known` aren't read again."""
    cache = {(str(s.file.path), s.file.size, s.file.mtime_ns): s.sha256 for s in known if s.sha256}
    states = []
    for file in sorted(files, key=lambda file: file.source):
        sha = cache.get((str(file.path), file.size, file.mtime_ns))
        states.append(FileState(file, _sha256(file.path) if sha is None else sha))
    return tuple(states)


def take_snapshot(files: Sequence[SourceFile], events: Sequence[Event], take_bytes: int) -> Snapshot:
    """The files that fit `take_bytes`, with their contents' digests, and what was left out."""
    taken, left_out, rule = take(files, take_bytes)
    chosen, groups = {file.source for file in taken}, {file.group for file in taken}
    missed = [file for file in files if file.source not in chosen]
    return Snapshot(
        file_states(taken),
        rule,
        take_bytes,
        tuple(sorted({file.group for file in missed} - groups)),
        tuple(sorted(file.source for file in missed if file.group in groups)),
        (*events, *left_out),
        sum(file.size for file in files),
        len(files),
    )


def states_digest(states: Iterable[FileState]) -> str:
    """sha256 over sources, groups and contents."""
    lines = (f"{state.file.source}\0{state.file.group}\0{state.sha256}\0" for state in states)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def followed(snapshot: Snapshot, files: Iterable[SourceFile]) -> list[SourceFile]:
    """The files of today that belong to the snapshot's corpus: all but those the budget had left out then."""
    left, left_files = set(snapshot.left), set(snapshot.left_files)
    return [file for file in files if file.group not in left and file.source not in left_files]


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, snapshot.to_json())


def compare(earlier: Sequence[FileState], later: Sequence[FileState]) -> Change:
    old = {state.file.source: state for state in earlier}
    new = {state.file.source: state for state in later}
    added = tuple(source for source in new if source not in old)
    removed = tuple(source for source in old if source not in new)
    changed = tuple(source for source in new if source in old and new[source].sha256 != old[source].sha256)
    seen = {state.sha256 for state in earlier}
    unseen = sum(new[source].file.size for source in (*added, *changed) if new[source].sha256 not in seen)
    return Change(added, changed, removed, unseen / max(1, sum(state.file.size for state in later)))


def read_snapshot(path: Path) -> Snapshot | None:
    try:
        return Snapshot.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or of another version: the files are taken anew


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
