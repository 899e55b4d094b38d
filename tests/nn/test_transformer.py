from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from groundup.nn.cache import KVCache
from groundup.nn.config import TransformerConfig
from groundup.nn.init import initialise
from groundup.nn.transformer import Transformer
from tests.nn.reference import forward
from tests.nn.test_config import SMALL, SWITCHES


def random_model(config: TransformerConfig, seed: int = 1) -> Transformer:
    """float64, and no weight left at 0 or 1, so that a norm or bias which isn't applied is seen."""
    model = Transformer(config).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return model


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda switches: "-".join(map(str, switches.values())))
def test_hidden_states_equal_a_plain_reference(switches: dict[str, object]) -> None:
    model = random_model(replace(SMALL, **switches))
    tokens = [3, 60, 3, 17, 0, 41, 8]
    types = [0, 0, 1, 1, 0, 1, 1] if model.config.token_types else None
    with torch.no_grad():
        hidden = model(torch.tensor([tokens]), token_types=None if types is None else torch.tensor([types]))[0]
        logits = model.logits(hidden)
    expected, expected_logits = forward(model, tokens, types)
    torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(logits, expected_logits, rtol=0, atol=1e-10)


def test_odd_head_counts_have_alibi_slopes_too() -> None:
    model = random_model(replace(SMALL, position="alibi", heads=6, kv_heads=3))
    with torch.no_grad():
        hidden = model(torch.tensor([[5, 6, 7, 8]]))[0]
    torch.testing.assert_close(hidden, forward(model, [5, 6, 7, 8])[0], rtol=0, atol=1e-10)


CACHED = [{"position": position} for position in ("rope", "learned", "sinusoidal", "alibi", "none")]
CACHED += [{"qk_norm": True, "kv_heads": 4}, {"norm_placement": "post"}, {"kv_heads": 1}]


