"""bits.py against transformers with random weights, computed in one window without batching or padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import ModelError
from groundup.evaluation import bits
from groundup.evaluation.bits import DocumentScore, bits_per_byte, computed_tokens, cut, score_documents, windows


@dataclass(frozen=True)
class Doc:
    id: str
    text: str


class ByteTokenizer:
    """A byte is a token; `lost` bytes have none. 256 is the separator, unless there is none."""

    def __init__(self, separator: bool = True, lost: bytes = b"") -> None:
        self.vocab_size = 257
        self.separator_id = 256 if separator else None
        self.lost = lost

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(text.encode().translate(None, self.lost), np.uint8).astype(np.int32) for text in texts]

    def missing_bytes(self, text: str) -> int:
        return sum(text.encode().count(byte) for byte in self.lost)


class Adapter(torch.nn.Module):
    """A transformers model behind the public face of ours."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.inner.model(tokens, use_cache=False).last_hidden_state

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.inner.lm_head(hidden)


@pytest.fixture(scope="module")
def model() -> Adapter:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.4,
    )  # fmt: skip
    return Adapter(LlamaForCausalLM(config).eval())


def reference_nats(model: Adapter, ids: list[int], context: int, stride: int) -> float:
    """One token at a time, each in the window in which the rules score it. ids: with the first context."""
    total, count = 0.0, len(ids) - 1
    for target in range(1, len(ids)):
        end = min(context, count)
        while end < target:
            end = min(end + stride, count)
        window = ids[max(0, end - context) : target]
        logits = model.inner(torch.tensor([window])).logits[0, -1].double()
        total -= float(torch.log_softmax(logits, -1)[ids[target]])
    return total


DOCUMENTS = [
    Doc("a", "def f(x):\n    return x + 1\n" * 3),
    Doc("b", "é"),
    Doc("c", ""),
    Doc("d", "α and ω, 日本語. " * 9),
]


def test_nats_are_those_of_transformers_in_one_window(model: Adapter) -> None:
    scores = score_documents(model, ByteTokenizer(), DOCUMENTS, context=512)
    for score, document in zip(scores, DOCUMENTS, strict=True):
        ids = torch.tensor([[256, *document.text.encode()]])
        with torch.inference_mode():
            logits = model.inner(ids).logits[0, :-1].double()
        expected = -torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None]).sum().item()
        assert score.nats == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert (score.document_id, score.text_bytes) == (document.id, len(document.text.encode()))
        assert score.tokens == score.text_bytes


@pytest.mark.parametrize(("context", "stride"), [(16, 8), (16, 16), (16, 1), (7, 3)])
def test_sliding_window_sees_the_stated_context(model: Adapter, context: int, stride: int) -> None:
    documents = [Doc("a", "sliding windows over text"), Doc("b", "short"), Doc("c", "x" * (context + 1))]
    scores = score_documents(model, ByteTokenizer(), documents, context=context, stride=stride)
    for score, document in zip(scores, documents, strict=True):
        with torch.inference_mode():
            expected = reference_nats(model, [256, *document.text.encode()], context, stride)
        assert score.nats == pytest.approx(expected, rel=1e-6)


def test_scores_do_not_depend_on_batches_or_chunks(model: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_documents(model, ByteTokenizer(), DOCUMENTS, context=32)
    monkeypatch.setattr(bits, "LOGITS_BYTES", 4 * 257 * 3)
    apart = score_documents(model, ByteTokenizer(), DOCUMENTS, context=32, batch_tokens=1)
    assert [s.nats for s in apart] == pytest.approx([s.nats for s in whole], rel=1e-6)


def test_first_token_is_uniform_without_a_separator(model: Adapter) -> None:
    (score,) = score_documents(model, ByteTokenizer(separator=False), [Doc("a", "q")], context=8)
    assert score.nats == pytest.approx(math.log(257))
    (longer,) = score_documents(model, ByteTokenizer(separator=False), [Doc("a", "query")], context=8)
    with torch.inference_mode():
        assert longer.nats == pytest.approx(math.log(257) + reference_nats(model, list(b"query"), 8, 4), rel=1e-6)


def test_missing_byte_costs_eight_bits(model: Adapter) -> None:
    kept = score_documents(model, ByteTokenizer(), [Doc("a", "abc")], context=8)
    lost = score_documents(model, ByteTokenizer(lost=b"\x7f"), [Doc("a", "a\x7fbc\x7f")], context=8)
    assert lost[0].bits == pytest.approx(kept[0].bits + 16, rel=1e-6)
    assert (lost[0].missing_bytes, lost[0].text_bytes, lost[0].tokens) == (2, 5, 3)


def test_document_of_missing_bytes_alone_is_charged(model: Adapter) -> None:
    (score,) = score_documents(model, ByteTokenizer(lost=b"~"), [Doc("a", "~~~")], context=8)
    assert score.bits == pytest.approx(24)
    assert bits_per_byte([score]) == pytest.approx(8)


def test_untrained_uniform_model_needs_log2_of_the_vocabulary(model: Adapter) -> None:
    class Uniform(Adapter):
        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*hidden.shape[:-1], 257)

    scores = score_documents(Uniform(model.inner), ByteTokenizer(), DOCUMENTS, context=16)
    assert bits_per_byte(scores) == pytest.approx(math.log2(257), rel=1e-6)


