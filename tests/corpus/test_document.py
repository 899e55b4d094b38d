from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.document import (
    ROWS_PER_GROUP,
    SCHEMA,
    Document,
    iter_documents,
    make_document,
    read_documents,
    whole_unicode,
    with_text,
    write_documents,
)

any_text = st.text(st.characters(codec=None), max_size=200)  # lone surrogates included
documents = st.builds(
    make_document,
    any_text,
    any_text,
    group=any_text,
    title=any_text,
    kind=st.sampled_from(["code", "prose", "table"]),
    language=st.sampled_from(["", "en", "python"]),
    metadata=st.dictionaries(st.text(max_size=5), any_text, max_size=3),
)


@settings(deadline=None)
@given(st.lists(documents, max_size=5))
def test_documents_come_back_from_parquet_as_they_were(tmp_path_factory, given_documents: list[Document]) -> None:
    path = tmp_path_factory.mktemp("parquet") / "documents.parquet"
    given_documents = [document for document in given_documents if whole_unicode(document.group) == document.group]
    assert write_documents(path, given_documents) == len(given_documents)
    assert read_documents(path) == given_documents


def test_documents_are_read_and_written_a_row_group_at_a_time(tmp_path: Path) -> None:
    def many():
        for number in range(2 * ROWS_PER_GROUP + 1):
            yield make_document(f"n/{number}", f"text {number}", group="n", title="", kind="prose")

    path = tmp_path / "documents.parquet"
    write_documents(path, many())
    assert pq.ParquetFile(path).num_row_groups == 3
    assert [document.source for document in iter_documents(path)] == [document.source for document in many()]


def test_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    one = make_document("a", "text", group="g", title="t", kind="prose", metadata={"b": "2", "a": "1"})
    two = make_document("a", "text", group="g", title="t", kind="prose", metadata={"a": "1", "b": "2"})
    write_documents(tmp_path / "1", [one])
    write_documents(tmp_path / "2", [two])
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_id_is_of_source_and_text() -> None:
    document = make_document("a/b.py", "x = 1\n", group="a", title="", kind="code")
    assert document.id == hashlib.sha256(b"a/b.py\0x = 1\n").hexdigest()[:32]
    assert with_text(document, "x = 2\n").id == hashlib.sha256(b"a/b.py\0x = 2\n").hexdigest()[:32]


@settings(deadline=None)
@given(any_text)
def test_whole_unicode_can_be_encoded_and_keeps_whole_characters(text: str) -> None:
    mended = whole_unicode(text)
    mended.encode("utf-8")
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert mended == text


def test_a_character_in_two_surrogates_becomes_one() -> None:
    assert whole_unicode("\ud83d\ude00 and half \ud83d") == "\U0001f600 and half \ufffd"


def test_schema_is_the_document() -> None:
    assert SCHEMA.names == [field.name for field in fields(Document)]
