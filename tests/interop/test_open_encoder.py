"""Encoders opened to be looked into, against sentence-transformers' vectors and transformers' masked tokens."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.errors import ModelError
from groundup.inspection.look import inspect_model
from groundup.interop.open_encoder import open_encoder
from groundup.interop.trained_encoder import save_encoder
from groundup.nn.config import encoder_config
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe
from tests.interop.families import FULL, SIZES, SLIDING
from tests.interop.test_encoders import minilm
from tests.interop.test_sentence_folders import WORDS, pieces, theirs

transformers = pytest.importorskip("transformers")
library = pytest.importorskip("sentence_transformers")
FIRST, SECOND = "a cat sat on the mat", "the mat # CATs"


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_two_texts_are_as_alike_as_sentence_transformers_says(pooling: str, tmp_path: Path) -> None:
    other = theirs(tmp_path, "Bert", pooling=pooling, normalise=True)
    opened = open_encoder(tmp_path / "sentences")
    assert (opened.max_tokens, opened.pooling, opened.prompt) == (30, pooling, "p: a ")
    read = [opened.prompt + text for text in (FIRST, SECOND)]
    found = inspect_model(
        opened.model, opened.tokenizer, read[0], name="x", pooling=opened.pooling, beside=read[1], limit=30
    )
    vectors = other.encode([FIRST, SECOND], prompt_name="document")
    assert found.pooled is not None
    assert found.compared is not None
    assert found.compared.similarity == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
    hidden = other.encode([FIRST], prompt_name="document", output_value="token_embeddings")[0].double().numpy()
    assert len(hidden) == len(found.tokens)
    expected = hidden @ vectors[0] / np.linalg.norm(hidden, axis=1)
    np.testing.assert_allclose(found.pooled.cosine, expected, atol=1e-5)
    if pooling == "cls":
        assert (found.pooled.share, found.compared.parts) == (None, None)
        return
    assert found.pooled.share is not None
    assert found.compared.parts is not None
    np.testing.assert_allclose(found.pooled.share, hidden @ vectors[0] / (hidden @ vectors[0]).sum(), atol=1e-5)
    assert found.compared.parts.sum() == pytest.approx(found.compared.similarity, abs=1e-9)


@minilm
@pytest.mark.demo_models
def test_minilm_is_opened_with_its_tokenizer_uncut() -> None:
    opened = open_encoder("minilm")
    assert (opened.name, opened.max_tokens, opened.pooling) == ("minilm", 256, "mean")
    assert not isinstance(opened.tokenizer, Tokenizer)
    assert len(opened.tokenizer.encode("word " * 400).ids) == 402  # its file cuts at 128 and pads to 128
    assert len(opened.tokenizer.encode("word").ids) == 3


@pytest.mark.parametrize("family", ["Bert", "ModernBert"])
def test_hidden_tokens_are_what_transformers_expects(family: str, tmp_path: Path) -> None:
    sizes = {**SIZES, "vocab_size": len(WORDS), "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
    more = {"layer_types": [FULL, SLIDING, SLIDING], "local_attention": 6} if family == "ModernBert" else {}
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**sizes, **more)
    model: Any = getattr(transformers, f"{family}ForMaskedLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    model.save_pretrained(tmp_path)
    pieces(tmp_path, 64)
    opened = open_encoder(tmp_path)
    assert (opened.pooling, opened.max_tokens) == (None, 64)
    found = inspect_model(opened.model, opened.tokenizer, FIRST, name="x")
    assert (found.asks, found.pooled) == ("masked", None)
    assert found.predictions is not None
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path)(FIRST)["input_ids"]
    assert found.tokens == ids
    assert found.answers == list(range(1, len(ids) - 1))
    for answer, place in enumerate(found.answers):
        hidden = torch.tensor([ids])
        hidden[0, place] = WORDS.index("[MASK]")
        with torch.no_grad():
            log_p = torch.log_softmax(model(hidden).logits[0, place], -1)
        assert found.predictions.bits[answer] * math.log(2) == pytest.approx(-float(log_p[ids[place]]), rel=1e-4)


def test_an_encoder_trained_here_is_opened(tmp_path: Path) -> None:
    tokenizer = train_bpe(["the cat sat on the mat " * 20], 300)
    model = Transformer(encoder_config(300, 32, 2, context_length=24)).eval()
    save_encoder(tmp_path / "mine", model, tokenizer, max_tokens=20, prompts={"query": "q: "})
    opened = open_encoder(tmp_path / "mine")
    assert (opened.name, opened.max_tokens, opened.pooling, opened.prompt) == ("mine", 20, "mean", "")
    assert isinstance(opened.tokenizer, Tokenizer)
    assert all(torch.equal(a, b) for a, b in zip(opened.model.parameters(), model.parameters(), strict=True))


def test_an_encoder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    theirs(tmp_path, "Bert", pooling="mean", normalise=True)
    (tmp_path / "sentences" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"it has no tokenizer\.json"):
        open_encoder(tmp_path / "sentences")
