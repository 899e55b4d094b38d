"""What a vector is made of, against the vector itself, and how it is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tokenizers
import torch

from groundup.errors import RequestError
from groundup.inspection.look import inspect_model
from groundup.inspection.page import render
from groundup.inspection.reading import read_text
from groundup.nn.encode import embed
from groundup.nn.transformer import Transformer
from tests.inspection.models import TEXT, config, drawn, tokenizer
from tests.inspection.test_page import read

OTHER = "The mat was where the cat had sat."


@pytest.fixture(scope="module")
def model() -> Transformer:
    return drawn(config(causal=False)).double()


def vector(model: Transformer, text: str) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = embed(model, torch.tensor([tokenizer().encode(text)]), None)[0].numpy()
    return found


def test_a_share_is_what_the_vector_loses_without_the_token(model: Transformer) -> None:
    """Along itself: the mean without a token's part measures 1 − share of the whole."""
    found = inspect_model(model, tokenizer(), TEXT, name="x", pooling="mean").pooled
    assert found is not None
    assert found.share is not None
    assert found.share.sum() == pytest.approx(1)
    with torch.no_grad():
        hidden = model(torch.tensor([tokenizer().encode(TEXT)]))[0].numpy()
    whole = hidden.mean(0)
    for place in range(len(hidden)):
        rest = np.delete(hidden, place, 0).sum(0) / len(hidden)
        assert 1 - found.share[place] == pytest.approx(rest @ whole / (whole @ whole))


def test_parts_of_the_similarity_sum_to_it(model: Transformer) -> None:
    found = inspect_model(model, tokenizer(), TEXT, name="x", pooling="mean", beside=OTHER)
    assert found.compared is not None
    assert found.compared.similarity == pytest.approx(float(vector(model, TEXT) @ vector(model, OTHER)))
    assert found.compared.parts is not None
    assert found.compared.parts.shape == (len(found.tokens), len(found.compared.tokens))
    assert found.compared.parts.sum() == pytest.approx(found.compared.similarity)
    same = inspect_model(model, tokenizer(), TEXT, name="x", pooling="mean", beside=TEXT).compared
    assert same is not None
    assert same.similarity == pytest.approx(1)


def test_the_page_has_the_sections_that_apply_and_no_others(model: Transformer) -> None:
    def ids(page: str) -> set[str]:
        return {str(attributes["id"]) for tag, attributes in read(page).tags if tag == "h2"}

    bare = render(inspect_model(model, tokenizer(), TEXT, name="x"))
    assert ids(bare) == {"attention", "activations"}
    pooled = inspect_model(model, tokenizer(), TEXT, name="x", pooling="mean", beside=OTHER)
    page = render(pooled)
    assert ids(page) == {"vector", "compared", "attention", "activations"}
    data = json.loads(read(page).scripts[0])
    assert pooled.pooled is not None
    assert pooled.compared is not None
    assert data["pooled"]["share"] == pytest.approx(list(pooled.pooled.share), rel=1e-3)  # type: ignore[arg-type]
    assert data["compared"]["similarity"] == pytest.approx(pooled.compared.similarity, abs=1e-6)
    assert set(pooled.compared.tokens) <= {int(number) for number in data["labels"]}
    first = render(inspect_model(model, tokenizer(), TEXT, name="x", pooling="cls", beside=OTHER))
    assert ids(first) == {"vector", "compared", "attention", "activations"}
    assert "first-flow" not in first.split("<script")[0]
    headed = render(inspect_model(drawn(config(causal=False, head_transform=True)), tokenizer(), TEXT, name="x"))
    assert ids(headed) == {"tokens", "lens", "attention", "activations", "gradients"}


def test_a_second_text_is_checked_as_the_first(model: Transformer) -> None:
    with pytest.raises(RequestError, match="with: the text has no tokens"):
        inspect_model(model, tokenizer(), TEXT, name="x", pooling="mean", beside="")
    with pytest.raises(RequestError, match=r"with: the text has 30 tokens, and this model reads 20 at most"):
        inspect_model(model, tokenizer(), "z", name="x", pooling="mean", beside="z" * 30, limit=20)


def test_bytes_that_are_no_text_have_a_page(model: Transformer) -> None:
    """As a shell hands them over: half a surrogate pair, which no file can hold."""
    found = inspect_model(model, tokenizer(), "a\udcff", name="x", pooling="mean", beside="\ud800")
    render(found).encode("utf-8")
    assert (found.text, found.compared.text) == ("a?", "?")  # type: ignore[union-attr]


def test_byte_level_tokens_of_a_brought_encoder_read_as_text() -> None:
    """ModernBERT's: Ġ is a space, and half a character shows its byte."""
    brought = tokenizers.Tokenizer(tokenizers.models.BPE())
    brought.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=280, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), special_tokens=["[MASK]"]
    )
    brought.train_from_iterator(["a cat a cat a cat"], trainer)
    reading = read_text(brought, "a cat ö", causal=False)
    assert [reading.label(number) for number in reading.ids] == ["a", " cat", " ", "\\xc3", "\\xb6"]
    assert reading.mask_id == brought.token_to_id("[MASK]")
