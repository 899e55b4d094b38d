"""kill -9 at random moments of a real run: whatever it hits, the reruns end in the digests of an undisturbed run.

GROUNDUP_KILLS sets how many (3 in CI; 20 for the figure in the docs).
"""

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

from groundup.pipeline.store import Store
from tests.stages.conftest import SMALL, Finished

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000)]
KILLS = int(os.environ.get("GROUNDUP_KILLS", "3"))


def digests(store: Path) -> dict[str, str]:
    return {artifact.step: artifact.digest for artifact in Store(store).artifacts()}


def start(sources: Path, recipe: Path, store: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "groundup", "run", str(sources), "--recipe", str(recipe), "--store", str(store)]
    with store.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)  # its workers too: power does not fail for one process alone
    process.wait()


def test_killed_runs_end_in_the_digests_of_an_undisturbed_one(finished: Finished, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(SMALL))  # JSON is YAML
    undisturbed, store = tmp_path / "undisturbed", tmp_path / "killed"

    begun = time.monotonic()
    assert start(finished.sources, recipe, undisturbed).wait() == 0
    whole = time.monotonic() - begun

    moments = random.Random(20_261_124)
    killed = 0
    while killed < KILLS:
        process = start(finished.sources, recipe, store)
        try:
            # Early kills hit ingest and the index, late ones training, evaluation and the release.
            code = process.wait(timeout=moments.uniform(0.02, 0.6) * whole)
        except subprocess.TimeoutExpired:
            kill(process)
            killed += 1
        else:
            # It had nothing left to do: the next kills hit a run from the start.
            assert code == 0, store.with_suffix(".log").read_text()[-3_000:]
            assert digests(store) == digests(undisturbed)
            store = tmp_path / f"killed-{killed}"
    assert start(finished.sources, recipe, store).wait() == 0
    assert digests(store) == digests(undisturbed)