@given(st.integers(0, 300), st.integers(1, 40), st.integers(1, 40))
def test_windows_score_every_token_once_with_enough_context(tokens: int, context: int, stride: int) -> None:
    if stride > context:
        with pytest.raises(ValueError, match="stride"):
            next(windows(tokens, context, stride))
        return
    spans = list(windows(tokens, context, stride))
    assert [i for _, end, first in spans for i in range(first, end)] == list(range(tokens))
    for start, end, first in spans:
        assert end - start <= context
        assert first - start >= min(first, context - stride)
    assert computed_tokens(tokens, context, stride) == sum(end - start for start, end, _ in spans)


@given(st.text(max_size=30), st.integers(0, 40))
def test_cut_keeps_whole_characters_within_the_budget(text: str, budget: int) -> None:
    kept = cut(text, budget)
    assert len(kept.encode()) <= budget
    assert text.startswith(kept) or "?" in kept  # "?" stands for a lone surrogate
    assert len(kept) == len(text) or len((kept + text[len(kept)]).encode("utf-8", "replace")) > budget


def test_budget_cuts_the_text_for_every_tokenizer_alike(model: Adapter) -> None:
    (score,) = score_documents(model, ByteTokenizer(), [Doc("a", "日本語")], context=8, max_bytes=7)
    assert score.text_bytes == 6


def test_tokenizer_of_another_model_is_refused(model: Adapter) -> None:
    class Larger(ByteTokenizer):
        vocab_size = 300

    tokenizer = Larger()
    tokenizer.vocab_size = 300
    model.config = type("Config", (), {"vocab_size": 257})  # type: ignore[assignment]
    try:
        with pytest.raises(ModelError, match="300 tokens, the model 257"):
            score_documents(model, tokenizer, DOCUMENTS, context=8)
    finally:
        del model.config


def test_diverged_model_is_named_not_averaged(model: Adapter) -> None:
    class Diverged(Adapter):
        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            return super().logits(hidden) * float("nan")

    with pytest.raises(ModelError, match="no numbers"):
        score_documents(Diverged(model.inner), ByteTokenizer(), DOCUMENTS, context=8)


def test_training_mode_is_left_as_it_was(model: Adapter) -> None:
    model.train()
    score_documents(model, ByteTokenizer(), DOCUMENTS[:1], context=8)
    assert model.training
    model.eval()


def test_our_transformer_scores_as_in_one_window_and_trains_on_afterwards() -> None:
    from groundup.nn.config import decoder_config
    from groundup.nn.transformer import Transformer

    ours = Transformer(decoder_config(257, width=32, layers=2))
    scores = score_documents(ours, ByteTokenizer(), DOCUMENTS, context=256)
    for score, document in zip(scores, DOCUMENTS, strict=True):
        if document.text:
            ids = torch.tensor([[256, *document.text.encode()]])
            logits = ours.logits(ours(ids[:, :-1]))[0].double()
            loss = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")
            assert score.nats == pytest.approx(loss.item(), rel=1e-6)
            loss.backward()


def test_progress_ends_at_its_total(model: Adapter) -> None:
    seen: list[tuple[float, float]] = []
    score_documents(
        model,
        ByteTokenizer(),
        DOCUMENTS,
        context=16,
        batch_tokens=32,
        progress=lambda _, done, of: seen.append((done, of)),
    )
    assert seen[-1][0] == seen[-1][1] == sum(computed_tokens(len(d.text.encode()), 16, 8) for d in DOCUMENTS)
    assert seen == sorted(seen)


def test_bits_per_byte_without_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="no byte"):
        bits_per_byte([DocumentScore("a", 0.0, 0, 0)])
