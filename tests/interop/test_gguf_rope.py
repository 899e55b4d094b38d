from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from groundup.errors import ModelError
from groundup.interop.gguf import GGUFFile, open_gguf
from groundup.interop.gguf_rope import ROPE_FACTORS, read_rope
from groundup.nn.config import RopeScaling


def file(folder: Path, factors: np.ndarray | None = None, **metadata: Any) -> GGUFFile:
    """By the gguf package's writer: a header about rotation, and Llama 3's tensor if there is one."""
    writer = gguf.GGUFWriter(folder / "m.gguf", "llama")
    for key, value in {"freq_base": 500000.0, **metadata}.items():
        add = {float: writer.add_float32, str: writer.add_string, int: writer.add_uint32, bool: writer.add_bool}
        add[type(value)](f"llama.rope.{key.replace('__', '.')}", value)
    writer.add_tensor(
        ROPE_FACTORS if factors is not None else "x", np.ones(8, np.float32) if factors is None else factors
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return open_gguf(folder / "m.gguf")


def published(factor: float, low: float = 1.0, high: float = 4.0, original: int = 8192) -> np.ndarray:
    """What transformers divides Llama 3's frequencies by: heads of 64 dimensions, base 500,000."""
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {
        "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
        "original_max_position_embeddings": original, "rope_theta": 500000.0,
    }  # fmt: skip
    config = transformers.LlamaConfig(
        hidden_size=128, num_attention_heads=2, max_position_embeddings=131072, rope_parameters=scaling
    )
    slowed, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500000.0 ** -(np.arange(0, 64, 2) / 64)
    return (plain / slowed.numpy()).astype(np.float32)


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_llama_3s_published_factors_are_known_again(factor: float, tmp_path: Path) -> None:
    read = read_rope(file(tmp_path, published(factor)), "llama")
    assert read == {"rope_theta": 500000.0, "rope_scaling": RopeScaling("llama3", factor, 8192)}


def test_factors_by_another_rule_are_refused(tmp_path: Path) -> None:
    for factors in (published(8.0, high=2.0), published(8.0, original=4096), published(8.0)[::-1].copy()):
        with pytest.raises(ModelError, match=r"rope_freqs.*not by Llama 3's published rule"):
            read_rope(file(tmp_path, factors), "llama")
    with pytest.raises(ModelError, match="published rule"):
        read_rope(file(tmp_path, np.full(32, np.nan, np.float32)), "llama")
    read = read_rope(file(tmp_path, published(8.0, original=4096), scaling__original_context_length=4096), "llama")
    assert read["rope_scaling"] == RopeScaling("llama3", 8.0, 4096)


@pytest.mark.parametrize(
    ("metadata", "scaling"),
    [
        ({}, None),
        ({"scaling__type": "none", "scaling__factor": 4.0}, None),
        ({"scaling__factor": 1.0}, None),
        ({"scaling__factor": 4.0}, RopeScaling("linear", 4.0)),  # llama.cpp's reading of a file that names no type
        ({"scale_linear": 4.0}, RopeScaling("linear", 4.0)),
        ({"scaling__type": "linear", "scaling__factor": 2.1}, RopeScaling("linear", 2.1)),
        (
            {"scaling__type": "yarn", "scaling__factor": 4.0, "scaling__original_context_length": 32768},
            RopeScaling("yarn", 4.0, 32768, attention_factor=0.1 * math.log(4.0) + 1),
        ),
    ],
)
def test_scalings_in_metadata(metadata: dict[str, Any], scaling: RopeScaling | None, tmp_path: Path) -> None:
    assert read_rope(file(tmp_path, **metadata), "llama")["rope_scaling"] == scaling


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"scaling__type": "longrope", "scaling__factor": 4.0}, "'longrope', factor 4.0"),
        ({"scaling__type": "yarn", "scaling__factor": 4.0}, "'yarn', factor 4.0"),  # of how many positions?
        ({"scaling__type": "yarn", "scaling__attn_factor": 2.0}, "scaling.attn_factor isn't known here"),
        ({"scaling__yarn_log_multiplier": 0.1}, "scaling.yarn_log_multiplier isn't known here"),
        ({"scaling__factor": "4"}, "factor '4'"),
        ({"freq_base": "x"}, "freq_base is 'x', not a number"),
    ],
)
def test_scalings_that_are_not_carried_are_refused(metadata: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        read_rope(file(tmp_path, **metadata), "llama")


def test_a_file_scaled_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"scaled twice \(linear and rope_freqs\)"):
        read_rope(file(tmp_path, published(8.0), scaling__factor=2.0), "llama")
