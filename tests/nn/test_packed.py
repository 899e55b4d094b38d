"""A packed model computes what the plain one does, row for row, and leaves it as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from groundup.nn.cache import KVCache
from groundup.nn.packed import PackedLinear, packed
from groundup.nn.transformer import Transformer
from tests.nn.test_config import SMALL
from tests.nn.test_transformer import random_model

CONFIGS = {
    "tied": {"tie_embeddings": True},
    "untied": {"tie_embeddings": False},
    "biases": {"tie_embeddings": False, "attention_bias": True, "ffn_bias": True, "head_bias": True},
    "fused": {"tie_embeddings": True, "fused_qkv": True},
    "softcap": {"tie_embeddings": True, "logit_softcap": 5.0},
}


def model(**choices: object) -> Transformer:
    return random_model(replace(SMALL, **choices)).float().eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 33])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_the_product_in_float64(rows: int, *, bias: bool) -> None:
    weight, x = torch.randn(50, 31), torch.randn(2, rows, 31)
    b = torch.randn(50) if bias else None
    exact = x.double() @ weight.double().T + (0 if b is None else b.double())
    torch.testing.assert_close(PackedLinear(weight, b)(x).double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_a_model_computes_the_same_with_and_without_a_cache(kind: str) -> None:
    plain = model(**CONFIGS[kind])
    quick = packed(plain)
    tokens = torch.randint(0, plain.config.vocab_size, (3, 20))
    expected = plain.logits(plain(tokens))
    torch.testing.assert_close(quick.logits(quick(tokens)), expected, rtol=1e-4, atol=1e-4)
    cache = KVCache.empty(plain.config, 3, 20, torch.float32, torch.device("cpu"))
    parts = [quick.logits(quick(part, cache=cache)) for part in torch.split(tokens, [9, 1, 1, 8, 1], 1)]
    torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=1e-4, atol=1e-4)
    assert any(isinstance(layer, PackedLinear) for layer in quick.modules())


def test_the_plain_model_stays_as_it_is_and_trains_on() -> None:
    plain = model(tie_embeddings=True)
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    quick = packed(plain)
    assert not any(isinstance(layer, PackedLinear) for layer in plain.modules())
    assert quick.embedding.weight is plain.embedding.weight
    plain.logits(plain(torch.tensor([[1, 2, 3]]))).sum().backward()
    assert all(parameter.grad is not None for parameter in plain.parameters())
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())


def test_what_can_not_be_packed_is_returned_as_it_is() -> None:
    for other in (model(tie_embeddings=True).double(), model(tie_embeddings=True).to(torch.bfloat16)):
        assert packed(other) is other
