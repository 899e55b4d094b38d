"""Number formats of the products. Weights, gradients and optimizer state are always fp32."""

from __future__ import annotations

import contextlib

import torch


def products_in(number_format: str, device: str) -> contextlib.AbstractContextManager[object]:
    """A context in which matrix products run in the format. Raises ValueError for one that isn't known.

    "bf16" only where machine.profile() found it fast: on AVX2-only processors it takes over a hundred times as long.
    """
    if number_format == "fp32":
        return contextlib.nullcontext()
    if number_format == "bf16":
        return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16)
    raise ValueError(f"number_format is {number_format!r}; set fp32 or bf16")


def product_dtype(number_format: str) -> torch.dtype:
    """dtype of the optimizer's own products: Newton–Schulz bears bf16 (Jordan et al. 2024)."""
    return torch.bfloat16 if number_format == "bf16" else torch.float32
