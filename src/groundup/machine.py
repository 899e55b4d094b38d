"""What this machine can do, measured once and remembered: number formats, memory, bandwidth, cores.

Processors differ by more than names tell. torch multiplies bf16 matrices 2.5 times as fast as fp32 where the processor
has instructions for it, and over a hundred times slower where it has none (pytorch issue 146508). So nothing guesses:
whoever picks a number format, a size or a plan asks `profile()`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

SIDE = 256  # of the square products timed; one of 2,048 takes a minute in bf16 on an AVX2-only processor
SECONDS_PER_FORMAT = 0.3  # enough for hundreds of products where the format is fast
HOPELESS_SECONDS = 0.02  # products slower than this (under 1.7 GFLOP/s) end the timing of their format …
HOPELESS_TRIES = 8  # … after so many: on a busy machine a few of any format wait that long for a core
STREAM_BYTES = 128 * 2**20  # larger than the caches of two cores, small beside memory
MIN_GAIN = 1.3  # times fp32: below it, the rounding of bf16 is not worth its speed
CACHE_VERSION = 2


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine as measured. `formats`: GFLOP/s of a 256-square product by format name ("fp32", "bf16", "fp16")."""

    processor: str
    cores: int
    memory_bytes: int
    formats: dict[str, float]
    bandwidth_gb_s: float  # 10^9 bytes read per second, all cores together
    best_format: str  # "fp32" or "bf16": what to multiply in. fp16 is timed but never picked, its range overflows

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, object]) -> Machine:
        """Inverse of `to_dict`. Raises TypeError or ValueError for anything else: a damaged cache is measured anew."""
        machine = cls(**fields)  # type: ignore[arg-type]  # every field is checked on the next lines
        if not (isinstance(machine.formats, dict) and machine.formats.get("fp32", 0) > 0):
            raise ValueError("formats lacks fp32")
        if machine.best_format not in machine.formats or not machine.bandwidth_gb_s > 0:
            raise ValueError("best_format or bandwidth_gb_s is missing")
        if not (isinstance(machine.cores, int) and machine.cores > 0 and isinstance(machine.memory_bytes, int)):
            raise ValueError("cores or memory_bytes is missing")
        return machine

    def sentence(self) -> str:
        """All of it on one line, for reports and `groundup machine`."""
        formats = ", ".join(f"{name} {speed:,.3g} GFLOP/s" for name, speed in self.formats.items())
        cores = f"{self.cores} core" + ("" if self.cores == 1 else "s")
        return (
            f"{self.processor}, {cores}, {self.memory_bytes / 2**30:.1f} GiB memory read at "
            f"{self.bandwidth_gb_s:.3g} GB/s; {formats}; multiplies in {self.best_format}"
        )


def cache_folder() -> Path:
    """Where measurements of this machine rest: GROUNDUP_CACHE, or ~/.cache/groundup."""
    return Path(os.environ.get("GROUNDUP_CACHE") or Path.home() / ".cache" / "groundup")


def profile(refresh: bool = False) -> Machine:
    """This machine, measured in about a second the first time and read from the cache afterwards.

    The cache is keyed by processor, its instruction sets, cores and torch's version, so a home folder shared by several
    machines gives none of them another's figures. A damaged or unwritable cache costs a measurement, never an error.
    """
    path = cache_folder() / f"machine-{_fingerprint()}.json"
    if not refresh:
        try:
            return Machine.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
    machine = measure()
    _write(path, machine)
    return machine


def use_threads(threads: int | None = None) -> int:
    """Sets how many threads torch computes with, and returns it: `threads`, else OMP_NUM_THREADS, else `cores()`.

    torch counts the cores of the host; in a container with a quota that is too many: threads wait for each other.
    """
    import torch

    asked = os.environ.get("OMP_NUM_THREADS", "")
    chosen = threads or (int(asked) if asked.isdigit() and int(asked) > 0 else cores())
    torch.set_num_threads(chosen)
    return chosen


