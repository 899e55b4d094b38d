"""The HTTP application: what stands before a request, which routes there are, how errors look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from fastapi import FastAPI, Request

from groundup import __version__
from groundup.monitoring.request_log import RequestLog
from groundup.serving import errors
from groundup.serving.guard import Guard
from groundup.serving.metrics import Metrics
from groundup.serving.observe import Observe, trace_of
from groundup.serving.routes import ask, chat, completions, embeddings, health, models, page, search, tracing
from groundup.serving.service import Service
from groundup.serving.work import Stopping

MAX_BODY_BYTES = 8_000_000  # 2,048 texts of 256 tokens are about 3 MB


def create_app(
    service: Service,
    *,
    log: RequestLog | None = None,
    hosts: Iterable[str] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
) -> FastAPI:
    """The application over a service.

    log: where requests are noted; None keeps no log. hosts: names this server answers to, beside localhost and any
    address. max_body_bytes: of one request.
    """
    # No /docs: that page loads its scripts from elsewhere. The schema itself is at /openapi.json.
    app = FastAPI(title="groundup", version=__version__, docs_url=None, redoc_url=None)
    app.state.service = service
    app.state.stopping = Stopping()
    app.state.background = set[asyncio.Task[None]]()
    app.state.metrics = Metrics()
    app.state.fingerprint = f"groundup-{__version__}-{service.status().release}"
    app.state.gone = _gone(app.state.stopping)
    app.state.metrics.gauge("groundup_waiting", "Generations that wait for their turn.", service.waiting)
    app.state.metrics.gauge(
        "groundup_dense_chunks", "Chunks with a dense vector.", lambda: service.status().coverage.embedded
    )
    app.state.metrics.gauge("groundup_chunks", "Chunks in the index.", lambda: service.status().coverage.chunks)
    for room in (models, completions, chat, embeddings, search, ask, tracing, health, page):
        app.include_router(room.router)
    errors.install(app)
    app.add_middleware(Guard, hosts=tuple(hosts), max_body_bytes=max_body_bytes)
    app.add_middleware(Observe, metrics=app.state.metrics, log=log)  # added last: outermost
    return app


def _gone(stopping: Stopping) -> Callable[[Request], Callable[[], bool]]:
    """For a streamed answer: whether its client has left, as its trace says, or the server stops."""

    def of(request: Request) -> Callable[[], bool]:
        trace = trace_of(request)
        return lambda: trace.aborted or bool(stopping)

    return of
