from __future__ import annotations

from pathlib import Path

import pytest

from groundup.errors import SourceError
from groundup.evaluation.beir import read_beir
from tests.shared import shared_data


def folder(root: Path, **changes: str) -> Path:
    files = {
        "corpus.jsonl": '{"_id": "d1", "title": "T", "text": "one"}\n\n{"_id": "d2", "text": "two"}\n',
        "queries.jsonl": '{"_id": 1, "text": "what"}\n{"_id": "2", "text": "unjudged"}\n',
        "qrels/test.tsv": "query-id\tcorpus-id\tscore\n1\td1\t2\n1\td2\t0\n",
    }
    names = {"corpus": "corpus.jsonl", "queries": "queries.jsonl", "qrels": "qrels/test.tsv"}
    files.update({names[name]: text for name, text in changes.items()})
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_folder_becomes_a_collection(tmp_path: Path) -> None:
    made = read_beir(folder(tmp_path))
    ids = {document.source: document.id for document in made.documents}
    assert made.queries == {"1": "what"}
    assert made.judgements == {"1": {ids["d1"]: 2, ids["d2"]: 0}}
    assert [(d.title, d.text) for d in made.documents] == [("T", "one"), ("", "two")]
    assert made.whole
    assert not made.enough


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": "[1]\n"}, r"corpus\.jsonl:1: the line is not a JSON object"),
        ({"corpus": '{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n'}, r"corpus\.jsonl:2: .*'d1'.* twice"),
        ({"corpus": '{"_id": "d1"}\n'}, r"corpus\.jsonl:1: the line has no text in 'text'"),
        ({"queries": '{"_id": null, "text": "x"}\n'}, r"queries\.jsonl:1: the line has no text in '_id'"),
        ({"qrels": "query-id\tcorpus-id\tscore\n1 d1 1\n"}, r"test\.tsv:2: expected query-id"),
        ({"qrels": "1\td9\t1\n"}, r"test\.tsv:1: document 'd9' is not in corpus"),
        ({"qrels": "7\td1\t1\n"}, r"test\.tsv:1: query '7' is not in queries"),
        ({"qrels": "1\td1\t0\n"}, "no query has a relevant document"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_beir(folder(tmp_path, **changes))


def test_a_missing_file_and_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"corpus\.jsonl: No such file.*BEIR folder holds"):
        read_beir(tmp_path)
    folder(tmp_path)
    (tmp_path / "queries.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match=r"queries\.jsonl: it is not UTF-8"):
        read_beir(tmp_path)


@pytest.mark.parametrize(("name", "documents", "queries"), [("scifact", 5183, 300), ("cranfield", 1400, 225)])
def test_shared_sets_are_read_whole(name: str, documents: int, queries: int) -> None:
    made = read_beir(shared_data(f"retrieval/{name}"))
    assert (len(made.documents), len(made.queries)) == (documents, queries)
