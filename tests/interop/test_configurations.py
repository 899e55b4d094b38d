"""Configurations of Hugging Face folders: right or refused, field by field, in old keys and in new ones."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import ModelError
from groundup.interop.canonical import differences
from groundup.interop.folder_model import read_model
from groundup.interop.huggingface import has_masked_head, read_config, read_encoder_config, write_config
from groundup.nn.config import RopeScaling, TransformerConfig
from tests.interop.families import CASES, IDS, SIZES, answers, their_model
from tests.interop.published import PUBLISHED

transformers = pytest.importorskip("transformers")
FULL, SLIDING = "full_attention", "sliding_attention"
SHAPE = {
    "vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64,
}  # fmt: skip
GEMMA = {**SHAPE, "head_dim": 16, "num_key_value_heads": 4}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}


def read(values: dict[str, Any]) -> TransformerConfig:
    encoder = values["model_type"] in ("bert", "modernbert")
    return (read_encoder_config if encoder else read_config)(values, "config.json")


# -- every field there is --------------------------------------------------------------------------------------------

# Other values for fields whose kind alone doesn't say one
OTHERS: dict[str, list[Any]] = {
    "hidden_act": ["gelu_new", "gelu_fast", "quick_gelu", "mish"],
    "hidden_activation": ["silu", "gelu_10", "sigmoid"],
    "activation_function": ["tanh", "gelu_accurate"],
    "classifier_activation": ["relu"],
    "rope_parameters": [
        {"rope_type": "linear", "factor": 2.0},
        {"rope_type": "longrope", "factor": 2.0, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4},
        {"rope_type": "proportional", "partial_rotary_factor": 0.5},
        {FULL: {"rope_type": "linear", "factor": 2.0}, SLIDING: {"rope_type": "linear", "factor": 4.0}},
    ],
    "layer_types": [[SLIDING, FULL, FULL], ["chunked_attention"] * 3, ["linear_attention"] * 3],
    "num_key_value_heads": [4, None],
    "head_dim": [4, 20],
    "sliding_window": [3, 1, 0, None],
    "local_attention": [1, 3, 6],
    "attn_logit_softcapping": [2.0],
    "final_logit_softcapping": [2.0],
    "max_position_embeddings": [128],
    "n_positions": [128],
    "num_hidden_layers": [2],
    "num_attention_heads": [2],
    "n_head": [2],
    "n_layer": [2],
    "position_embedding_type": ["relative_key"],
    "use_sliding_window": [True],
    "chunk_size_feed_forward": [4],
    "dtype": ["float32"],
    "type_vocab_size": [4],
}
TOKENS = torch.arange(2 * 30).view(2, 30) * 7 % 96


def their_config(case: tuple[str, str, dict[str, Any]]) -> Any:
    return getattr(transformers, f"{case[0]}Config")(**copy.deepcopy(case[2]))  # transformers changes what it is given


def other_values(name: str, value: Any) -> list[Any]:
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value * 2, 1]
    return [value * 2 + 0.25] if isinstance(value, float) else []


@pytest.mark.parametrize("case", [CASES[i] for i in (0, 7, 9, 11, 12, 15, 18, 21)], ids=lambda case: case[0])
def test_any_field_is_right_or_refused(case: tuple[str, str, dict[str, Any]], tmp_path: Path) -> None:
    """Each field of transformers' configuration set to something else: the same numbers, or a refusal."""
    names = {field.name for field in dataclasses.fields(getattr(transformers, f"{case[0]}Config"))}
    assert len(names) > 20
    right, refused = set(), set()
    for name in sorted(names):
        present = getattr(their_config(case), name)
        for number, value in enumerate(other_values(name, present)):
            try:
                other = their_model((case[0], case[1], {**case[2], name: value}))
                with torch.no_grad():
                    expected = answers(other(TOKENS % other.config.vocab_size))
            except Exception:  # no model of theirs either, whatever they raise
                continue
            folder = tmp_path / f"{name}-{number}"
            other.save_pretrained(folder)
            try:
                model = read_model(folder)
            except ModelError:
                refused.add(name)
                continue
            with torch.no_grad():
                found = model.logits(model(TOKENS % model.config.vocab_size))
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3, msg=f"{name} = {value}")
            right.add(name)
    assert len(right) > 15
    assert refused


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_written_reads_as_the_same_model(case: tuple[str, str, dict[str, Any]]) -> None:
    config = their_config(case)
    config.architectures = [case[1]]
    ours = read_with_head(config.to_dict())
    assert read_with_head(json.loads(json.dumps(write_config(ours)))) == ours


