"""The folder where results live: content-addressed artifacts that appear whole or not at all.

    work/<key>/            a step at work: what lies here when it ends is its artifact
    work/<key>.scratch/    checkpoints and the like: survive a crash, thrown away once the artifact is committed
    objects/<step>/<key>/  an artifact: its files and manifest.json
    runs/<run>/            what a run did last (lineage.py), its summary and its report
    releases/<id>/         see registry/

Commit: every file fsynced, the manifest written last and fsynced, the folder fsynced, one `rename`, its parent fsynced.
A manifest that exists is the only sign of success: whatever lacks one is treated as never made.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.pipeline.files import TEMPORARY, fsync_file, fsync_folder, sha256_of, walk_files, write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.lock import writing

MANIFEST = "manifest.json"
SCHEMA = 1  # of the manifest


@dataclass(frozen=True)
class Artifact:
    """What a step made. `digest` covers its logical content and is what other steps' keys depend on."""

    step: str
    key: str
    path: Path
    digest: str
    manifest: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = self.manifest["metrics"]
        return metrics

    def file(self, name: str) -> Path:
        """Path of one of its files or folders; a name it doesn't have is a mistake of the caller."""
        path = self.path / name
        assert path.exists(), f"artifact {self.step} has no {name}; it has {', '.join(self.manifest['files'])}"
        return path

    def read_json(self, name: str) -> Any:
        """The content of one of its JSON files."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))


class Store:
    """A folder of artifacts. Reading needs no lock; whoever writes holds `writing()`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def writing(self) -> AbstractContextManager[None]:
        """Hold the store for writing; raises StoreBusyError if another process does, StoreError if it can't be."""
        return writing(self.root)

    # ------------------------------------------------------------------ reading

    def find(self, step: str, key: str) -> Artifact | None:
        """The artifact of that step and key, or None where there is none or one that is damaged (see `damage`)."""
        found = self._look(step, key)
        return found if isinstance(found, Artifact) else None

    def damage(self, step: str, key: str) -> str:
        """Why there is no whole artifact of that step and key: "its artifact is missing", …; "" if there is one."""
        found = self._look(step, key)
        return "" if isinstance(found, Artifact) else found

    def _look(self, step: str, key: str) -> Artifact | str:
        """The artifact, or why there is none. Looks at sizes, which every plan can afford; `verify` reads the bytes."""
        folder = self.objects / step / key
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            for name, entry in manifest["files"].items():
                size = os.lstat(folder / name).st_size
                if size != entry["bytes"]:
                    return f"its artifact is damaged: {name} has {size:,} bytes instead of {entry['bytes']:,}"
            if manifest["schema"] != SCHEMA or manifest["key"] != key:
                return "its artifact was written by another version of groundup"
            return Artifact(step, key, folder, manifest["digest"], manifest)
        except FileNotFoundError as error:
            name = os.path.relpath(error.filename, folder)
            return "its artifact is missing" if name == MANIFEST else f"its artifact is damaged: {name} is missing"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"its artifact is damaged: {error}"

    def artifacts(self) -> list[Artifact]:
        """Every whole artifact, ordered by step and key."""
        keys = sorted((p.parent.parent.name, p.parent.name) for p in self.objects.glob(f"*/*/{MANIFEST}"))
        found = [self.find(step, key) for step, key in keys]
        return [artifact for artifact in found if artifact is not None]

    def verify(self, artifact: Artifact) -> list[str]:
        """What differs between an artifact's bytes and its manifest, a sentence a file; empty if nothing does."""
        wrong = []
        for name, entry in artifact.manifest["files"].items():
            path = artifact.path / name
            if not path.is_file():
                wrong.append(f"{path} is missing")
            elif sha256_of(path) != entry["sha256"]:
                wrong.append(f"{path} is not what was written")
        return wrong

    # ------------------------------------------------------------------ writing

    def begin(self, key: str, *, keep: bool = False) -> Path:
        """The folder to work in for that key: empty, or with `keep` as an earlier attempt left it.

        An attempt killed between its manifest and its rename is moved into place by `settle`; call that first.
        """
        folder = self.work / key
        if folder.exists() and not keep:
            self.discard(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)  # work goes on, so what it says is no longer so
        for path in folder.rglob(f".*{TEMPORARY}"):  # left by a write that a crash cut off
            path.unlink()
        return folder

    def settle(self, step: str, key: str) -> Artifact | None:
        """Finish a commit that a crash cut off after its manifest was written; None if there is no such thing."""
        folder = self.work / key
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            whole = manifest["schema"] == SCHEMA and (manifest["step"], manifest["key"]) == (step, key)
            whole = whole and all(
                os.lstat(folder / name).st_size == entry["bytes"] for name, entry in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self._move(step, key) if whole else None

    def commit(
        self,
        step: str,
        key: str,
        facts: Mapping[str, Any],
        *,
        not_logical: Collection[str] = (),
        replaced: Mapping[str, str] | None = None,
    ) -> Artifact:
        """Turn work/<key>/ into the artifact of `step`. `facts` goes into the manifest beside files and digest.

        not_logical: files or folders that the digest leaves out (timings, logs). replaced: file or folder → digest of
        its logical content, for formats whose bytes or names differ from one writing to the next.
        """
        folder = self.work / key
        replaced = dict(replaced or {})
        (folder / MANIFEST).unlink(missing_ok=True)
        files = {}
        for name, path in walk_files(folder):
            fsync_file(path)
            files[name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for name in replaced:
            assert any(_is_in(file, name) for file in files), f"step {step} lets a digest stand for {name}: not written"
        logical = {
            name: entry["sha256"]
            for name, entry in files.items()
            if not any(_is_in(name, other) for other in (*not_logical, *replaced))
        }
        manifest = {
            **facts,
            "schema": SCHEMA,
            "step": step,
            "key": key,
            "digest": digest_of({"files": logical, "replaced": replaced}),
            "files": files,
            "not_logical": sorted(not_logical),
            "replaced": replaced,
        }
        for at, folders, _ in os.walk(folder):
            for name in folders:
                fsync_folder(Path(at, name))
        write_json(folder / MANIFEST, manifest)  # last; fsyncs itself and the folder
        return self._move(step, key)

    def _move(self, step: str, key: str) -> Artifact:
        target = self.objects / step / key
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True)
            fsync_folder(self.objects)
            fsync_folder(self.root)
        if target.exists():  # damaged, or find() would have served it: out of the way, in one move
            self.discard(target)
        os.rename(self.work / key, target)
        fsync_folder(target.parent)
        fsync_folder(self.work)
        shutil.rmtree(self.scratch(key), ignore_errors=True)
        moved = self._look(step, key)
        assert isinstance(moved, Artifact), moved
        return moved

    def scratch(self, key: str) -> Path:
        """The folder for what a step needs to go on after a crash but not in its artifact. May not exist."""
        return self.work / f"{key}.scratch"

    def abandon(self, key: str) -> None:
        """Forget what earlier attempts at `key` left in the work folder."""
        for folder in (self.work / key, self.scratch(key)):
            if folder.exists():
                self.discard(folder)

    def discard(self, folder: Path) -> None:
        """Delete a folder of the store: moved aside first, so that a crash leaves no half of it in its place."""
        self.work.mkdir(parents=True, exist_ok=True)
        grave = self.work / f"{uuid.uuid4().hex}.deleted"
        os.rename(folder, grave)
        shutil.rmtree(grave, ignore_errors=True)


def _is_in(file: str, name: str) -> bool:
    """Whether the file with that relative name is `name` or lies in the folder `name`."""
    return file == name.rstrip("/") or file.startswith(name.rstrip("/") + "/")
