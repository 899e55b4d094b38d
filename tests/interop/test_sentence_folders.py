"""sentence-transformers folders of BERT and ModernBERT, in and out, against sentence-transformers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from groundup.errors import ModelError
from groundup.interop.encoders import load_encoder
from groundup.interop.locate import check_encoder, encoder_digest
from groundup.interop.sentence_export import save_sentence_transformer
from groundup.nn.config import TransformerConfig, decoder_config
from groundup.nn.transformer import Transformer
from groundup.tokens.train import train_bpe
from tests.interop.families import FULL, SIZES, SLIDING

transformers = pytest.importorskip("transformers")
library = pytest.importorskip("sentence_transformers")

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a cat sat on the mat q : p # ##t ##s A CAT".split()  # noqa: SIM905
TEXTS = ["a cat sat on the mat", "CAT", "", "the " * 40, "cats sat [SEP] q: a # mat", "?"]
PROMPTS = {"query": "q: ", "document": "p: a "}


def pieces(folder: Path, longest: int) -> Any:
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    special = {f"{name}_token": token for name, token in named.items()}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=longest, **special)
    fast.save_pretrained(folder)


def theirs(folder: Path, family: str, *, pooling: str, normalise: bool, longest: int = 30, **options: Any) -> Any:
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.base.modules import Transformer as Module
    from sentence_transformers.sentence_transformer.modules import Pooling

    sizes = {**SIZES, "vocab_size": len(WORDS), "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
    more = {"layer_types": [FULL, SLIDING, SLIDING], "local_attention": 6} if family == "ModernBert" else {}
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}Model")(getattr(transformers, f"{family}Config")(**sizes, **more))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    model.save_pretrained(folder / "model")
    pieces(folder / "model", longest)
    modules = [Module(str(folder / "model"), **options), Pooling(32, pooling), *([Normalize()] * normalise)]
    built = library.SentenceTransformer(modules=modules, prompts=PROMPTS, device="cpu")
    built.save(str(folder / "sentences"))
    return built


def agree(encoder: Any, other: Any, texts: list[str] = TEXTS) -> None:
    for kind, name in (("query", "query"), ("document", "document")):
        expected = other.encode(texts, prompt_name=name)
        np.testing.assert_allclose(encoder.encode(texts, kind=kind), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["Bert", "ModernBert"])
@pytest.mark.parametrize(("pooling", "normalise"), [("mean", True), ("cls", True), ("mean", False)])
def test_their_folder_gives_the_same_vectors_and_so_does_ours_made_of_it(
    family: str, pooling: str, normalise: bool, tmp_path: Path
) -> None:
    other = theirs(tmp_path, family, pooling=pooling, normalise=normalise)
    encoder = load_encoder(tmp_path / "sentences")
    assert (encoder.max_tokens, encoder.pooling, encoder.normalise) == (30, pooling, normalise)
    assert max(encoder.count_tokens(TEXTS)) == 30
    agree(encoder, other)
    save_sentence_transformer(
        tmp_path / "ours",
        encoder.model,
        tmp_path / "sentences",
        max_tokens=30,
        pooling=encoder.pooling,
        normalise=normalise,
        prompts=encoder.prompts,
        max_shard_bytes=20_000,
    )
    assert len(list((tmp_path / "ours").glob("*.safetensors"))) > 1
    loaded = library.SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    assert loaded.max_seq_length == 30
    agree(encoder, loaded)
    agree(load_encoder(tmp_path / "ours"), loaded)
    check_encoder(tmp_path / "ours")
    assert load_encoder(tmp_path / "ours").digest == encoder_digest(tmp_path / "ours")


def test_lower_case_is_followed(tmp_path: Path) -> None:
    other = theirs(tmp_path, "Bert", pooling="mean", normalise=True)
    different = load_encoder(tmp_path / "sentences").encode(["A CAT"])
    path = tmp_path / "sentences" / "sentence_bert_config.json"
    path.write_text(json.dumps({"max_seq_length": 12, "do_lower_case": True}))
    encoder = load_encoder(tmp_path / "sentences")
    other = library.SentenceTransformer(str(tmp_path / "sentences"), device="cpu")
    assert encoder.max_tokens == other.max_seq_length == 12
    agree(encoder, other)
    assert not np.allclose(encoder.encode(["A CAT"]), different)


SWITCHES: dict[str, dict[str, Any]] = {
    "bert": {
        "position": "learned", "gated": False, "ffn_bias": True, "attention_bias": True, "attention_output_bias": True,
        "norm_placement": "post", "token_types": 1, "activation": "gelu",
    },
    "modernbert": {"first_norm": False, "norm_bias": False, "activation": "gelu", "windows": (0, 5), "fused_qkv": True},
}  # fmt: skip


@pytest.mark.parametrize("family", SWITCHES)
def test_an_encoder_trained_here_is_loaded_by_sentence_transformers(family: str, tmp_path: Path) -> None:
    """With our own tokenizer, which adds no special token: a text without any is near nothing, there as here."""
    tokenizer = train_bpe(["the cat sat on the mat. " * 30], 300)
    config = TransformerConfig(
        tokenizer.vocab_size, 32, 2, 4, 4, 8, 48, 64, causal=False, norm="layernorm", embedding_norm=True,
        **SWITCHES[family],
    )  # fmt: skip
    model = Transformer(config)
    save_sentence_transformer(tmp_path / "ours", model, tokenizer, max_tokens=16, prompts=PROMPTS)
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["model_type"] == family
    other = library.SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    encoder = load_encoder(tmp_path / "ours")
    agree(encoder, other)
    assert encoder.padding_id == tokenizer.special["<|pad|>"]
    texts = ["the cat", "", "on the mat. " * 9]
    np.testing.assert_allclose(encoder.encode(texts), other.encode(texts, prompt="p: a "), rtol=0, atol=1e-5)
    encoder.prompts = {}
    np.testing.assert_allclose(encoder.encode(texts), other.encode(texts, prompt=""), rtol=0, atol=1e-5)
    assert not encoder.encode([""]).any()


def test_a_decoder_is_no_sentence_encoder(tmp_path: Path) -> None:
    tokenizer = train_bpe(["the cat sat on the mat. " * 30], 300)
    with pytest.raises(ModelError, match=r"it is a decoder .causal=True."):
        save_sentence_transformer(tmp_path / "m", Transformer(decoder_config(300, 64, 1)), tokenizer)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "max"}, "it pools by max"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]}, "it pools by cls, mean"),
        ("1_Pooling/config.json", {"include_prompt": False}, "leaves the prompt's tokens out"),
        ("2_Normalize/config.json", {"module_input_name": "token_embeddings"}, "module_input_name is"),
        ("sentence_bert_config.json", {"max_seq_length": "long"}, "max_seq_length is 'long'"),
        ("sentence_bert_config.json", {"do_lower_case": "yes"}, "do_lower_case is 'yes'"),
        ("sentence_bert_config.json", {"transformer_task": "text-generation"}, "transformer_task is"),
        ("sentence_bert_config.json", {"query_length": 32}, "query_length is '32'"),
        ("sentence_bert_config.json", {"modality_config": {"text": {"method": "x"}}}, "modality_config is"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "it is a SparseEncoder"),
        ("config_sentence_transformers.json", {"prompts": ["q: "]}, "prompts is"),
        ("config.json", {"auto_map": {"AutoModel": "x.Y"}}, "code of its own"),
    ],
)
def test_what_is_not_carried_is_refused_before_weights_are_read(
    file: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    theirs(tmp_path, "Bert", pooling="mean", normalise=True)
    path = tmp_path / "sentences" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    for read in (check_encoder, load_encoder):
        with pytest.raises(ModelError, match=message) as caught:
            read(tmp_path / "sentences")
        assert caught.value.place.startswith(str(path.parent))
