"""Eight-bit layers against whole numbers multiplied exactly, and against the model they were made from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.nn.int8 import ROWS, Int8Linear, largest_weight, to_int8
from tests.nn.test_config import SMALL
from tests.nn.test_transformer import random_model


@given(st.integers(1, 70), st.integers(2, 40), st.integers(1, 40), st.booleans(), st.floats(-6, 6))
@settings(deadline=None, max_examples=150)
def test_products_are_those_of_the_rounded_numbers(rows: int, inner: int, outer: int, bias: bool, size: float) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, weight = torch.randn(rows, inner, generator=generator) * 10**size, torch.randn(outer, inner, generator=generator)
    offset, most = torch.randn(outer, generator=generator) if bias else None, largest_weight()
    y = Int8Linear(weight, offset, most)(x)
    row_scale = (x.abs().amax(1, keepdim=True) / 127).double()
    scale = (weight.abs().amax(1) / most).double()
    whole = (x / row_scale.float()).round().double() @ (weight / scale[:, None].float()).round().double().T
    expected = whole * row_scale * scale + (0 if offset is None else offset.double())
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-6 * max(1.0, 10**size))


def test_errors_are_those_of_eight_bits() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3 * ROWS + 5, 384, generator=generator), torch.randn(96, 384, generator=generator)
    exact = F.linear(x, weight)
    error = float((Int8Linear(weight, None, largest_weight())(x) - exact).norm() / exact.norm())
    assert 0.001 < error < 0.02  # one part in 127, uniform: about .0065 of each factor


def test_a_row_is_its_own_whatever_stands_beside_it() -> None:
    layer = Int8Linear(torch.randn(8, 16), torch.randn(8), largest_weight())
    x = torch.randn(5, 16)
    loud = torch.cat([x, 1e6 * torch.randn(400, 16), torch.zeros(2, 16)])
    assert torch.equal(layer(loud)[:5], layer(x))
    assert torch.equal(layer(loud)[-2:], layer.bias.expand(2, -1))  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"fused_qkv": True},
        {"gated": False, "ffn_bias": True, "attention_bias": True, "attention_output_bias": True},
    ],
    ids=["plain", "fused", "biased"],
)
def test_a_model_in_eight_bits_says_nearly_the_same(switches: dict[str, object]) -> None:
    model = random_model(replace(SMALL, causal=False, **switches)).float().eval()
    tokens = torch.arange(24).view(2, 12) * 5 % 64
    with torch.inference_mode():
        exact = model(tokens)
        rounded = to_int8(model)(tokens)
    assert not torch.equal(exact, rounded)
    assert F.cosine_similarity(exact, rounded, dim=-1).min() > 0.98
