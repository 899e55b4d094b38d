from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import ModelError
from groundup.interop import gguf_write
from groundup.interop.base import load_base
from groundup.interop.gguf import open_gguf
from groundup.interop.gguf_export import gguf_family, save_gguf
from groundup.interop.gguf_model import permute, unpermute
from groundup.interop.gguf_rope import decimal, single
from groundup.interop.quantise import FORMATS
from groundup.nn.config import RopeScaling, TransformerConfig, encoder_config
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

SHAPE: dict[str, Any] = {
    "vocab_size": 320, "width": 32, "layers": 3, "heads": 4, "kv_heads": 2, "head_dim": 8, "ffn_width": 48,
    "context_length": 64, "rope_theta": 5000.0, "norm_eps": 1e-5, "tie_embeddings": False,
}  # fmt: skip
ARCHITECTURES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", {}),
    "llama tied, one key head": ("llama", {"tie_embeddings": True, "kv_heads": 1}),
    "llama with all biases": (
        "llama",
        {"attention_bias": True, "attention_output_bias": True, "ffn_bias": True, "head_dim": 12},
    ),
    "llama with query biases, wide heads": ("llama", {"attention_bias": True, "head_dim": 12}),
    "llama, fused": ("llama", {"fused_qkv": True, "attention_bias": True, "head_dim": 12}),
    "qwen2": ("qwen2", {"attention_bias": True}),
    "qwen2 tied": ("qwen2", {"attention_bias": True, "tie_embeddings": True}),
    "qwen3": ("qwen3", {"qk_norm": True, "head_dim": 16}),
    "llama stretched linearly": ("llama", {"rope_scaling": RopeScaling("linear", 2.5)}),
    "llama stretched by Llama 3's rule": (
        "llama",
        {"rope_scaling": RopeScaling("llama3", 8.0, 16), "rope_theta": 500.0, "attention_bias": True},
    ),
    "qwen2 stretched by YaRN": (
        "qwen2",
        {
            "attention_bias": True,
            "rope_scaling": RopeScaling("yarn", 4.0, 16, attention_factor=0.1 * math.log(4.0) + 1),
        },
    ),
    "qwen3 tied with biases": ("qwen3", {"qk_norm": True, "attention_bias": True, "tie_embeddings": True}),
}


def drawn(name: str, **switches: Any) -> Transformer:
    """A small model of the architecture with random weights, norms and biases too."""
    model = Transformer(TransformerConfig(**{**SHAPE, **ARCHITECTURES[name][1], **switches})).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3 + (parameter.dim() == 1) * 0.7)
    return model


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["def f(x):\n    return x + 1\n" * 20, "the cat sat on the mat, the end. " * 20], 300)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_written_in_f32_is_read_back_bit_for_bit(name: str, tmp_path: Path, tokenizer: Tokenizer) -> None:
    model, template = drawn(name), "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    save_gguf(tmp_path / "m.gguf", model, tokenizer, dtype="F32", chat_template=template, license="mit")
    brought = load_base(tmp_path / "m.gguf")
    family, switches = ARCHITECTURES[name]
    assert open_gguf(tmp_path / "m.gguf").metadata["general.architecture"] == family
    assert brought.model.config == TransformerConfig(**{**SHAPE, **switches, "fused_qkv": False})
    tokens = torch.tensor([[1, 2, 3, 200]])
    with torch.inference_mode():
        torch.testing.assert_close(brought.model(tokens), model(tokens), rtol=1e-5, atol=1e-5)
    if "fused_qkv" not in switches:
        theirs = brought.model.state_dict()
        assert all(torch.equal(theirs[key], weight) for key, weight in model.state_dict().items())
    assert brought.tokenizer.digest == tokenizer.digest
    assert (brought.chat_template, brought.license) == (template, "mit")
    again = tmp_path / "again.gguf"
    save_gguf(again, brought.model, brought.tokenizer, dtype="F32", chat_template=template, license="mit")
    if "fused_qkv" not in switches:
        assert again.read_bytes() == (tmp_path / "m.gguf").read_bytes()


