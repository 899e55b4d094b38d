"""A release, served; and what was served, summed up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.monitoring.summary import Summary
from groundup.pipeline.store import Store
from groundup.registry import champion
from groundup.stages.stores import drift_reference, request_log

if TYPE_CHECKING:
    from groundup.serving.results import MemoryStatus, Say


def serve_release(root: Path, *, host: str, port: int, log: bool, embed: bool) -> None:
    """Serves the champion until it is told to stop. Raises ReleaseError without one, RecipeError for an address."""
    import typer

    from groundup.monitoring.request_log import RequestLog
    from groundup.serving.app import create_app
    from groundup.serving.release_service import AND_AGAIN
    from groundup.serving.server import serve
    from groundup.stages.loaded import load

    store = Store(root)
    typer.echo("Loading the champion …", err=True)
    loaded = load(root, generators=True)
    notes = RequestLog(request_log(store)) if log else None
    app = create_app(loaded.service, log=notes, hosts=() if host in ("127.0.0.1", "::1", "localhost") else (host,))
    stop = threading.Event()
    worker = threading.Thread(
        target=loaded.live.embed_on,
        args=(loaded.encoder, stop, lambda: loaded.service.waiting() > 0),
        daemon=True,
        name="embed",
    )

    def ready(url: str) -> None:
        status = loaded.service.status()
        completes = _named(status.champion, status.memory, lambda memory: memory.completion)
        chats = _named(status.chat_model, status.memory, lambda memory: memory.answers)
        typer.echo(f"Serving release {loaded.release.id} at {url}  (Ctrl-C ends)", err=True)
        typer.echo(f"  page {url}/   OpenAI API {url}/v1   search {url}/search?q=…   metrics {url}/metrics", err=True)
        typer.echo(f"  completes: {completes}   chats: {chats}", err=True)
        typer.echo(f"  search: {status.best_system}, {status.coverage.sentence}", err=True)
        for name, memory in loaded.service.memories.items():
            if memory.fault:
                typer.echo(f"  warning: {memory.trouble(name)} {AND_AGAIN}", err=True)
        if embed and loaded.encoder is not None:
            worker.start()

    try:
        serve(app, host, port, ready=ready)
    finally:
        stop.set()
        if worker.is_alive():
            worker.join()  # at most a batch: a thread that is in torch while Python ends aborts the process
        if notes is not None:
            notes.close()


def _named(model: str | None, memories: Mapping[str, MemoryStatus], say: Callable[[MemoryStatus], Say]) -> str:
    """A model with what has a say beside it."""
    from groundup.stages.language import WITH_MEMORY

    if model is None:
        return "–"
    return model + (WITH_MEMORY if model in memories and say(memories[model]).on else "")


def monitor_requests(root: Path) -> Summary:
    """Requests, latencies, tokens and drift, from the log of what was served. Raises ReleaseError without a release."""
    from groundup.monitoring.drift import Reference
    from groundup.monitoring.request_log import read_log
    from groundup.monitoring.summary import summarise

    store = Store(root)
    path = drift_reference(store, champion.require(store).policies["index"])
    reference = Reference.from_json(path.read_text(encoding="utf-8")) if path.exists() else None
    return summarise(read_log(request_log(store)), reference)
