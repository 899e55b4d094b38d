"""One writer a folder: a POSIX record lock that the kernel lets go when its process ends, however it ends.

`fcntl.lockf` and not `flock`: forked workers inherit a `flock`, and orphans of a killed run would keep the store busy.
Record locks belong to the process alone; within one process they don't exclude, hence the table of held folders.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from groundup.errors import StoreBusyError, StoreError

_held: dict[str, int] = {}  # real path → thread that holds it: the one table that changes, see above
_guard = threading.Lock()


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold `folder` for writing, made if absent. Readers need no lock: what they see was moved into place whole.

    A thread that holds it may ask again. Raises StoreBusyError, at once, if another process or thread holds it,
    StoreError if it can't be written.
    """
    real, thread = os.path.realpath(folder), threading.get_ident()
    with _guard:  # before the file is opened: closing any descriptor of it would let the lock of this process go
        holder = _held.get(real)
        if holder is None:
            _held[real] = thread
    if holder is not None:
        if holder != thread:
            raise _busy(folder, f"process {os.getpid()} (this one)")
        yield
        return
    try:
        descriptor = _open(folder)
        try:
            _take(descriptor, folder)
            yield
        finally:
            os.close(descriptor)
    finally:
        with _guard:
            del _held[real]


def _open(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        mend = "Name a folder that can be written with --store."
        raise StoreError(f"can't be written ({error.strerror})", place=str(folder), mend=mend) from None


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise _busy(folder, os.pread(descriptor, 500, 0).decode(errors="replace").strip()) from None
    started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    with contextlib.suppress(OSError):  # a full disk: the text is a courtesy, the lock holds without it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {started}\n".encode(), 0)


def _busy(folder: Path, holder: str) -> StoreBusyError:
    return StoreBusyError(
        f"{holder or 'another process'} is at work here",
        place=str(folder),
        mend="Wait for it to end, stop it, or name another folder with --store.",
    )
