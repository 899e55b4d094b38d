"""Checkpoints that a run continues from to the bit, or that say why it can't.

A checkpoint is a folder `step-000000123` of one safetensors file and one JSON file. It is written under another name,
flushed, and renamed, so it is whole or absent; the last two are kept.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from groundup.errors import ResumeError
from groundup.training.optimizers import Optimizers

KEPT = 2
STATE_FILE = "state.safetensors"
JSON_FILE = "state.json"
VERSION = 1


@dataclass
class State:
    """Where a run stands, beside its weights: steps done, seconds of training so far, what was reported.

    There is no random state to keep: batches and masks are functions of (seed, step).
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)

    def note(self, step: int, step_tokens: int, **values: float) -> None:
        """Add values to the curve at `step`, to the last point if it is of this step."""
        if not self.curve or self.curve[-1]["step"] != step:
            self.curve.append({"step": step, "tokens": step * step_tokens})
        self.curve[-1] |= values


def surroundings(number_format: str, device: str) -> dict[str, str]:
    """What must be the same for sums to come out the same to the bit, beside plan, shape and data."""
    return {
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": device,
        "number_format": number_format,
    }


def save(folder: Path, identity: dict[str, Any], state: State, model: nn.Module, optimizers: Optimizers) -> Path:
    """Write a checkpoint and drop all but the last two. identity: JSON values that `resume` must find the same."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{state.step:09d}"
    work = folder / f".{final.name}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()} | optimizers.state()
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, work / STATE_FILE)
    document = {"version": VERSION, "identity": identity, "state": dataclasses.asdict(state)}
    (work / JSON_FILE).write_text(json.dumps(document), encoding="utf-8")
    for path in (*work.iterdir(), work):
        _flush(path)
    if final.exists():
        shutil.rmtree(final)
    os.rename(work, final)
    _flush(folder)
    for old in _steps(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def resume(folder: Path, identity: dict[str, Any], model: nn.Module, optimizers: Optimizers) -> State:
    """Take up the newest checkpoint, weights and optimizers in place; a fresh State if there is none.

    Raises ResumeError if it belongs to another run, was made in other surroundings or can't be read.
    """
    steps = _steps(folder)
    if not steps:
        return State()
    path = steps[-1]
    try:
        document = json.loads((path / JSON_FILE).read_text(encoding="utf-8"))
        tensors = load_file(path / STATE_FILE)
        version, found, saved = document["version"], document["identity"], State(**document["state"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        wrong, mend = f"the checkpoint can't be read ({error})", "Remove it: then the one before it is taken up"
        raise ResumeError(wrong, mend=mend, place=str(path)) from error
    if version != VERSION:
        raise ResumeError("it was written by another version", mend="Remove it to start afresh", place=str(path))
    wanted = json.loads(json.dumps(identity))  # tuples become lists, as in the file
    if found != wanted:
        raise ResumeError(
            f"it can't go on exactly: {_difference(found, wanted)}",
            mend="Set it back, or remove the checkpoints to start this training again",
            place=str(path),
        )
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    optimizers.load(tensors)
    return saved


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def _difference(found: Any, wanted: Any, place: str = "") -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            if found.get(key) != wanted.get(key):
                return _difference(found.get(key), wanted.get(key), f"{place}.{key}" if place else key)
    return f"{place} was {found}, is now {wanted}"


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
