"""Every file under the folders a person names, links and oddities included, each accounted for."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from groundup.corpus.funnel import Event
from groundup.corpus.listing import SKIPPED_FOLDERS, Listing, SourceFile, finish_listing, printable, why
from groundup.errors import SourceError

VENV_MARK = "pyvenv.cfg"  # the file that makes a folder a virtual environment (PEP 405), whatever its name


def discover(sources: Sequence[Path]) -> Listing:
    """Every file under the given files and folders.

    A file's group is the folder on the first level below its source ("notes/work"), or the source itself. Links are
    followed, after everything that is really there, and each real file is listed once. Raises SourceError for a path
    that does not exist; everything else that can't be listed is an event.
    """
    if not sources:
        raise SourceError("no sources were named", mend="Name a folder or a file.")
    walk = _Walk()
    roots = list(dict.fromkeys(Path(os.path.abspath(path)) for path in sources))
    for path, name in zip(roots, _names(roots), strict=True):
        if not os.path.lexists(path):
            raise SourceError("does not exist", place=str(path), mend="Check the path for typing mistakes.")
        walk.root(path, name)
    walk.follow_links()
    return finish_listing(walk.files, walk.events)


class _Walk:
    """One traversal; links wait until everything real is listed, so that a link never takes a real file's name."""

    def __init__(self) -> None:
        self.files: list[SourceFile] = []
        self.events: list[Event] = []
        self.links: list[tuple[str, str, str]] = []  # path, source, group
        self.folders_seen: dict[tuple[int, int], str] = {}  # (device, inode) -> source
        self.files_seen: set[tuple[int, int]] = set()

    def root(self, path: Path, name: str) -> None:
        try:
            status = os.stat(path)  # a source that is itself a link was meant by the person
        except OSError as error:
            self._unread(name, "unreadable_path", why(error))
            return
        if stat.S_ISDIR(status.st_mode):
            self._folder(str(path), name, name, status)
        else:
            self._file(str(path), name, path.parent.name or name, status)

    def follow_links(self) -> None:
        while self.links:
            batch, self.links = sorted(self.links, key=lambda link: link[1]), []
            for path, source, group in batch:
                try:
                    status = os.stat(path)
                except OSError as error:  # points nowhere, or in a circle of links (ELOOP)
                    self._unread(source, "broken_link", why(error))
                    continue
                if stat.S_ISDIR(status.st_mode):
                    self._folder(path, source, group, status)
                elif (status.st_dev, status.st_ino) in self.files_seen:
                    self._unread(source, "listed_twice", "a link to a file that is listed already", status.st_size)
                else:
                    self._file(path, source, group, status)

    def _folder(self, path: str, source: str, group: str, status: os.stat_result) -> None:
        """Lists a folder and all below it. A loop, not a recursion: depth is bounded by the disk only."""
        waiting = [(path, source, group, status)]
        while waiting:
            path, source, group, status = waiting.pop()
            key = (status.st_dev, status.st_ino)
            if key in self.folders_seen:
                where = self.folders_seen[key]
                loop = source.startswith(where + "/")
                rule = "link_loop" if loop else "listed_twice"
                self._unread(source, rule, f"the same folder as {where}")
                continue
            self.folders_seen[key] = source
            try:
                with os.scandir(path) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self._unread(source, "unreadable_folder", why(error))
                continue
            if any(entry.name == VENV_MARK for entry in found) and len(waiting) + len(self.folders_seen) > 1:
                self._unread(source, "skipped_folder", f"a virtual environment (it holds {VENV_MARK})")
                continue
            for entry in found:
                self._entry(entry, f"{source}/{printable(entry.name)}", source, group, waiting)

    def _entry(
        self,
        entry: os.DirEntry[str],
        source: str,
        parent: str,
        group: str,
        waiting: list[tuple[str, str, str, os.stat_result]],
    ) -> None:
        # Below a source the first level makes the groups; deeper folders belong to the one they lie in.
        top_level = group == parent and "/" not in parent
        try:
            is_link = entry.is_symlink()
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name.startswith("."):
                self._unread(source, "hidden_folder" if is_folder else "hidden_file", "its name starts with a dot")
            elif is_folder and entry.name in SKIPPED_FOLDERS:
                self._unread(source, "skipped_folder", f"folders called {entry.name} hold copies or builds")
            elif is_link:
                self.links.append((entry.path, source, group))
            elif is_folder:
                waiting.append((entry.path, source, source if top_level else group, entry.stat(follow_symlinks=False)))
            else:
                self._file(entry.path, source, group, entry.stat(follow_symlinks=False))
        except OSError as error:  # vanished since it was listed, or its status can't be read
            self._unread(source, "unreadable_path", why(error))

    def _file(self, path: str, source: str, group: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            # Never opened: reading a named pipe waits for ever, reading a device may do anything.
            self._unread(source, "not_a_file", f"a {_kind(status.st_mode)}")
            return
        self.files_seen.add((status.st_dev, status.st_ino))
        self.files.append(SourceFile(Path(path), source, group, status.st_size, status.st_mtime_ns))

    def _unread(self, source: str, rule: str, reason: str, size: int = 0) -> None:
        self.events.append(Event("unread", "read", rule, f"{rule}: {reason}", source, bytes=size))


def _names(roots: Sequence[Path]) -> list[str]:
    """A display name for each root: its last parts, as few as keep the names apart."""
    names = [printable(root.name or "root") for root in roots]
    depth = 1
    while len(set(names)) < len(names) and depth < max(len(root.parts) for root in roots):
        depth += 1
        names = [
            printable("/".join(root.parts[1:][-depth:])) if names.count(name) > 1 else name
            for root, name in zip(roots, names, strict=True)
        ]
    return names


def _kind(mode: int) -> str:
    kinds = {stat.S_ISFIFO: "named pipe", stat.S_ISSOCK: "socket", stat.S_ISBLK: "device", stat.S_ISCHR: "device"}
    return next((name for test, name in kinds.items() if test(mode)), "special file")
