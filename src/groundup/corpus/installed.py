"""The default corpus: Python files of the standard library and of the distributions groundup itself depends on.

Found through the records that installers leave; nothing is imported.
"""

from __future__ import annotations

import csv
import os
import re
import sysconfig
from collections import deque
from importlib import metadata
from pathlib import Path

from groundup.corpus.funnel import Event
from groundup.corpus.listing import SKIPPED_FOLDERS, STDLIB, Listing, SourceFile, finish_listing, why

DISTRIBUTION = "groundup"
# Test suites are a third of what is installed, repeat one pattern many times over, and hold files that are broken on
# purpose (lib2to3's, test_source_encoding's). A rule by folder name leaves them out, counted, with no list of files.
TEST_FOLDERS = frozenset({"test", "tests", "testing_data", "idle_test"})


def default_sources(*, tests: bool = False, distribution: str = DISTRIBUTION) -> Listing:
    """The .py files of the standard library and of the distribution's dependency closure, sorted by source.

    Extras are not followed; environment markers are evaluated for this interpreter. Sources ("stdlib/json/decoder.py",
    "numpy/linalg/linalg.py") name no folder of this machine. Groups are top-level packages and modules, those of the
    standard library each its own ("stdlib/json"). `tests`: whether folders of tests are taken too.
    """
    files: list[SourceFile] = []
    events: list[Event] = []
    _standard_library(files, events, tests)
    for name in dependency_closure(distribution):
        _distribution(name, files, events, tests)
    return finish_listing(files, events)


def dependency_closure(distribution: str) -> list[str]:
    """Names of the installed distributions this one needs, itself first, each once; what isn't installed is left."""
    seen: dict[str, None] = {}
    waiting = deque([distribution])
    while waiting:
        name = _normalised(waiting.popleft())
        if name in seen:
            continue
        try:
            requirements = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            continue
        seen[name] = None
        waiting.extend(needed for text in requirements if (needed := _needed(text)))
    return list(seen)


def _standard_library(files: list[SourceFile], events: list[Event], tests: bool) -> None:
    root = sysconfig.get_path("stdlib")
    skipped: dict[str, list[int]] = {}
    waiting = [(root, STDLIB)]
    while waiting:
        folder, source = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            events.append(Event("unread", "read", "unreadable_folder", f"unreadable_folder: {why(error)}", source))
            continue
        for entry in found:
            below = f"{source}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                # A folder with a dash or dot in its name is no package (config-3.11-x86_64-linux-gnu).
                if entry.name.isidentifier() and entry.name not in SKIPPED_FOLDERS:
                    waiting.append((entry.path, below))
            elif entry.name.endswith(".py"):
                group = "/".join(below.split("/")[:2]).removesuffix(".py")
                _add(entry.path, below, group, files, events, skipped, tests)
    _count_skipped(skipped, events)


def _distribution(name: str, files: list[SourceFile], events: list[Event], tests: bool) -> None:
    """The .py files in one distribution's RECORD (PEP 376); an editable install records only what pip put there."""
    found = metadata.distribution(name)
    record = found.read_text("RECORD")
    if record is None:
        reason = "no_record: installed without a list of its files"
        events.append(Event("unread", "read", "no_record", reason, name))
        return
    skipped: dict[str, list[int]] = {}
    root = str(found.locate_file(""))
    for row in csv.reader(record.splitlines()):
        source = row[0].replace("\\", "/") if row else ""
        if source.endswith(".py") and not source.startswith(("/", "../")) and "__pycache__" not in source:
            group = source.split("/")[0].removesuffix(".py")
            _add(f"{root}/{source}", source, group, files, events, skipped, tests)
    _count_skipped(skipped, events)


def _add(
    path: str,
    source: str,
    group: str,
    files: list[SourceFile],
    events: list[Event],
    skipped: dict[str, list[int]],
    tests: bool,
) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        events.append(Event("unread", "read", "unreadable_path", f"unreadable_path: {why(error)}", source))
        return
    if not tests and not TEST_FOLDERS.isdisjoint(source.split("/")[:-1]):
        skipped.setdefault(group, []).append(status.st_size)
    else:
        files.append(SourceFile(Path(path), source, group, status.st_size, status.st_mtime_ns))


def _count_skipped(skipped: dict[str, list[int]], events: list[Event]) -> None:
    for group, sizes in sorted(skipped.items()):
        reason = f"test_folder: {len(sizes):,} files lie in folders of tests"
        events.append(Event("unread", "read", "test_folder", reason, group, count=len(sizes), bytes=sum(sizes)))


def _needed(requirement: str) -> str | None:
    """The distribution a requirement names, or None where its marker rules it out here."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:  # without `packaging`: the name alone, and nothing that hangs on an extra
        match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
        return match.group() if match and "extra ==" not in requirement else None
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement:
        return None
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": ""}):
        return None
    return parsed.name


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
