"""gigatoken against the `tokenizers` library."""

from __future__ import annotations

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tokens import fast
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

CODE = "".join(f"def f{i}(x):\n    return x * {i}  # naïve 中文\n\n" for i in range(300))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe([CODE], 500)


@given(st.lists(st.text(max_size=80), max_size=6))
@settings(max_examples=100, deadline=None)
def test_fast_ids_are_those_of_tokenizers(tokenizer: Tokenizer, texts: list[str]) -> None:
    rows = tokenizer.encode_many(texts)
    assert tokenizer.encoder_name == "gigatoken"
    assert [row.tolist() for row in rows] == [tokenizer.encode(text) for text in texts]
    assert all(row.dtype == np.int32 for row in rows)


def test_an_encoder_that_differs_on_the_sample_is_not_used(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong:
        def __init__(self, right: fast.FastEncoder) -> None:
            self._right = right._fast

        def encode_batch(self, texts: list[str]) -> object:
            return self._right.encode_batch([text.replace("x", "y") for text in texts])

    backend = tokenizers.Tokenizer.from_str(tokenizer.definition)
    backend.encode_special_tokens = True
    encoder = fast.FastEncoder(backend, tokenizer.definition)
    monkeypatch.setattr(encoder, "_fast", Wrong(encoder))
    ids, counts = encoder.encode([CODE, "", "xyz"])
    assert encoder.name == "tokenizers"
    assert "sample" in encoder.refusal
    assert ids[: counts[0]].tolist() == tokenizer.encode(CODE)
    assert counts[1] == 0


def test_a_vocabulary_with_its_specials_first_keeps_its_ids() -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([CODE], trainer)
    brought = Tokenizer(backend, separator_id=0, eos_ids=[1])
    assert [row.tolist() for row in brought.encode_many(["a <s> b", CODE])] == [
        brought.encode("a <s> b"), brought.encode(CODE),
    ]  # fmt: skip
    assert 0 not in brought.encode("a <s> b")
