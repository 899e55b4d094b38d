"""Worker processes under watch: tasks out, frames in, and whoever dies or hangs is replaced, its file named."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Self

from groundup.corpus import worker
from groundup.corpus.limits import ReadLimits
from groundup.corpus.listing import SourceFile

CHUNK_BYTES = 1 << 19  # of files a message: some 30 source files, a second of cleaning
CHUNK_FILES = 64
AHEAD = 2  # chunks a worker has, so that it never waits for the next
TICK_SECONDS = 0.25
# If this process itself didn't run for so long (a laptop asleep, Ctrl-Z), the workers didn't either: no one hangs.
ASLEEP_SECONDS = 5.0
MAX_TRIES = 20  # of one file; an archive gets one for each member that kills a worker
READ_BYTES = 1 << 20
# One thread a worker: there is one worker a core already.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(slots=True)
class Task:
    index: int  # in the list of files
    file: SourceFile
    skip: dict[str, str] = field(default_factory=dict)  # source -> reason, for members that killed a worker
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    index: int
    kind: int  # worker.HIT, worker.RESULT, worker.UNKEPT
    content: bytes  # hash, 32 bytes; b"" for UNKEPT
    packed: bytes  # result; b"" for HIT


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    tasks: deque[Task] = field(default_factory=deque)  # sent and not answered, in order
    buffer: bytearray = field(default_factory=bytearray)
    at: str = ""  # source it has begun
    heard: float = 0.0
    ready: bool = False


class Pool:
    """Runs tasks over `workers` processes and yields answers as they come, in any order. Leaving it ends them all."""

    def __init__(self, settings: worker.Settings, limits: ReadLimits, workers: int) -> None:
        self._settings = (json.dumps(asdict(settings)) + "\n").encode()
        self._seconds = limits.seconds
        self._count = workers
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._workers:
            self._end(one)
        self._workers.clear()
        self._selector.close()
        self._errors.close()

    def run(self, tasks: Sequence[Task]) -> Iterator[Answer]:
        chunks = deque(_chunks(tasks))
        for _ in range(min(self._count, len(chunks))):
            self._start()
        while chunks or any(one.tasks for one in self._workers):
            self._feed(chunks)
            before = time.monotonic()
            readable = self._selector.select(TICK_SECONDS)
            now = time.monotonic()
            if now - before > TICK_SECONDS + ASLEEP_SECONDS:
                for one in self._workers:
                    one.heard = now
            for key, _ in readable:
                one = key.data
                data = os.read(key.fd, READ_BYTES)
                one.heard = now
                one.buffer += data
                yield from _answers(one)
                if not data:
                    self._bury(one, _how_it_ended(one.process), chunks)
            for one in list(self._workers):
                if one.tasks and now - one.heard > self._seconds:
                    one.process.kill()
                    self._bury(one, f"timed_out: no answer for {self._seconds:g} s", chunks)

    def _start(self) -> None:
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            [sys.executable, "-c", "from groundup.corpus.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,  # Ctrl-C is this process' to handle
        )
        one = _Worker(process, heard=time.monotonic())
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, one)
        self._workers.append(one)
        _write(one, self._settings)

    def _feed(self, chunks: deque[list[Task]]) -> None:
        for _ in range(AHEAD):
            for one in self._workers:
                if chunks and len(one.tasks) <= (AHEAD - 1) * CHUNK_FILES // 2:
                    chunk = chunks.popleft()
                    if not one.tasks:
                        one.heard = time.monotonic()
                    one.tasks.extend(chunk)
                    orders = [
                        {
                            "path": os.fsencode(task.file.path).hex(),
                            "source": task.file.source,
                            "group": task.file.group,
                            "skip": task.skip,
                        }
                        for task in chunk
                    ]
                    _write(one, (json.dumps({"tasks": orders}) + "\n").encode())

    def _bury(self, one: _Worker, reason: str, chunks: deque[list[Task]]) -> None:
        """A worker has died or was ended: the file it was at is tried again without what it had begun."""
        self._end(one)
        self._workers.remove(one)
        if not one.ready:
            self._errors.seek(0)
            told = self._errors.read().decode("utf-8", "replace").strip()
            raise RuntimeError(f"a worker of ingest could not start ({reason}):\n{told[-4000:]}")
        if one.tasks:
            task = one.tasks.popleft()
            at = one.at or task.file.source
            task.tries += 1
            if at in task.skip or task.tries >= MAX_TRIES:
                at = task.file.source
            task.skip[at] = reason
            if one.tasks:
                chunks.appendleft(list(one.tasks))
            chunks.appendleft([task])
        if chunks:
            self._start()

    def _end(self, one: _Worker) -> None:
        assert one.process.stdout is not None
        assert one.process.stdin is not None
        self._selector.unregister(one.process.stdout)
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            one.process.stdin.close()


def _answers(one: _Worker) -> Iterator[Answer]:
    """Takes the whole frames off a worker's buffer."""
    at = 0
    buffer = one.buffer
    while len(buffer) - at >= 5:
        kind = buffer[at]
        end = at + 5 + int.from_bytes(buffer[at + 1 : at + 5], "little")
        if len(buffer) < end:
            break
        content = bytes(buffer[at + 5 : end])
        at = end
        if kind == worker.READY:
            one.ready = True
        elif kind == worker.BEGIN:
            one.at = content.decode()
        elif kind in (worker.HIT, worker.RESULT, worker.UNKEPT):
            digest_bytes = 0 if kind == worker.UNKEPT else worker.DIGEST_BYTES
            yield Answer(one.tasks.popleft().index, kind, content[:digest_bytes], content[digest_bytes:])
            one.at = ""
    del buffer[:at]


def _chunks(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Large files first, so that none is left for one worker at the end; small ones together."""
    chunk: list[Task] = []
    size = 0
    for task in sorted(tasks, key=lambda task: (-task.file.size, task.index)):
        if chunk and (size + task.file.size > CHUNK_BYTES or len(chunk) >= CHUNK_FILES):
            yield chunk
            chunk, size = [], 0
        chunk.append(task)
        size += task.file.size
    if chunk:
        yield chunk


def _write(one: _Worker, data: bytes) -> None:
    assert one.process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # if it has died, its end of output says so in a moment
        one.process.stdin.write(data)
        one.process.stdin.flush()


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code < 0:
        return f"parser_crashed: the process was ended by {signal.Signals(-code).name}"
    return f"parser_crashed: the process ended with code {code}"
