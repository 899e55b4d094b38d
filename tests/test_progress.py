"""progress.py: sinks show the truth, seldom, from any thread, and cost next to nothing."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from groundup import progress
from groundup.pipeline import Context, Pipeline, Step, StepRecord, Store
from groundup.progress import JsonLines, MemoryMeter, Plain, Rate, Silent, Sink, Terminal, open_sink, silent, tree_bytes

RUNNING, DONE = StepRecord("train", "running", "first time"), StepRecord("train", "done", "", 185.0, 2 * 2**30)


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def test_plain_sink_writes_a_line_every_five_seconds_and_at_the_end(clock: Clock) -> None:
    stream = io.StringIO()
    sink = Plain(stream)
    sink.on_step(RUNNING)
    for second in range(12):
        clock.now = 100.0 + second
        sink("tokens", second * 1000, 20_000)
    sink.on_step(DONE)
    lines = [re.sub(r"\d+ MiB|\d+\.\d GiB$", "MEMORY", line) for line in stream.getvalue().splitlines()]
    assert lines == [
        "train  starts: first time",
        "train  tokens  0/20k  MEMORY",
        "train  tokens  5,000/20k  1,000/s  15 s left  MEMORY",
        "train  tokens  10k/20k  1,000/s  10 s left  MEMORY",
        "train  tokens  11k/20k  1,000/s  9.0 s left  MEMORY",
        "train  done  3 min 05 s  peak MEMORY",
    ]


def test_new_label_is_shown_at_once_and_its_rate_starts_anew(clock: Clock) -> None:
    stream = io.StringIO()
    sink = Plain(stream)
    sink("read", 0, 10)
    clock.now += 1
    sink("read", 10, 10)
    sink("clean", 0, 0)
    clock.now += 10
    sink("clean", 30, 0)
    texts = [line.split("  ")[1:4] for line in stream.getvalue().splitlines()]
    assert [text[:2] for text in texts] == [["read", "0/10"], ["read", "10/10"], ["clean", "0"], ["clean", "30"]]
    assert texts[1][2] == "10/s"
    assert texts[3][2] == "3/s"


def test_rate_forgets_a_slow_start() -> None:
    rate = Rate(0, 0.0, window=20)
    assert rate.per_second(0, 0.0) == 0
    for second in range(1, 61):
        speed = rate.per_second(second if second <= 30 else 30 + (second - 30) * 9, float(second))
    assert speed == pytest.approx(9, rel=0.1)


def test_json_sink_writes_one_object_a_line() -> None:
    stream = io.StringIO()
    with JsonLines(stream) as sink:
        sink.on_step(RUNNING)
        sink("tokens", 1, 4)
        sink.on_step(DONE)
    start, line, end = map(json.loads, stream.getvalue().splitlines())
    assert (start["event"], start["state"], start["reason"]) == ("step", "running", "first time")
    assert (line["event"], line["step"], line["label"], line["done"], line["total"]) == (
        "progress",
        "train",
        "tokens",
        1,
        4,
    )
    assert line["memory_bytes"] > 1_000_000
    assert (end["state"], end["seconds"], end["peak_bytes"]) == ("done", 185.0, 2 * 2**30)


def test_terminal_sink_leaves_one_line_a_step() -> None:
    stream = io.StringIO()
    with Terminal(stream) as sink:
        sink.on_step(RUNNING)
        for i in range(5):
            sink("tokens [of] notes", i, 5)
            time.sleep(0.12)
        assert "tokens [of] notes" in stream.getvalue()
        sink.on_step(DONE)
        sink.on_step(StepRecord("index", "failed", "first time", 2.0, 0, error="[Errno 5] broken"))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    kept = [line.rpartition("\r")[2] for line in text.split("\n")]
    assert kept == ["train  done  3 min 05 s  peak 2.0 GiB", "index  failed  2.0 s  [Errno 5] broken", ""]


def test_sink_is_chosen_by_where_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert type(open_sink(stream=io.StringIO())) is Plain
    assert type(open_sink(stream=Screen())) is Terminal
    monkeypatch.setenv("TERM", "dumb")
    assert type(open_sink(stream=Screen())) is Plain
    assert type(open_sink("json", Screen())) is JsonLines
    assert type(open_sink("plain", Screen())) is Plain
    assert type(open_sink("silent", Screen())) is Silent


def test_threads_may_report_at_once() -> None:
    class Counting(Sink):
        every = 0.0
        shown = 0
        inside = False

        def show(self, *_: object) -> None:
            assert not self.inside
            self.inside = True
            self.shown += 1
            self.inside = False

    sink = Counting(io.StringIO())
    failures: list[BaseException] = []

    def work(label: str) -> None:
        try:
            for i in range(3000):
                sink(label, i, 3000)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"l{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sink.shown > 0


def test_labels_that_take_turns_are_shown_seldom(clock: Clock) -> None:
    stream = io.StringIO()
    sink = Plain(stream)
    for i in range(1000):
        clock.now += 0.01
        sink(f"part {i % 3}", i, 1000)
    assert len(stream.getvalue().splitlines()) < 60


def test_call_that_shows_nothing_is_cheap() -> None:
    """Against a bare call of the same form, in one process: a row of a loop may report each time."""

    def seconds(call: progress.Progress) -> float:
        begin = time.perf_counter()
        for i in range(50_000):
            call("tokens", i, 50_000)
        return time.perf_counter() - begin

    sink = Plain(io.StringIO())
    ratio = min(seconds(sink) for _ in range(5)) / min(seconds(silent) for _ in range(5))
    assert ratio < 40  # 5 to 8 measured


def test_memory_of_children_counts() -> None:
    program = "b = bytearray(200_000_000); print('ready', flush=True); input()"
    before = tree_bytes()
    with MemoryMeter(every=0.02) as meter:
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.2)
            child.communicate("\n")
        assert meter.peak_bytes - before > 190_000_000
        meter.restart()
        assert meter.peak_bytes - before < 100_000_000


def test_both_ways_of_measuring_memory_agree() -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("only Linux has both")
    with subprocess.Popen(
        [sys.executable, "-c", "print('ready', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        ours, reference = tree_bytes(), progress._tree_bytes_anywhere(psutil.Process())
        child.communicate("\n")
    assert ours == pytest.approx(reference, rel=0.02)


def test_pipeline_reports_through_a_sink(tmp_path: Path) -> None:
    def work(context: Context) -> None:
        context.progress("files", 3, 3)
        (context.work / "a").write_text("a")

    stream = io.StringIO()
    for _ in range(2):
        with open_sink("plain", stream) as sink:
            Pipeline(Store(tmp_path), [Step("corpus", work, {})]).run(sink, on_step=sink.on_step)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "corpus  starts: first time"
    assert lines[1].startswith("corpus  files  3/3")
    assert lines[2].startswith("corpus  done")
    assert lines[3] == "corpus  cached"
