from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError, ModelError
from groundup.interop.base import base_config, load_base
from groundup.interop.gguf import READABLE, open_gguf
from groundup.interop.locate import check_base
from groundup.tokens.bytelevel import BYTE_TO_CHARACTER
from tests.interop.test_huggingface import TOKENS, theirs

WITHOUT = {0x00, 0xC0, 0xFF}  # bytes this vocabulary has no token for
VOCABULARY = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>",
    *(BYTE_TO_CHARACTER[byte] for byte in range(256) if byte not in WITHOUT),
]  # fmt: skip
MERGES = ["t h", "th e", "Ġ the", "a n", "an d"]
VOCABULARY += [merge.replace(" ", "") for merge in MERGES]


def write(path: Path, arch: str, tensors: dict[str, np.ndarray], **changes: Any) -> Path:
    """A GGUF file by the gguf package's own writer."""
    writer = gguf.GGUFWriter(path, arch)
    metadata = {
        "context_length": 64, "embedding_length": 32, "block_count": 3, "feed_forward_length": 48,
        "attention.head_count": 4, "attention.head_count_kv": 2, "rope.freq_base": 5000.0,
        "attention.layer_norm_rms_epsilon": 1e-5,
        **{key: value for key, value in changes.items() if not key.startswith("tokenizer.")},
    }  # fmt: skip
    for key, value in metadata.items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"{arch}.{key}", value)
    writer.add_tokenizer_model(changes.get("tokenizer.model", "gpt2"))
    writer.add_tokenizer_pre(changes.get("tokenizer.pre", "smollm"))
    padding = 320 - len(VOCABULARY)
    writer.add_token_list([*VOCABULARY, *(f"<unused{i}>" for i in range(padding))])
    writer.add_token_types([3, 3, 3, 4, *[1] * (len(VOCABULARY) - 4), *[5] * padding])
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(2)
    writer.add_bos_token_id(1)
    writer.add_chat_template("{{ messages }}")
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers.": "blk.",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.": "ffn_", "_proj": "",
}  # fmt: skip


def converted(model: Any, permute: bool) -> dict[str, np.ndarray]:
    """As llama.cpp's convert_hf_to_gguf.py writes them."""
    tensors = {}
    for name, weight in model.state_dict().items():
        for old, new in NAMES.items():
            name = name.replace(old, new)
        heads = {"attn_q": 4, "attn_k": 2}.get(name.split(".")[-2])
        array = weight.numpy()
        if permute and heads:
            array = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
            array = array.swapaxes(1, 2).reshape(weight.shape)
        tensors[name] = np.ascontiguousarray(array)
    return tensors


@pytest.mark.parametrize(
    ("family", "extra", "head_dim"), [("Llama", {}, 8), ("Qwen2", {}, 8), ("Qwen3", {"head_dim": 16}, 16)]
)
def test_logits_of_a_converted_model_equal_transformers(
    family: str, extra: dict[str, Any], head_dim: int, tmp_path: Path
) -> None:
    other = theirs(family, extra)
    tensors = converted(other, permute=family == "Llama")
    dims = {"attention.key_length": head_dim, "attention.value_length": head_dim}
    brought = load_base(write(tmp_path / "m.gguf", family.lower(), tensors, **dims))
    with torch.no_grad():
        torch.testing.assert_close(
            brought.model.logits(brought.model(TOKENS)), other(TOKENS).logits, rtol=1e-4, atol=1e-4
        )
    assert (brought.tokenizer.eos_ids, brought.tokenizer.separator_id) == ([2, 0], 0)
    assert brought.chat_template == "{{ messages }}"
    assert brought.context_length == base_config(tmp_path / "m.gguf").context_length == 64


