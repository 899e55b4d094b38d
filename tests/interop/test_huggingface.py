from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.errors import ModelError
from groundup.interop.assemble import assemble
from groundup.interop.base import base_config, load_base
from groundup.interop.canonical import differences
from groundup.interop.export import load_decoder, save_decoder
from groundup.interop.folder_model import to_theirs
from groundup.interop.huggingface import FAMILIES_BY_NAME, write_config
from groundup.interop.locate import base_digest, find_base
from groundup.interop.weight_maps import LLAMA, inverted, translate
from groundup.nn.config import RopeScaling, TransformerConfig, decoder_config, encoder_config
from groundup.nn.init import initialise
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe
from tests.interop.exact import in_float64

transformers = pytest.importorskip("transformers")

SHAPE = {
    "vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
}  # fmt: skip
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("Llama", {}),
    ("Llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 12, "tie_word_embeddings": True}),
    ("Mistral", {"sliding_window": None, "head_dim": 16}),
    ("Qwen2", {"tie_word_embeddings": True}),
    ("Qwen3", {"head_dim": 16}),
    ("Qwen3", {"head_dim": 8, "attention_bias": True, "tie_word_embeddings": True}),
]
TOKENS = torch.arange(40).view(2, 20) * 13 % 320


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["def f(x):\n    return x + 1\n" * 20, "the cat sat on the mat, the end. " * 20], 300)


def theirs(family: str, extra: dict[str, Any], theta: float = 5000.0) -> Any:
    config = getattr(transformers, f"{family}Config")(
        **SHAPE, rope_parameters={"rope_type": "default", "rope_theta": theta}, **extra
    )
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + (parameter.dim() == 1))
    return model


