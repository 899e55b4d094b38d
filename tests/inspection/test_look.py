"""What an inspection says, against transformers' Llama with the same weights, and against sums done by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from groundup.errors import ModelError, RequestError
from groundup.inspection import look
from groundup.inspection.look import LENS_TOP, MOST_TOKENS, TOP, inspect_model, most_tokens
from groundup.inspection.record import Inspection
from groundup.nn.transformer import Transformer
from tests.inspection.models import TEXT, config, drawn, llama, tokenizer


@pytest.fixture(scope="module")
def model() -> Transformer:
    return drawn(config(tie_embeddings=False)).double()


@pytest.fixture(scope="module")
def found(model: Transformer) -> Inspection:
    return inspect_model(model, tokenizer(), TEXT, name="small")


@pytest.fixture(scope="module")
def theirs(model: Transformer) -> dict[str, Any]:
    """What transformers computes for the same tokens, its gradients included; norms and softmax are in fp32 there."""
    pytest.importorskip("transformers")
    other = llama(model)
    ids = torch.tensor([[tokenizer().separator_id, *tokenizer().encode(TEXT)]])
    seen = other(ids, output_attentions=True, output_hidden_states=True)
    for hidden in seen.hidden_states:
        hidden.retain_grad()
    log_p = torch.log_softmax(seen.logits[0, :-1], -1)
    nats = -log_p[torch.arange(ids.shape[1] - 1), ids[0, 1:]]
    nats.mean().backward()
    return {"model": other, "ids": ids, "seen": seen, "log_p": log_p.detach(), "nats": nats.detach()}


def test_tokens_are_the_separator_and_the_text(found: Inspection) -> None:
    assert found.tokens == [tokenizer().separator_id, *tokenizer().encode(TEXT)]
    assert found.special == [True] + [False] * (len(found.tokens) - 1)
    plain = "".join(found.labels[number] for number in found.tokens[1:])
    assert plain.encode().decode("unicode_escape").encode("latin-1").decode() == TEXT  # ö is two tokens, \xc3 and \xb6


def test_attention_is_transformers(found: Inspection, theirs: dict[str, Any]) -> None:
    expected = np.stack([layer[0].detach().numpy() for layer in theirs["seen"].attentions])
    assert found.attention.shape == expected.shape
    np.testing.assert_allclose(found.attention, expected, atol=1e-5)


def test_attention_is_a_softmax_by_hand(model: Transformer) -> None:
    """Windows too, which transformers' Llama doesn't have."""
    windowed = Transformer(config(tie_embeddings=False, windows=(0, 3, 0))).double()
    windowed.load_state_dict(model.state_dict())
    found = inspect_model(windowed, tokenizer(), TEXT, name="windowed")
    seen: dict[str, torch.Tensor] = {}
    windowed(torch.tensor([found.tokens]), probe=lambda name, value: seen.setdefault(name, value.detach()))
    for layer, window in enumerate((0, 3, 0)):
        q, k = seen[f"blocks.{layer}.query"][0].numpy(), seen[f"blocks.{layer}.key"][0].numpy()
        for head in range(4):
            for t in range(len(found.tokens)):
                first = max(0, t - window) if window else 0
                scores = [float(q[head, t] @ k[head // 2, s]) / math.sqrt(8) for s in range(first, t + 1)]
                weights = np.exp(np.array(scores) - max(scores))
                row = found.attention[layer, head, t]
                np.testing.assert_allclose(row[first : t + 1], weights / weights.sum(), atol=1e-6)
                assert row[:first].sum() == row[t + 1 :].sum() == 0
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-5)


def test_stream_is_transformers(found: Inspection, theirs: dict[str, Any], model: Transformer) -> None:
    hidden = [layer[0].detach().norm(dim=-1).numpy() for layer in theirs["seen"].hidden_states]
    np.testing.assert_allclose(found.norms.stream[:-1], np.stack(hidden[:-1]), rtol=1e-6)  # their last is normed


@pytest.mark.parametrize("placement", ["pre", "sandwich"])
def test_what_is_added_is_the_difference_of_streams(placement: Any) -> None:
    model = drawn(config(norm_placement=placement, residual_scale=0.5))
    found = inspect_model(model, tokenizer(), TEXT, name="small")
    seen: dict[str, torch.Tensor] = {}
    model(torch.tensor([found.tokens]), probe=lambda name, value: seen.setdefault(name, value.detach()))
    before = seen["embedding"]
    for layer in range(3):
        middle, after = seen[f"blocks.{layer}.middle"], seen[f"blocks.{layer}.stream"]
        expected = (middle - before)[0].norm(dim=-1), (after - middle)[0].norm(dim=-1)
        np.testing.assert_allclose(found.norms.attention[layer], expected[0].numpy(), rtol=1e-3)
        np.testing.assert_allclose(found.norms.ffn[layer], expected[1].numpy(), rtol=1e-3)
        before = after


def test_probabilities_are_transformers(found: Inspection, theirs: dict[str, Any]) -> None:
    assert found.asks == "next"
    assert found.answers == list(range(1, len(found.tokens)))
    assert found.predictions is not None
    np.testing.assert_allclose(found.predictions.bits * math.log(2), theirs["nats"].numpy(), rtol=1e-5)
    probabilities = theirs["log_p"].exp().numpy()
    for answer, number in enumerate(found.tokens[1:]):
        order = np.argsort(-probabilities[answer], kind="stable")
        assert found.predictions.top_ids[answer].tolist() == order[:TOP].tolist()
        assert found.predictions.rank[answer] == order.tolist().index(number) + 1
        np.testing.assert_allclose(found.predictions.top[answer], probabilities[answer][order[:TOP]], rtol=1e-5)


@pytest.mark.parametrize("placement", ["pre", "post", "sandwich"])
def test_lens_is_what_a_model_without_the_later_layers_says(placement: Any) -> None:
    whole = drawn(config(norm_placement=placement, layers=4))
    found = inspect_model(whole, tokenizer(), TEXT, name="whole")
    assert found.lens is not None
    for layers in range(1, 5):
        short = Transformer(config(norm_placement=placement, layers=layers)).eval()
        names = {name for name, _ in short.named_parameters()}
        short.load_state_dict({name: weight for name, weight in whole.state_dict().items() if name in names})
        alone = inspect_model(short, tokenizer(), TEXT, name="short")
        assert alone.predictions is not None
        np.testing.assert_allclose(-found.lens.truth[layers], alone.predictions.bits, rtol=1e-4)
        np.testing.assert_allclose(found.lens.top[layers], alone.predictions.top[:, :LENS_TOP], rtol=1e-4)
    assert found.predictions is not None
    np.testing.assert_array_equal(found.lens.top_ids[-1], found.predictions.top_ids[:, :LENS_TOP])
    np.testing.assert_allclose(-found.lens.truth[-1], found.predictions.bits, rtol=1e-6)


def test_gradients_are_transformers(found: Inspection, theirs: dict[str, Any]) -> None:
    assert found.gradients is not None
    other, gradients = theirs["model"], found.gradients

    def norm(*parts: Any) -> float:
        squares = [float(weight.grad.square().sum()) for part in parts for weight in part.parameters()]
        return math.sqrt(sum(squares))

    assert set(gradients.groups) == {"attention", "feed-forward", "norms"}
    for layer, block in enumerate(other.model.layers):
        assert gradients.groups["attention"][layer] == pytest.approx(norm(block.self_attn), rel=1e-4)
        assert gradients.groups["feed-forward"][layer] == pytest.approx(norm(block.mlp), rel=1e-4)
        norms = norm(block.input_layernorm, block.post_attention_layernorm)
        assert gradients.groups["norms"][layer] == pytest.approx(norms, rel=1e-4)
    ends = {"embedding": other.model.embed_tokens, "final norm": other.model.norm, "head": other.lm_head}
    assert gradients.ends == pytest.approx({name: norm(part) for name, part in ends.items()}, rel=1e-4)
    stream = [float(hidden.grad.norm()) for hidden in theirs["seen"].hidden_states]
    np.testing.assert_allclose(gradients.stream[:-1], stream[:-1], rtol=1e-4)  # their last is behind the norm
    weight = sum(float(one.detach().square().sum()) for one in other.model.layers[1].mlp.parameters())
    assert gradients.group_weights["feed-forward"][1] == pytest.approx(math.sqrt(weight), rel=1e-4)


def test_last_gradient_of_the_stream_is_a_finite_difference(model: Transformer, found: Inspection) -> None:
    """Along the gradient's own direction the loss rises by its length."""
    tokens = torch.tensor([found.tokens])
    held: list[torch.Tensor] = []

    def loss(shift: torch.Tensor | None) -> torch.Tensor:
        def probe(name: str, value: torch.Tensor) -> torch.Tensor:
            if name != "blocks.2.stream":
                return value
            held.append(value)
            return value if shift is None else value + shift

        logits = model.logits(model(tokens, probe=probe))
        return torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:])

    (direction,) = torch.autograd.grad(loss(None), held[-1:])
    step = 1e-5 * direction / direction.norm()
    with torch.no_grad():
        slope = float((loss(step) - loss(-step)) / 2e-5)
    assert found.gradients is not None
    assert found.gradients.stream[-1] == pytest.approx(slope, rel=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    model = drawn(config(dropout=0.5)).train()
    model.embedding.weight.requires_grad_(False)
    model.blocks[0].ffn.up.weight.grad = torch.ones_like(model.blocks[0].ffn.up.weight)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    with torch.no_grad():
        first = inspect_model(model, tokenizer(), TEXT, name="small")
    second = inspect_model(model, tokenizer(), TEXT, name="small")
    assert first.to_json() == second.to_json()  # no dropout, and the same under no_grad
    assert model.training
    assert all(module.training for module in model.modules())
    assert [name for name, weight in model.named_parameters() if not weight.requires_grad] == ["embedding.weight"]
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert [name for name, weight in model.named_parameters() if weight.grad is not None] == ["blocks.0.ffn.up.weight"]
    assert not any(module._forward_hooks for module in model.modules())


def test_a_probe_changes_nothing() -> None:
    model = drawn(config())
    tokens = torch.tensor([tokenizer().encode(TEXT)])
    with torch.no_grad():
        seen = model(tokens, probe=lambda _, value: value)
        torch.testing.assert_close(seen, model(tokens), atol=1e-5, rtol=1e-5)


def test_masked_tokens_are_asked_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an encoder with a head: each hidden in a pass of its own, the rest seen; attention is of the whole text."""
    monkeypatch.setattr(look, "MASKED_TOKENS", 100)  # several passes, the last one shorter
    model = drawn(config(causal=False, head_transform=True)).double()
    found = inspect_model(model, tokenizer(), TEXT, name="masked")
    ids = tokenizer().encode(TEXT)
    assert found.tokens == ids
    assert found.asks == "masked"
    assert found.answers == list(range(len(ids)))
    losses, streams = [], []

    def probe(name: str, value: torch.Tensor) -> torch.Tensor:
        if name == "blocks.1.stream":
            streams.append(value)
        return value

    for place, number in enumerate(ids):
        hidden = torch.tensor([ids])
        hidden[0, place] = tokenizer().special["<|mask|>"]
        losses.append(-torch.log_softmax(model.logits(model(hidden, probe=probe))[0, place], -1)[number])
    loss = torch.stack(losses)
    assert found.predictions is not None
    assert found.gradients is not None
    np.testing.assert_allclose(found.predictions.bits * math.log(2), loss.detach().numpy(), rtol=1e-6)
    along = torch.autograd.grad(loss.mean(), streams, retain_graph=True)
    stream = math.sqrt(sum(float(one.square().sum()) for one in along))
    assert found.gradients.stream[2] == pytest.approx(stream, rel=1e-6)
    loss.mean().backward()
    up = model.blocks[1].ffn
    squares = sum(float(weight.grad.square().sum()) for weight in up.parameters() if weight.grad is not None)
    assert found.gradients.groups["feed-forward"][1] == pytest.approx(math.sqrt(squares), rel=1e-6)
    assert (found.attention > 0).all()


def test_an_encoder_without_a_head_has_attention_and_norms_alone() -> None:
    found = inspect_model(drawn(config(causal=False)), tokenizer(), TEXT, name="encoder")
    assert (found.asks, found.predictions, found.lens, found.gradients, found.answers) == (None, None, None, None, [])
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-5)
    assert found.norms.stream.shape == (4, len(found.tokens))


def test_a_brought_encoder_reads_with_its_own_tokenizer() -> None:
    words = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "mud": 4, "##dy": 5, "bank": 6}
    brought = tokenizers.Tokenizer(tokenizers.models.WordPiece(words, unk_token="[UNK]"))
    brought.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    brought.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    brought.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    brought.enable_padding(length=16)
    found = inspect_model(drawn(config(causal=False)), brought, "muddy bank", name="brought")
    assert found.tokens == [1, 4, 5, 6, 2]
    assert [found.labels[number] for number in found.tokens] == ["[CLS]", " mud", "dy", " bank", "[SEP]"]
    assert found.special == [True, False, False, False, True]


def test_text_without_tokens_is_refused() -> None:
    with pytest.raises(RequestError, match="the text has no tokens"):
        inspect_model(drawn(config()), tokenizer(), "", name="small")


def test_long_text_is_refused_with_the_limit() -> None:
    model = drawn(config(context_length=40))
    assert most_tokens(model) == 40
    with pytest.raises(RequestError, match=r"the text has 41 tokens, and a page shows 40 .* Cut it to 40 tokens"):
        inspect_model(model, tokenizer(), "z" * 40, name="small")
    assert most_tokens(drawn(config(context_length=9999))) == MOST_TOKENS


def test_a_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"the tokenizer has 301 tokens, the model 300\. Take the tokenizer"):
        inspect_model(drawn(config(vocab_size=300)), tokenizer(), TEXT, name="small")
