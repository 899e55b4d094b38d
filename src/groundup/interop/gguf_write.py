"""Writing GGUF files: one tensor in memory at a time, and the file whole or not at all.

Layout, alignment and types of values are the `gguf` package's writer's. Source of the layout: ggml/docs/gguf.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter
from gguf.constants import GGMLQuantizationType, GGUFValueType

from groundup.errors import ModelError
from groundup.interop.quantise import quantise, resting_bytes


@dataclass(frozen=True, slots=True)
class OutgoingTensor:
    """numbers: called once, when its turn comes. shape: rows first, as torch has it."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    numbers: Callable[[], npt.NDArray[np.float32]]


def write_gguf(path: Path, architecture: str, metadata: Mapping[str, Any], tensors: Sequence[OutgoingTensor]) -> None:
    """metadata: text, bool, int (unsigned 32 bit; signed if negative), np.float32, or lists of one of them.

    Raises ModelError if a tensor holds what its type can't, or the disk refuses; `path` is then as it was.
    """
    try:
        with new_file(path) as work:
            writer = GGUFWriter(work, architecture)
            try:
                for key, value in metadata.items():
                    writer.add_key_value(key, value, _kind(value))
                for tensor in tensors:
                    size = resting_bytes(tensor.shape, tensor.type)
                    writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, tensor.type)
                writer.write_header_to_file()
                writer.write_kv_data_to_file()
                writer.write_ti_data_to_file()
                for tensor in tensors:
                    writer.write_tensor_data(quantise(tensor.numbers(), tensor.type, tensor.name))
            finally:
                writer.close()
    except OSError as error:
        mend = "Name a place with room where you may write"
        raise ModelError(f"it can't be written ({error.strerror})", mend=mend, place=str(path)) from error


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write under; it takes its place when the block ends, and is gone if the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield work
        _sync(work)
        os.replace(work, path)
        _sync(path.parent)
    finally:
        work.unlink(missing_ok=True)


def _kind(value: Any) -> GGUFValueType:
    if isinstance(value, (list, tuple)):
        return GGUFValueType.ARRAY
    if isinstance(value, bool):
        return GGUFValueType.BOOL
    if isinstance(value, np.float32):
        return GGUFValueType.FLOAT32
    if isinstance(value, int):
        return GGUFValueType.UINT32 if value >= 0 else GGUFValueType.INT32
    assert isinstance(value, str), f"a value of {type(value)} has no form in a GGUF file here"
    return GGUFValueType.STRING


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
