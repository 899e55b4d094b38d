"""A store, releases in it, and verdict tables with given figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundup.pipeline import Store
from groundup.registry import release
from groundup.registry.release import Release


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def table(value: float, margin: float = 0.01, **changes: Any) -> dict[str, Any]:
    """A verdict table whose serving row has that value, ± margin."""
    estimate = {"value": value, "low": value - margin, "high": value + margin, "n": 1200}
    baseline = {"value": 1.23, "low": 1.2, "high": 1.26, "n": 1200}
    return {
        "id": "completion",
        "title": "Completion",
        "metric": "bits per byte",
        "unit": "bits/byte",
        "higher_is_better": False,
        "columns": ["held out", "whole packages"],
        "rows": [
            {"name": "5-gram", "role": "baseline", "values": {"held out": baseline}, "note": "", "serves": False},
            {"name": "base|one", "role": "candidate", "values": {"held out": estimate}, "note": "", "serves": True},
        ],
        "comparisons": [
            {"better": "base|one", "worse": "5-gram", "column": "held out", "difference": {**estimate, "value": 0.4}}
        ],
        "sentence": "The base is ahead.",
        "warnings": ["It may have read these files."],
        **changes,
    }


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Callable[..., Release]:
    """Makes a release of one small model folder; `weights` is its content."""

    def make(weights: str = "w", **changes: Any) -> Release:
        folder = tmp_path / "model"
        (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").unlink(missing_ok=True)
        (folder / "model.safetensors").write_text(weights)
        (folder / "tokenizer" / "vocab.json").write_text("{}")
        given: dict[str, Any] = {
            "models": {"decoder": folder},
            "policies": {"completion": "decoder"},
            "verdicts": [table(0.83)],
            "metrics": {"seconds": 1.5},
            "model_card": "# Models\n",
            "data_card": "# Data\n",
            "measured_on": "split-1",
        }
        return release.create(store, **{**given, **changes})

    return make
