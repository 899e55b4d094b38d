"""From blocks of quantised numbers to fp32, as ggml defines them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize


def dequantise(
    raw: npt.NDArray[np.uint8], type_: GGMLQuantizationType, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """raw: the bytes of a tensor of `shape`. Returns fp32 that owns its memory: the file may be closed or changed."""
    block, block_bytes = GGML_QUANT_SIZES[type_]
    rows = raw.reshape(-1, shape[-1] // block * block_bytes)
    numbers = dequantize(rows, type_).reshape(shape)
    return np.array(numbers, dtype=np.float32) if type_ == GGMLQuantizationType.F32 else numbers
