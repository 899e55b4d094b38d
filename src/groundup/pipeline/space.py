"""A disk that fills: asked for before a step starts, and said plainly where it happens all the same."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from groundup.errors import StoreError

_SPARE_BYTES = 64 * 2**20  # stays free: manifests, lineage, the report, and other people's files
_MEGABYTE = 10**6
_TEXTS = ("no space left on device", "os error 28", "errno 28", "disk is full", "disk quota exceeded")


def require_space(root: Path, step: str, disk_bytes: int, present_bytes: int = 0) -> None:
    """Raises StoreError if fewer bytes are free under `root` than the step says it will still write.

    present_bytes: what an earlier attempt has written of them already. A step that declares nothing is not checked.
    """
    if disk_bytes <= 0:
        return
    free = shutil.disk_usage(root).free
    left = max(0, disk_bytes - present_bytes)
    if left + _SPARE_BYTES > free:
        # From the figures as they are shown, so that a reader's own sum comes out: needs rounded up, what is free down.
        missing = _rounded_up(left) + _rounded_up(_SPARE_BYTES) - free // _MEGABYTE * _MEGABYTE
        raise StoreError(
            f"step {step} will write about {megabytes(left)}{_kept()}, and {free // _MEGABYTE:,} MB are free: "
            f"{megabytes(missing)} are missing",
            place=str(root),
            mend=_mend(missing),
        )


def disk_full(
    error: BaseException, root: Path, step: str = "", disk_bytes: int = 0, present_bytes: int = 0
) -> StoreError | None:
    """The error to show in place of one that comes from a full disk, whatever library raised it; else None."""
    if not is_disk_full(error):
        return None
    free = shutil.disk_usage(root).free
    # A step that declares nothing needs at least what it could not have; more than that nobody knows.
    missing = max(disk_bytes - present_bytes + _SPARE_BYTES - free, _SPARE_BYTES)
    text = f"the disk is full: {megabytes(free)} free"
    text += f" after step {step} wrote {megabytes(present_bytes)}" if step else ""
    text += f" of about {megabytes(disk_bytes)}" if disk_bytes else ""
    about = "about" if disk_bytes else "at least"
    return StoreError(
        f"{text}{_kept()}; {about} {megabytes(missing)} are missing", place=str(root), mend=_mend(missing)
    )


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that caused it, says that a disk is full. SQLite and Rust say it in words only."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if isinstance(at, OSError) and at.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(text in str(at).lower() for text in _TEXTS):
            return True
        at = at.__cause__ or at.__context__
    return False


def megabytes(count: int) -> str:
    """ "12 MB", "1,204 MB": whole megabytes of a million bytes, rounded up."""
    return f"{_rounded_up(count) // _MEGABYTE:,} MB"


def _rounded_up(count: int) -> int:
    """Bytes, in whole megabytes."""
    return -(-max(count, 0) // _MEGABYTE) * _MEGABYTE


def _kept() -> str:
    return f", {megabytes(_SPARE_BYTES)} ({_SPARE_BYTES // 2**20} MiB) are kept free" if _SPARE_BYTES else ""


def _mend(missing: int) -> str:
    return (
        f"Free {megabytes(missing)} there (`groundup clean` shows what the store can spare) or name another folder "
        "with --store; the next run goes on from what was committed."
    )
