"""Small models of every family, with random weights and the switches that change what is computed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")

VOCABULARY = 96
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 40, "max_position_embeddings": 64, "pad_token_id": None, "bos_token_id": None,
    "eos_token_id": None,
}  # fmt: skip
GROUPED = {**SIZES, "num_key_value_heads": 2, "rms_norm_eps": 1e-5}
GPT2 = {
    "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "bos_token_id": None,
    "eos_token_id": None,
}  # fmt: skip
FULL, SLIDING = "full_attention", "sliding_attention"

LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e3, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 5e3, "factor": 4.0, "original_max_position_embeddings": 16}


def nested(full: dict[str, Any], sliding: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"rope_parameters": {FULL: full, SLIDING: sliding or {"rope_type": "default", "rope_theta": 300.0}}}


# (class of the configuration, class of the model, settings); texts have 48 tokens, so that 16 positions are exceeded
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("Llama", "LlamaForCausalLM", {**GROUPED, "rope_parameters": {"rope_type": "default", "rope_theta": 5e3}}),
    ("Llama", "LlamaForCausalLM", {
        **GROUPED, "attention_bias": True, "mlp_bias": True, "head_dim": 12, "tie_word_embeddings": True,
        "num_key_value_heads": 4,
    }),
    ("Llama", "LlamaForCausalLM", {
        **GROUPED, "rope_parameters": {**LLAMA3, "original_max_position_embeddings": 16}, "num_key_value_heads": 1,
    }),
    ("Llama", "LlamaForCausalLM", {
        **GROUPED, "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4}, "hidden_act": "gelu",
    }),
    ("Llama", "LlamaForCausalLM", {
        **GROUPED, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
        "max_position_embeddings": 16,
    }),
    ("Llama", "LlamaForCausalLM", {**GROUPED, "rope_parameters": {**YARN, "truncate": False, "beta_fast": 8}}),
    ("Mistral", "MistralForCausalLM", {**GROUPED, "sliding_window": None, "head_dim": 16}),
    ("Mistral", "MistralForCausalLM", {**GROUPED, "sliding_window": 7, "tie_word_embeddings": True}),
    ("Qwen2", "Qwen2ForCausalLM", {**GROUPED, "tie_word_embeddings": True}),
    ("Qwen2", "Qwen2ForCausalLM", {
        **GROUPED, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1,
        "rope_parameters": {**YARN, "attention_factor": 1.3},
    }),
    ("Qwen3", "Qwen3ForCausalLM", {**GROUPED, "head_dim": 16}),
    ("Qwen3", "Qwen3ForCausalLM", {
        **GROUPED, "head_dim": 8, "attention_bias": True, "tie_word_embeddings": True, "use_sliding_window": True,
        "sliding_window": 9, "layer_types": [SLIDING, FULL, SLIDING],
    }),
    ("Gemma3Text", "Gemma3ForCausalLM", {
        **GROUPED, "head_dim": 16, "sliding_window": 5, "layer_types": [SLIDING, FULL, SLIDING],
        **nested({"rope_type": "linear", "factor": 8.0, "rope_theta": 2e4}),
    }),
    ("Gemma3Text", "Gemma3ForCausalLM", {
        **GROUPED, "head_dim": 12, "sliding_window": 8, "query_pre_attn_scalar": 24, "final_logit_softcapping": 5.0,
        "attention_bias": True, "tie_word_embeddings": False, "num_key_value_heads": 1, "hidden_size": 36,
    }),
    ("Gemma3Text", "Gemma3ForCausalLM", {
        **GROUPED, "head_dim": 16, "layer_types": [FULL] * 3, "query_pre_attn_scalar": 16, **nested(YARN),
    }),
    ("GPT2", "GPT2LMHeadModel", GPT2),
    ("GPT2", "GPT2LMHeadModel", {
        **GPT2, "n_inner": 56, "tie_word_embeddings": False, "activation_function": "relu", "n_head": 2,
    }),
    ("GPT2", "GPT2LMHeadModel", {**GPT2, "scale_attn_weights": False, "embd_pdrop": 0.0, "resid_pdrop": 0.2}),
    ("Bert", "BertForMaskedLM", SIZES),
    ("Bert", "BertForMaskedLM", {
        **SIZES, "tie_word_embeddings": False, "hidden_act": "gelu_new", "type_vocab_size": 3, "num_attention_heads": 2,
    }),
    ("Bert", "BertModel", {**SIZES, "hidden_act": "relu"}),
    ("ModernBert", "ModernBertForMaskedLM", {**SIZES, "local_attention": 8}),
    ("ModernBert", "ModernBertForMaskedLM", {
        **SIZES, "local_attention": 7, "attention_bias": True, "mlp_bias": True, "norm_bias": True,
        "classifier_bias": True, "tie_word_embeddings": False, "num_attention_heads": 2,
    }),
    ("ModernBert", "ModernBertForMaskedLM", {
        **SIZES, "layer_types": [SLIDING, SLIDING, FULL], "local_attention": 10, "decoder_bias": False,
        **nested({**YARN, "original_max_position_embeddings": 24}),
    }),
    ("ModernBert", "ModernBertModel", {**SIZES, "layer_types": [FULL] * 3, "hidden_activation": "silu"}),
]  # fmt: skip
IDS = [f"{config}-{number}" for number, (config, _, _) in enumerate(CASES)]


def their_model(case: tuple[str, str, dict[str, Any]], seed: int = 0) -> Any:
    """In fp32, evaluation mode; weights that keep the stream's scale, norms and biases away from 1 and 0."""
    config, model, settings = copy.deepcopy(case)  # transformers changes what it is given
    built = getattr(transformers, model)(getattr(transformers, f"{config}Config")(**settings)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            ones = name.endswith("weight") and parameter.dim() == 1 and config != "Gemma3Text"
            parameter.copy_(drawn * 0.2 + ones)
        if model == "BertForMaskedLM":
            built.cls.predictions.bias.copy_(
                built.cls.predictions.decoder.bias
            )  # one in tied models, and in older ones
    return built


def answers(output: Any) -> torch.Tensor:
    """Logits, or hidden states of a bare model."""
    found = getattr(output, "logits", None)
    return output.last_hidden_state if found is None else found
