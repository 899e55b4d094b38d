"""The index as a store of versions: refreshed in the background of readers, each of whom keeps a whole version.

root/current.json            names the version that is served; replaced atomically
root/versions/<digest>/      columns and a manifest, written once, never changed
root/embeddings/<encoder>/   vectors by content, shared by all versions
root/lock                    held while a version is written
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import StoreBusyError, StoreError
from groundup.progress import Progress, silent
from groundup.retrieval.build import IndexSettings, build, canonical, fingerprint
from groundup.retrieval.columns import Columns
from groundup.retrieval.searcher import Coverage, Explanation, Hit, Index

if TYPE_CHECKING:
    from groundup.corpus.document import Document

__all__ = ["Coverage", "Explanation", "Hit", "Index", "IndexSettings", "IndexStore"]

SCHEMA = 1
REPAIR = "Run `groundup run`, which builds it anew."
KEPT_VERSIONS = 2  # the one that is served and the one before, for a rollback


class IndexStore:
    """Versions of one index under `root`. One writer at a time, any number of readers, none of them waits."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def current(self) -> str | None:
        """Digest of the version that is served, or None before the first."""
        versions = self._versions()
        return versions[0] if versions else None

    def fault(self) -> str:
        """Why the current version can't be served, or "" if it is whole: no index, or which file is damaged.

        Compares the sizes of its files with those in its manifest: some twenty `stat`s, no data is read.
        """
        try:
            version = self.current
        except StoreError as error:
            return str(error)
        return "it holds no index" if version is None else _fault(self._folder(version))

    def open(self, best: str = "bm25") -> Index:
        """The current version. Raises StoreError if there is none or it is damaged."""
        for _ in range(3):  # a version may be removed between reading its name and opening it
            version = self.current
            if version is None:
                break
            folder = self._folder(version)
            try:
                reader = os.open(folder / "manifest.json", os.O_RDONLY)  # held as long as the index
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(reader, fcntl.LOCK_SH)
                index = self._open(version, folder, best)
            except BaseException:
                os.close(reader)
                raise
            index.keep(reader)
            return index
        raise StoreError("it holds no index", place=str(self.root), mend="Run `groundup run`, which builds one.")

    def refresh(
        self,
        documents: Iterable[Document],
        settings: IndexSettings | None = None,
        workers: int = 1,
        progress: Progress = silent,
        best: str = "bm25",
    ) -> Index:
        """Makes the version that holds exactly `documents` the current one and opens it.

        Documents that the current version holds are taken over from it, so the cost follows what changed. The same
        documents and settings give the same digest and the same files, whatever was there before. A damaged version
        counts as absent: nothing is taken over from it, and if it is the wanted one it is written anew.
        Raises StoreBusyError if another process is at it.
        """
        settings = settings or IndexSettings()
        ordered = canonical(documents)
        version = version_digest(ordered, settings)
        with self._writing():
            folder = self._folder(version)
            if _fault(folder):
                self._write(folder, version, ordered, settings, workers, progress)
            if self._listed()[:1] != [version]:
                self._promote(version)
            self._remove_old()
            return self.open(best)

    def _write(
        self,
        folder: Path,
        version: str,
        documents: list[Document],
        settings: IndexSettings,
        workers: int,
        progress: Progress,
    ) -> None:
        columns = build(documents, settings, self._previous(settings), workers, progress)
        pending = folder.with_name(f".pending-{version}")
        shutil.rmtree(pending, ignore_errors=True)
        pending.mkdir(parents=True)
        columns.save(pending)
        sizes = {path.name: path.stat().st_size for path in sorted(pending.iterdir())}
        manifest = {
            "schema": SCHEMA,
            "digest": version,
            "settings": settings.digest,
            "chunk_limit": settings.chunk_limit,
            "language": settings.language,
            "documents": columns.documents,
            "chunks": columns.chunks,
            "terms": len(columns.vocabulary),
            "files": sizes,  # name → bytes: what `fault` holds against the disk
        }
        (pending / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        for path in sorted(pending.iterdir()):
            _sync(path)
        _sync(pending)
        broken = folder.with_name(f".broken-{version}")  # moved, not removed: a reader finds a folder or none, no half
        shutil.rmtree(broken, ignore_errors=True)
        if folder.exists():
            folder.rename(broken)
        pending.rename(folder)
        _sync(folder.parent)
        shutil.rmtree(broken, ignore_errors=True)

    def _previous(self, settings: IndexSettings) -> Columns | None:
        """The current version's columns, if they can be built upon; a damaged one is not an error here."""
        version = next(iter(self._listed()), None)
        if version is None or _fault(self._folder(version)):
            return None
        try:
            if _manifest(self._folder(version))["settings"] != settings.digest:
                return None
            return Columns.open(self._folder(version))
        except StoreError:
            return None

    def _open(self, version: str, folder: Path, best: str) -> Index:
        if fault := _fault(folder):
            raise StoreError(fault, place=str(folder), mend=REPAIR)
        settings = _settings(_manifest(folder))
        return Index(Columns.open(folder), settings, embeddings=self.root / "embeddings", digest=version, best=best)

    def _promote(self, version: str) -> None:
        versions = [version, *(old for old in self._listed() if old != version)]
        pending = self.root / "current.json.pending"
        pending.write_text(json.dumps({"versions": versions[:KEPT_VERSIONS]}) + "\n")
        _sync(pending)
        pending.replace(self.root / "current.json")
        _sync(self.root)

    def _remove_old(self) -> None:
        """Versions beyond the kept ones, and what a killed writer left; a version that someone reads stays."""
        kept = set(self._versions()[:KEPT_VERSIONS])
        for folder in sorted((self.root / "versions").iterdir()):
            if folder.name not in kept and not _is_read(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _versions(self) -> list[str]:
        path = self.root / "current.json"
        try:
            versions = json.loads(path.read_text())["versions"]
            return [str(version) for version in versions]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            raise StoreError("it is not readable", place=str(path), mend=REPAIR) from None

    def _listed(self) -> list[str]:
        """As `_versions`, but an unreadable list is an empty one: a writer replaces it."""
        try:
            return self._versions()
        except StoreError:
            return []

    def _folder(self, version: str) -> Path:
        return self.root / "versions" / version

    @contextmanager
    def _writing(self) -> Iterator[None]:
        (self.root / "versions").mkdir(parents=True, exist_ok=True)
        with open(self.root / "lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreBusyError(
                    "another process is refreshing it", place=str(self.root), mend="Wait for it to end, then try again."
                ) from None
            yield


def version_digest(documents: list[Document], settings: IndexSettings) -> str:
    """Identity of a version: what goes in, since the rest follows from it."""
    digest = hashlib.sha256(f"{SCHEMA}:{settings.digest}".encode())
    for document in documents:
        digest.update(fingerprint(document).encode())
    return digest.hexdigest()[:32]


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise StoreError("its manifest is not readable", place=str(folder), mend=REPAIR)
    return manifest


def _settings(manifest: dict[str, Any]) -> IndexSettings:
    return IndexSettings(int(manifest["chunk_limit"]), str(manifest["language"]))


def _fault(folder: Path) -> str:
    """What is wrong with a version's folder, or ""."""
    try:
        manifest = _manifest(folder)
        sizes, same = manifest.get("files"), manifest["settings"] == _settings(manifest).digest
    except (StoreError, KeyError, TypeError, ValueError):
        return f"the index version {folder.name} has no readable manifest.json"
    if not same:
        return f"the index version {folder.name} was made by another version of this program"
    if not isinstance(sizes, dict) or not sizes:
        return f"the manifest of index version {folder.name} lists no files"
    for name, size in sizes.items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found} bytes instead of {size}"
    return ""


def _is_read(folder: Path) -> bool:
    try:
        with open(folder / "manifest.json", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
