"""A small pipeline run as a process of its own, to be killed: `python -m tests.pipeline.crash_driver MODE ROOT`.

run     runs it (about a second) and prints the digests, one JSON object; "ready" first
sweep   in a temporary folder, for each call that makes things durable: a run killed just before it, what it left
        checked, a rerun, its digests compared
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from groundup.errors import StoreBusyError
from groundup.pipeline import Context, Pipeline, Step, Store, provenance

CALLS = ("fsync", "rename", "replace", "unlink", "rmdir")


def train(context: Context) -> None:
    """Counts to `steps` from its checkpoint, which it writes after each, and leaves files in a folder."""
    checkpoint = context.scratch / "step.txt"
    begin = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(begin, context.config["steps"]):
        time.sleep(context.execution["pause"])
        context.progress("train", step, context.config["steps"])
        (context.work / f"junk-{step}").write_text("x")  # of a killed attempt; must not end up in the artifact
        (context.work / f"junk-{step}").unlink()
        temporary = checkpoint.with_suffix(".new")
        temporary.write_text(str(step + 1))
        os.replace(temporary, checkpoint)
    (context.work / "deep" / "er").mkdir(parents=True)
    for i in range(3):
        (context.work / "deep" / "er" / f"{i}.bin").write_bytes(bytes([i]) * context.config["steps"])
    (context.work / "time.txt").write_text(str(time.time()))
    context.leave_out("time.txt")


def join(context: Context) -> None:
    """Lists the digests of its inputs, and writes a file whose name differs each time."""
    (context.work / "all.txt").write_text("".join(sorted(artifact.digest for artifact in context.inputs.values())))
    (context.work / "table").mkdir()
    (context.work / "table" / os.urandom(4).hex()).write_text("same")
    context.stand_in("table", "same")


def pipeline(root: Path, pause: float) -> Pipeline:
    steps = [
        Step("first", train, {"steps": 2}),
        Step("second", train, {"steps": 3}, {"first": "first"}),
        Step("third", train, {"steps": 2}, {"first": "first"}),
        Step("last", join, {}, {"a": "second", "b": "third"}),
    ]
    return Pipeline(Store(root), steps, {"pause": pause})


def digests(made: Pipeline) -> dict[str, str]:
    result = made.run()
    if result.failure is not None:
        raise result.failure
    if result.stopped:
        raise KeyboardInterrupt(result.stopped)
    return {name: artifact.digest for name, artifact in result.artifacts.items()}


def faults(store: Store) -> list[str]:
    """What no crash may leave: an artifact's place that holds anything but a whole artifact."""
    found = []
    for folder in store.objects.glob("*/*"):
        artifact = store.find(folder.parent.name, folder.name)
        found += store.verify(artifact) if artifact else [f"{folder}: {store.damage(folder.parent.name, folder.name)}"]
    return found


def forked(work: Callable[[], Any]) -> tuple[int, Any]:
    """(wait status, what `work` returned in a forked child, or None if it didn't get so far)."""
    with tempfile.TemporaryFile("w+") as answer:
        child = os.fork()
        if child == 0:
            try:
                json.dump(work(), answer)
                answer.flush()
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        answer.seek(0)
        text = answer.read()
    return status, json.loads(text) if text else None


def count_calls(root: Path, kill_before: int | None) -> int:
    """Run with every durable call counted; SIGKILL to itself just before call number `kill_before`."""
    seen = 0

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return counted

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))
    digests(pipeline(root, 0))
    return seen


def sweep(root: Path) -> dict[str, Any]:
    """Kill at every durable call, one after the other, each in a store of its own."""
    provenance.lock_hash()  # 0.1 s that each of the hundreds of children would spend again
    _, expected = forked(lambda: digests(pipeline(root / "undisturbed", 0)))
    _, calls = forked(lambda: count_calls(root / "counted", None))
    wrong = []
    for n in range(1, calls + 1):
        place = root / str(n)
        status, _ = forked(lambda place=place, n=n: count_calls(place, n))
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            wrong.append(f"call {n}: was not killed")
        wrong += [f"call {n}: {fault}" for fault in faults(Store(place))]
        _, after = forked(lambda place=place: digests(pipeline(place, 0)))
        if after != expected:
            wrong.append(f"call {n}: {after} instead of {expected}")
        left = sorted(path.name for path in (place / "work").iterdir() if not path.name.endswith(".deleted"))
        if left:
            wrong.append(f"call {n}: left {left}")
    return {"calls": calls, "expected": expected, "wrong": wrong}


def main() -> int:
    mode, root = sys.argv[1], Path(sys.argv[2])
    write = sys.stdout.write
    if mode == "sweep":
        # In memory where there is such a place: the order of calls is what counts here, and the disk is slow.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(dir=memory) as place:
            write(json.dumps(sweep(Path(place))))
        return 0
    write("ready\n")
    sys.stdout.flush()
    try:
        write(json.dumps(digests(pipeline(root, float(sys.argv[3])))))
    except StoreBusyError as error:
        write(str(error))
        return error.exit_code
    except KeyboardInterrupt as stop:
        write(str(stop))
        return 130
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
