"""Prometheus metrics of one server, in a registry of its own: two servers in one process don't mix."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from groundup.serving.observe import Trace

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters and histograms; gauges are read when scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "groundup_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "groundup_request_seconds", "Seconds to the last byte.", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.first_token = Histogram(
            "groundup_first_token_seconds", "Seconds to the first token, waiting for a turn included.", ["model"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.tokens = Counter(
            "groundup_tokens", "Tokens read (prompt) and written (completion).", ["model", "kind"],
            registry=self.registry,
        )  # fmt: skip
        self.memory_tokens = Counter(
            "groundup_memory_tokens", "Tokens of texts in which memory had a say.", ["model"], registry=self.registry
        )
        self.traced_bytes = Counter(
            "groundup_traced_bytes", "Bytes of traced texts, by whether they stand in the corpus.", ["kind"],
            registry=self.registry,
        )  # fmt: skip
        self.aborted = Counter("groundup_aborted", "Requests whose client left.", ["route"], registry=self.registry)
        self.in_flight = Gauge("groundup_in_flight", "Requests being answered.", registry=self.registry)

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge that asks `read` at each scrape."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def observe(self, route: str, method: str, status: int, seconds: float, trace: Trace) -> None:
        known = method if method in ("GET", "POST", "HEAD", "OPTIONS") else "other"  # a label must stay bounded
        self.requests.labels(route, known, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        if trace.aborted:
            self.aborted.labels(route).inc()
        if trace.model:
            self.tokens.labels(trace.model, "prompt").inc(trace.prompt_tokens)
            self.tokens.labels(trace.model, "completion").inc(trace.completion_tokens)
            if trace.memory:
                self.memory_tokens.labels(trace.model).inc(trace.completion_tokens)
        if trace.traced_bytes:
            self.traced_bytes.labels("copied").inc(trace.copied_bytes)
            self.traced_bytes.labels("new").inc(trace.traced_bytes - trace.copied_bytes)
        if trace.first_token_seconds is not None:
            self.first_token.labels(trace.model).observe(trace.first_token_seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
