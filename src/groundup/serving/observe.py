"""What one request was, gathered while it is answered, and written once: to the metrics and to the request log."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.monitoring.request_log import RequestLog
from groundup.serving.metrics import Metrics

QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/", "/static/{name}", "/status"})  # counted, never logged


@dataclass
class Trace:
    """Filled in by the routes. Seconds are since the request's first byte."""

    id: str
    started: float
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_seconds: float | None = None
    memory: bool = False  # it had a say in what was written
    traced_bytes: int = 0
    copied_bytes: int = 0  # of those
    finish_reason: str = ""
    system: str = ""
    results: int | None = None
    error: str = ""
    prompt: str = ""  # written only if the log was told to keep prompts
    query: dict[str, Any] = field(default_factory=dict)  # counts for the drift figure, never words
    aborted: bool = False  # the client left

    def token(self) -> None:
        """Notes the first token's time and counts it."""
        self.completion_tokens += 1
        if self.first_token_seconds is None:
            self.first_token_seconds = time.monotonic() - self.started


def trace_of(request: Request) -> Trace:
    trace: Trace = request.scope["groundup.trace"]
    return trace


class Observe:
    """Times each request to its last byte. Outermost, so that refusals of the guard count too."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, log: RequestLog | None) -> None:
        self._app, self._metrics, self._log = app, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = Trace(uuid.uuid4().hex, time.monotonic())
        scope["groundup.trace"] = trace
        status = 500

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", trace.id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        finally:
            route = _route(scope)
            seconds = time.monotonic() - trace.started
            self._metrics.observe(route, scope["method"], status, seconds, trace)
            if self._log is not None and route not in QUIET:
                self._log.write(_record(route, scope["method"], status, seconds, trace))


def _route(scope: Scope) -> str:
    """The path's pattern: a label per path would let anybody fill the metrics."""
    return str(getattr(scope.get("route"), "path", None) or "unknown")


def _record(route: str, method: str, status: int, seconds: float, trace: Trace) -> dict[str, Any]:
    record: dict[str, Any] = {
        "time": round(time.time(), 3), "id": trace.id, "route": route, "method": method, "status": status,
        "seconds": round(seconds, 4),
    }  # fmt: skip
    if trace.first_token_seconds is not None:
        record["first_token_seconds"] = round(trace.first_token_seconds, 4)
    for name in ("model", "prompt_tokens", "completion_tokens", "finish_reason", "system", "error", "prompt"):
        if value := getattr(trace, name):
            record[name] = value
    if trace.results is not None:
        record["results"] = trace.results
    if trace.aborted:
        record["aborted"] = True
    return record | ({"query": trace.query} if trace.query else {})
