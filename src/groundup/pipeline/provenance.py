"""What stood around a step when it ran: installed versions, hardware, seeds. Recorded, never part of a key."""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import psutil

from groundup.pipeline.identity import digest_of


@functools.cache
def installed_versions(distribution: str = "groundup") -> Mapping[str, str]:
    """Name → version of a distribution and all it needs (extras left out), as installed; what is absent is left out."""
    found: dict[str, str] = {}
    waiting = [distribution]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            info = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = info.version
        # A marker that names an extra is an extra's need. Other markers (platform, Python) are settled by what is
        # installed: an absent distribution adds nothing.
        needs = [requirement for requirement in info.requires or () if "extra ==" not in requirement]
        waiting += re.findall(r"^[A-Za-z0-9][A-Za-z0-9._-]*", "\n".join(needs), re.MULTILINE)
    return dict(sorted(found.items()))


@functools.cache
def lock_hash() -> str:
    """One hash of `installed_versions` and Python's own version."""
    return digest_of({"python": platform.python_version(), "installed": dict(installed_versions())})


@functools.cache
def hardware() -> Mapping[str, Any]:
    """Processor, cores, memory and system of this machine."""
    return {
        "processor": _processor(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def seeds(configuration: object, at: str = "") -> dict[str, int]:
    """Every integer in a configuration whose name ends in "seed", by its path."""
    return dict(_seeds(configuration, at))


def _seeds(value: object, at: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            path = f"{at}.{name}" if at else str(name)
            if str(name).endswith("seed") and isinstance(item, int):
                yield path, item
            else:
                yield from _seeds(item, path)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _seeds(item, f"{at}[{i}]")
