"""What `groundup score` says, against transformers' own loss on the same text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from groundup.cli import app
from groundup.errors import ModelError, ReleaseError, RequestError
from groundup.pipeline.store import Store
from groundup.registry import champion
from groundup.stages.models import find_decoder
from groundup.stages.score import score_lines
from tests.stages.conftest import Finished

pytestmark = pytest.mark.slow
TEXTS = ["def read(path):\n    return open(path).read()\n", "", "x", "Wo liegt Köln? 漢字 🙂"]


def lines() -> list[str]:
    return [json.dumps({"id": f"t{number}", "text": text}) for number, text in enumerate(TEXTS)]


def test_nats_equal_transformers_loss(finished: Finished) -> None:
    transformers = pytest.importorskip("transformers")
    folder = find_decoder("champion", finished.store)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    from groundup.interop.base import load_base

    separator = load_base(folder).tokenizer.separator_id
    scored = list(score_lines("champion", finished.store, lines()))
    assert [one.id for one in scored] == ["t0", "t1", "t2", "t3"]
    for text, one in zip(TEXTS, scored, strict=True):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert one.tokens == len(ids)
        assert one.bytes == len(text.encode())
        if not ids:
            assert one.nats == 0
            continue
        whole = torch.tensor([[separator, *ids]])
        with torch.no_grad():
            loss = float(model(whole, labels=whole).loss)
        assert one.nats == pytest.approx(loss * len(ids), rel=1e-4)


def test_memory_scores_what_stands_in_the_corpus_better(finished: Finished) -> None:
    document = "In the second week of November, before the ground freezes, three fingers deep and a hand apart."
    line = [json.dumps({"id": 1, "text": document})]
    alone, mixed, only = (list(score_lines("champion", finished.store, line, mode)) for mode in ("off", "auto", "only"))
    completes = champion.require(Store(finished.store)).policies["memory"]["from-scratch"]["completes"]
    assert (mixed[0].nats < alone[0].nats) == completes
    assert only[0].nats < alone[0].nats
    assert {(one[0].tokens, one[0].bytes) for one in (alone, mixed, only)} == {(alone[0].tokens, len(document))}


def test_a_model_without_a_memory_is_named(finished: Finished) -> None:
    from groundup.interop.base import load_base
    from groundup.stages.memory_use import memory_of

    tokenizer = load_base(find_decoder("champion", finished.store)).tokenizer
    with pytest.raises(ReleaseError, match="has no memory for nobody"):
        memory_of("nobody", finished.store, tokenizer)


def test_a_line_that_is_no_text_is_named(finished: Finished) -> None:
    for wrong in ("{", "[1]", '{"id": 1}', '{"text": 5}', '{"id": [{"x": NaN}], "text": "a"}'):
        with pytest.raises(RequestError, match=r"^a\.jsonl, line 2: "):
            list(score_lines("champion", finished.store, [lines()[0], wrong], file="a.jsonl"))


def test_ids_come_back_and_other_bytes_are_refused(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "half").write_text('{"id": "\\ud800", "text": "a"}\n{"id": 7, "text": "Köln"}\n', encoding="utf-8")
    (tmp_path / "bytes").write_bytes(b'{"id": 1, "text": "\xff\xfe"}\n')
    score = ["score", "champion", "--store", str(finished.store)]
    said = CliRunner().invoke(app, [*score, str(tmp_path / "half")])
    assert [json.loads(line)["id"] for line in said.stdout.splitlines()] == ["\ud800", 7]
    refused = CliRunner().invoke(app, [*score, str(tmp_path / "bytes")])
    assert refused.exit_code == RequestError.exit_code
    assert "holds bytes that are no UTF-8" in " ".join(refused.stderr.split())


def test_an_unknown_model_is_refused_before_anything_is_read(finished: Finished) -> None:
    with pytest.raises(ModelError, match="nosuch"):
        list(score_lines("nosuch", finished.store, []))


def test_models_are_found_by_every_name(finished: Finished, tmp_path: Path) -> None:
    folder = find_decoder("champion", finished.store)
    assert find_decoder(finished.outcome.summary.release, finished.store) == folder
    assert find_decoder(str(folder), tmp_path) == folder
    with pytest.raises(ModelError, match="Name champion, a release of"):
        find_decoder("nothing-of-that-name", finished.store)
