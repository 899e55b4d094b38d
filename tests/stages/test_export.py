"""What is exported is what serves, in either form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.errors import ModelError
from groundup.stages.export import Target, export_model, import_model
from groundup.stages.models import load_decoder
from tests.stages.conftest import Finished

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("target", "number_format"), [("hf", "f32"), ("gguf", "f32"), ("gguf", None)])
def test_the_champion_comes_back_as_it_was(
    finished: Finished, tmp_path: Path, target: Any, number_format: str | None
) -> None:
    out = tmp_path / "model"
    made = export_model("champion", finished.store, out, target, number_format)
    assert made.bytes > 10_000
    ours, back = load_decoder("champion", finished.store), load_decoder(str(out), tmp_path)
    text = "def read(path):\n    return 漢字\n"
    ids = ours.tokenizer.encode_many([text])[0]
    assert list(back.tokenizer.encode_many([text])[0]) == list(ids)
    tokens = torch.tensor(ids[None].astype("int64"))
    with torch.no_grad():
        expected, found = (one.model.logits(one.model(tokens)) for one in (ours, back))
    torch.testing.assert_close(found, expected, rtol=0, atol=0 if number_format else 0.05)
    assert import_model(str(out), tmp_path).parameters == ours.model.config.parameters()


def test_what_is_there_is_not_written_over(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(ModelError, match="there is something already"):
        export_model("champion", finished.store, tmp_path / "model", "gguf", None)
    assert (tmp_path / "model").read_text() == "mine"


@pytest.mark.parametrize("target", ["hf", "gguf"])
def test_a_place_that_can_not_be_written_is_named(finished: Finished, tmp_path: Path, target: Target) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ModelError, match=r"file/model: .* can't be written"):
        export_model("champion", finished.store, tmp_path / "file" / "model", target, None)


def test_an_unknown_number_format_is_named(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="hf has no number format 'q8_0'"):
        export_model("champion", finished.store, tmp_path / "model", "hf", "q8_0")


def test_an_encoder_is_imported_and_not_exported(finished: Finished, tmp_path: Path) -> None:
    found = import_model("encoder-from-scratch", finished.store)
    assert (found.kind, found.does, found.run_option) == ("encoder", "makes vectors", "--encoder")
    assert "Next: groundup run --encoder " in found.text()
    decoder = import_model("champion", finished.store)
    assert (decoder.kind, decoder.run_option) == ("decoder", "--base")
    with pytest.raises(ModelError, match=r"it is an encoder, and this command takes language models"):
        export_model("encoder-from-scratch", finished.store, tmp_path / "out", "hf", None)
    assert not (tmp_path / "out").exists()
