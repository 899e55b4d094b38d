"""Weights from and to safetensors files, in one piece or in shards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from groundup.errors import ModelError
from groundup.interop.atomic import write_json
from groundup.interop.folders import FETCH_AGAIN, SHARDED, WEIGHTS, check_whole

SHARD_BYTES = 5_000_000_000  # as transformers did for years: some file systems and hubs take no larger files gladly

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


def write_weights(
    folder: Path, weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype, *, max_shard_bytes: int = SHARD_BYTES
) -> None:
    """Writes model.safetensors, or shards of at most so many bytes (or one tensor) and their index.

    Shards are in the order given; the same weights give the same bytes. Raises ValueError for a size below 1.
    """
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes is {max_shard_bytes}; set 1 or more")
    shards: list[dict[str, Tensor]] = [{}]
    room = max_shard_bytes
    for name, weight in weights:
        size = weight.numel() * dtype.itemsize
        if shards[-1] and size > room:
            shards.append({})
            room = max_shard_bytes
        shards[-1][name] = weight
        room -= size
    if len(shards) == 1:
        _write_shard(folder / WEIGHTS, shards[0], dtype)
        return
    placed: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_shard(folder / file, shard, dtype)
        placed |= dict.fromkeys(shard, file)
    total = sum(weight.numel() for shard in shards for weight in shard.values()) * dtype.itemsize
    write_json(folder / SHARDED, {"metadata": {"total_size": total}, "weight_map": placed})


def _write_shard(path: Path, shard: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Numbers are rounded here, a shard at a time: a model is never held twice."""
    numbers = {name: weight.to("cpu", dtype).contiguous() for name, weight in shard.items()}
    save_file(numbers, path, metadata={"format": "pt"})
    path.chmod(0o644)  # the library leaves it to its owner alone