def read_with_head(values: dict[str, Any]) -> TransformerConfig:
    if values["model_type"] in ("bert", "modernbert"):
        return read_encoder_config(values, "", head=has_masked_head(values))
    return read_config(values, "")


# -- old keys and new ones -------------------------------------------------------------------------------------------

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [  # (as transformers 4 writes it, as 5 does)
    (
        {"model_type": "llama", **SHAPE, "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
        {"model_type": "llama", **SHAPE, "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}},
    ),
    (
        {"model_type": "llama", **SHAPE, "rope_scaling": {"type": "linear", "factor": 2.0}, "torch_dtype": "float16"},
        {"model_type": "llama", **SHAPE, "rope_parameters": {"rope_type": "linear", "factor": 2.0}, "dtype": "float16"},
    ),
    (
        {"model_type": "qwen2", **SHAPE, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
        {
            "model_type": "qwen2", **SHAPE, "use_sliding_window": True, "sliding_window": 8,
            "layer_types": [FULL, FULL, SLIDING, SLIDING],
        },
    ),
    (
        {"model_type": "qwen3", **SHAPE, "use_sliding_window": False, "sliding_window": 8, "max_window_layers": 0},
        {"model_type": "qwen3", **SHAPE},
    ),
    (
        {
            "model_type": "gemma3_text", **GEMMA, "sliding_window": 9, "sliding_window_pattern": 3, "rope_theta": 2e6,
            "rope_local_base_freq": 5e3, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        },
        {
            "model_type": "gemma3_text", **GEMMA, "sliding_window": 9, "layer_types": [SLIDING, SLIDING, FULL, SLIDING],
            "rope_parameters": {
                FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
                SLIDING: {"rope_type": "default", "rope_theta": 5e3},
            },
        },
    ),
    (
        {
            "model_type": "modernbert", **SHAPE, "global_attn_every_n_layers": 2, "local_attention": 16,
            "global_rope_theta": 8e4, "local_rope_theta": 1e3, "position_embedding_type": "absolute",
            "layer_norm_eps": 1e-5, "num_key_value_heads": None,
        },
        {
            "model_type": "modernbert", **SHAPE, "layer_types": [FULL, SLIDING] * 2, "local_attention": 16,
            "rope_parameters": {FULL: {"rope_theta": 8e4}, SLIDING: {"rope_theta": 1e3}}, "num_key_value_heads": None,
        },
    ),
    ({"model_type": "modernbert", **SIZES}, {"model_type": "modernbert", **SIZES, "local_rope_theta": 10000.0}),
    (
        {"model_type": "gpt2", "vocab_size": 9, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 64, "n_ctx": 8},
        {
            "model_type": "gpt2", "vocab_size": 9, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
            "max_position_embeddings": 64,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), SAME, ids=[old["model_type"] for old, _ in SAME])
def test_old_keys_say_what_new_ones_say(old: dict[str, Any], new: dict[str, Any]) -> None:
    """And both what transformers makes of the old ones."""
    found = transformers.AutoConfig.for_model(**json.loads(json.dumps(old))).to_dict()
    assert read(old) == read(new) == read(found)


def test_windows_are_distances() -> None:
    assert read({"model_type": "mistral", **SHAPE, "sliding_window": 16}).windows == (15,) * 4
    assert read({"model_type": "mistral", **SHAPE, "sliding_window": None}).windows == ()
    assert read({"model_type": "mistral", **SHAPE}).windows == (4095,) * 4  # transformers' default
    bert = {"model_type": "modernbert", **SIZES}
    assert read({**bert, "local_attention": 9}).windows == (0, 4, 4)


def test_yarn_factor_and_temperature_are_inferred_as_in_transformers() -> None:
    yarn = {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 16}
    found = read({"model_type": "llama", **SHAPE, "rope_parameters": yarn}).rope_scaling
    assert found is not None
    assert (found.factor, round(found.attention_factor, 6)) == (4.0, 1.138629)
    assert (found.beta_fast, found.beta_slow, found.whole_bounds) == (32.0, 1.0, True)
    both = {**yarn, "mscale": 1.0, "mscale_all_dim": 0.5}
    found = read({"model_type": "llama", **SHAPE, "rope_parameters": both}).rope_scaling
    assert found is not None
    assert round(found.attention_factor, 6) == 1.064822


# -- published models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_read_to_the_last_weight(name: str) -> None:
    values, weights = PUBLISHED[name]
    shape = read_with_head(values)
    assert shape.parameters() == weights
    assert write_config(shape)["model_type"] == values["model_type"]
    with torch.device("meta"):
        config = transformers.AutoConfig.for_model(**json.loads(json.dumps(values)))
        other = getattr(transformers, values["architectures"][0])(config)
    assert sum(parameter.numel() for parameter in other.parameters()) == weights


# -- what is refused -------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "mamba"}, "architecture 'mamba' isn't known here"),
    ({"model_type": "gemma3"}, "architecture 'gemma3' isn't known here. Bring its text model"),
    ({"model_type": "bert"}, "architecture 'bert' isn't known here. Bring one of gemma3_text, gpt2, llama"),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling.low_freq_factor is missing"),
    ({"rope_scaling": {"rope_type": "longrope", "factor": 8.0}}, "rotary positions are scaled .longrope."),
    ({"rope_scaling": {"type": "su", "rope_type": "linear"}}, "rotary positions are scaled .linear and su."),
    ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6}}, "rope_parameters.factor is missing"),
    ({"rope_parameters": {"rope_type": "linear", "factor": 0.5}}, "rope_scaling.factor is 0.5"),
    ({"rope_parameters": {"rope_type": "linear", "factor": "2"}}, "rope_parameters.factor is '2', not a number"),
    ({"rope_parameters": {"mrope_section": [2, 3, 3]}}, "rope_parameters.mrope_section isn't known here for default"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "rotates 0.5 of a head"),
    ({"partial_rotary_factor": 0.25}, "rotates 0.25 of a head"),
    ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}}, "says two things of its rotary positions"),
    (
        {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "linear", "factor": 4.0}},
        "says two things of its rotary positions",
    ),
    (
        {"rope_scaling": {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 16}},
        "original_max_position_embeddings is 16, max_position_embeddings 64",
    ),
    ({"quantization_config": {"quant_method": "gptq"}}, "weights are quantised .gptq."),
    ({"auto_map": {"AutoModel": "modeling_x.X"}}, "brings code of its own .auto_map."),
    ({"architectures": ["LlamaForSequenceClassification"]}, "its class is LlamaForSequenceClassification"),
    ({"hidden_act": "mish"}, "hidden_act 'mish'"),
    ({"hidden_size": "wide"}, "hidden_size is 'wide'"),
    ({"hidden_size": None}, "hidden_size is missing"),
    ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes', not true or false"),
    ({"num_key_value_heads": 3}, "heads .4. is no multiple of kv_heads .3."),
    ({"num_local_experts": 8}, "num_local_experts is '8', a field of llama that isn't known here"),
    ({"rope_interleaved": True}, "rope_interleaved is 'True', a field of llama that isn't known here"),
    ({"logits_scaling": 8.0}, "take logits_scaling out of the file if it changes nothing"),
    ({"layer_types": [SLIDING] * 4}, "layer_types names sliding_attention, which llama has not"),
    ({"model_type": "mistral", "sliding_window": 1}, "sliding_window is 1 in layers that have one"),
    ({"model_type": "mistral", "attention_bias": True}, "attention_bias is 'True', a field of mistral"),
    ({"model_type": "qwen2", "layer_types": [SLIDING, FULL] * 2}, "sliding_window is None in layers"),
    ({"model_type": "qwen2", "layer_types": ["chunked_attention"] * 4}, "layer_types is .'chunked_attention'"),
]
OF_GEMMA: list[tuple[dict[str, Any], str]] = [
    ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0"),
    ({"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
    ({"rope_parameters": {"rope_type": "default"}}, "rope_parameters.rope_type isn't known here"),
    ({"rope_parameters": {SLIDING: {"rope_type": "linear", "factor": 2.0}}}, "a rotary scaling of their own"),
    ({"_sliding_window_pattern": 4}, "_sliding_window_pattern is 4 without layer_types"),
]  # fmt: skip
OF_ENCODERS: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "bert", "is_decoder": True}, "is_decoder is True"),
    ({"model_type": "bert", "pruned_heads": {"0": [1]}}, "pruned_heads is"),
    ({"model_type": "bert", "hidden_size": 30}, "width 30 is no multiple of its 4 heads"),
    ({"model_type": "modernbert", "local_attention": 1}, "local_attention is 1"),
    ({"model_type": "llama"}, "architecture 'llama' isn't known here"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_is_not_carried_exactly_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        read_config({"model_type": "llama", **SHAPE, **changes}, "config.json")
    assert caught.value.place == "config.json"
    assert caught.value.mend


@pytest.mark.parametrize(("changes", "message"), OF_GEMMA)
def test_of_gemma_3_too(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_config({"model_type": "gemma3_text", **GEMMA, **changes}, "config.json")


@pytest.mark.parametrize(("changes", "message"), OF_ENCODERS)
def test_of_encoders_too(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_encoder_config({**SIZES, **changes}, "config.json")


def test_what_is_switched_off_or_says_nothing_is_no_reason() -> None:
    plain = {"model_type": "llama", **SHAPE}
    off = {"use_mrope": False, "expert_layers": [], "logit_cap": None, "rope_interleaved": False, "task_config": {}}
    nothing = {"transformers_version": "4.40", "unsloth_version": "2026.1", "hidden_dropout": 0.1, "pretraining_tp": 4}
    assert read({**plain, **off, **nothing}) == read(plain)


KEYS = sorted(
    {key for values, _ in PUBLISHED.values() for key in values if key != "model_type"}
    | {"rope_parameters", "layer_types", "pad_token_id", "_sliding_window_pattern", "partial_rotary_factor", "n_inner"}
)
ROPE_KEYS = ["rope_type", "type", "factor", "rope_theta", "original_max_position_embeddings", "mscale", FULL, SLIDING]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70) | st.floats() | st.sampled_from(["yarn", "dynamic", FULL, "gelu"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(ROPE_KEYS), inner, max_size=5),
    max_leaves=8,
)


@given(st.sampled_from(sorted(PUBLISHED)), st.dictionaries(st.sampled_from(KEYS), ANYTHING, min_size=1, max_size=4))
@settings(max_examples=500, deadline=None)
def test_whatever_stands_in_the_file_it_is_read_or_refused(name: str, changes: dict[str, Any]) -> None:
    """Nothing escapes as another error; and what is read is written as the same model, or refused."""
    try:
        config = read_with_head({**PUBLISHED[name][0], **changes})
        written = write_config(config)
    except ModelError:
        return
    assert not differences(config, read_with_head(written))


# -- what is written -------------------------------------------------------------------------------------------------


def test_old_readers_find_bases_and_scalings_where_they_look() -> None:
    llama = read({"model_type": "llama", **SHAPE, "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **LLAMA3}})
    written = write_config(llama)
    assert (written["rope_theta"], written["rope_scaling"]) == (5e5, {"rope_type": "llama3", **LLAMA3})
    gemma = write_config(read(SAME[4][0]))
    assert (gemma["rope_theta"], gemma["rope_local_base_freq"], gemma["rope_scaling"]["factor"]) == (2e6, 5e3, 8.0)
    bert = write_config(read(SAME[5][0]))
    assert [bert[name] for name in ("global_rope_theta", "local_rope_theta", "global_attn_every_n_layers")] == [
        8e4, 1e3, 2,
    ]  # fmt: skip


def test_what_can_be_said_in_two_ways_is_written_all_the_same() -> None:
    plain = TransformerConfig(96, 32, 2, 4, 2, 8, 48, 64)
    for changes in (
        {"windows": (0, 0)}, {"attention_scale": 8**-0.5}, {"norm_bias": False}, {"dropout": 0.1, "fused_qkv": True},
        {"initialisation": "xavier"}, {"head_transform_bias": False},
    ):  # fmt: skip
        assert write_config(dataclasses.replace(plain, **changes)) == {
            **write_config(plain), "attention_dropout": 0.0,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": (3, 5)}, r"windows=\(3, 5\)"),
        ({"rope_interleaved": True, "rope_share": 0.5}, "lacks rope_share=0.5, rope_interleaved=True"),
        ({"attention_softcap": 3.0}, "lacks attention_softcap=3.0"),
        ({"norm_weight": False}, "lacks norm_weight=False"),
        ({"rope_scaling": RopeScaling("dynamic", 2.0, 16)}, "lacks rope_scaling=RopeScaling.kind='dynamic'"),
    ],
)
def test_what_no_family_has_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    config = TransformerConfig(96, 32, 2, 4, 2, 8, 48, 64, tie_embeddings=False)
    with pytest.raises(ModelError, match=message):
        write_config(dataclasses.replace(config, **changes))
