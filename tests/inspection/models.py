"""Small models and a tokenizer to look into, and one of transformers' with the same weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from groundup.nn.config import TransformerConfig
from groundup.nn.init import initialise
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

TEXT = "the cat sat on the mat, and a dög looked at it"


@cache
def tokenizer() -> Tokenizer:
    return train_bpe([TEXT * 20, "The mat was where the cat had sat.\n" * 20], 320)


def config(**switches: Any) -> TransformerConfig:
    shape = {
        "vocab_size": tokenizer().vocab_size, "width": 32, "layers": 3, "heads": 4, "kv_heads": 2, "head_dim": 8,
        "ffn_width": 48, "context_length": 128,
    }  # fmt: skip
    return TransformerConfig(**{**shape, **switches})


def drawn(shape: TransformerConfig, seed: int = 5) -> Transformer:
    """Weights larger than a fresh model's, so that heads differ and answers aren't all alike; norms not all 1."""
    model = Transformer(shape)
    initialise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 1:
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
            else:
                weight.mul_(2.5)
    return model.eval()


def llama(model: Transformer) -> Any:
    """transformers' Llama with the weights of `model`, whose attention can be read."""
    import transformers

    c = model.config
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=c.vocab_size, hidden_size=c.width, num_hidden_layers=c.layers, num_attention_heads=c.heads,
            num_key_value_heads=c.kv_heads, head_dim=c.head_dim, intermediate_size=c.ffn_width, rms_norm_eps=c.norm_eps,
            max_position_embeddings=c.context_length, tie_word_embeddings=False, attn_implementation="eager",
            rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
        )
    )  # fmt: skip
    state = {"model.embed_tokens.weight": "embedding.weight", "model.norm.weight": "final_norm.weight",
             "lm_head.weight": "head.weight"}  # fmt: skip
    parts = {
        "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn.gate",
        "mlp.up_proj": "ffn.up", "mlp.down_proj": "ffn.down",
        **{f"self_attn.{part}_proj": f"attention.{part}" for part in "qkvo"},
    }  # fmt: skip
    for layer in range(c.layers):
        state |= {f"model.layers.{layer}.{t}.weight": f"blocks.{layer}.{o}.weight" for t, o in parts.items()}
    ours = model.state_dict()
    theirs.load_state_dict({name: ours[own] for name, own in state.items()})
    return theirs.to(next(model.parameters()).dtype).eval()
