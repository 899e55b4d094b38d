"""Where the reference data lies: beside the checkout. Tests that need it skip, with the reason, where it is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Path of `name` under the shared data, or a skip that names what is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"reference data {name} is not beside the checkout ({SHARED})")
    return path
