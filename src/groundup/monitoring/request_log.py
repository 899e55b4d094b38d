"""A bounded log of requests: one JSON object a line, two files, the older one dropped when the newer is full.

Every line is written by one `write` call before the next request is noted, so a kill loses no finished line; a line cut
short by one is skipped when read. No prompt and no query is kept unless asked for.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from groundup.errors import StoreError

MAX_BYTES = 16_000_000  # of both files together: about 60,000 requests
NAME = "requests.jsonl"


class RequestLog:
    """Writes records (plain data) and reads them back, oldest first. Safe to use from many threads.

    keep_prompts: keep the field "prompt"; without it that field is dropped before anything reaches the disk.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES, keep_prompts: bool = False) -> None:
        self.folder, self.keep_prompts = folder, keep_prompts
        self._limit = max(1, max_bytes // 2)  # of each file
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._open()
        except OSError as error:
            mend = "Serve with --no-log, or make that folder writable."
            raise StoreError(f"the request log can't be written ({error})", place=str(folder), mend=mend) from None
        self._size = os.fstat(self._descriptor).st_size
        self._broken_line = self._size > 0 and not _ends_a_line(self.path, self._size)

    @property
    def path(self) -> Path:
        return self.folder / NAME

    @property
    def older(self) -> Path:
        return self.folder / f"{NAME}.1"

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record. A full disk loses the record, not the request it is about."""
        kept = {name: value for name, value in record.items() if name != "prompt" or self.keep_prompts}
        line = json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        with self._lock:
            if self._descriptor < 0:
                return
            if self._broken_line:  # of a process that was killed while writing
                line, self._broken_line = b"\n" + line, False
            try:
                if self._size and self._size + len(line) > self._limit:
                    self._rotate()
                self._size += os.write(self._descriptor, line)
            except OSError:
                self._broken_line = True

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _rotate(self) -> None:
        os.close(self._descriptor)
        os.replace(self.path, self.older)
        self._descriptor = self._open()
        self._size = 0


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """Records of a log folder, oldest first; lines that a kill cut short are skipped. An absent log has none."""
    for name in (f"{NAME}.1", NAME):
        try:
            with open(folder / name, "rb") as file:
                for line in file:
                    try:
                        record = json.loads(line)
                    except ValueError:
                        continue
                    if isinstance(record, dict):
                        yield record
        except FileNotFoundError:
            continue


def _ends_a_line(path: Path, size: int) -> bool:
    with open(path, "rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