@pytest.mark.parametrize("format_", READABLE)
def test_numbers_in_every_format_are_those_of_the_gguf_package(format_: str, tmp_path: Path) -> None:
    type_ = GGMLQuantizationType[format_]
    numbers = np.random.default_rng(0).standard_normal((6, 512)).astype(np.float32)
    try:
        raw = quantize(numbers, type_)
    except NotImplementedError:  # the K formats: any bytes are numbers, if their scales are finite
        block, block_bytes = GGML_QUANT_SIZES[type_]
        raw = np.random.default_rng(0).integers(0, 60, (6, 512 // block * block_bytes), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("first", np.ones(3, dtype=np.float32))
    writer.add_tensor("numbers", raw, raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = open_gguf(tmp_path / "m.gguf")
    read = file.read("numbers")
    theirs_ = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}["numbers"]
    assert read.dtype == np.float32
    assert read.shape == (6, 512)
    np.testing.assert_array_equal(read, dequantize(theirs_.data, type_).reshape(6, 512))
    np.testing.assert_array_equal(file.read("first"), np.ones(3))
    if format_ not in ("Q4_K", "Q5_K", "Q6_K"):
        assert np.abs(read - numbers).max() < 0.5


def test_metadata_are_those_the_gguf_package_reads(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", "llama", {"token_embd.weight": np.zeros((320, 32), dtype=np.float32)})
    reader = gguf.GGUFReader(path)
    theirs_ = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert open_gguf(path).metadata == theirs_


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gguf") / "m.gguf", "llama", converted(theirs("Llama", {}), permute=True))


def test_a_file_cut_anywhere_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(0, 200, 7), *range(200, len(content), len(content) // 150), len(content) - 1]:
        cut.write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"cut\.gguf: it is (truncated|no GGUF file)"):
            open_gguf(cut)


def test_what_is_checked_before_any_work_is_what_loading_would_refuse(whole: Path, tmp_path: Path) -> None:
    check_base(whole)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ModelError, match="truncated"):
        check_base(cut)
    tensors = converted(theirs("Llama", {}), permute=True)
    with pytest.raises(ModelError, match="'mamba' isn't known"):
        check_base(write(tmp_path / "m.gguf", "mamba", tensors))
    with pytest.raises(ModelError, match="strange"):
        check_base(write(tmp_path / "s.gguf", "llama", tensors, **{"tokenizer.pre": "strange"}))


@settings(max_examples=150, deadline=None)
@given(st.integers(4, 12000), st.binary(min_size=1, max_size=8))
def test_damaged_headers_never_give_anything_but_a_model_or_a_named_error(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, at: int, garbage: bytes
) -> None:
    content = bytearray(whole.read_bytes())
    at = min(at, len(content) - 8)
    content[at : at + len(garbage)] = garbage
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(content)
    with contextlib.suppress(GroundupError):
        load_base(path)


@pytest.mark.parametrize(
    ("changes", "arch", "message"),
    [
        ({}, "mamba", "its architecture 'mamba' isn't known here"),
        ({"rope.dimension_count": 4}, "llama", "8 dimensions, of which 4 are rotated"),
        ({"expert_count": 8}, "llama", "mixture of experts"),
        ({"rope.scaling.factor": 0.5}, "llama", r"scaled \(llama\.rope\.scaling\.type is 'linear', factor 0\.5\)"),
        ({"rope.scaling.yarn_beta_fast": 8.0}, "llama", r"llama\.rope\.scaling\.yarn_beta_fast isn't known here"),
        ({"rope.something_new": 2}, "llama", r"llama\.rope\.something_new isn't known here"),
        ({"attention.sliding_window": 32}, "llama", r"sees 32 of 64 positions \(sliding_window\)"),
        ({"attention.causal": 0}, "llama", r"llama\.attention\.causal is '0', which isn't carried here"),
        ({"logit_scale": 8.0}, "llama", r"llama\.logit_scale is '8\.0'"),
        ({"attn_logit_softcapping": 50.0}, "llama", r"llama\.attn_logit_softcapping is '50\.0'"),
        ({"something_new": 1}, "llama", r"llama\.something_new is '1', which isn't carried here"),
        ({"vocab_size": 300}, "llama", r"vocab_size is 300, but token_embd\.weight has 320 rows"),
        ({"tokenizer.model": "bert"}, "llama", "tokenizer is of kind 'bert', not BPE of bytes"),
        ({"tokenizer.model": "llama"}, "llama", r"tokenizer\.ggml\.scores is missing"),
        ({"tokenizer.pre": "tekken"}, "llama", "pre-tokenizer 'tekken' isn't known here"),
        ({"block_count": 4}, "llama", r"lacks blocks\.3"),
        ({"block_count": 10**9}, "llama", r"block_count is 1000000000, but it holds \d+ tensors"),
        ({"attention.head_count_kv": 3}, "llama", r"heads \(4\) is no multiple of kv_heads \(3\)"),
    ],
)
def test_what_is_not_carried_exactly_is_refused(
    changes: dict[str, Any], arch: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.gguf", arch, converted(theirs("Llama", {}), permute=True), **changes)
    with pytest.raises(ModelError, match=message):
        load_base(path)


def test_scaled_rope_tensors_weights_and_strangers_are_refused(tmp_path: Path) -> None:
    tensors = converted(theirs("Llama", {}), permute=True)
    ones = np.ones(4, dtype=np.float32)
    load_base(write(tmp_path / "a.gguf", "llama", {**tensors, "rope_freqs.weight": ones}))
    with pytest.raises(ModelError, match="scaled"):
        load_base(write(tmp_path / "b.gguf", "llama", {**tensors, "rope_freqs.weight": ones * 8}))
    with pytest.raises(ModelError, match=r"not known|aren't known here \(blk.0.attn_sinks.weight\)"):
        load_base(write(tmp_path / "c.gguf", "llama", {**tensors, "blk.0.attn_sinks.weight": ones}))


def test_switches_at_which_nothing_changes_are_read(tmp_path: Path) -> None:
    same = {
        "expert_count": 0, "rope.scaling.factor": 1.0, "rope.scale_linear": 1.0, "attention.sliding_window": 64,
        "logit_scale": 1.0, "vocab_size": 320, "rope.dimension_count": 8,
    }  # fmt: skip
    path = write(tmp_path / "m.gguf", "llama", converted(theirs("Llama", {}), permute=True), **same)
    assert base_config(path).norm_eps == 1e-5  # not the fp32 number next to it


def test_other_versions_and_formats_are_refused(whole: Path, tmp_path: Path) -> None:
    content = bytearray(whole.read_bytes())
    path = tmp_path / "m.gguf"
    path.write_bytes(content[:4] + struct.pack(">I", 3) + content[8:])
    with pytest.raises(ModelError, match="its GGUF version is 50331648"):
        load_base(path)
    path.write_bytes(b"PK\x03\x04" + content[4:])
    with pytest.raises(ModelError, match="no GGUF file"):
        load_base(path)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("x", np.zeros((1, 66), dtype=np.uint8), raw_dtype=GGMLQuantizationType.IQ2_XXS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"rests in IQ2_XXS, which isn't read here\. Convert it to one of F32"):
        load_base(path)


def test_bytes_without_a_token_are_counted_never_lost(whole: Path) -> None:
    tokenizer = load_base(whole).tokenizer
    text = "and the\x00 <tool> end\x00"
    assert tokenizer.missing_bytes(text) == 2
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == b"and the <tool> end"
    assert VOCABULARY.index("<tool>") in tokenizer.encode(text, specials=True)
    assert tokenizer.encode("<|im_end|>", specials=True) == [2]
    assert 2 not in tokenizer.encode("<|im_end|>")


def test_tensors_that_lie_elsewhere_are_refused(whole: Path, tmp_path: Path) -> None:
    """An offset of another place reads whatever lies there as weights."""
    content = whole.read_bytes()
    info = open_gguf(whole).tensors["blk.1.attn_q.weight"]
    start = min(tensor.offset for tensor in open_gguf(whole).tensors.values())
    old = struct.pack("<Q", info.offset - start)
    name = content.index(b"blk.1.attn_q.weight")
    at = content.index(old, name)
    for moved in (info.offset - start + 1, 0, 2**63):
        damaged = tmp_path / "moved.gguf"
        damaged.write_bytes(content[:at] + struct.pack("<Q", moved) + content[at + 8 :])
        with pytest.raises(ModelError, match=r"blk\.1\.attn_q\.weight doesn't begin where the tensor before it ends"):
            open_gguf(damaged)
