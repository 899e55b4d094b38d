"""Files as other hands have written them: old names, bare models, repeated tensors, shards that don't fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from groundup.errors import ModelError
from groundup.interop.export import save_encoder, write_model
from groundup.interop.folder_model import read_model
from groundup.interop.weights import write_weights
from groundup.nn.config import TransformerConfig, encoder_config
from groundup.nn.transformer import Transformer
from groundup.tokens.train import train_bpe
from tests.interop.families import CASES, SIZES, answers, their_model

transformers = pytest.importorskip("transformers")
TOKENS = torch.arange(2 * 20).view(2, 20) * 7 % 96


def case(family: str, model: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
    found = next(one for one in CASES if one[0] == family)
    return family, model, {**found[2], **more}


def change(folder: Path, weights: dict[str, Tensor], **fields: Any) -> None:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("bare", "headed"),
    [("LlamaModel", "LlamaForCausalLM"), ("GPT2Model", "GPT2LMHeadModel"), ("Gemma3TextModel", "Gemma3ForCausalLM")],
)
def test_a_bare_decoder_has_its_embedding_for_a_head(bare: str, headed: str, tmp_path: Path) -> None:
    family = {"L": "Llama", "G": "GPT2"}[bare[0]] if "Gemma" not in bare else "Gemma3Text"
    other = their_model(case(family, bare, tie_word_embeddings=True))
    other.save_pretrained(tmp_path)
    model = read_model(tmp_path)
    with torch.no_grad():
        whole = getattr(transformers, headed).from_pretrained(tmp_path)
        torch.testing.assert_close(model(TOKENS), answers(other(TOKENS)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model.logits(model(TOKENS)), whole(TOKENS).logits, rtol=1e-4, atol=1e-4)


def test_old_gpt2_files_with_masks_among_the_weights_are_read(tmp_path: Path) -> None:
    other = their_model(case("GPT2", "GPT2Model"))
    other.save_pretrained(tmp_path)
    before = read_model(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for layer in range(3):
        weights[f"h.{layer}.attn.bias"] = torch.ones(64, 64).tril().view(1, 1, 64, 64)
        weights[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    change(tmp_path, weights)
    after = read_model(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


@pytest.mark.parametrize("model", ["BertForMaskedLM", "BertForPreTraining", "BertModel"])
def test_old_bert_files_are_read_with_and_without_their_heads(model: str, tmp_path: Path) -> None:
    """gamma and beta for a norm's weight and bias, position ids among the weights, pooler and sentence head."""
    other = their_model(case("Bert", model))
    other.save_pretrained(tmp_path)
    weights = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): weight
        for name, weight in load_file(tmp_path / "model.safetensors").items()
    }
    weights["bert.embeddings.position_ids"] = torch.arange(64)[None]
    change(tmp_path, weights)
    ours, bare = read_model(tmp_path), read_model(tmp_path, bare=True)
    with torch.no_grad():
        theirs = other(TOKENS)
        hidden = theirs.last_hidden_state if model == "BertModel" else other.bert(TOKENS).last_hidden_state
        torch.testing.assert_close(bare(TOKENS), hidden, rtol=1e-4, atol=1e-4)
        if model == "BertModel":
            assert not ours.config.head_transform
        else:
            logits = theirs.logits if model == "BertForMaskedLM" else theirs.prediction_logits
            torch.testing.assert_close(ours.logits(ours(TOKENS)), logits, rtol=1e-4, atol=1e-4)
    assert not bare.config.head_transform


@pytest.mark.parametrize("family", ["Bert", "ModernBert"])
def test_an_encoder_is_read_bare_from_a_file_with_its_head(family: str, tmp_path: Path) -> None:
    other = their_model(case(family, f"{family}ForMaskedLM", tie_word_embeddings=False))
    other.save_pretrained(tmp_path)
    with torch.no_grad():
        hidden = other.base_model(TOKENS).last_hidden_state
        torch.testing.assert_close(read_model(tmp_path, bare=True)(TOKENS), hidden, rtol=1e-4, atol=1e-4)


def test_an_untied_bert_has_the_bias_that_transformers_computes_with(tmp_path: Path) -> None:
    other = their_model(case("Bert", "BertForMaskedLM", tie_word_embeddings=False))
    with torch.no_grad():
        other.cls.predictions.bias.add_(1.0)  # without ties it is left out of the sum
    other.save_pretrained(tmp_path)
    model = read_model(tmp_path)
    assert torch.equal(model.head_bias, other.cls.predictions.decoder.bias)


