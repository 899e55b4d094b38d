from __future__ import annotations

import json

import pytest

from groundup.monitoring.drift import BANDS, QueryCounts, make_reference
from groundup.monitoring.summary import summarise

RECORDS = [
    {"time": 100.0, "route": "/v1/completions", "status": 200, "seconds": 2.0, "first_token_seconds": 1.0, "model": "a",
     "prompt_tokens": 10, "completion_tokens": 11, "finish_reason": "stop"},
    {"time": 200.0, "route": "/v1/completions", "status": 200, "seconds": 4.0, "first_token_seconds": 1.0, "model": "a",
     "prompt_tokens": 5, "completion_tokens": 31, "finish_reason": "length"},
    {"time": 300.0, "route": "/v1/completions", "status": 404, "seconds": 0.01, "error": "model_not_found"},
    {"time": 400.0, "route": "/search", "status": 200, "seconds": 0.1, "query": {"bands": [1] * BANDS}},
    {"time": 500.0, "route": "/search", "status": 200, "seconds": 9.0, "aborted": True},
    {"unrelated": True},
]  # fmt: skip


def test_figures_are_those_of_the_records() -> None:
    summary = summarise(RECORDS)
    assert (summary.requests, summary.errors, summary.first, summary.last) == (5, 1, 100.0, 500.0)
    completions, search = summary.routes
    assert (completions.route, completions.requests, completions.errors) == ("/v1/completions", 3, 1)
    assert completions.p50_seconds == pytest.approx(3.0)  # errors are fast and say nothing about speed
    assert (search.aborted, search.p99_seconds) == (1, pytest.approx(0.1))
    (model,) = summary.models
    assert (model.prompt_tokens, model.completion_tokens) == (15, 42)
    assert model.tokens_per_second == pytest.approx((10 + 30) / (1 + 3))
    assert summary.error_codes == {"model_not_found": 1}
    assert summary.drift.queries == 1


def test_json_and_text_say_the_same() -> None:
    reference = make_reference([QueryCounts([1] * BANDS)] * 20)
    summary = summarise(RECORDS * 60, reference)
    data = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert data["requests"] == 300
    assert data["drift"]["verdict"] == "stable"
    text = summary.text()
    for part in ("300 requests, 60 errors", "/v1/completions", "model_not_found 60", "drift  stable."):
        assert part in text
    assert max(map(len, text.splitlines()[:-1])) <= 100


def test_an_empty_log_says_so() -> None:
    assert summarise([]).text().startswith("No request is in the log yet.")
