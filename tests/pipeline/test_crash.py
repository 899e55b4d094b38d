"""kill -9 at any point leaves old or new, never half, and reruns end where an undisturbed run ends. Real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groundup.pipeline import Store
from tests.pipeline.crash_driver import faults

KILLS = 12


def start(mode: str, root: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    """The driver at work; returns once it has begun its run."""
    command = [sys.executable, "-m", "tests.pipeline.crash_driver", mode, str(root), str(pause)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if mode == "run":
        assert process.stdout is not None
        # Not readline(): it would take more into its buffer than the line, and `communicate` does not look there.
        assert os.read(process.stdout.fileno(), 6) == b"ready\n"
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors, errors
    return process.returncode, out


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    code, out = end(start("run", tmp_path_factory.mktemp("undisturbed")))
    assert code == 0
    digests: dict[str, str] = json.loads(out)
    assert sorted(digests) == ["first", "last", "second", "third"]
    return digests


@pytest.mark.slow
def test_sigkill_before_each_durable_call_leaves_old_or_new(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    code, out = end(start("sweep", tmp_path))
    assert code == 0
    result = json.loads(out)
    assert result["wrong"] == []
    assert result["calls"] > 80
    assert result["expected"] == undisturbed


@pytest.mark.slow
def test_sigkill_at_random_times_ends_in_the_same_digests(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    pick = random.Random(7)
    killed = 0
    for _ in range(KILLS):
        process = start("run", tmp_path, pause=0.1)
        time.sleep(pick.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        killed += end(process)[0] == -signal.SIGKILL
        assert faults(Store(tmp_path)) == []
    assert killed >= KILLS // 2
    code, out = end(start("run", tmp_path))
    assert code == 0
    assert json.loads(out) == undisturbed


def test_interrupted_process_says_where_to_go_on_and_the_next_one_does(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    process = start("run", tmp_path, pause=0.6)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    code, out = end(process)
    assert code == 130
    assert "Stopped in step first after " in out
    assert "the same command goes on from there" in out
    assert faults(Store(tmp_path)) == []
    code, out = end(start("run", tmp_path))
    assert json.loads(out) == undisturbed


def test_second_process_on_one_store_is_refused_and_harms_nothing(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    first = start("run", tmp_path, pause=0.3)
    while not (tmp_path / "runs" / "latest").exists():
        time.sleep(0.01)
    code, out = end(start("run", tmp_path))
    assert code == 6
    assert f"process {first.pid}" in out
    assert "--store" in out
    code, out = end(first)
    assert code == 0
    assert json.loads(out) == undisturbed
