"""With the network cut off, everything works: nothing is fetched, nothing calls out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.conftest import SMALL, Finished

pytestmark = pytest.mark.slow

# Installed into the child before groundup starts: any connection but to this machine, and any name look-up, raises.
CUT_OFF = """
import socket, sys
def refuse(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise RuntimeError(f"a connection to {arguments[1]}")
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        raise RuntimeError(f"{event} {arguments[0]}")
sys.addaudithook(refuse)
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CUT_OFF + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_cut_is_one() -> None:
    tried = python("import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)")
    assert "RuntimeError" in tried.stderr


def test_the_pipeline_runs_with_the_network_cut_off(finished: Finished, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(SMALL))
    run = ["run", str(finished.sources), "--recipe", str(recipe), "--store", str(tmp_path / "store")]
    done = python("from groundup.cli import main; main()", *run)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert (tmp_path / "store" / "releases").is_dir()
    found = python("from groundup.cli import main; main()", "search", "json", "--store", str(tmp_path / "store"))
    assert found.returncode == 0, found.stderr[-2_000:]
