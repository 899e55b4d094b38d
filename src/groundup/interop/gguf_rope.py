"""How a GGUF file says what queries and keys are rotated by: the one place for rotary scalings, both ways.

Linear and YaRN scalings stand in metadata. Llama 3's stands in a tensor of what each frequency is divided by, which
holds no parameters: it is read if the published ones give that tensor, and refused if they don't.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.errors import ModelError
from groundup.interop.gguf import GGUFFile
from groundup.nn.config import RopeScaling, TransformerConfig
from groundup.nn.positions import rope_frequencies

ROPE_FACTORS = "rope_freqs.weight"
ELSEWHERE = "Bring the model as a Hugging Face folder"
NAMES = ("scaling.type", "scaling.factor", "scale_linear", "scaling.original_context_length", "scaling.finetuned")
_LLAMA3_LENGTH = 8192  # positions of Llama 3's first training


def read_rope(file: GGUFFile, family: str) -> dict[str, Any]:
    """The fields of TransformerConfig that decide the rotation, but for its dimensions.

    Raises ModelError for a scaling that isn't carried exactly.
    """
    place, begins = str(file.path), f"{family}.rope."
    given = {key.removeprefix(begins): value for key, value in file.metadata.items() if key.startswith(begins)}
    theta = given.pop("freq_base", 10000.0)
    given.pop("dimension_count", None)
    strange = next((key for key in given if key not in NAMES), None)
    if strange is not None:
        raise ModelError(f"{begins}{strange} isn't known here", mend=ELSEWHERE, place=place)
    if not isinstance(theta, (int, float)) or isinstance(theta, bool):
        raise ModelError(f"{begins}freq_base is {theta!r}, not a number", mend="Fetch it again", place=place)
    scaling = _said(given, begins, place)
    if ROPE_FACTORS in file.tensors and not bool((file.read(ROPE_FACTORS) == 1).all()):
        if scaling is not None:
            wrong = f"its rotary positions are scaled twice ({scaling.kind} and rope_freqs)"
            raise ModelError(wrong, mend=ELSEWHERE, place=place)
        scaling = _llama3(file.read(ROPE_FACTORS), decimal(theta), given, place)
    return {"rope_theta": decimal(theta), "rope_scaling": scaling}


def write_rope(config: TransformerConfig, family: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
    """(metadata, tensors) that say it in a file. Raises ModelError for a scaling that llama.cpp doesn't have there."""
    begins, scaling = f"{family}.rope.", config.rope_scaling
    metadata: dict[str, Any] = {
        f"{begins}dimension_count": config.head_dim,
        f"{begins}freq_base": single(config.rope_theta, "rope_theta"),
    }
    if scaling is None:
        return metadata, {}
    if scaling.kind == "llama3" and family == "llama":
        factors = _factors(config.head_dim, config.rope_theta, scaling)
        metadata[f"{begins}scaling.original_context_length"] = scaling.original_length
        if _fitting(factors, config.rope_theta, scaling.original_length) == scaling:
            return metadata, {ROPE_FACTORS: factors}
    elif scaling == _plain(scaling.kind, scaling.factor, scaling.original_length):
        metadata[f"{begins}scaling.type"] = scaling.kind
        metadata[f"{begins}scaling.factor"] = single(scaling.factor, "rope_scaling.factor")
        if scaling.original_length:
            metadata[f"{begins}scaling.original_context_length"] = scaling.original_length
        return metadata, {}
    raise ModelError(
        f"no GGUF file of architecture {family} has {scaling}",
        mend="Export to a Hugging Face folder, which holds it",
        place="export",
    )


def _said(given: Mapping[str, Any], begins: str, place: str) -> RopeScaling | None:
    """The scaling in metadata. llama.cpp takes a factor for "linear" where no type is named."""
    factor = given.get("scaling.factor", given.get("scale_linear", 0.0)) or 1.0
    kind = given.get("scaling.type", "linear")
    if kind in ("none", "") or (kind == "linear" and factor == 1):
        return None
    original = given.get("scaling.original_context_length", 0)
    scaling = None
    if isinstance(factor, (int, float)) and type(original) is int and factor >= 1:
        scaling = _plain(kind, decimal(factor), original)
    if scaling is None:
        wrong = f"its rotary positions are scaled ({begins}scaling.type is {kind!r}, factor {factor!r})"
        raise ModelError(wrong, mend=ELSEWHERE, place=place)
    return scaling


def _plain(kind: str, factor: float, original_length: int) -> RopeScaling | None:
    """The scaling that llama.cpp computes from these three, or None if it has no such kind."""
    if kind == "linear":
        return RopeScaling("linear", factor, original_length)
    if kind == "yarn" and original_length > 0:
        return RopeScaling("yarn", factor, original_length, attention_factor=0.1 * math.log(factor) + 1)
    return None


def _llama3(factors: npt.NDArray[np.float32], theta: float, given: Mapping[str, Any], place: str) -> RopeScaling:
    original = given.get("scaling.original_context_length") or _LLAMA3_LENGTH
    found = _fitting(factors, theta, original) if type(original) is int else None
    if found is None:
        wrong = "its rotary positions are scaled (rope_freqs), and not by Llama 3's published rule"
        raise ModelError(wrong, mend=ELSEWHERE, place=place)
    return found


def _fitting(factors: npt.NDArray[np.float32], theta: float, original_length: int) -> RopeScaling | None:
    largest = float(factors.max())
    if not (math.isfinite(largest) and largest >= 1):
        return None
    scaling = RopeScaling("llama3", round(largest, 4), original_length)  # some converters divide fp32 numbers
    fits = np.allclose(_factors(2 * factors.size, theta, scaling), factors, rtol=1e-5, atol=0)
    return scaling if fits else None


def _factors(rotated: int, theta: float, scaling: RopeScaling) -> npt.NDArray[np.float32]:
    """(R/2,) what scaling divides each frequency by."""
    plain, _ = rope_frequencies(rotated, theta, None)
    slowed, _ = rope_frequencies(rotated, theta, scaling)
    return (plain / slowed).numpy().astype(np.float32)


def decimal(value: float) -> float:
    """The shortest decimal that a single-precision number stands for: 1e-05, not 9.999999747378752e-06.

    What a converter rounded to fp32 was a decimal in a configuration; computing from it keeps float64 parity.
    """
    return float(str(np.float32(value)))


def single(value: float, name: str) -> np.float32:
    """The number as the file holds it. Raises ModelError if reading it back would give another."""
    if decimal(value) != float(value):
        raise ModelError(
            f"{name} is {value!r}, which a GGUF file would round to {decimal(value)!r}",
            mend=f"Set {name} to that number, or export to a Hugging Face folder, which holds it exactly",
            place="export",
        )
    return np.float32(value)
