"""Where and how a run works: paths, files on disk, processes. Never part of a step's identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from groundup.corpus.funnel import Event
from groundup.corpus.sources import SourceFile
from groundup.pipeline.store import Store
from groundup.recipe import Recipe


@dataclass(frozen=True)
class Execution:
    recipe: Recipe  # for the plan alone, whose identity holds what it uses of it
    store: Store
    files: tuple[SourceFile, ...]  # of the snapshot the models are made from
    passed_over: tuple[Event, ...]  # what listing and budget left out of them, for the funnel
    cache: Path  # per-file results by content
    workers: int
    base: Path | None = None  # the brought decoder
    encoder: Path | None = None  # the brought encoder
