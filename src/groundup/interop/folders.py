"""Files of a Hugging Face folder: JSON, which files hold the weights, and their digest. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from groundup.errors import ModelError

WEIGHTS, SHARDED = "model.safetensors", "model.safetensors.index.json"
FETCH_AGAIN = "Fetch the file again and compare its size with the original's"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ModelError if the file is absent or holds anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError("there is no such file", mend="Name a folder that is whole", place=str(path)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"it can't be read as JSON ({error})", mend=FETCH_AGAIN, place=str(path)) from error
    if not isinstance(value, dict):
        raise ModelError("it holds no JSON object", mend=FETCH_AGAIN, place=str(path))
    return value


def read_json_if_any(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, shards in order of name. Raises ModelError if there are none."""
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if (folder / SHARDED).exists():
        shards = read_json(folder / SHARDED).get("weight_map", {})
        names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
        outside = [name for name in names if Path(name).name != name]
        if not names or outside:
            wrong = f"it names {outside[0]!r}, outside the folder" if outside else "it names no shards"
            raise ModelError(wrong, mend=FETCH_AGAIN, place=str(folder / SHARDED))
        return [folder / name for name in names]
    pickled = any(folder.glob("pytorch_model*.bin"))
    raise ModelError(
        "its weights are pickled, which can run code" if pickled else f"it holds no {WEIGHTS}",
        mend="Save the model again as safetensors" if pickled else "Name a folder with weights",
        place=str(folder),
    )


def check_whole(path: Path) -> None:
    """Raises ModelError if a safetensors file is cut short.

    By the header's own account of the size, in microseconds and with the figures a person can compare.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length)) if length < min(size, 10**8) else None
        assert isinstance(header, dict)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except FileNotFoundError as error:
        raise ModelError("there is no such file", mend="Name a folder that is whole", place=str(path)) from error
    except (struct.error, ValueError, AssertionError, TypeError, KeyError, IndexError) as error:
        raise ModelError("it is truncated or no safetensors file", mend=FETCH_AGAIN, place=str(path)) from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        wrong = f"it has {size:,} bytes where its header asks for {expected:,}"
        raise ModelError(wrong, mend=FETCH_AGAIN, place=str(path))


def digest_files(files: Iterable[Path], folder: Path) -> str:
    """sha256 over names within `folder` and contents, in order of name: the identity of a brought model."""
    whole = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()


def license_of(folder: Path) -> str:
    """The license named at the head of the folder's README, or "unknown"."""
    try:
        lines = (folder / "README.md").read_text(encoding="utf-8", errors="replace").splitlines()[:60]
    except OSError:
        return "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("license:")), "unknown")
