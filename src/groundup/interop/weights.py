"""Weights from safetensors files, in one piece or in shards."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from groundup.errors import ModelError
from groundup.interop.folders import FETCH_AGAIN

READABLE = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def read_weights(files: Iterable[Path]) -> dict[str, Tensor]:
    """Tensors of the files as fp32. Those that rest in fp32 stay in the memory map, unread until used."""
    weights: dict[str, Tensor] = {}
    for path in files:
        _check_whole(path)
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  # not a dict: it can't be iterated
                    tensor = file.get_tensor(name)
                    if tensor.is_floating_point() and tensor.dtype not in READABLE:
                        mend = "Bring it in fp32, fp16 or bf16"
                        raise ModelError(f"{name} rests in {tensor.dtype}", mend=mend, place=str(path))
                    weights[name] = tensor.float() if tensor.is_floating_point() else tensor
        except (SafetensorError, OSError) as error:
            raise ModelError(f"it can't be read as safetensors ({error})", mend=FETCH_AGAIN, place=str(path)) from error
    return weights


def _check_whole(path: Path) -> None:
    """The header's own account of the size, in microseconds and with the figures a person can compare."""
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
