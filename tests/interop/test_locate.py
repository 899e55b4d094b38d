"""locate.py: what can't be used is refused at once, and what can has a name to go by."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.errors import ModelError
from groundup.interop.locate import (
    base_name,
    check_base,
    check_encoder,
    encoder_flops_per_token,
    encoder_name,
    find_base,
    find_encoder,
)
from groundup.interop.trained_encoder import save_encoder
from groundup.nn.config import encoder_config
from groundup.nn.transformer import Transformer
from groundup.tokens.train import train_bpe
from tests.interop.test_encoders import minilm


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my model", "my-model"),
        ("modèle", "mod-le"),
        ("_x", "x"),
        ("from-scratch", "from-scratch-brought"),
        ("_from scratch", "from-scratch-brought"),
        ("Champion", "Champion-brought"),
        ("模型", ""),
        ("SmolLM2-135M_v1.5", "SmolLM2-135M_v1.5"),
    ],
)
def test_any_name_becomes_one_that_folders_and_the_api_take(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / f"{folder}.gguf").touch()
    assert base_name(tmp_path / folder) == base_name(tmp_path / f"{folder}.gguf") == (name or "base")
    assert encoder_name(tmp_path / folder) == (name or "encoder")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", base_name(tmp_path / folder))


@pytest.mark.parametrize("family", ["mamba", "llama", None])
def test_unknown_encoder_is_refused_by_name(tmp_path: Path, family: str | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, "hidden_size": 8}))
    for check in (check_encoder, encoder_flops_per_token):
        with pytest.raises(ModelError, match=re.escape(f"its architecture {family!r} isn't known here")):
            check(tmp_path)


def test_bert_without_its_sizes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))
    with pytest.raises(ModelError, match="num_attention_heads is missing"):
        check_encoder(tmp_path)


@minilm
@pytest.mark.demo_models
def test_minilm_passes_and_counts_as_its_sizes_say() -> None:
    check_encoder("minilm")
    assert encoder_flops_per_token("minilm") == 2 * 6 * (4 * 384**2 + 2 * 384 * 1536)


def test_encoder_trained_here_passes_and_counts_its_matrices(tmp_path: Path) -> None:
    tokenizer = train_bpe(["some text, some more"], 300)
    model = Transformer(encoder_config(tokenizer.vocab_size, width=32, layers=2))
    save_encoder(tmp_path / "own", model, tokenizer)
    check_encoder(tmp_path / "own")
    layers = [p.numel() for name, p in model.named_parameters() if p.dim() == 2 and name.startswith("blocks")]
    assert encoder_flops_per_token(tmp_path / "own") == 2 * sum(layers)
    weights = tmp_path / "own" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ModelError, match="bytes where its header asks for"):
        check_encoder(tmp_path / "own")


def test_checking_an_encoder_loads_no_torch() -> None:
    code = "import sys, groundup.interop.locate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_base_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(ModelError, match="its architecture 'mamba' isn't known here") as caught:
        check_base(tmp_path)
    assert caught.value.mend.endswith("are llama).")


@pytest.mark.parametrize("spec", ["~nobody-of-this-name/m", "x" * 5000, ""])
def test_what_is_no_path_is_no_model(spec: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such model"):
        find_base(spec or tmp_path / "none")
    with pytest.raises(ModelError, match="there is no such encoder"):
        find_encoder(spec or tmp_path / "none")
