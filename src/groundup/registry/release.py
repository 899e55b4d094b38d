"""Releases: folders of models, tokenizers, verdicts and policies that never change once they are there.

    releases/<id>/
      models/<name>/     a Hugging Face folder (safetensors, config, tokenizer), linked from artifacts
      policies.json      which model completes, which chats, which system searches, thresholds
      verdicts.json      the tables of evaluation/verdict.py as plain data
      metrics.json
      README.md          the model card
      data-card.md
      manifest.json      written last: sha256 and size of each file, the artifacts it was made from

The id is a short digest of what a release does: models, policies, verdicts and what they were measured on. Metrics and
cards describe it and hold timings, so they are no part of the id: the same models made twice are one release.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup import __version__
from groundup.errors import ReleaseError
from groundup.pipeline.files import fsync_file, fsync_folder, sha256_of, walk_files, write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.store import MANIFEST, Artifact, Store

SCHEMA = 1
_DESCRIPTIONS = ("metrics.json", "README.md", "data-card.md")


@dataclass(frozen=True)
class Release:
    """One release as it lies on the disk."""

    id: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def models(self) -> list[str]:
        """Names of its models, sorted."""
        return list(self.manifest["models"])

    def model(self, name: str) -> Path:
        """Folder of a model. Raises ReleaseError if the release has no such model."""
        if name not in self.manifest["models"]:
            known = ", ".join(self.models) or "none"
            raise ReleaseError(f"has no model {name}", place=str(self.path), mend=f"Its models: {known}.")
        return self.path / "models" / name

    @property
    def policies(self) -> dict[str, Any]:
        return self._json("policies.json")  # type: ignore[no-any-return]

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        return self._json("verdicts.json")  # type: ignore[no-any-return]

    @property
    def metrics(self) -> dict[str, Any]:
        return self._json("metrics.json")  # type: ignore[no-any-return]

    @property
    def model_card(self) -> str:
        return (self.path / "README.md").read_text(encoding="utf-8")

    @property
    def data_card(self) -> str:
        return (self.path / "data-card.md").read_text(encoding="utf-8")

    @property
    def measured_on(self) -> str:
        """Digest of the held-out split that the verdicts rest on, "" if it wasn't given."""
        return str(self.manifest.get("measured_on", ""))

    @property
    def created(self) -> str:
        """When it was made, ISO 8601, UTC."""
        return str(self.manifest["created"])

    def verify(self) -> list[str]:
        """What differs from the manifest, a sentence a file (bytes are read); empty if nothing does."""
        wrong = []
        for name, entry in self.manifest["files"].items():
            path = self.path / name
            if not path.is_file():
                wrong.append(f"{path} is missing")
            elif sha256_of(path) != entry["sha256"]:
                wrong.append(f"{path} is not what was released")
        return wrong

    def _json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            mend = f"Delete {self.path} and run `groundup run` again, or go back with `groundup releases --rollback`."
            raise ReleaseError(f"{name} can't be read ({error})", place=str(self.path), mend=mend) from None


def create(
    store: Store,
    *,
    models: Mapping[str, Path],
    policies: Mapping[str, Any],
    verdicts: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Any],
    model_card: str,
    data_card: str,
    artifacts: Sequence[Artifact] = (),
    measured_on: str = "",
) -> Release:
    """Make a release of model folders and what is known of them; where it is there already, that one is returned.

    models: name → folder whose files are hard-linked (copied where a link can't be made). artifacts: what it was made
    from; `clean` keeps them as long as the release exists. measured_on: digest of the held-out split behind the
    verdicts; a later release is compared with this one only where it is the same. The caller holds `store.writing()`,
    or runs in a step.
    """
    for name in models:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name), f"{name!r} is no name for a model folder"
    draft = store.work / "release.draft"
    shutil.rmtree(draft, ignore_errors=True)  # left by a killed attempt
    draft.mkdir(parents=True)
    for name, folder in models.items():
        for relative, path in walk_files(folder):
            if relative == MANIFEST:  # the artifact's own, where a whole artifact is the model
                continue
            target = draft / "models" / name / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(path, target)
    for name, value in (("policies", policies), ("verdicts", list(verdicts)), ("metrics", metrics)):
        write_json(draft / f"{name}.json", value)
    (draft / "README.md").write_text(model_card, encoding="utf-8")
    (draft / "data-card.md").write_text(data_card, encoding="utf-8")

    files = {}
    for relative, path in walk_files(draft):
        fsync_file(path)
        files[relative] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    described = {name: entry["sha256"] for name, entry in files.items() if name not in _DESCRIPTIONS}
    identifier = digest_of({"files": described, "measured_on": measured_on})[:12]
    target = store.releases / identifier
    if not fault(store, identifier):
        shutil.rmtree(draft)
        return open_release(store, identifier)
    if target.exists():  # damaged
        store.discard(target)
    write_json(
        draft / MANIFEST,
        {
            "schema": SCHEMA,
            "id": identifier,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "groundup": __version__,
            "models": sorted(models),
            "measured_on": measured_on,
            "files": files,
            "artifacts": [{"step": a.step, "key": a.key, "digest": a.digest} for a in artifacts],
        },
    )
    for at, _, _ in os.walk(draft):
        fsync_folder(Path(at))
    store.releases.mkdir(parents=True, exist_ok=True)
    os.rename(draft, target)
    fsync_folder(store.releases)
    return open_release(store, identifier)


def open_release(store: Store, identifier: str) -> Release:
    """The release with that id or unique beginning of one. Raises ReleaseError if there is none, or it is damaged."""
    path = store.releases / identifier
    if not (path / MANIFEST).is_file():
        near = [release for release in ids(store) if identifier and release.startswith(identifier)]
        if len(near) != 1:
            known = ", ".join(ids(store)) or "none yet; `groundup run` makes one"
            wrong = "is more than one release" if near else "is no release here"
            raise ReleaseError(f"{identifier} {wrong}", place=str(store.releases), mend=f"Releases: {known}.")
        identifier, path = near[0], store.releases / near[0]
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        files = manifest["files"].items()
        broken = [name for name, entry in files if _size(path / name) != entry["bytes"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        mend = "`groundup run` makes it again."
        raise ReleaseError(f"its manifest can't be read ({error})", place=str(path), mend=mend) from None
    if broken:
        mend = "`groundup run` makes it again."
        raise ReleaseError(f"{broken[0]} is missing or has another size", place=str(path), mend=mend)
    return Release(identifier, path, manifest)


def fault(store: Store, identifier: str) -> str:
    """Why a release can't be used ("its release: 3f09 is no release here"), "" if it can: for `Step.intact`."""
    try:
        open_release(store, identifier)
    except ReleaseError as error:
        return f"its release: {error.wrong}"
    return ""


def ids(store: Store) -> list[str]:
    """Ids of all releases, the oldest first."""
    found = []
    for path in store.releases.glob(f"*/{MANIFEST}"):
        try:
            found.append((json.loads(path.read_bytes())["created"], path.parent.name))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [identifier for _, identifier in sorted(found)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