@pytest.mark.parametrize("switches", CACHED, ids=lambda switches: "-".join(map(str, switches.values())))
def test_cached_positions_equal_uncached_ones(switches: dict[str, object]) -> None:
    """Prefill, then one at a time, then several."""
    model = random_model(replace(SMALL, **switches))
    tokens = torch.arange(30).view(2, 15) * 7 % 64
    cache = KVCache.empty(model.config, batch=2, capacity=16, dtype=torch.float64)
    with torch.no_grad():
        whole = model(tokens)
        parts = [model(part, cache=cache) for part in tokens.split([6, 1, 1, 1, 4, 2], 1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)
    assert cache.length == 15


def test_a_truncated_cache_is_as_if_the_rest_had_not_been_read() -> None:
    model = random_model(SMALL)
    cache = KVCache.empty(model.config, 1, 16, torch.float64)
    with torch.no_grad():
        model(torch.tensor([[1, 2, 3, 4, 5]]), cache=cache)
        cache.truncate(2)
        again = model(torch.tensor([[9, 8]]), cache=cache)
        whole = model(torch.tensor([[1, 2, 9, 8]]))
    torch.testing.assert_close(again, whole[:, 2:], rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="it can be cut to 0 to 4"):
        cache.truncate(5)


@pytest.mark.parametrize("position", ["rope", "learned", "alibi", "sinusoidal"])
@pytest.mark.parametrize("causal", [True, False])
def test_padding_changes_nothing(position: str, causal: bool) -> None:
    model = random_model(replace(SMALL, position=position, causal=causal))
    rows = [[5, 6, 7], [1], [9, 8, 7, 6, 5, 4, 3]]
    padded = torch.tensor([row + [63] * (9 - len(row)) for row in rows])
    with torch.no_grad():
        together = model(padded, lengths=torch.tensor([len(row) for row in rows]))
        for number, row in enumerate(rows):
            alone = model(torch.tensor([row]))[0]
            torch.testing.assert_close(together[number, : len(row)], alone, rtol=0, atol=1e-12)


def test_later_tokens_are_not_seen_by_a_causal_model_and_are_by_an_encoder() -> None:
    tokens = torch.tensor([[1, 2, 3, 4]])
    changed = torch.tensor([[1, 2, 3, 60]])
    for causal in (True, False):
        model = random_model(replace(SMALL, causal=causal))
        with torch.no_grad():
            same = torch.equal(model(tokens)[:, :3], model(changed)[:, :3])
        assert same == causal


def test_given_positions_move_the_tokens() -> None:
    model = random_model(SMALL)
    tokens = torch.tensor([[1, 2, 3, 4]])
    at = torch.arange(4)
    with torch.no_grad():
        plain = model(tokens)
        torch.testing.assert_close(model(tokens, positions=at), plain, rtol=0, atol=1e-12)
        # RoPE knows distances only: the same shift for all changes nothing, another order does.
        torch.testing.assert_close(model(tokens, positions=at[None] + 40), plain, rtol=0, atol=1e-10)
        assert not torch.allclose(model(tokens, positions=at.flip(0)), plain)


def test_a_table_made_while_serving_does_for_training() -> None:
    model = Transformer(SMALL)
    with torch.inference_mode():
        model(torch.tensor([[1, 2, 3]]))
    model(torch.tensor([[1, 2, 3]])).sum().backward()


def test_bf16_products_under_autocast_stay_near_fp32() -> None:
    model = Transformer(replace(SMALL, qk_norm=True))
    tokens = torch.tensor([[1, 2, 3, 4]])
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(tokens)
    torch.testing.assert_close(hidden.float(), model(tokens), rtol=0.1, atol=0.1)
    hidden.float().sum().backward()


@pytest.mark.parametrize(
    ("config", "tokens", "capacity", "message"),
    [
        (SMALL, 0, None, "a row needs at least one"),
        (SMALL, 5, 4, "room for 4 positions, not 5"),
        (replace(SMALL, causal=False), 2, 4, "bidirectional model can't be cached"),
        (replace(SMALL, position="learned"), 17, None, "17 positions, but only 16 are learned"),
    ],
)
def test_what_does_not_fit_is_refused(
    config: TransformerConfig, tokens: int, capacity: int | None, message: str
) -> None:
    cache = None if capacity is None else KVCache.empty(config, 1, capacity)
    with pytest.raises(ValueError, match=message):
        Transformer(config)(torch.zeros(1, tokens, dtype=torch.int64), cache=cache)


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = Transformer(SMALL)
    torch.manual_seed(2)
    second = Transformer(SMALL)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    initialise(second, seed=1)
    assert not torch.equal(first.embedding.weight, second.embedding.weight)


def test_first_loss_is_that_of_a_uniform_guess() -> None:
    model = Transformer(TransformerConfig(512, 128, 4, 4, 2, 32, 256, 64))
    tokens = torch.arange(128).view(2, 64) * 3 % 512
    logits = model.logits(model(tokens))
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert abs(loss.item() - 6.238) < 0.3  # ln 512


@pytest.mark.parametrize("placement", ["pre", "post", "sandwich"])
@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm"])
def test_the_stream_stays_in_fp32_under_autocast(placement: str, norm: str) -> None:
    model = Transformer(replace(SMALL, norm_placement=placement, norm=norm, embedding_norm=True))
    dtypes: dict[str, torch.dtype] = {}

    def look(name: str, value: torch.Tensor) -> torch.Tensor:
        dtypes[name] = value.dtype
        return value

    with torch.autocast("cpu", torch.bfloat16):
        model(torch.tensor([[1, 2, 3]]), probe=look)
    streams = {name: dtype for name, dtype in dtypes.items() if name.endswith(("embedding", "middle", "stream"))}
    assert set(streams.values()) == {torch.float32}, streams
    assert dtypes["hidden"] == torch.float32
    assert dtypes["blocks.0.value"] == torch.bfloat16