@pytest.mark.parametrize(
    ("family", "model", "twin", "same"),
    [
        ("Qwen2", "Qwen2ForCausalLM", "lm_head.weight", "model.embed_tokens.weight"),
        ("GPT2", "GPT2LMHeadModel", "lm_head.weight", "transformer.wte.weight"),
        ("Bert", "BertForMaskedLM", "cls.predictions.decoder.bias", "cls.predictions.bias"),
        ("Bert", "BertForMaskedLM", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
        ("ModernBert", "ModernBertForMaskedLM", "decoder.weight", "model.embeddings.tok_embeddings.weight"),
    ],
)
def test_what_stands_twice_must_be_the_same(family: str, model: str, twin: str, same: str, tmp_path: Path) -> None:
    their_model(case(family, model)).save_pretrained(tmp_path)
    before = read_model(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    change(tmp_path, {**weights, twin: weights[same].clone()})
    after = read_model(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    change(tmp_path, {**weights, twin: weights[same] + 1})
    with pytest.raises(ModelError, match=f"{twin} should be {same} once more, and differs"):
        read_model(tmp_path)


@pytest.mark.parametrize("family", ["Llama", "GPT2", "Bert", "ModernBert", "Gemma3Text"])
def test_weights_that_are_strange_missing_or_of_another_shape_are_named(family: str, tmp_path: Path) -> None:
    name = next(one[1] for one in CASES if one[0] == family)
    their_model(case(family, name)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    change(tmp_path, {**weights, "adapter.0.weight": torch.zeros(2, 2)})
    with pytest.raises(ModelError, match=r"weights that aren't known here .*adapter\.0\.weight"):
        read_model(tmp_path)
    first = next(name for name in weights if ".1." in name)
    change(tmp_path, {name: weight for name, weight in weights.items() if name != first})
    with pytest.raises(ModelError, match=r"it lacks blocks\.1\."):
        read_model(tmp_path)
    change(tmp_path, {**weights, first: torch.zeros(7, 5)})
    with pytest.raises(ModelError, match="don't fit the configuration"):
        read_model(tmp_path)


def test_shards_hold_no_more_than_was_asked_and_every_weight_once(tmp_path: Path) -> None:
    weights = {f"w{number}": torch.full((number,), float(number)) for number in (3, 9, 2, 8, 40, 1, 7, 5)}
    write_weights(tmp_path, weights.items(), torch.float32, max_shard_bytes=48)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * sum(weight.numel() for weight in weights.values())
    held = {path.name: load_file(path) for path in tmp_path.glob("*.safetensors")}
    assert sorted(held) == [f"model-0000{number}-of-00005.safetensors" for number in (1, 2, 3, 4, 5)]
    for shard in held.values():
        assert len(shard) == 1 or sum(4 * weight.numel() for weight in shard.values()) <= 48
    assert {name: file for file, shard in held.items() for name in shard} == index["weight_map"]
    with pytest.raises(ValueError, match="max_shard_bytes is 0"):
        write_weights(tmp_path, weights.items(), torch.float32, max_shard_bytes=0)


def test_a_shard_that_is_gone_is_named(tmp_path: Path) -> None:
    their_model(case("Llama", "LlamaForCausalLM")).save_pretrained(tmp_path, max_shard_size="20KB")
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(ModelError, match=r"model-00002-of-\d+\.safetensors: there is no such file"):
        read_model(tmp_path)


def test_an_encoder_of_no_family_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nearest, modernbert"):
        write_model(tmp_path, Transformer(encoder_config(96, 64, 2)))
    with pytest.raises(ModelError, match="no encoder"):  # three heads of 12 don't share 32
        write_model(tmp_path, Transformer(TransformerConfig(96, 32, 1, 3, 3, 12, 48, 64, causal=False)))
    assert not list(tmp_path.iterdir())


def test_gate_and_up_that_share_a_tensor_are_saved_and_trained_apart(tmp_path: Path) -> None:
    their_model(case("ModernBert", "ModernBertModel")).save_pretrained(tmp_path / "m")
    model = read_model(tmp_path / "m")
    gate, up = model.blocks[0].ffn.gate.weight, model.blocks[0].ffn.up.weight
    assert gate.untyped_storage().data_ptr() == up.untyped_storage().data_ptr()  # no copy was made
    model(TOKENS).square().mean().backward()
    before = up.detach().clone()
    with torch.no_grad():
        gate -= 0.1 * gate.grad
    assert torch.equal(up, before)
    save_encoder(tmp_path / "own", model, train_bpe(["the cat sat on the mat. " * 30], 300))
    saved = load_file(tmp_path / "own" / "model.safetensors")
    assert torch.equal(saved["blocks.0.ffn.gate.weight"], gate)
    assert torch.equal(saved["blocks.0.ffn.up.weight"], up)


def test_padding_and_ends_are_not_those_of_the_familys_first_model(tmp_path: Path) -> None:
    """ModernBERT's default padding token lies outside a small vocabulary: transformers couldn't build the model."""
    other = their_model(("ModernBert", "ModernBertModel", SIZES))
    other.save_pretrained(tmp_path)
    write_model(tmp_path, read_model(tmp_path), dtype=torch.bfloat16)
    written = json.loads((tmp_path / "config.json").read_text())
    assert [written[f"{name}_token_id"] for name in ("pad", "bos", "eos")] == [None, None, None]
    assert written["torch_dtype"] == "bfloat16"
    assert {weight.dtype for weight in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_are_named(number: float, tmp_path: Path) -> None:
    their_model(case("Llama", "LlamaForCausalLM")).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.norm.weight"][3] = number
    change(tmp_path, weights)
    with pytest.raises(ModelError, match=r"final_norm\.weight holds numbers that are none"):
        read_model(tmp_path)


def test_quantised_weights_and_impossible_depths_are_refused_at_once(tmp_path: Path) -> None:
    their_model(case("Llama", "LlamaForCausalLM")).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    change(tmp_path, weights, num_hidden_layers=10**7)
    with pytest.raises(ModelError, match="it has 10,000,000 layers, but its weights are"):
        read_model(tmp_path)
    name = "model.layers.0.self_attn.q_proj.weight"
    change(tmp_path, {**weights, name: weights[name].to(torch.int8)}, num_hidden_layers=3)
    with pytest.raises(ModelError, match=rf"{name} rests in int8"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_act", ["silu"], r"its hidden_act \['silu'\] isn't known here"),
        ("rope_scaling", {"rope_type": ["yarn"]}, r"scaled \(\['yarn'\]\)"),
    ],
)
def test_fields_of_the_wrong_kind_are_named(field: str, value: object, message: str, tmp_path: Path) -> None:
    their_model(case("Llama", "LlamaForCausalLM")).save_pretrained(tmp_path)
    change(tmp_path, load_file(tmp_path / "model.safetensors"), **{field: value})
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path)
