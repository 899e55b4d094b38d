from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from groundup.errors import StoreError
from groundup.monitoring.request_log import NAME, RequestLog, read_log


def test_records_come_back_in_order(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    records = [{"route": "/search", "n": n, "words": "naïve 日本\n\ud800"} for n in range(5)]
    for record in records:
        log.write(record)
    assert [record["n"] for record in read_log(tmp_path)] == [0, 1, 2, 3, 4]
    log.close()


def test_the_log_never_grows_past_its_bound_and_keeps_the_newest(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, max_bytes=2000)
    for n in range(500):
        log.write({"n": n})
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000
    kept = [record["n"] for record in read_log(tmp_path)]
    assert kept == list(range(kept[0], 500))
    assert len(kept) > 70  # at least a half of what fits
    log.close()


def test_prompts_reach_the_disk_only_when_asked_for(tmp_path: Path) -> None:
    for keep in (False, True):
        log = RequestLog(tmp_path / str(keep), keep_prompts=keep)
        log.write({"route": "/ask", "prompt": "a secret"})
        log.close()
        assert ("a secret" in (tmp_path / str(keep) / NAME).read_text()) is keep


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    RequestLog(tmp_path).close()
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0


def test_a_line_cut_short_is_skipped_and_harms_no_other(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"n": 1}\n{"n": 2, "rou')
    log = RequestLog(tmp_path)
    log.write({"n": 3})
    log.close()
    assert [record["n"] for record in read_log(tmp_path)] == [1, 3]


def test_a_killed_process_loses_no_finished_line(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        from pathlib import Path
        from groundup.monitoring.request_log import RequestLog
        log = RequestLog(Path({str(tmp_path)!r}))
        for n in range(10**9):
            log.write({{"n": n}})
            print(n, flush=True)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(200):
            said = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
    assert [record["n"] for record in read_log(tmp_path)][: said + 1] == list(range(said + 1))


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)

    def work(thread: int) -> None:
        for n in range(100):
            log.write({"thread": thread, "n": n, "pad": "x" * 200})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    lines = (tmp_path / NAME).read_text().splitlines()
    assert sorted((json.loads(line)["thread"], json.loads(line)["n"]) for line in lines) == [
        (thread, n) for thread in range(4) for n in range(100)
    ]


def test_an_absent_log_has_no_records(tmp_path: Path) -> None:
    assert list(read_log(tmp_path / "none")) == []


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="request log can't be written"):
        RequestLog(tmp_path / "file")


def test_a_folder_that_cannot_be_written_names_the_flag_that_does_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Serve with --no-log"):
        RequestLog(tmp_path / "file" / "log")
