"""lock.py: one writer a store, whatever way it ends; readers are free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundup.errors import StoreBusyError
from groundup.pipeline import Pipeline, Step, Store
from groundup.pipeline.lock import writing

# A process that holds the lock and has a forked child that outlives it, as worker processes of a killed run do.
HOLDER = """
import os, sys, time
from pathlib import Path
from groundup.pipeline.lock import writing
with writing(Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process, child
        process.kill()
        os.kill(child, signal.SIGKILL)


def test_second_process_is_told_who_works_and_what_to_do(
    tmp_path: Path, holder: tuple[subprocess.Popen[str], int]
) -> None:
    process, _ = holder
    with pytest.raises(StoreBusyError, match=f"process {process.pid} on .* is at work here.*--store"):
        Pipeline(Store(tmp_path), [Step("a", lambda context: None, {})]).run()
    assert Pipeline(Store(tmp_path), [Step("a", lambda context: None, {})]).plan()[0].state == "run"  # reading is free


def test_killed_writer_leaves_no_lock_though_its_children_live(
    tmp_path: Path, holder: tuple[subprocess.Popen[str], int]
) -> None:
    process, child = holder
    process.kill()
    process.wait()
    os.kill(child, 0)
    with writing(tmp_path):
        pass


def refused_in_another_thread(folder: Path) -> bool:
    """Whether another thread of this process is told that the folder is busy."""
    seen: list[str] = []

    def work() -> None:
        try:
            with writing(folder):
                seen.append("")
        except StoreBusyError as error:
            seen.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return "this one" in seen[0]


def test_other_threads_are_refused_and_freed_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path):
            assert refused_in_another_thread(tmp_path / "." / "sub" / "..")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not refused_in_another_thread(tmp_path)


def test_holder_may_ask_again_and_the_outermost_lets_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing():
        assert Pipeline(store, [Step("a", lambda context: None, {})]).run().ok
        assert refused_in_another_thread(tmp_path)
    assert not refused_in_another_thread(tmp_path)


def test_refusal_within_the_process_does_not_let_the_lock_go(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops a process's record locks on it: the refused attempt must open none."""
    program = "import sys\nfrom pathlib import Path\nfrom groundup.pipeline.lock import writing\n"
    program += f"with writing(Path({str(tmp_path)!r})): pass"
    with writing(tmp_path):
        assert refused_in_another_thread(tmp_path)
        with writing(tmp_path):
            pass
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "StoreBusyError" in other.stderr
