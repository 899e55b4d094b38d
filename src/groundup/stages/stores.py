"""Where things lie in a store, beside the artifacts of the pipeline."""

from __future__ import annotations

from pathlib import Path

from groundup.pipeline.store import Store


def file_cache(store: Store) -> Path:
    """Per-file results of ingest, by content."""
    return store.root / "cache" / "files.sqlite"


def index_folder(store: Store, run_name: str) -> Path:
    return store.root / "index" / run_name


def memory_folder(store: Store, run_name: str, decoder: str) -> Path:
    return store.root / "memory" / run_name / decoder


def drift_reference(store: Store, run_name: str) -> Path:
    return store.root / "monitoring" / run_name / "reference.json"


def request_log(store: Store) -> Path:
    return store.root / "monitoring" / "requests"
