"""Writers killed by SIGKILL at random moments of adding, removing, rebuilding and renewing, while a reader goes on.

For more kills than the few of every day: MEMORY_KILLS=200 python -m pytest tests/infinigram/test_kills.py
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from groundup.infinigram.store import MemoryStore
from tests.infinigram import crash_driver

KILLS = int(os.environ.get("MEMORY_KILLS", "10"))


def logged(log: Path) -> tuple[frozenset[int], frozenset[int], int]:
    """(documents of the last change acknowledged, those of the change under way or of the same, changes so far)."""
    done: frozenset[int] = frozenset()
    wanted = done
    changes = 0
    text = log.read_text()
    for line in text[: text.rfind("\n") + 1].splitlines():  # a line cut short was never under way
        if line == "done":
            done, changes = wanted, changes + 1
        else:
            wanted = frozenset(map(int, line.split()[1:]))
    return done, wanted, changes


@pytest.mark.slow
@pytest.mark.timeout(60 + 5 * KILLS)
def test_a_killed_writer_loses_nothing_acknowledged_and_no_reader_fails(tmp_path: Path) -> None:
    root, log, failures, opened = (tmp_path / name for name in ("memory", "log", "failures", "opened"))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.infinigram.crash_driver"])
    MemoryStore(root).update([], lambda asked: [], **crash_driver.KIND)
    log.touch()
    reader = processes.Process(target=crash_driver.read, args=(root, failures, opened), daemon=True)
    reader.start()
    draw = random.Random(0)
    before: frozenset[int] = frozenset()
    torn = changes = 0
    try:
        for kill in range(KILLS):
            started = changes
            writer = processes.Process(target=crash_driver.write, args=(root, log, changes + kill, before), daemon=True)
            writer.start()
            while writer.is_alive() and logged(log)[2] == started:  # kernels are loaded by its first change
                time.sleep(0.01)
            time.sleep(draw.random() * 0.1)
            assert writer.is_alive()
            writer.kill()
            writer.join()
            done, wanted, changes = logged(log)
            memory = MemoryStore(root).open(tokenizer="t")
            found = frozenset(map(int, memory.documents()))
            assert found in (done, wanted)
            crash_driver.check(memory)
            torn += done != wanted
            with open(log, "a") as lines:  # the change under way counts by what became of it
                lines.write(f"\nwant {' '.join(crash_driver.names(found))}\ndone\n")
            before, changes = found, changes + 1
            assert MemoryStore(root).fault() == ""
        assert reader.is_alive()
    finally:
        reader.kill()
        reader.join()
    assert not failures.exists(), failures.read_text()
    assert opened.stat().st_size > KILLS
    assert torn > KILLS // 4, "too few of the kills met a change half done"
    del memory
    MemoryStore(root).update(crash_driver.names(before), lambda asked: [], **crash_driver.KIND)
    left = {path.name for path in (root / "segments").iterdir()}
    assert left == set(MemoryStore(root)._version().segments)  # leftovers of all killed writers are gone
