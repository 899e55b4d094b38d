"""Derivatives by hand against torch's autograd through torch's own functions, in float64.

Every call of `by_hand` runs in inference mode, where autograd records nothing: what agrees was computed by hand.
"""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from groundup.nn.by_hand import (
    activations,
    attention,
    attention_layer,
    block,
    check,
    cross_entropy,
    embedding,
    feed_forward,
    gated,
    layer_norm,
    linear,
    residual,
    rms_norm,
    rope,
    softmax,
)
from groundup.nn.config import Activation, decoder_config
from groundup.nn.transformer import Transformer

TOLERANCE = 1e-6  # of each tensor's largest number
SEEDS = st.integers(0, 2**20)
SIZE = st.integers(1, 5)
LEADING = st.lists(st.integers(1, 3), max_size=3)

TORCHS = {
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "identity": torch.clone,
}


class Numbers:
    """Normal float64 tensors, one after another, from a seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=self.generator)

    def whole(self, below: int, *shape: int) -> Tensor:
        return torch.randint(below, shape, generator=self.generator)

    def signs(self, *shape: int) -> Tensor:
        return self(*shape) > 0


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    largest = float(theirs.abs().max()) if theirs.numel() else 0.0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE * largest + 1e-12)


def assert_equals_autograd(
    forward: Callable[..., tuple[Tensor, Any]],
    backward: Callable[[Any, Tensor], Tensor | Sequence[Tensor | None]],
    torchs: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    numbers: Numbers,
) -> None:
    """Output, and the gradient of every input that is there, for a random upstream."""
    leaves = [None if x is None else x.clone().requires_grad_() for x in inputs]
    expected = torchs(*leaves)
    upstream = numbers(*expected.shape)
    wanted = [x for x in leaves if x is not None]
    theirs = iter(torch.autograd.grad(expected, wanted, upstream))
    with torch.inference_mode():
        output, saved = forward(*inputs)
        gradients = backward(saved, upstream)
    gradients = (gradients,) if isinstance(gradients, Tensor) else gradients
    assert_same(output, expected.detach())
    assert len(gradients) == len(inputs)
    for x, gradient in zip(inputs, gradients, strict=True):
        if x is None:
            assert gradient is None
            continue
        assert gradient is not None
        assert gradient.shape == x.shape
        assert_same(gradient, next(theirs))


@settings(deadline=None, max_examples=40)
@given(LEADING, SIZE, SIZE, st.booleans(), SEEDS)
def test_linear(leading: list[int], inputs: int, outputs: int, bias: bool, seed: int) -> None:
    n = Numbers(seed)
    tensors = (n(*leading, inputs), n(outputs, inputs), n(outputs) if bias else None)
    assert_equals_autograd(linear.forward, linear.backward, F.linear, tensors, n)


@settings(deadline=None, max_examples=40)
@given(LEADING, SIZE, SIZE, SEEDS)
def test_embedding(leading: list[int], vocabulary: int, width: int, seed: int) -> None:
    n = Numbers(seed)
    tokens = n.whole(vocabulary, *leading)
    assert_equals_autograd(
        lambda w: embedding.forward(tokens, w), embedding.backward, lambda w: F.embedding(tokens, w),
        [n(vocabulary, width)], n,
    )  # fmt: skip


@pytest.mark.parametrize("name", list(activations.ACTIVATIONS))
def test_activations_along_the_line(name: str) -> None:
    x = torch.cat((torch.linspace(-30, 30, 2001, dtype=torch.float64), torch.tensor([0.0, -1e4, 1e4]).double()))
    assert_equals_autograd(
        lambda x: activations.forward(x, name), activations.backward, TORCHS[name], [x], Numbers(0)
    )  # fmt: skip


def test_every_activation_of_configurations_has_its_derivative_here() -> None:
    assert set(get_args(Activation)) <= set(activations.ACTIVATIONS)


def test_an_unknown_activation_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="activation is 'swish'; set one of relu, relu2"):
        activations.forward(torch.zeros(1), "swish")


@settings(deadline=None, max_examples=30)
@given(LEADING, SIZE, st.sampled_from(list(activations.ACTIVATIONS)), SEEDS)
def test_gated_forms(leading: list[int], width: int, name: str, seed: int) -> None:
    n = Numbers(seed)
    assert_equals_autograd(
        lambda g, u: gated.forward(g, u, name), gated.backward, lambda g, u: TORCHS[name](g) * u,
        [n(*leading, width), n(*leading, width)], n,
    )  # fmt: skip


def test_glu_is_torchs() -> None:
    x = Numbers(0)(3, 8)
    up, gate = x.chunk(2, -1)  # torch's order
    torch.testing.assert_close(gated.forward(gate, up, gated.FORMS["GLU"])[0], F.glu(x))
    assert [gated.FORMS[form] for form in ("ReGLU", "GEGLU", "SwiGLU")] == ["relu", "gelu", "silu"]


SCALES = st.sampled_from([1e-3, 1.0, 1e3])  # of the row that is normed: the small one makes eps count


@settings(deadline=None, max_examples=40)
@given(LEADING, SIZE, st.booleans(), SCALES, st.sampled_from([1e-6, 1e-2]), SEEDS)
def test_rms_norm(leading: list[int], width: int, weight: bool, scale: float, eps: float, seed: int) -> None:
    n = Numbers(seed)
    assert_equals_autograd(
        lambda x, w: rms_norm.forward(x, w, eps), rms_norm.backward, lambda x, w: F.rms_norm(x, (width,), w, eps),
        [scale * n(*leading, width), n(width) if weight else None], n,
    )  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(LEADING, st.integers(2, 6), st.booleans(), SCALES, st.sampled_from([1e-5, 1e-2]), SEEDS)
def test_layer_norm(leading: list[int], width: int, bias: bool, scale: float, eps: float, seed: int) -> None:
    n = Numbers(seed)
    assert_equals_autograd(
        lambda x, w, b: layer_norm.forward(x, w, b, eps), layer_norm.backward,
        lambda x, w, b: F.layer_norm(x, (width,), w, b, eps),
        [scale * n(*leading, width), n(width), n(width) if bias else None], n,
    )  # fmt: skip


@settings(deadline=None, max_examples=20)
@given(LEADING, SEEDS)
def test_residual(leading: list[int], seed: int) -> None:
    n = Numbers(seed)
    inputs = [n(*leading, 3), n(*leading, 3), n()]
    assert_equals_autograd(residual.forward, residual.backward, lambda x, f, s: torch.add(x, f * s), inputs, n)


@settings(deadline=None, max_examples=40)
@given(LEADING, SIZE, st.sampled_from([0.1, 1.0, 30.0, 1e4]), SEEDS)
def test_softmax(leading: list[int], width: int, scale: float, seed: int) -> None:
    n = Numbers(seed)
    assert_equals_autograd(
        softmax.forward, softmax.backward, lambda x: F.softmax(x, -1), [scale * n(*leading, width)], n
    )  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(
    LEADING, st.integers(1, 7), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.0, 1e-4, 0.3]),
    st.sampled_from([1.0, 100.0]), SEEDS,
)  # fmt: skip
def test_cross_entropy(
    leading: list[int], vocabulary: int, smoothing: float, z_loss: float, scale: float, seed: int
) -> None:
    n = Numbers(seed)
    targets = n.whole(vocabulary, *leading).masked_fill(n.signs(*leading), cross_entropy.IGNORE)

    def torchs(logits: Tensor) -> Tensor:
        flat = logits.reshape(-1, vocabulary)
        nats = F.cross_entropy(flat, targets.reshape(-1), reduction="sum", label_smoothing=smoothing)
        log_z = logits.logsumexp(-1)[targets != cross_entropy.IGNORE]
        return nats + z_loss * log_z.square().sum()

    assert_equals_autograd(
        lambda x: cross_entropy.forward(x, targets, label_smoothing=smoothing, z_loss=z_loss),
        cross_entropy.backward, torchs, [scale * n(*leading, vocabulary)], n,
    )  # fmt: skip


def test_cross_entropy_counts_what_it_sums() -> None:
    targets = torch.tensor([[1, cross_entropy.IGNORE, 0]])
    logits = Numbers(0)(1, 3, 4)
    loss, saved = cross_entropy.forward(logits, targets)
    torch.testing.assert_close(loss / saved.counted.sum(), F.cross_entropy(logits[0], targets[0]))


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 3), SIZE, SIZE,
    st.sampled_from(["none", "causal", "any"]), st.sampled_from([None, 0.7]), st.sampled_from([None, 1.5]), SEEDS,
)  # fmt: skip
def test_attention(
    batch: int, kv_heads: int, group: int, new: int, past: int, head_dim: int, value_dim: int, masked: str,
    scale: float | None, softcap: float | None, seed: int,
) -> None:  # fmt: skip
    n = Numbers(seed)
    B, K, T, S, D, E = batch, kv_heads, new, past + new, head_dim, value_dim
    mask = {"none": None, "causal": attention.causal(T, S), "any": n.signs(B, 1, T, S)}[masked]
    inputs = [n(B, K * group, T, D), n(B, K, S, D), n(B, K, S, E)]

    def torchs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if softcap is None:
            return F.scaled_dot_product_attention(q, k, v, mask, scale=scale, enable_gqa=True)
        heads = []
        for h in range(K * group):
            a = q[:, h] @ k[:, h // group].transpose(1, 2) * (1 / math.sqrt(D) if scale is None else scale)
            c = softcap * torch.tanh(a / softcap)
            seen = torch.ones_like(c, dtype=torch.bool) if mask is None else mask.reshape(-1, T, S).expand_as(c)
            e = c.exp() * seen
            heads.append(e / (e.sum(-1, keepdim=True) + 1e-300) @ v[:, h // group])
        return torch.stack(heads, 1)

    assert_equals_autograd(
        lambda q, k, v: attention.forward(q, k, v, mask=mask, scale=scale, softcap=softcap), attention.backward,
        torchs, inputs, n,
    )  # fmt: skip


def test_a_causal_query_sees_keys_up_to_its_own_place() -> None:
    assert attention.causal(3, 3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert attention.causal(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]  # two new ones behind two cached ones


def test_attention_of_a_query_that_sees_nothing_is_zero_and_finite() -> None:
    n = Numbers(0)
    mask = torch.tensor([[True, True], [False, False]])
    y, saved = attention.forward(n(1, 1, 2, 4), n(1, 1, 2, 4), n(1, 1, 2, 4), mask=mask)
    d = attention.backward(saved, n(1, 1, 2, 4))
    assert y[0, 0, 1].eq(0).all()
    assert d.q[0, 0, 1].eq(0).all()
    assert all(torch.isfinite(x).all() for x in d)


def test_heads_that_kv_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"heads \(3\) is no multiple of kv_heads \(2\)"):
        attention.forward(torch.zeros(1, 3, 1, 2), torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2))


@settings(deadline=None, max_examples=30)
@given(LEADING, SIZE, st.integers(1, 4), st.sampled_from([100.0, 10000.0]), SEEDS)
def test_rope(leading: list[int], positions: int, pairs: int, theta: float, seed: int) -> None:
    n = Numbers(seed)
    at = n.whole(1000, positions)

    def torchs(x: Tensor) -> Tensor:  # a pair is a complex number, a turn a multiplication
        angles = at[:, None] * theta ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
        turned = torch.complex(*x.chunk(2, -1)) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat((turned.real, turned.imag), -1)

    by = rope.rotation(at, 2 * pairs, theta)
    assert_equals_autograd(
        lambda x: rope.forward(x, by), rope.backward, torchs, [n(*leading, positions, 2 * pairs)], n
    )  # fmt: skip


def test_an_odd_head_is_not_rotated() -> None:
    with pytest.raises(ValueError, match="head_dim is 5"):
        rope.rotation(torch.arange(3), 5)


# The chain: a block against autograd through the same mathematics, and a model against groundup.nn's own.


def flat(weights: block.Weights) -> list[Tensor | None]:
    """In the order of `block`'s picture."""
    return [weights.attention_norm, *weights.attention, weights.ffn_norm, *weights.ffn]


