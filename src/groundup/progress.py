"""How far a step is: one callable for whoever works, and sinks that show it on a terminal, in a log, to a program.

Rooms take `progress: Progress = silent` and call it as often as they like: a call that shows nothing costs well under a
microsecond. Everything goes to stderr; stdout belongs to results.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Literal, Protocol, Self

import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE")

Progress = Callable[[str, float, float], None]  # (what is being done, done, total); total 0: not known


def silent(label: str, done: float, total: float) -> None:
    """The default: shows nothing."""


class StepReport(Protocol):
    """What a sink shows of a step (pipeline.steps.StepRecord)."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def peak_bytes(self) -> int: ...
    @property
    def error(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...


# ------------------------------------------------------------------ memory


def tree_bytes() -> int:
    """Resident bytes of this process and all its children now. Pages that processes share count once for each."""
    try:
        return _tree_bytes_linux(os.getpid())
    except OSError:  # not Linux, or a kernel without lists of children
        return _tree_bytes_anywhere(psutil.Process())


def _tree_bytes_linux(pid: int) -> int:
    """By the kernel's own lists of children: 0.1 ms, where psutil reads the whole process table (3 ms and more)."""
    total, waiting = 0, [str(pid)]
    while waiting:
        member = waiting.pop()
        try:
            with open(f"/proc/{member}/statm", "rb") as file:
                total += int(file.read().split()[1]) * _PAGE
            for thread in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{thread}/children", encoding="ascii") as children:
                    waiting += children.read().split()
        except (FileNotFoundError, ProcessLookupError):
            if total == 0:  # this very process: there are no such files
                raise
    return total


def _tree_bytes_anywhere(process: psutil.Process) -> int:
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        family = [process]
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:  # it ended meanwhile
            continue
    return total


class MemoryMeter:
    """Samples the memory of the process tree from a thread; `peak_bytes` since `restart`, `now_bytes` at last sample.

    A peak shorter than `every` seconds can be missed.
    """

    def __init__(self, every: float = 0.1) -> None:
        self.every = every
        self.now_bytes = self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def sample(self) -> int:
        """Measure now; returns resident bytes."""
        self.now_bytes = tree_bytes()
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)
        return self.now_bytes

    def restart(self) -> None:
        """Begin a new peak with a sample taken now."""
        self.peak_bytes = 0
        self.sample()

    def __enter__(self) -> Self:
        self.restart()
        self._thread = threading.Thread(target=self._work, name="memory-meter", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()
        self.sample()

    def _work(self) -> None:
        while not self._stop.wait(self.every):
            self.sample()


# ------------------------------------------------------------------ words


def duration(seconds: float) -> str:
    """ "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def gibibytes(count: float) -> str:
    """ "1.9 GiB", "24 MiB" below one."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def quantity(value: float) -> str:
    """ "987", "12.3k", "4.56M": three digits and a unit of thousands."""
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= bound:
            scale = 1e3 if unit == "k" else bound
            return f"{value / scale:.3g}{unit}" if value / scale < 1000 else f"{value / scale:,.0f}{unit}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


# ------------------------------------------------------------------ sinks


class Rate:
    """Speed of one labelled piece of work, over the last `window` seconds, so that a slow start is forgotten."""

    def __init__(self, done: float, now: float, window: float = 20.0) -> None:
        self.window = window
        self._points = [(now, done)]

    def per_second(self, done: float, now: float) -> float:
        """Units a second up to `now` (seconds of a monotonic clock); 0 if it can't be said yet."""
        points = self._points
        if now - points[-1][0] >= self.window / 20:
            points.append((now, done))
        while len(points) > 2 and now - points[1][0] > self.window:
            del points[0]
        begin, at_begin = points[0]
        return max((done - at_begin) / (now - begin), 0.0) if now > begin else 0.0


class Sink:
    """Takes progress from any thread and shows it at most every `every` seconds. Subclasses say how.

    Use as `with open_sink(...) as sink: pipeline.run(progress=sink, on_step=sink.on_step)`.
    """

    every = 0.25

    def __init__(self, stream: IO[str], memory: MemoryMeter | None = None) -> None:
        self.stream, self.memory = stream, memory or MemoryMeter()
        self.step = ""
        self._lock = threading.RLock()
        self._work = ""
        self._rates: dict[str, Rate] = {}
        self._shown = self._due = 0.0
        self._pending: tuple[str, float, float, float] | None = None  # label, done, total, when

    def __call__(self, label: str, done: float, total: float) -> None:
        """Figures after a comma in the label ("train, loss 3.41") change while the work they stand beside stays one."""
        now, work = time.monotonic(), label.partition(",")[0]
        if work == self._work and now < self._due:  # the common case, without the lock
            self._pending = (label, done, total, now)
            return
        with self._lock:
            if work not in self._rates:
                if len(self._rates) >= 64:  # labels with a name of a file in each
                    self._rates.clear()
                self._rates[work] = Rate(done, now)
            # What begins is shown soon, and what came before it with its last state; threads that take turns are not.
            changed = work != self._work and now - self._shown >= self.every / 10
            if changed:
                self._flush(now)
            self._work, self._pending = work, (label, done, total, now)
            if changed or now >= self._due:
                self._flush(now)

    def _flush(self, now: float) -> None:
        if self._pending is None:
            return
        (label, done, total, then), self._pending = self._pending, None
        self._shown, self._due = now, now + self.every
        rate = self._rates.get(label.partition(",")[0])
        speed = rate.per_second(done, then) if rate is not None else 0.0
        left = (total - done) / speed if speed > 0 and total > done else None
        self.show(label, done, total, speed, left)

    def on_step(self, record: StepReport) -> None:
        """Take what the pipeline says of a step when it starts and when it ends."""
        with self._lock:
            self._flush(time.monotonic())
            self._work, self._shown, self._due = "", 0.0, 0.0
            self._rates.clear()
            self.step = record.name if record.state == "running" else ""
            self.show_step(record)

    def show(self, label: str, done: float, total: float, speed: float, left: float | None) -> None:
        """Show one state of a piece of work: units a second, seconds left if they can be said."""

    def show_step(self, record: StepReport) -> None:
        """Show that a step started or ended."""

    def __enter__(self) -> Self:
        self.memory.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._flush(time.monotonic())
        self.memory.__exit__(kind, error, at)


class Silent(Sink):
    """Shows nothing."""

    def __call__(self, label: str, done: float, total: float) -> None:
        pass


class Plain(Sink):
    """Lines of text for a log: one every five seconds of a step, and one at its end."""

    every = 5.0

    def show(self, label: str, done: float, total: float, speed: float, left: float | None) -> None:
        parts = [f"{self.step or '-'}  {label}  {quantity(done)}" + (f"/{quantity(total)}" if total else "")]
        if speed:
            parts.append(f"{quantity(speed)}/s")
        if left is not None:
            parts.append(f"{duration(left)} left")
        parts.append(gibibytes(self.memory.now_bytes))
        self._write("  ".join(parts))

    def show_step(self, record: StepReport) -> None:
        if record.state != "running":
            self._write(step_line(record))
        elif record.reason:
            self._write(f"{record.name}  starts: {record.reason}")

    def _write(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()


class JsonLines(Sink):
    """One JSON object a line, for programs: {"event": "progress" | "step", …}."""

    every = 1.0

    def show(self, label: str, done: float, total: float, speed: float, left: float | None) -> None:
        event = {"event": "progress", "step": self.step, "label": label, "done": done, "total": total}
        self._write({**event, "per_second": speed, "seconds_left": left, "memory_bytes": self.memory.now_bytes})

    def show_step(self, record: StepReport) -> None:
        self._write({"event": "step", **record.to_dict()})

    def _write(self, value: dict[str, Any]) -> None:
        self.stream.write(json.dumps(value) + "\n")
        self.stream.flush()


class Terminal(Sink):
    """A live line for the step at work (bar, rate, time left, memory), and a line that stays for each that ended."""

    every = 0.1

    def __init__(self, stream: IO[str], memory: MemoryMeter | None = None) -> None:
        super().__init__(stream, memory)
        # rich takes 60 ms to import and is needed here only.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = Console(file=stream, highlight=False, force_terminal=True)
        self.live = Progress(
            TextColumn("[bold]{task.fields[step]}[/] {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[memory]}"),
            console=self.console,
            transient=True,
            refresh_per_second=5,
        )
        self._task = self.live.add_task("", total=None, visible=False, step="", state="", memory="")

    def show(self, label: str, done: float, total: float, speed: float, left: float | None) -> None:
        state = quantity(done) + (f"/{quantity(total)}" if total else "")
        state += f"  {quantity(speed)}/s" if speed else ""
        state += f"  {duration(left)} left" if left is not None else ""
        self.live.update(
            self._task,
            description=_escape(label),
            completed=done,
            total=total or None,
            step=_escape(self.step),
            state=state,
            memory=gibibytes(self.memory.now_bytes),
            visible=True,
        )

    def show_step(self, record: StepReport) -> None:
        if record.state == "running":
            self.live.reset(
                self._task,
                description=_escape(record.reason),
                total=None,
                visible=True,
                step=_escape(record.name),  # reset forgets the fields that aren't given
                state="",
                memory=gibibytes(self.memory.now_bytes),
            )
            return
        self.live.update(self._task, visible=False)
        self.live.refresh()  # or the print below repeats the live line as it was
        style = {"failed": "red", "blocked": "yellow", "interrupted": "yellow", "cached": "dim"}.get(record.state, "")
        self.console.print(step_line(record), style=style, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self.live.stop()


def _escape(text: str) -> str:
    """Text that rich shows as it is: labels may hold file names with brackets."""
    return text.replace("[", r"\[")


def step_line(record: StepReport) -> str:
    """ "train  done  3 min 05 s  1.9 GiB", "corpus  cached", "index  failed  …": a step's end in one line."""
    parts = [record.name, record.state]
    if record.seconds and record.state != "cached":
        parts.append(duration(record.seconds))
    if record.peak_bytes and record.state != "cached":
        parts.append(f"peak {gibibytes(record.peak_bytes)}")
    if record.state in ("failed", "blocked", "interrupted"):
        parts.append(record.error or record.reason)
    return "  ".join(parts)


def open_sink(
    mode: Literal["auto", "terminal", "plain", "json", "silent"] = "auto", stream: IO[str] | None = None
) -> Sink:
    """The sink for a stream (stderr unless given): a live line on a terminal, lines elsewhere, JSON if asked."""
    stream = stream or sys.stderr
    if mode == "silent":
        return Silent(stream)
    if mode == "json":
        return JsonLines(stream)
    if mode == "terminal" or (mode == "auto" and stream.isatty() and os.environ.get("TERM") != "dumb"):
        return Terminal(stream)
    return Plain(stream)
