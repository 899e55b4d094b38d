"""summary.py: what a run writes is what the report reads, whole or half-way."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import StoreError
from groundup.pipeline.summary import CurvePoint, RunSummary
from tests.pipeline.summaries import stopped, whole


@pytest.mark.parametrize("summary", [whole(), stopped(), RunSummary()])
def test_summary_survives_json(summary: RunSummary) -> None:
    assert RunSummary.from_json(summary.to_json()) == summary
    assert RunSummary.from_json(summary.to_json()).to_json() == summary.to_json()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(
    st.builds(
        RunSummary,
        command=texts,
        started=texts,
        seconds=st.floats(0, 1e9),
        warnings=st.lists(texts, max_size=3),
        documents_in=st.none() | st.integers(0, 10**12),
        next=st.lists(texts, max_size=3),
        curves=st.dictionaries(texts, st.lists(st.builds(CurvePoint, st.integers(0, 10**12)), max_size=3), max_size=2),
        release=texts,
    )
)
def test_any_summary_survives_json(summary: RunSummary) -> None:
    assert RunSummary.from_json(summary.to_json()) == summary


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"seconds": "12"}, "seconds: expected float, found str"),
        ({"coverage": {"dense": 1}}, "coverage: lacks 'chunks'"),
        ({"curves": {"a": [{"tokens": 1}]}}, r"curves\.a\[0\]: lacks"),
        ({"machine": {"processor": "p"}}, "machine: lacks"),
        ({"models": []}, "unknown 'models'"),
    ],
)
def test_wrong_field_is_named(change: dict[str, object], place: str) -> None:
    plain = json.loads(whole().to_json()) | change
    with pytest.raises(StoreError, match=place):
        RunSummary.from_json(json.dumps(plain))


def test_loss_that_is_no_number_is_not_written() -> None:
    with pytest.raises(ValueError, match="nan"):
        RunSummary(curves={"a": [CurvePoint(1, math.nan)]}).to_json()


def test_peak_memory_is_that_of_the_largest_step() -> None:
    assert whole().peak_memory_bytes == 2_920_000_000
    assert RunSummary().peak_memory_bytes is None


def test_summary_and_report_import_no_torch() -> None:
    code = "import groundup.pipeline.report, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
