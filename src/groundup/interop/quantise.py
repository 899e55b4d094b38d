"""From fp32 to the number formats a GGUF file is written in, as ggml defines them."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import quantize

from groundup.errors import ModelError

Format = Literal["F32", "F16", "BF16", "Q8_0"]
FORMATS: tuple[str, ...] = get_args(Format)
_LARGEST = 65504.0  # of F16, in which Q8_0 keeps its scales


def resting_type(shape: tuple[int, ...], wanted: Format) -> GGMLQuantizationType:
    """What a tensor of `shape` rests in: norms and biases in F32, and rows that aren't whole blocks in F16.

    llama.cpp adds and multiplies vectors in F32 only, and its own quantiser falls back on F16 alike.
    """
    if len(shape) == 1:
        return GGMLQuantizationType.F32
    type_ = GGMLQuantizationType[wanted]
    return type_ if shape[-1] % GGML_QUANT_SIZES[type_][0] == 0 else GGMLQuantizationType.F16


def resting_bytes(shape: tuple[int, ...], type_: GGMLQuantizationType) -> int:
    block, block_bytes = GGML_QUANT_SIZES[type_]
    return int(np.prod(shape, dtype=np.int64)) // block * block_bytes


def quantise(numbers: npt.NDArray[np.float32], type_: GGMLQuantizationType, name: str) -> npt.NDArray[np.uint8]:
    """Bytes of the numbers in `type_`, rounded to the nearest. Raises ModelError naming what has no place in it."""
    largest = float(np.abs(numbers).max(initial=0.0))  # nan if any is
    bound = {"F16": _LARGEST, "Q8_0": _LARGEST * 127}.get(type_.name, float(np.finfo(np.float32).max))
    if not largest <= bound:
        finite = np.isfinite(largest)
        mend = "Export as F32 or BF16" if finite else "Train again, or take an earlier checkpoint"
        wrong = (
            f"it holds {largest:,.0f}, which {type_.name} can't" if finite else "it holds numbers that aren't finite"
        )
        raise ModelError(wrong, mend=mend, place=name)
    if type_ == GGMLQuantizationType.F32:
        return np.ascontiguousarray(numbers, dtype="<f4").view(np.uint8)
    if type_ == GGMLQuantizationType.F16:
        return np.ascontiguousarray(numbers, dtype="<f2").view(np.uint8)
    return np.ascontiguousarray(quantize(numbers, type_)).view(np.uint8)