def cores() -> int:
    """Cores this process may use: its affinity, no more than the control group's quota, at least 1."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        allowed = os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, min(allowed, round(quota)) if quota else allowed)


def memory_bytes() -> int:
    """Memory this process may use: the machine's, no more than the control group's limit."""
    total = int(psutil.virtual_memory().total)
    for path in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        try:
            limit = path.read_text().strip()
        except OSError:
            continue
        if limit.isdigit():
            return min(total, int(limit))
    return total


def measure() -> Machine:
    """Times the formats and the memory now, with the threads `use_threads()` would set. About a second."""
    import torch

    before = torch.get_num_threads()
    use_threads()
    try:
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        speeds = {name: _product_gflops(torch, dtype) for name, dtype in dtypes.items()}
        bandwidth = round(_read_gb_s(torch), 2)
    finally:
        torch.set_num_threads(before)
    formats = {name: round(max(speed), 2) for name, speed in speeds.items()}
    # Formats are compared at one thread: where a second one waits for a core, it does so for any of them.
    best = pick_format({name: alone for name, (alone, _) in speeds.items()})
    return Machine(processor_name(), cores(), memory_bytes(), formats, bandwidth, best)


def pick_format(formats: dict[str, float]) -> str:
    """bf16 where it runs at least MIN_GAIN times as fast as fp32, else fp32."""
    return "bf16" if formats.get("bf16", 0.0) >= MIN_GAIN * formats["fp32"] else "fp32"


def processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def _product_gflops(torch, dtype) -> tuple[float, float]:  # type: ignore[no-untyped-def]  # torch comes as an argument: no import at load
    """Best GFLOP/s of a SIDE-square product, by one thread and by all. Best, not mean: others can only slow it down."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(SIDE, SIDE, generator=generator).to(dtype)
    right = torch.randn(SIDE, SIDE, generator=generator).to(dtype)
    threads = torch.get_num_threads()
    together = _best_seconds(lambda: left @ right)
    try:
        torch.set_num_threads(1)
        alone = _best_seconds(lambda: left @ right)
    finally:
        torch.set_num_threads(threads)
    work = 2 * SIDE**3 / 1e9
    return float(work / alone), float(work / together)


def _read_gb_s(torch) -> float:  # type: ignore[no-untyped-def]
    """Best rate of one pass over STREAM_BYTES. It bounds generation, where every token reads all weights once."""
    stream = torch.ones(STREAM_BYTES // 4)
    return STREAM_BYTES / _best_seconds(stream.sum, hopeless=10.0) / 1e9


def _best_seconds(work: Callable[[], object], hopeless: float = HOPELESS_SECONDS) -> float:
    work()  # not counted: it pays for pages and for the code that oneDNN generates
    best, spent, tries = float("inf"), 0.0, 0
    while spent < SECONDS_PER_FORMAT or tries < HOPELESS_TRIES:
        begun = time.perf_counter()
        work()
        seconds = time.perf_counter() - begun
        best, spent, tries = min(best, seconds), spent + seconds, tries + 1
        if best > hopeless and tries >= HOPELESS_TRIES:
            break
    return best


def _fingerprint() -> str:
    from importlib.metadata import version

    flags = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass
    parts = [CACHE_VERSION, processor_name(), flags, cores(), memory_bytes(), os.environ.get("OMP_NUM_THREADS", "")]
    return hashlib.sha256(json.dumps([*parts, version("torch")]).encode()).hexdigest()[:16]


def _cgroup_quota(root: Path) -> float | None:
    """Cores' worth of time that the control group allows, None without a limit. Version 2, then version 1."""
    try:
        quota, period = (root / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota_us = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
        return quota_us / int((root / "cpu" / "cpu.cfs_period_us").read_text()) if quota_us > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _write(path: Path, machine: Machine) -> None:
    """Whole or not at all: two processes that measure at once leave one of the two results."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(machine.to_dict(), indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
