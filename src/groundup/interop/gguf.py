"""Reading GGUF files: header, metadata, and tensors as fp32, through a memory map.

The header is read here rather than by `gguf.GGUFReader`, which takes two seconds for a 49,152-token vocabulary and
meets a truncated file with an index error from numpy; types, block sizes and dequantisation are the `gguf` package's.
Source of the layout: ggml/docs/gguf.md.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from groundup.errors import ModelError
from groundup.interop.dequantise import dequantise

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
READABLE = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K")
FETCH_AGAIN = "Fetch the file again and compare its size with the original's"

# value type number → struct format; 8 is a string, 9 an array
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies. shape: rows first, as torch has it (the file has the opposite order)."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    offset: int  # bytes from the start of the file
    size: int  # bytes


class GGUFFile:
    """An open GGUF file whose tensors are known to lie within it."""

    def __init__(self, path: Path, content: mmap.mmap, metadata: dict[str, Any], tensors: list[TensorInfo]) -> None:
        self.path, self.metadata = path, metadata
        self.tensors = {tensor.name: tensor for tensor in tensors}
        self._content = content

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor as fp32 in an array of its own; only its pages are touched."""
        info = self.tensors[name]
        raw = np.frombuffer(self._content, np.uint8, info.size, info.offset)
        return dequantise(raw, info.type, info.shape)


def open_gguf(path: Path) -> GGUFFile:
    """Maps the file and checks that header and tensors are whole. Raises ModelError, in milliseconds, if not."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 24 or file.read(4) != MAGIC:
                raise _broken(path, "it is no GGUF file: it doesn't begin with GGUF", "Name a file that is")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _broken(path, f"it can't be read ({error.strerror})", "Check the path and its permissions") from error
    metadata, tensors = _Header(path, content).read()
    for tensor in tensors:
        if tensor.offset + tensor.size > size:
            short = tensor.offset + tensor.size - size
            raise _broken(path, f"it is truncated: {tensor.name} ends {short:,} bytes after the file", FETCH_AGAIN)
    return GGUFFile(path, content, metadata, tensors)


def _broken(path: Path, wrong: str, mend: str) -> ModelError:
    return ModelError(wrong, mend=mend, place=str(path))


class _Header:
    """A cursor over the header."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self.path, self.content, self.at = path, content, len(MAGIC)

    def read(self) -> tuple[dict[str, Any], list[TensorInfo]]:
        try:
            version = self.scalar("I")
            if version not in (2, 3):
                raise self.broken(f"its GGUF version is {version}", "Convert it to version 3, little-endian")
            tensor_count, pair_count = self.scalar("Q"), self.scalar("Q")
            self.plausible(tensor_count + pair_count)
            metadata = {}
            for _ in range(pair_count):
                key = self.string()
                metadata[key] = self.value(self.scalar("I"))
            infos = [self.tensor() for _ in range(tensor_count)]
        except struct.error as error:
            raise self.broken("it is truncated inside its header", FETCH_AGAIN) from error
        except UnicodeDecodeError as error:
            raise self.broken("its header holds text that isn't UTF-8", FETCH_AGAIN) from error
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if type(alignment) is not int or alignment < 1:
            raise self.broken(f"its alignment is {alignment!r}", FETCH_AGAIN)
        start = -(-self.at // alignment) * alignment
        tensors, end = [], start
        for info in infos:
            tensor = self.place(*info, start)
            if tensor.offset != end:  # bytes of another tensor would be read as this one's
                raise self.broken(f"{tensor.name} doesn't begin where the tensor before it ends", FETCH_AGAIN)
            tensors.append(tensor)
            end += -(-tensor.size // alignment) * alignment
        return metadata, tensors

    def scalar(self, code: str) -> Any:
        value = struct.unpack_from("<" + code, self.content, self.at)[0]
        self.at += struct.calcsize("<" + code)
        return value

    def string(self) -> str:
        length = self.scalar("Q")
        end = self.at + length
        if end > len(self.content):
            raise struct.error
        text = self.content[self.at : end].decode("utf-8")
        self.at = end
        return text

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise self.broken(f"its header has a value of unknown type {kind}", FETCH_AGAIN)
        element, count = self.scalar("I"), self.scalar("Q")
        self.plausible(count)
        if element in _SCALARS:
            code = f"<{count}{_SCALARS[element]}"
            values = list(struct.unpack_from(code, self.content, self.at))
            self.at += struct.calcsize(code)
            return values
        return [self.value(element) for _ in range(count)]

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name, dimensions = self.string(), self.scalar("I")
        if not 1 <= dimensions <= 4:
            raise self.broken(f"{name} has {dimensions} dimensions", FETCH_AGAIN)
        shape = tuple(self.scalar("Q") for _ in range(dimensions))[::-1]
        return name, shape, self.scalar("I"), self.scalar("Q")

    def place(self, name: str, shape: tuple[int, ...], kind: int, offset: int, start: int) -> TensorInfo:
        try:
            type_ = GGMLQuantizationType(kind)
        except ValueError as error:
            raise self.broken(f"{name} has the unknown number format {kind}", _convert()) from error
        if type_.name not in READABLE:
            raise self.broken(f"{name} rests in {type_.name}, which isn't read here", _convert())
        block, block_bytes = GGML_QUANT_SIZES[type_]
        if min(shape) < 1 or shape[-1] % block:
            raise self.broken(f"{name} of shape {shape} can't rest in {type_.name} blocks of {block}", FETCH_AGAIN)
        numbers = 1
        for side in shape:
            numbers *= side
        return TensorInfo(name, shape, type_, start + offset, numbers // block * block_bytes)

    def plausible(self, count: int) -> None:
        """A count can't exceed the bytes that are left: a damaged one must not become a long loop."""
        if count > len(self.content) - self.at:
            raise struct.error

    def broken(self, wrong: str, mend: str) -> ModelError:
        return _broken(self.path, wrong, mend)


def _convert() -> str:
    return f"Convert it to one of {', '.join(READABLE)}"
