"""The page that `groundup inspect` leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.inspection.page import render
from groundup.stages.inspect import inspect_text
from tests.stages.conftest import Finished

pytestmark = pytest.mark.slow


def test_the_page_is_written_whole_and_alone(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    found = inspect_text("champion", "import json", finished.store, out)
    assert out.read_text(encoding="utf-8") == render(found)
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]