def folder_of(model: Any, folder: Path, tokenizer: Tokenizer, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    tokenizer.save(folder)
    return folder


@pytest.mark.parametrize(("family", "extra"), FAMILIES)
def test_their_folder_has_the_same_logits_here(
    family: str, extra: dict[str, Any], tmp_path: Path, tokenizer: Tokenizer
) -> None:
    other = theirs(family, extra)
    brought = load_base(folder_of(other, tmp_path / "model", tokenizer, max_shard_size="20KB"))
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1  # shards
    config = brought.model.config
    assert config == base_config(tmp_path / "model")
    with torch.no_grad():
        ours32, their32 = brought.model.logits(brought.model(TOKENS)), other(TOKENS).logits
        model = brought.model.double()
        ours = model.logits(model(TOKENS))
        truth = in_float64(other)(TOKENS).logits
    torch.testing.assert_close(ours, truth, rtol=0, atol=1e-8)
    assert (ours32 - truth).abs().max() <= 1.5 * (their32 - truth).abs().max()


OURS = [
    ({}, "qwen3"),
    ({"fused_qkv": True, "tie_embeddings": False}, "qwen3"),
    ({"attention_bias": True, "attention_output_bias": True, "kv_heads": 1}, "qwen3"),
    ({"qk_norm": False}, "llama"),
    ({"qk_norm": False, "attention_bias": True, "attention_output_bias": True, "ffn_bias": True}, "llama"),
    ({"qk_norm": False, "attention_bias": True, "fused_qkv": True}, "qwen2"),
    ({"windows": (0, 5)}, "qwen3"),
    ({"windows": (7, 0), "rope_scaling": RopeScaling("yarn", 4.0, 16), "activation": "gelu"}, "qwen3"),
    ({"qk_norm": False, "windows": (6, 6), "rope_scaling": RopeScaling("dynamic", 2.0, 64)}, "mistral"),
    ({"qk_norm": False, "rope_scaling": RopeScaling("linear", 2.0, 7)}, "llama"),
    (
        {
            "norm_placement": "sandwich", "norm_offset": True, "embedding_scale": 8.0, "windows": (3, 0),
            "local_rope_theta": 100.0, "logit_softcap": 4.0, "attention_scale": 20**-0.5,
        },
        "gemma3_text",
    ),
    (
        {
            "qk_norm": False, "norm": "layernorm", "position": "learned", "gated": False, "ffn_bias": True,
            "attention_bias": True, "attention_output_bias": True, "kv_heads": 4, "activation": "gelu_tanh",
        },
        "gpt2",
    ),
]  # fmt: skip


def ours(vocab_size: int, switches: dict[str, Any]) -> Transformer:
    base = decoder_config(vocab_size, 64, 2, head_dim=16, context_length=64, rope_theta=20000.0).to_dict()
    model = Transformer(TransformerConfig.from_dict({**base, **switches}))
    initialise(model, 3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


@pytest.mark.parametrize(("switches", "family"), OURS)
def test_a_decoder_trained_here_has_the_same_logits_in_transformers(
    switches: dict[str, Any], family: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    model = ours(tokenizer.vocab_size, switches)
    save_decoder(tmp_path / "model", model, tokenizer, model.config)
    other = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert other.config.model_type == family
    tokens = TOKENS % tokenizer.vocab_size
    with torch.no_grad():
        ours32, their32 = model.logits(model(tokens)), other(tokens).logits
        exact = model.double().logits(model(tokens))
        truth = in_float64(other)(tokens).logits
    torch.testing.assert_close(exact, truth, rtol=0, atol=1e-8)
    torch.testing.assert_close(ours32, their32, rtol=1e-4, atol=1e-4)
    assert not differences(model.config, load_decoder(tmp_path / "model").model.config)


def test_transformers_reads_tokenizer_and_ends_of_the_folder(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save_decoder(tmp_path / "m", ours(tokenizer.vocab_size, {}), tokenizer, chat_template="{{ messages[0].content }}")
    other = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    text = "def cat(x):\n    return 'the end'  # naïve ☃\n"
    assert other(text, add_special_tokens=False).input_ids == tokenizer.encode(text)
    assert other.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi"
    generation = transformers.GenerationConfig.from_pretrained(tmp_path / "m")
    assert generation.eos_token_id == tokenizer.eos_ids
    assert load_decoder(tmp_path / "m").chat_template == "{{ messages[0].content }}"


def test_what_was_exported_comes_back_the_same(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = ours(tokenizer.vocab_size, {})
    save_decoder(tmp_path / "a", model, tokenizer)
    save_decoder(tmp_path / "b", model, tokenizer)
    back = load_decoder(tmp_path / "a")
    assert back.model.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(back.model.parameters(), model.parameters(), strict=True))
    assert back.tokenizer.digest == tokenizer.digest
    assert back.digest == base_digest(tmp_path / "b")  # the same model gives the same bytes
    back.model(TOKENS % 280).sum().backward()  # and can be trained on
    assert base_digest(tmp_path / "a") == back.digest  # without writing into the file it is mapped from


def test_weights_in_bf16_halve_the_file_and_stay_near(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = ours(tokenizer.vocab_size, {})
    for name, dtype in (("full", torch.float32), ("half", torch.bfloat16)):
        save_decoder(tmp_path / name, model, tokenizer, dtype=dtype)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    half = load_decoder(tmp_path / "half").model
    assert half.embedding.weight.dtype == torch.float32
    torch.testing.assert_close(half(TOKENS % 280), model(TOKENS % 280), rtol=0.1, atol=0.1)


def test_a_failed_export_leaves_what_was_there(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save_decoder(tmp_path / "m", ours(tokenizer.vocab_size, {}), tokenizer)
    before = base_digest(tmp_path / "m")
    with pytest.raises(ModelError, match=r"the nearest, qwen3, lacks position='alibi', residual_scale=0.5\."):
        save_decoder(
            tmp_path / "m", ours(tokenizer.vocab_size, {"position": "alibi", "residual_scale": 0.5}), tokenizer
        )
    with pytest.raises(ModelError, match=r"it is an encoder .causal=False."):
        save_decoder(tmp_path / "m", Transformer(encoder_config(tokenizer.vocab_size, 64, 2)), tokenizer)
    with pytest.raises(
        ModelError, match=r"no encoder .* the nearest, modernbert, lacks norm='rmsnorm', first_norm=True"
    ):
        write_config(encoder_config(300, 64, 2))
    assert base_digest(tmp_path / "m") == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("damage", ["short", "empty", "garbage", "gone", "pickled", "shape", "extra", "tokens"])
def test_broken_folders_name_the_file(damage: str, tmp_path: Path, tokenizer: Tokenizer) -> None:
    folder = tmp_path / "m"
    save_decoder(folder, ours(tokenizer.vocab_size, {}), tokenizer)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    messages = {
        "short": r"model\.safetensors: it has [\d,]+ bytes where its header asks for",
        "empty": r"model\.safetensors: it is truncated or no safetensors file",
        "garbage": r"model\.safetensors: it is truncated or no safetensors file",
        "gone": "it holds no model.safetensors",
        "pickled": "its weights are pickled",
        "shape": "has blocks.0.ffn.gate.weight in shape",
        "extra": "lacks blocks.2",
        "tokens": r"its tokenizer has \d+ tokens, the model 290",
    }
    config = json.loads((folder / "config.json").read_text())
    if damage == "short":
        weights.write_bytes(content[:-100])
    elif damage in ("empty", "garbage"):
        weights.write_bytes(b"" if damage == "empty" else b"\xff" * 5000)
    elif damage in ("gone", "pickled"):
        weights.rename(folder / ("pytorch_model.bin" if damage == "pickled" else "x"))
    elif damage == "tokens":
        save_decoder(folder, ours(290, {}), tokenizer)
    else:
        config |= {"num_hidden_layers": 3} if damage == "extra" else {"intermediate_size": 64}
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=messages[damage]):
        load_base(folder)


def test_a_shard_outside_the_folder_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save_decoder(tmp_path, ours(tokenizer.vocab_size, {}), tokenizer)
    (tmp_path / "model.safetensors").unlink()
    index = {"weight_map": {"lm_head.weight": "../../secret.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="outside the folder"):
        load_base(tmp_path)


def test_an_unknown_name_says_what_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no such model\. Name one of smollm2, a Hugging Face folder or a GGUF file"):
        find_base(tmp_path / "nothing")


def test_weight_maps_turn_back() -> None:
    names = {name for name, _ in ours(300, {"tie_embeddings": False}).named_parameters()}
    there, unknown = translate(names, inverted(LLAMA))
    back, _ = translate(there.values(), LLAMA)
    assert not unknown
    assert set(back.values()) == names
    assert translate(["model.layers.0.self_attn.rotary.weight", "lm_head.scale"], LLAMA)[1]


def test_assembled_weights_are_not_copied() -> None:
    model = ours(300, {})
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    again = assemble(model.config, weights, place="here")
    assert again.embedding.weight.data_ptr() == model.embedding.weight.data_ptr()
    family = FAMILIES_BY_NAME[write_config(model.config)["model_type"]]
    assert dict(to_theirs(model, family)).keys() == {translate([n], inverted(LLAMA))[0][n] for n in weights}