def nested(flat: Sequence[Tensor | None]) -> block.Weights:
    parts: list[Any] = list(flat)
    return block.Weights(
        parts[0], attention_layer.Weights(*parts[1:7]), parts[7], feed_forward.Weights(*parts[8:])
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 2), st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), SIZE, SIZE,
    st.booleans(), st.sampled_from(list(activations.ACTIVATIONS)), st.sampled_from([1.0, 0.25]), st.booleans(), SEEDS,
)  # fmt: skip
def test_block(
    batch: int, positions: int, kv_heads: int, group: int, pairs: int, width: int, ffn_width: int, causal: bool,
    activation: str, scale: float, norm_weights: bool, seed: int,
) -> None:  # fmt: skip
    n = Numbers(seed)
    B, T, H, K, D, C, hidden = batch, positions, kv_heads * group, kv_heads, 2 * pairs, width, ffn_width
    rotation, eps = rope.rotation(torch.arange(T), D), 1e-3

    def norm(size: int) -> Tensor | None:
        return n(size) if norm_weights else None

    weights = [
        norm(C), n(H * D, C), n(K * D, C), n(K * D, C), norm(D), norm(D), n(C, H * D),
        norm(C), n(hidden, C), n(hidden, C), n(C, hidden),
    ]  # fmt: skip

    def ours(x: Tensor, *weights: Tensor | None) -> tuple[Tensor, block.Saved]:
        mask = attention.causal(T, T) if causal else None
        return block.forward(
            x, nested(weights), rotation, mask, eps=eps, activation=activation, residual_scale=scale
        )  # fmt: skip

    def back(saved: block.Saved, upstream: Tensor) -> list[Tensor | None]:
        d = block.backward(saved, upstream)
        return [d.x, *flat(d.weights)]

    def torchs(x: Tensor, *weights: Tensor | None) -> Tensor:
        w = nested(weights)
        h = F.rms_norm(x, (C,), w.attention_norm, eps)

        def heads(weight: Tensor, norm: Tensor | None, turn: bool) -> Tensor:
            y = F.linear(h, weight).view(B, T, -1, D).transpose(1, 2)
            if not turn:
                return y
            y = F.rms_norm(y, (D,), norm, eps)
            half = torch.cat((-y[..., pairs:], y[..., :pairs]), -1)
            return y * rotation.cos.repeat(1, 2) + half * rotation.sin.repeat(1, 2)

        a = w.attention
        q, k, v = heads(a.q, a.q_norm, True), heads(a.k, a.k_norm, True), heads(a.v, None, False)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        m = x + scale * F.linear(y.transpose(1, 2).reshape(B, T, H * D), a.o)
        h = F.rms_norm(m, (C,), w.ffn_norm, eps)
        return m + scale * F.linear(TORCHS[activation](F.linear(h, w.ffn.gate)) * F.linear(h, w.ffn.up), w.ffn.down)

    assert_equals_autograd(ours, back, torchs, [n(B, T, C), *weights], n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_block_keeps_its_dtype_in_both_directions(dtype: torch.dtype) -> None:
    shapes = [(4,), (8, 4), (4, 4), (4, 4), (4,), (4,), (4, 8), (4,), (5, 4), (5, 4), (4, 5)]
    n = Numbers(0)
    x, weights = n(1, 3, 4).to(dtype), nested([n(*shape).to(dtype) for shape in shapes])
    y, saved = block.forward(x, weights, rope.rotation(torch.arange(3), 4), attention.causal(3, 3))
    d = block.backward(saved, torch.ones_like(y))
    assert {z.dtype for z in (y, d.x, *flat(d.weights)) if z is not None} == {dtype}


@pytest.mark.parametrize("kv_share", [1, 2, 4])
def test_all_gradients_of_a_whole_model_equal_those_of_groundups_own(kv_share: int) -> None:
    """Tokens → embedding → blocks → norm → logits → loss, and back to every parameter of `nn.Transformer`."""
    V, C, D, layers = 11, 32, 8, 2
    config = decoder_config(V, C, layers, head_dim=D, kv_share=kv_share, ffn_width=24, context_length=16)
    model = Transformer(config).double()
    n = Numbers(kv_share)
    for parameter in model.parameters():
        parameter.data.copy_(n(*parameter.shape) / math.sqrt(parameter.shape[-1]))
    tokens, targets = n.whole(V, 2, 7), n.whole(V, 2, 7)
    targets[0, 3] = cross_entropy.IGNORE
    expected = F.cross_entropy(model.logits(model(tokens)).flatten(0, 1), targets.flatten(), reduction="sum")
    expected.backward()

    w = {name: parameter.detach() for name, parameter in model.named_parameters()}
    ours: dict[str, Tensor | None] = {}
    parts = ("q.weight", "k.weight", "v.weight", "q_norm.weight", "k_norm.weight", "o.weight")
    names = [
        "attention_norm.weight", *(f"attention.{part}" for part in parts),
        "ffn_norm.weight", "ffn.gate.weight", "ffn.up.weight", "ffn.down.weight",
    ]  # fmt: skip
    with torch.inference_mode():
        rotation, mask = rope.rotation(torch.arange(7), D, config.rope_theta), attention.causal(7, 7)
        x, saved_embedding = embedding.forward(tokens, w["embedding.weight"])
        saved_blocks = []
        for i in range(layers):
            weights = nested([w[f"blocks.{i}.{name}"] for name in names])
            x, saved = block.forward(x, weights, rotation, mask, eps=config.norm_eps)
            saved_blocks.append(saved)
        x, saved_norm = rms_norm.forward(x, w["final_norm.weight"], config.norm_eps)
        logits, saved_head = linear.forward(x, w["embedding.weight"])
        loss, saved_loss = cross_entropy.forward(logits, targets)

        head = linear.backward(saved_head, cross_entropy.backward(saved_loss))
        norm = rms_norm.backward(saved_norm, head.x)
        ours["final_norm.weight"], d_x = norm.weight, norm.x
        for i in reversed(range(layers)):
            d = block.backward(saved_blocks[i], d_x)
            ours |= {f"blocks.{i}.{name}": gradient for name, gradient in zip(names, flat(d.weights), strict=True)}
            d_x = d.x
        # Tied: the table is used twice, as embedding and as head, so its two gradients are added.
        ours["embedding.weight"] = embedding.backward(saved_embedding, d_x) + head.weight

    assert_same(loss, expected.detach())
    assert set(ours) == set(w)
    for name, parameter in model.named_parameters():
        gradient = ours[name]
        assert gradient is not None
        assert parameter.grad is not None
        assert_same(gradient, parameter.grad)


# What the files say about the size of gradients.


def test_slopes_lie_where_the_table_says() -> None:
    x = torch.linspace(-40, 40, 800_001, dtype=torch.float64)
    bounds = {
        "relu": (0, 1), "sigmoid": (0, 0.25), "tanh": (0, 1), "gelu": (-0.13, 1.13), "gelu_tanh": (-0.13, 1.13),
        "silu": (-0.10, 1.10),
        "identity": (1.0, 1.0),
    }  # fmt: skip
    for name, (low, high) in bounds.items():
        slope = activations.named(name).slope(x)
        assert float(slope.min()) == pytest.approx(low, abs=0.005), name
        assert float(slope.max()) == pytest.approx(high, abs=0.005), name


def test_softmax_passes_little_when_saturated_and_its_gradients_sum_to_zero() -> None:
    n = Numbers(0)
    x, upstream = n(4, 6), n(4, 6)
    for scale in (1.0, 100.0):
        _, saved = softmax.forward(scale * x)
        d = softmax.backward(saved, upstream)
        torch.testing.assert_close(d.sum(-1), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-14)
    assert d.abs().max() < 1e-3


def test_cross_entropy_teaches_most_where_the_model_is_surely_wrong() -> None:
    logits = torch.tensor([[1000.0, 0, 0], [0, 1000, 0]], dtype=torch.float64)
    loss, saved = cross_entropy.forward(logits, torch.tensor([1, 1]))
    assert loss == 1000
    torch.testing.assert_close(cross_entropy.backward(saved), torch.tensor([[1.0, -1, 0], [0, 0, 0]]).double())


def test_norms_give_no_gradient_along_what_they_ignore() -> None:
    n = Numbers(0)
    x, weight, upstream = n(5, 8), n(8), n(5, 8)
    zeros = torch.zeros(5, dtype=torch.float64)
    for eps, allowed in ((0.0, 1e-13), (1e-6, 1e-4)):
        d = rms_norm.backward(rms_norm.forward(x, weight, eps)[1], upstream)
        torch.testing.assert_close((d.x * x).sum(-1), zeros, rtol=0, atol=allowed)
        layer = layer_norm.backward(layer_norm.forward(x, weight, None, eps)[1], upstream)
        torch.testing.assert_close((layer.x * (x - x.mean(-1, keepdim=True))).sum(-1), zeros, rtol=0, atol=allowed)
        torch.testing.assert_close(layer.x.sum(-1), zeros, rtol=0, atol=1e-13)
    twice = rms_norm.backward(rms_norm.forward(2 * x, weight, 0.0)[1], upstream)
    torch.testing.assert_close(twice.x, rms_norm.backward(rms_norm.forward(x, weight, 0.0)[1], upstream).x / 2)


def test_rope_keeps_the_length_of_gradients() -> None:
    upstream = Numbers(0)(2, 9, 6)
    turned = rope.backward(rope.rotation(torch.arange(9), 6), upstream)
    torch.testing.assert_close(turned.norm(dim=-1), upstream.norm(dim=-1))


def test_attentions_row_sums_need_no_pattern() -> None:
    n = Numbers(0)
    y, saved = attention.forward(n(2, 2, 5, 4), n(2, 2, 5, 4), n(2, 2, 5, 4), mask=attention.causal(5, 5))
    upstream = n(2, 2, 5, 4)
    with_pattern = (saved.pattern.p * (upstream @ saved.v.mT)).sum(-1)
    torch.testing.assert_close(with_pattern, (upstream * y).sum(-1))


def test_gradients_reach_the_bottom_of_residual_layers_and_not_of_plain_ones() -> None:
    n, layers, width = Numbers(0), 64, 16
    weights = [n(width, width) / (4 * math.sqrt(width)) for _ in range(layers)]
    top = n(3, width)
    plain = stream = top
    for weight in weights:
        _, saved_linear = linear.forward(torch.zeros_like(top), weight)
        plain = linear.backward(saved_linear, plain).x
        sum_ = residual.backward(residual.Saved(torch.zeros_like(top), 1 / math.sqrt(layers)), stream)
        stream = sum_.stream + linear.backward(saved_linear, sum_.branch).x
    assert plain.norm() < 1e-30 * top.norm()
    assert 0.5 * top.norm() < stream.norm() < 2 * top.norm()


@pytest.mark.parametrize("layers", [4, 64])
def test_the_stream_grows_with_depth_unless_branches_are_scaled(layers: int) -> None:
    n = Numbers(0)
    plain = scaled = n(10_000)
    for _ in range(2 * layers):
        branch = n(10_000)
        plain = residual.forward(plain, branch)[0]
        scaled = residual.forward(scaled, branch, 1 / math.sqrt(2 * layers))[0]
    assert float(plain.var()) == pytest.approx(1 + 2 * layers, rel=0.1)
    assert float(scaled.var()) == pytest.approx(2, rel=0.1)


# The check that learners are given.


def test_the_check_agrees_with_right_gradients_and_catches_wrong_ones() -> None:
    n = Numbers(0)
    x, weight = n(3, 5), n(5)
    assert max(check.gradient_errors(rms_norm.forward, rms_norm.backward, x, weight)) < 1e-8

    def without_projection(saved: rms_norm.Saved, upstream: Tensor) -> tuple[Tensor, Tensor | None]:
        return upstream * saved.weight * saved.scale, rms_norm.backward(saved, upstream).weight

    wrong, right = check.gradient_errors(rms_norm.forward, without_projection, x, weight)
    assert wrong > 0.1
    assert right < 1e-8


def test_the_check_measures_a_lone_gradient_and_attention() -> None:
    n = Numbers(1)
    assert check.gradient_errors(softmax.forward, softmax.backward, n(2, 4))[0] < 1e-8
    heads = n(1, 2, 3, 4), n(1, 1, 3, 4), n(1, 1, 3, 4)
    errors = check.gradient_errors(
        lambda q, k, v: attention.forward(q, k, v, mask=attention.causal(3, 3), softcap=2.0), attention.backward, *heads
    )
    assert max(errors) < 1e-8


def test_measured_slopes_are_those_of_calculus() -> None:
    x = torch.tensor([[-2.0, 0.5], [3.0, 10.0]], dtype=torch.float64).T  # no one run of memory
    before = x.clone()
    torch.testing.assert_close(check.numerical_gradient(lambda x: (x**3).sum(), x), 3 * x**2, rtol=1e-8, atol=0)
    assert x.equal(before)


def test_the_check_refuses_float32_and_gradients_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"pass x\.double\(\)"):
        check.numerical_gradient(torch.sum, torch.zeros(2))
    with pytest.raises(ValueError, match=r"the gradient is \(2,\), its input \(3,\)"):
        check.relative_error(torch.zeros(2), torch.zeros(3))


def test_the_example_in_the_check_runs() -> None:
    result = doctest.testmod(check)
    assert result.attempted >= 4
    assert result.failed == 0
