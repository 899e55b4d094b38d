"""What a server did, from its request log: for `groundup monitor`."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from groundup.monitoring.drift import Drift, Reference, counts_in, measure


@dataclass(frozen=True)
class RouteSummary:
    """Requests of one route. Seconds are to the last byte, over the requests that were answered (status below 400)."""

    route: str
    requests: int
    errors: int  # status 400 and above
    aborted: int  # the client left
    p50_seconds: float | None
    p90_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True)
class ModelSummary:
    """Tokens of one model. tokens_per_second: written, over the time between the first and the last token."""

    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    p50_first_token_seconds: float | None
    tokens_per_second: float | None


@dataclass(frozen=True)
class Summary:
    requests: int
    errors: int
    first: float | None  # seconds since 1970
    last: float | None
    routes: list[RouteSummary]
    models: list[ModelSummary]
    drift: Drift
    error_codes: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """For a terminal, at most 100 columns wide unless a name is long."""
        if not self.requests:
            return "No request is in the log yet.\n\ndrift  " + self.drift.sentence
        lines = [f"{self.requests:,} requests, {self.errors:,} errors, {_when(self.first)} to {_when(self.last)}", ""]
        lines.append(f"{'route':<24}{'requests':>10}{'errors':>8}{'left':>6}{'p50 s':>9}{'p90 s':>9}{'p99 s':>9}")
        lines += [
            f"{route.route:<24}{route.requests:>10,}{route.errors:>8,}{route.aborted:>6,}"
            f"{_figure(route.p50_seconds):>9}{_figure(route.p90_seconds):>9}{_figure(route.p99_seconds):>9}"
            for route in self.routes
        ]
        if self.models:
            lines += ["", f"{'model':<24}{'requests':>10}{'read':>10}{'written':>10}{'first s':>10}{'tokens/s':>10}"]
            lines += [
                f"{model.model:<24}{model.requests:>10,}{model.prompt_tokens:>10,}{model.completion_tokens:>10,}"
                f"{_figure(model.p50_first_token_seconds):>10}{_figure(model.tokens_per_second):>10}"
                for model in self.models
            ]
        if self.error_codes:
            codes = ", ".join(f"{code} {count:,}" for code, count in self.error_codes.items())
            lines += ["", f"errors  {codes}"]
        return "\n".join([*lines, "", f"drift  {self.drift.verdict}. {self.drift.sentence}"])


def summarise(records: Iterable[Mapping[str, Any]], reference: Reference | None = None) -> Summary:
    """The figures of a request log (`read_log`). Records that lack a field are counted without it."""
    rows = [record for record in records if isinstance(record.get("route"), str)]
    times = [float(row["time"]) for row in rows if isinstance(row.get("time"), int | float)]
    codes = Counter(str(row["error"]) for row in rows if row.get("error"))
    return Summary(
        len(rows),
        sum(_failed(row) for row in rows),
        min(times, default=None),
        max(times, default=None),
        [_route(name, [row for row in rows if row["route"] == name]) for name in _names(rows, "route")],
        [_model(name, [row for row in rows if row.get("model") == name]) for name in _names(rows, "model")],
        measure(reference, counts_in(rows)),
        dict(sorted(codes.items(), key=lambda item: (-item[1], item[0]))),
    )


def _route(name: str, rows: list[Mapping[str, Any]]) -> RouteSummary:
    seconds = _numbers([row for row in rows if not _failed(row) and not row.get("aborted")], "seconds")
    return RouteSummary(
        name, len(rows), sum(_failed(row) for row in rows), sum(bool(row.get("aborted")) for row in rows),
        _quantile(seconds, 0.5), _quantile(seconds, 0.9), _quantile(seconds, 0.99),
    )  # fmt: skip


def _model(name: str, rows: list[Mapping[str, Any]]) -> ModelSummary:
    timed = [row for row in rows if "first_token_seconds" in row and row.get("completion_tokens", 0) > 1]
    spent = sum(row["seconds"] - row["first_token_seconds"] for row in timed)
    written = sum(row["completion_tokens"] - 1 for row in timed)
    return ModelSummary(
        name, len(rows), int(sum(_numbers(rows, "prompt_tokens"))), int(sum(_numbers(rows, "completion_tokens"))),
        _quantile(_numbers(rows, "first_token_seconds"), 0.5), written / spent if spent > 0 else None,
    )  # fmt: skip


def _names(rows: list[Mapping[str, Any]], key: str) -> list[str]:
    """Most used first."""
    counts = Counter(row[key] for row in rows if isinstance(row.get(key), str))
    return [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _failed(row: Mapping[str, Any]) -> bool:
    status = row.get("status")
    return isinstance(status, int) and status >= 400


def _numbers(rows: Iterable[Mapping[str, Any]], key: str) -> list[float]:
    return [float(row[key]) for row in rows if isinstance(row.get(key), int | float)]


def _quantile(values: list[float], share: float) -> float | None:
    return float(np.quantile(values, share)) if values else None


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _when(seconds: float | None) -> str:
    return "–" if seconds is None else f"{datetime.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
