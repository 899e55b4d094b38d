"""Weights from safetensors files, in one piece or in shards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from groundup.errors import ModelError
from groundup.interop.folders import FETCH_AGAIN, check_whole

READABLE = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def read_weights(files: Iterable[Path]) -> dict[str, Tensor]:
    """Tensors of the files as fp32. Those that rest in fp32 stay in the memory map, unread until used."""
    weights: dict[str, Tensor] = {}
    for path in files:
        check_whole(path)
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
