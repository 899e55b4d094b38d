"""Files that survive a power cut: fsync of files and folders, atomic replacement, hashing of trees."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".tmp"  # end of the names of files that a crash may leave behind


def fsync_file(path: Path) -> None:
    """Wait until the bytes of `path` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on the disk: a rename isn't, before that."""
    fsync_file(path)


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by a file that holds `text`: after a crash the old or the new one is there, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """Replace `path` atomically by `value` as indented JSON with sorted keys; NaN and infinities are refused."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    # Lone surrogates (file names that aren't UTF-8) have no UTF-8 form; escaped, JSON carries them.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    write_atomically(path, text + "\n")


def sha256_of(path: Path) -> str:
    """sha256 (64 hex) of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """(relative name with "/", path) of every regular file under `folder`, sorted by name. Links are an error."""
    found = []
    for at, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(at, name)
            assert not path.is_symlink(), f"{path} is a link: an artifact holds its own bytes"
        found += [Path(at, name) for name in names]
    yield from sorted((path.relative_to(folder).as_posix(), path) for path in found)


def tree_bytes(folder: Path) -> int:
    """Bytes of all files under `folder`; files that vanish meanwhile count nothing."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(at, name)).st_size
            except OSError:
                continue
    return total
