"""What became of each file, kept by content in one SQLite file, so that only what changed is read again.

Two tables: `stats` says which content a path had at a size and modification time, so that an unchanged file isn't
opened; `results` holds what came out of a content. Write-ahead logging makes a kill at any point lose at most the last
second's results. A file that is no database, or of another layout, is begun anew: it holds nothing that can't be made
again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from groundup.corpus.listing import SourceFile
from groundup.errors import StoreError

LAYOUT = 1
ASKED_AT_ONCE = 500  # keys a query
COMMIT_SECONDS = 1.0
KEPT_TIMES = 4  # results kept, over those the last run used: other folders' and earlier policies', up to a bound
KEPT_AT_LEAST = 1000
# A file written to in the last moments may change again within one tick of its file system's clock, and keep its size:
# its stat isn't trusted (git's "racy" index entries). FAT counts in 2 s.
RACY_NS = 2_000_000_000
# What decides what is read out of a file, besides this package's own code.
LIBRARIES = ("chardet", "kreuzberg", "lxml", "trafilatura")
# Modules that see all documents or none; a change in them changes no file's result.
NOT_IN_WORKERS = frozenset({"dedup", "split", "overlap", "sources", "walk", "installed", "listing", "cache", "pool"})


class Cache:
    """One open cache file. Only the process that made it writes; workers ask `has` through `open_reader`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._open()
        except OSError as error:
            raise self._failed(error) from None
        self._committed = time.monotonic()

    def _open(self) -> sqlite3.Connection:
        for attempt in (1, 2):
            try:
                connection = sqlite3.connect(self.path, timeout=30)
            except sqlite3.OperationalError as error:
                raise self._failed(error) from None
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                layout = connection.execute("PRAGMA user_version").fetchone()[0]
                if layout == LAYOUT:
                    return connection
                if layout == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                    connection.executescript(
                        "CREATE TABLE IF NOT EXISTS stats"
                        " (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, content BLOB) WITHOUT ROWID;"
                        "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, value BLOB);"
                        f"PRAGMA user_version={LAYOUT};"
                    )
                    return connection
            except sqlite3.OperationalError as error:
                connection.close()
                raise self._failed(error) from None
            except sqlite3.DatabaseError:
                pass
            connection.close()
            assert attempt == 1, "a fresh cache opens"
            for ending in ("", "-wal", "-shm"):
                Path(f"{self.path}{ending}").unlink(missing_ok=True)
        raise AssertionError("unreachable")

    def contents(self, files: Sequence[SourceFile]) -> list[bytes | None]:
        """For each file the content hash it had at this size and time, or None if it must be read."""
        try:
            known = {
                row[0]: row[1:] for row in self._connection.execute("SELECT path, size, mtime_ns, content FROM stats")
            }
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None
        found: list[bytes | None] = []
        for file in files:
            size, mtime_ns, content = known.get(os.fsencode(file.path), (-1, -1, None))
            found.append(content if (size, mtime_ns) == (file.size, file.mtime_ns) else None)
        return found

    def results(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of the keys that are there, in any order."""
        keys = list(keys)
        try:
            for start in range(0, len(keys), ASKED_AT_ONCE):
                asked = keys[start : start + ASKED_AT_ONCE]
                marks = ",".join("?" * len(asked))
                yield from self._connection.execute(f"SELECT key, value FROM results WHERE key IN ({marks})", asked)
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None

    def add(self, file: SourceFile, content: bytes, key: bytes, value: bytes | None) -> None:
        """Keeps a file's content hash and, where it is new, its result."""
        try:
            if time.time_ns() - file.mtime_ns > RACY_NS:
                row = (os.fsencode(file.path), file.size, file.mtime_ns, content)
                self._connection.execute("INSERT OR REPLACE INTO stats VALUES (?, ?, ?, ?)", row)
            if value is not None:
                self._connection.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, value))
            if time.monotonic() - self._committed > COMMIT_SECONDS:
                self.commit()
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None

    def prune(self, files: Sequence[SourceFile], used: Iterable[bytes]) -> None:
        """Drops what this run didn't use, once it is most of what there is: the cache can't grow without end."""
        used = set(used)
        try:
            held = self._connection.execute("SELECT COUNT(*) FROM results").fetchone()[0]
            if held <= max(KEPT_AT_LEAST, KEPT_TIMES * len(used)):
                return
            self._connection.execute("CREATE TEMP TABLE used (item BLOB PRIMARY KEY) WITHOUT ROWID")
            self._connection.executemany("INSERT OR IGNORE INTO used VALUES (?)", ((key,) for key in used))
            self._connection.execute("DELETE FROM results WHERE key NOT IN (SELECT item FROM used)")
            self._connection.execute("DELETE FROM used")
            paths = ((os.fsencode(file.path),) for file in files)
            self._connection.executemany("INSERT OR IGNORE INTO used VALUES (?)", paths)
            self._connection.execute("DELETE FROM stats WHERE path NOT IN (SELECT item FROM used)")
            self._connection.execute("DROP TABLE used")
            self.commit()
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None

    def commit(self) -> None:
        """Puts on the disk what was added."""
        self._connection.commit()
        self._committed = time.monotonic()

    def close(self) -> None:
        try:
            self.commit()
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None
        finally:
            self._connection.close()

    def _failed(self, error: Exception) -> StoreError:
        return StoreError(
            f"can't be written or read ({error})",
            place=str(self.path),
            mend="Make room on the disk and check who may write there, or delete the file: it is made again.",
        )


class Reader:
    """A worker's view: is there a result for this content already? Sees what the parent has committed."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)

    def has(self, key: bytes) -> bool:
        try:
            return self._connection.execute("SELECT 1 FROM results WHERE key = ?", (key,)).fetchone() is not None
        except sqlite3.DatabaseError:  # then it is made again
            return False


def result_key(content: bytes, source: str, group: str, identity: str) -> bytes:
    """Key of a result: what was in the file, what it is called, and everything that decides what comes out."""
    return hashlib.sha256(b"\0".join([content, source.encode(), group.encode(), identity.encode()])).digest()


def code_version() -> str:
    """Changes with this package's code, Python and the libraries that read files."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.parent != root or path.stem not in NOT_IN_WORKERS:
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    versions = [f"{name} {metadata.version(name)}" for name in LIBRARIES]
    versions += ["python {}.{}".format(*sys.version_info), f"unicode {unicodedata.unidata_version}"]
    digest.update("\n".join(versions).encode())
    return digest.hexdigest()
