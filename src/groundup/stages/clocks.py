"""Two clocks: models keep the snapshot they were made from, the index follows the disk. Here is decided when to train.

The snapshot stands until a stated share of the bytes is new to it, or training is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from groundup.corpus.funnel import Event
from groundup.corpus.sources import SourceFile
from groundup.stages.plan import Plan
from groundup.stages.snapshot import Change, FileState, Snapshot, compare, file_states, followed, take_snapshot

MakePlan = Callable[[int, int], Plan]  # (bytes, files) that the sources hold → sizes


@dataclass(frozen=True)
class Models:
    """What the models are made from: the snapshot that is kept or taken, and the disk beside it."""

    snapshot: Snapshot
    plan: Plan
    states: tuple[FileState, ...]  # of the files the index follows, as they are now

    @property
    def change(self) -> Change:
        return compare(self.snapshot.files, self.states)


def choose_models(
    kept: Snapshot | None,
    indexed: tuple[FileState, ...] | None,
    files: list[SourceFile],
    events: list[Event],
    retrain: bool,
    retrain_share: float,
    make: MakePlan,
) -> Models:
    """The last snapshot while it stands, else the files as they are.

    kept: the last snapshot. indexed: what the index holds, None if there is none. files, events: what the sources
    hold now, and what listing them passed over.
    """
    states: tuple[FileState, ...] = ()
    if kept is not None:
        states = file_states(followed(kept, files), (*kept.files, *(indexed or ())))
        change = compare(kept.files, states)
        # Without an index the snapshot's corpus was never whole: nothing stands on it yet.
        if retrain or (change and (indexed is None or change.share >= retrain_share)):
            kept = None
    if kept is not None:
        plan = make(kept.listed_bytes, kept.listed_files)
    else:
        plan = make(sum(file.size for file in files), len(files))
    if kept is None or kept.take_bytes != plan.take_bytes:
        kept = take_snapshot(files, events, plan.take_bytes)
        states = kept.files
    return Models(kept, plan, states)
