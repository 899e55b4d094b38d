"""Masks against rules spelled out one pair at a time, and what a whole model sees of each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.nn import blocked
from groundup.nn.attend import WINDOW_STEP, attend, bias_of, reference_attention, shown
from groundup.nn.cache import KVCache
from groundup.nn.config import TransformerConfig
from groundup.nn.flex import flex_attend
from groundup.nn.masks import Mask
from tests.nn.reference import forward
from tests.nn.test_config import SMALL
from tests.nn.test_transformer import random_model


@st.composite
def masks(draw: st.DrawFn) -> tuple[Mask, int]:
    batch, new = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    ragged = draw(st.booleans())
    pasts = draw(st.lists(st.integers(0, 5), min_size=batch, max_size=batch))
    past = torch.tensor(pasts) if ragged else pasts[0]
    keys = new + max(pasts if ragged else pasts[:1])
    rows = st.lists(st.integers(0, 2), min_size=keys, max_size=keys)
    mask = Mask(
        new,
        past,
        causal=draw(st.booleans()),
        window=draw(st.integers(0, 4)),
        prefix=torch.tensor(draw(st.lists(st.integers(0, keys), min_size=batch, max_size=batch)))
        if draw(st.booleans())
        else None,
        real=torch.tensor([draw(rows) for _ in range(batch)]) > 0 if draw(st.booleans()) else None,
        documents=torch.tensor([sorted(draw(rows)) for _ in range(batch)]) if draw(st.booleans()) else None,
    )
    return mask, batch


@given(masks())
@settings(deadline=None, max_examples=300)
def test_dense_masks_follow_the_rules_pair_by_pair(case: tuple[Mask, int]) -> None:
    mask, batch = case
    dense = mask.dense(batch, torch.device("cpu")).expand(batch, 1, mask.new, mask.keys)
    for b in range(batch):
        past = mask.past if isinstance(mask.past, int) else int(mask.past[b])
        for t in range(mask.new):
            for s in range(mask.keys):
                at, allowed = past + t, True
                if mask.causal and s > at:
                    allowed = mask.prefix is not None and max(s, at) < int(mask.prefix[b])
                if mask.window and abs(at - s) > mask.window:
                    allowed = False
                if mask.real is not None and not bool(mask.real[b, s]):
                    allowed = False
                if mask.documents is not None and at < mask.keys and mask.documents[b, at] != mask.documents[b, s]:
                    allowed = False
                assert bool(dense[b, 0, t, s]) == (allowed or s == at)


@given(masks(), st.booleans(), st.sampled_from([0.0, 1.5]), st.sampled_from([(4, 2), (4, 4), (6, 1)]))
@settings(deadline=None, max_examples=200)
def test_the_fast_way_equals_the_paper(
    case: tuple[Mask, int], alibi: bool, softcap: float, heads: tuple[int, int]
) -> None:
    mask, batch = case
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(batch, heads[0], mask.new, 8, generator=generator)
    k, v = (torch.randn(batch, heads[1], mask.keys, 8, generator=generator) for _ in range(2))
    bias = bias_of(mask, batch, heads[0] * alibi, q.dtype, q.device)
    fast = attend(q, k, v, mask, bias, scale=0.4, softcap=softcap, dropout=0.0)
    whole = bias_of(replace(mask), batch, heads[0] * alibi, torch.float64, q.device)
    slow = reference_attention(q.double(), k.double(), v.double(), shown(mask, whole, q), scale=0.4, softcap=softcap)
    torch.testing.assert_close(fast.double(), slow, rtol=0, atol=1e-5)


@given(masks(), st.booleans(), st.sampled_from([(4, 2), (4, 4), (6, 1)]), st.integers(1, 40), st.integers(1, 4))
@settings(deadline=None, max_examples=200)
def test_blocks_and_their_gradients_equal_the_paper(
    case: tuple[Mask, int], alibi: bool, heads: tuple[int, int], scores: int, block: int
) -> None:
    """Blocks so small that rows, queries and keys are all cut."""
    mask, batch = case
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, heads[0], mask.new, 8), (batch, heads[1], mask.keys, 8), (batch, heads[1], mask.keys, 8)]
    q, k, v = (torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes)
    upstream = torch.randn(shapes[0], generator=generator, dtype=torch.float64)
    bias = bias_of(mask, batch, heads[0] * alibi, q.dtype, q.device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocked, "SCORES", scores)
        patch.setattr(blocked, "CAUSAL_BLOCK", block)
        patch.setattr(blocked, "MIN_BLOCK", 1)
        y = blocked.blocked_attention(q, k, v, mask, bias, 0.4)
        ours = torch.autograd.grad(y, (q, k, v), upstream)
    expected = reference_attention(q, k, v, shown(mask, bias, q), scale=0.4)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    for mine, theirs in zip(ours, torch.autograd.grad(expected, (q, k, v), upstream), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


BF16 = 2**-7  # of the largest number: inputs, patterns and results are rounded to 8 bits each, errors of half a unit


@given(masks(), st.booleans(), st.booleans(), st.sampled_from([(4, 2), (4, 4), (6, 1)]))
@settings(deadline=None, max_examples=100)
def test_bf16_is_as_near_to_the_paper_as_its_eight_bits(
    case: tuple[Mask, int], alibi: bool, trains: bool, heads: tuple[int, int]
) -> None:
    """What `attend` takes in bf16, with gradients and without, against float64 on the same rounded inputs."""
    mask, batch = case
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, heads[0], mask.new, 8), (batch, heads[1], mask.keys, 8), (batch, heads[1], mask.keys, 8)]
    rounded = [torch.randn(shape, generator=generator).bfloat16().requires_grad_(trains) for shape in shapes]
    exact = [x.detach().double().requires_grad_(trains) for x in rounded]
    bias = bias_of(mask, batch, heads[0] * alibi, torch.bfloat16, torch.device("cpu"))
    with torch.set_grad_enabled(trains):
        ours = attend(*rounded, mask, bias, scale=0.35, softcap=0.0, dropout=0.0)
        whole = bias_of(mask, batch, heads[0] * alibi, torch.float64, torch.device("cpu"))
        expected = reference_attention(*exact, shown(mask, whole, exact[0]), scale=0.35)
    near = BF16 * (4 if alibi else 1)  # ALiBi's own distances are rounded too
    assert (ours.double() - expected).abs().max() <= near * expected.abs().max()
    if trains:
        upstream = torch.randn(shapes[0], generator=generator).bfloat16()
        mine = torch.autograd.grad(ours, rounded, upstream)
        for one, other in zip(mine, torch.autograd.grad(expected, exact, upstream.double()), strict=True):
            assert (one.double() - other).abs().max() <= 2 * near * max(1.0, float(other.abs().max()))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@given(masks(), st.booleans(), st.sampled_from([0.0, 1.5]), st.sampled_from([(4, 2), (4, 4)]))
@settings(deadline=None, max_examples=15)
def test_flex_attention_reads_the_same_rules(
    case: tuple[Mask, int], alibi: bool, softcap: float, heads: tuple[int, int]
) -> None:
    """Its uncompiled form, which any processor runs."""
    mask, batch = case
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(batch, heads[0], mask.new, 8, generator=generator)
    k, v = (torch.randn(batch, heads[1], mask.keys, 8, generator=generator) for _ in range(2))
    flexible = flex_attend(q, k, v, mask, scale=0.4, softcap=softcap, alibi_heads=heads[0] * alibi)
    bias = bias_of(mask, batch, heads[0] * alibi, q.dtype, q.device)
    expected = reference_attention(q, k, v, shown(mask, bias, q), scale=0.4, softcap=softcap)
    torch.testing.assert_close(flexible, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("alibi", [0, 4])
def test_sliced_windows_equal_whole_ones(causal: bool, alibi: int) -> None:
    """Rows long enough that `attend` cuts them."""
    mask = Mask(3 * WINDOW_STEP + 17, 60, causal, window=50)
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, mask.new, 8, generator=generator, dtype=torch.float64)
    k, v = (torch.randn(2, 2, mask.keys, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    bias = bias_of(mask, 2, alibi, q.dtype, q.device)
    fast = attend(q, k, v, mask, bias, scale=0.3, softcap=0.0, dropout=0.0)
    torch.testing.assert_close(fast, reference_attention(q, k, v, bias, scale=0.3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("position", ["rope", "learned", "sinusoidal", "alibi", "none"])
@pytest.mark.parametrize("causal", [True, False])
def test_packed_documents_never_see_each_other(position: str, causal: bool) -> None:
    model = random_model(replace(SMALL, position=position, causal=causal, windows=(2, 0)))
    texts = [[5, 6, 7, 1], [9], [8, 7, 6, 5, 4]]
    row = torch.tensor([[token for text in texts for token in text]])
    documents = torch.tensor([[number for number, text in enumerate(texts) for _ in text]])
    with torch.no_grad():
        together = model(row, documents=documents)[0]
        alone = torch.cat([model(torch.tensor([text]))[0] for text in texts])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("position", ["rope", "learned", "sinusoidal", "alibi"])
@pytest.mark.parametrize("causal", [True, False])
def test_padding_at_the_left_changes_nothing(position: str, causal: bool) -> None:
    model = random_model(replace(SMALL, position=position, causal=causal, windows=(0, 3)))
    rows = [[5, 6, 7], [1], [9, 8, 7, 6, 5, 4, 3]]
    padded = torch.tensor([[63] * (9 - len(row)) + row for row in rows])
    real = torch.tensor([[False] * (9 - len(row)) + [True] * len(row) for row in rows])
    with torch.no_grad():
        together = model(padded, real=real)
        assert torch.isfinite(together).all()
        for number, row in enumerate(rows):
            alone = model(torch.tensor([row]))[0]
            torch.testing.assert_close(together[number, 9 - len(row) :], alone, rtol=0, atol=1e-12)


def test_a_prefix_is_seen_whole_and_the_rest_is_causal() -> None:
    model = random_model(SMALL)
    tokens = [5, 6, 7, 1, 9, 8]
    with torch.no_grad():
        hidden = model(torch.tensor([tokens, tokens]), prefix=torch.tensor([3, 0]))
    torch.testing.assert_close(hidden[0], forward(model, tokens, prefix=3)[0], rtol=0, atol=1e-10)
    torch.testing.assert_close(hidden[1], forward(model, tokens)[0], rtol=0, atol=1e-10)


CACHED: list[dict[str, object]] = [{"position": position} for position in ("rope", "learned", "alibi", "sinusoidal")]
CACHED += [{"windows": (2, 0)}, {"windows": (3, 5), "position": "alibi"}, {"attention_softcap": 2.0, "windows": (1, 0)}]


@pytest.mark.parametrize("switches", CACHED, ids=lambda switches: "-".join(map(str, switches.values())))
def test_rows_of_different_lengths_share_a_cache(switches: dict[str, object]) -> None:
    """Prompts padded at the right, then one token, then several, then drafts that are rejected, each row by itself."""
    model = random_model(replace(SMALL, **switches))
    prompts = [[5, 6, 7], [1], [9, 8, 7, 6, 5, 4]]
    steps = [[[3], [4], [5]], [[1, 2], [3, 4], [5, 6]], [[7, 8, 9], [1, 1, 1], [2, 2, 2]]]
    cache = KVCache.empty(model.config, 3, 14, torch.float64)
    rows = [list(prompt) for prompt in prompts]
    with torch.no_grad():
        model(torch.tensor([row + [63] * (6 - len(row)) for row in prompts]), cache=cache)
        cache.set_lengths(torch.tensor([len(row) for row in rows]))
        for step in steps:
            hidden = model(torch.tensor(step), cache=cache)
            for number, (row, new) in enumerate(zip(rows, step, strict=True)):
                row += new
                alone = model(torch.tensor([row]))[0, -len(new) :]
                torch.testing.assert_close(hidden[number], alone, rtol=0, atol=1e-12)
        kept = [len(row) - back for row, back in zip(rows, (2, 0, 1), strict=True)]
        cache.set_lengths(torch.tensor(kept))
        hidden = model(torch.tensor([[11], [12], [13]]), cache=cache)
        for number, (row, length) in enumerate(zip(rows, kept, strict=True)):
            alone = model(torch.tensor([[*row[:length], 11 + number]]))[0, -1]
            torch.testing.assert_close(hidden[number, 0], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("switches", CACHED[4:], ids=lambda switches: "-".join(map(str, switches.values())))
def test_windows_reach_into_the_cache(switches: dict[str, object]) -> None:
    model = random_model(replace(SMALL, **switches))
    tokens = torch.arange(30).view(2, 15) * 7 % 64
    cache = KVCache.empty(model.config, 2, 16, torch.float64)
    with torch.no_grad():
        whole = model(tokens)
        parts = [model(part, cache=cache) for part in tokens.split([6, 1, 1, 1, 4, 2], 1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)


def test_a_cache_refuses_what_it_does_not_know() -> None:
    model = random_model(SMALL)
    cache = KVCache.empty(model.config, 2, 8, torch.float64)
    with pytest.raises(ValueError, match="a cache knows lengths alone"):
        model(torch.tensor([[1, 2], [3, 4]]), real=torch.tensor([[True, True], [True, False]]), cache=cache)
    model(torch.tensor([[1, 2], [3, 4]]), cache=cache)
    with pytest.raises(ValueError, match="lengths must be 2 numbers"):
        cache.set_lengths(torch.tensor([1, 3]))


def test_gradients_of_both_ways_agree() -> None:
    mask = Mask(9, 0, True, window=3, documents=torch.tensor([[0] * 4 + [1] * 5]))
    generator = torch.Generator().manual_seed(0)
    gradients = []
    for way in ("fast", "paper"):
        q, k, v = (torch.randn(1, h, 9, 4, generator=generator.manual_seed(h), dtype=torch.float64) for h in (4, 2, 2))
        for x in (q, k, v):
            x.requires_grad_()
        bias = bias_of(mask, 1, 0, q.dtype, q.device)
        if way == "fast":
            y = attend(q, k, v, mask, bias, scale=0.5, softcap=0.0, dropout=0.0)
        else:
            y = reference_attention(q, k, v, bias, scale=0.5)
        y.square().sum().backward()
        gradients.append([q.grad, k.grad, v.grad])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_every_intermediate_can_be_seen_and_changed() -> None:
    config = TransformerConfig(64, 24, 2, heads=4, kv_heads=2, head_dim=6, ffn_width=20, context_length=16)
    model = random_model(config)
    tokens = torch.tensor([[1, 2, 3, 4]])
    seen: dict[str, torch.Size] = {}

    def look(name: str, value: torch.Tensor) -> torch.Tensor:
        seen[name] = value.shape
        return value

    with torch.no_grad():
        watched = model.logits(model(tokens, probe=look), look)
        torch.testing.assert_close(watched, model.logits(model(tokens)), rtol=0, atol=1e-12)
        silenced = model(tokens, probe=lambda name, x: torch.zeros_like(x) if name == "blocks.0.head_output" else x)
    parts = ("query", "key", "value", "scores", "pattern", "head_output", "middle", "stream")
    assert list(seen) == ["embedding", *(f"blocks.{i}.{part}" for i in (0, 1) for part in parts), "hidden", "logits"]
    assert seen["blocks.1.pattern"] == (1, 4, 4, 4)
    assert seen["blocks.1.key"] == (1, 2, 4, 6)
    assert not torch.allclose(silenced, model(tokens))
