"""The page that `groundup inspect` leaves, of whatever a person can name."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.errors import ModelError, RequestError
from groundup.inspection.page import render
from groundup.pipeline.store import Store
from groundup.registry import champion
from groundup.stages.inspect import inspect_text
from groundup.stages.models import find_decoder, load_model
from tests.stages.conftest import Finished

pytestmark = pytest.mark.slow


def test_the_page_is_written_whole_and_alone(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    found = inspect_text("champion", "import json", finished.store, out)
    assert out.read_text(encoding="utf-8") == render(found)
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_a_releases_encoder_is_named_and_compares(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    found = inspect_text("encoder-from-scratch", "import json", finished.store, out, beside="import json")
    assert found.compared is not None
    assert found.compared.similarity == pytest.approx(1)
    assert out.read_text(encoding="utf-8") == render(found)
    release = champion.require(Store(finished.store))
    longer = inspect_text(f"{release.id}/encoder-from-scratch", "import json", finished.store, out)
    assert longer.tokens == found.tokens
    assert find_decoder("from-scratch", finished.store) == release.model("from-scratch")


def test_what_cannot_be_inspected_says_so_in_one_sentence(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    with pytest.raises(RequestError, match=r"with: .* is a language model and makes no vectors"):
        inspect_text("champion", "import json", finished.store, out, beside="x")
    with pytest.raises(RequestError, match="the page can't be written"):
        inspect_text("encoder-from-scratch", "import json", finished.store, tmp_path)
    with pytest.raises(ModelError, match="the model's name is empty"):
        load_model(" ", finished.store)
    with pytest.raises(ModelError, match=r"there is no such model\. Name champion, .*, smollm2, minilm, a model's"):
        load_model("encoder-nothing", finished.store)
    with pytest.raises(ModelError, match=r"it holds no config\.json, so it is no model's folder\. Name a folder"):
        load_model(str(tmp_path), finished.store)
    (tmp_path / "x.gguf").touch()
    with pytest.raises(ModelError, match=r"no model's folder\. Name the file in it, x\.gguf"):
        load_model(str(tmp_path), finished.store)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ModelError, match="its architecture 't5' isn't known here"):
        load_model(str(tmp_path), finished.store)
    assert not out.exists()