@pytest.mark.parametrize("dtype", FORMATS)
def test_numbers_in_a_file_are_what_the_gguf_package_makes_of_them(
    dtype: Any, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    model = drawn("qwen3")
    save_gguf(tmp_path / "m.gguf", model, tokenizer, dtype=dtype, name="small")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert all(tensor.tensor_type.name == "F32" for tensor in reader.tensors if len(tensor.shape) == 1)
    assert all(tensor.data_offset % 32 == 0 for tensor in reader.tensors)
    wide, narrow = found["blk.1.ffn_up.weight"], found["blk.1.ffn_down.weight"]
    assert wide.tensor_type.name == dtype
    assert narrow.tensor_type.name == ("F16" if dtype == "Q8_0" else dtype)  # rows of 48 are no whole blocks of 32
    for tensor, weight in ((wide, model.blocks[1].ffn.up.weight), (narrow, model.blocks[1].ffn.down.weight)):
        numbers = weight.detach().numpy()
        theirs = dequantize(quantize(numbers, tensor.tensor_type), tensor.tensor_type)
        np.testing.assert_array_equal(dequantize(tensor.data, tensor.tensor_type).reshape(numbers.shape), theirs)
        read = open_gguf(tmp_path / "m.gguf").read(tensor.name)
        np.testing.assert_array_equal(read, theirs.reshape(numbers.shape))
    fields = {key: field.contents() for key, field in reader.fields.items()}
    assert fields["general.name"] == "small"
    assert fields["general.file_type"] == {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7}[dtype]
    assert fields["qwen3.attention.key_length"] == 16


def test_transformers_reads_the_same_weights(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """An independent reader that undoes the permutation of Llama's queries and keys."""
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    model = drawn("llama")
    save_gguf(tmp_path / "m.gguf", model, tokenizer, dtype="F32")
    config = transformers.LlamaConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        empty = transformers.LlamaForCausalLM(config)
    tensors = load_gguf_checkpoint(str(tmp_path / "m.gguf"), return_tensors=True, model_to_load=empty)["tensors"]
    for part in ("q", "k", "v", "o"):
        ours = getattr(model.blocks[2].attention, part).weight
        assert torch.equal(torch.as_tensor(tensors[f"model.layers.2.self_attn.{part}_proj.weight"]), ours)


@given(st.integers(1, 5), st.integers(1, 6), st.sampled_from([(), (3,)]))
@settings(max_examples=30)
def test_permuting_is_undone(heads: int, half: int, rest: tuple[int, ...]) -> None:
    weight = torch.randn(heads * half * 2, *rest)
    assert torch.equal(unpermute(permute(weight, heads), heads), weight)


@given(st.floats(1e-12, 1e9))
def test_a_number_is_carried_exactly_or_refused(value: float) -> None:
    short = decimal(value)
    assert decimal(float(single(short, "x"))) == short
    if short != value:
        with pytest.raises(ModelError, match="would round to"):
            single(value, "x")


# -- what is refused, and what a failure leaves behind ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"activation": "gelu", "gated": False}, "activation='gelu'.* gated=False"),
        ({"position": "alibi"}, "position='alibi'"),
        ({"rope_scaling": RopeScaling("dynamic", 2.0, 64)}, "architecture llama has RopeScaling.*dynamic"),
        ({"rope_scaling": RopeScaling("yarn", 2.0, 64)}, "architecture llama has RopeScaling.*attention_factor=1"),
        ({"rope_scaling": RopeScaling("llama3", 8.0, 16, 1.0, 2.0)}, "architecture llama has RopeScaling.*llama3"),
        ({"rope_scaling": RopeScaling("llama3", 8.0, 16), "qk_norm": True}, "architecture qwen3 has RopeScaling"),
        ({"norm": "layernorm"}, "norm='layernorm'"),
        ({"norm_placement": "post"}, "norm_placement='post'"),
        ({"head_bias": True}, "head_bias=True"),
        ({"token_types": 2}, "token_types=2"),
        ({"embedding_norm": True}, "embedding_norm=True"),
        ({"qk_norm": True, "ffn_bias": True}, "ffn_bias=True with qk_norm"),
        ({"qk_norm": True, "attention_output_bias": True}, "attention_output_bias=True with qk_norm"),
    ],
)
def test_switches_no_architecture_has_are_refused_before_anything_is_written(
    switches: dict[str, Any], message: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    with pytest.raises(ModelError, match=message):
        save_gguf(tmp_path / "m.gguf", drawn("llama", **switches), tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_and_a_rounded_switch_are_refused() -> None:
    with pytest.raises(ModelError, match="causal=False"):
        gguf_family(encoder_config(320, 32, 2))
    with pytest.raises(ModelError, match=r"rope_theta is 16777217\.0, which a GGUF file would round to 16777216"):
        single(16777217.0, "rope_theta")


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (70000.0, "F16", r"ffn\.?_up.*holds 70,000, which F16 can't\. Export as F32 or BF16"),
        (1e7, "Q8_0", "which Q8_0 can't"),
        (float("nan"), "F32", "numbers that aren't finite"),
        (float("inf"), "BF16", "numbers that aren't finite"),
    ],
)
def test_numbers_a_format_cannot_hold_are_refused_and_the_old_file_stays(
    value: float, dtype: Any, message: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"old")
    model = drawn("llama")
    with torch.no_grad():
        model.blocks[1].ffn.up.weight[3, 4] = value
    with pytest.raises(ModelError, match=message):
        save_gguf(tmp_path / "m.gguf", model, tokenizer, dtype=dtype)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "m.gguf").write_bytes(b"old")
    monkeypatch.setattr(gguf_write, "quantise", full)
    with pytest.raises(ModelError, match=r"m\.gguf: it can't be written \(No space left on device\)"):
        save_gguf(tmp_path / "m.gguf", drawn("llama"), tokenizer)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_another_dtype_is_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="set one of F32, F16, BF16, Q8_0"):
        save_gguf(tmp_path / "m.gguf", drawn("llama"), tokenizer, dtype="Q4_0")  # type: ignore[arg-type]


def test_bf16_and_q8_0_are_as_near_as_their_bits_allow(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = drawn("llama")
    weight = model.blocks[0].ffn.up.weight.detach().numpy()
    for dtype, share in (("F16", 2**-11), ("BF16", 2**-8), ("Q8_0", None)):
        save_gguf(tmp_path / "m.gguf", model, tokenizer, dtype=dtype)  # type: ignore[arg-type]
        error = np.abs(open_gguf(tmp_path / "m.gguf").read("blk.0.ffn_up.weight") - weight)
        # half a step of 1/127 of the block's largest, and the F16 rounding of that step, up to 127 times
        steps = np.abs(weight).max(1, keepdims=True) * (0.5 / 127 + 2**-11)
        bound = np.abs(weight) * share + 2**-25 if share else steps
        assert (error <= bound).all()
        assert error.max() > 0
