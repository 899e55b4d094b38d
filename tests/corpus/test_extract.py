from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.decode import HTML_CHARSET, Decoded, decode
from groundup.corpus.document import Document
from groundup.corpus.extract import Context, RawFile, extract
from groundup.corpus.extract.dispatch import refuse_unread
from groundup.corpus.extract.html_text import main_text, visible_text
from groundup.corpus.extract.records import GROUP_TO
from groundup.corpus.funnel import Event
from groundup.corpus.limits import ReadLimits
from tests.shared import shared_data


def read(name: str, data: bytes | str, **limits) -> tuple[list[Document], list[Event]]:
    raw = RawFile(data.encode() if isinstance(data, str) else data, f"box/{name}", "box")
    found = list(extract(raw, Context(ReadLimits(**limits))))
    return [item for item in found if isinstance(item, Document)], [item for item in found if isinstance(item, Event)]


def only(name: str, data: bytes | str, **limits) -> Document:
    documents, events = read(name, data, **limits)
    assert events == []
    [document] = documents
    return document


def reasons(name: str, data: bytes | str, **limits) -> list[str]:
    documents, events = read(name, data, **limits)
    assert documents == []
    return [event.reason for event in events]


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


# Text and code


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.md", "intro\n\n## Real *title* ##\n\ntext", "Real *title*"),
        ("a.md", "---\nlayout: x\ntitle: 'From the front'\n---\n# Other\n", "From the front"),
        ("a.rst", "=====\nTitle\n=====\n\ntext", "Title"),
        ("a.txt", "no title here\nat all", "a.txt"),
        ("README", "Project\n=======\n\ntext", "Project"),
    ],
)
def test_titles_of_prose(name: str, text: str, title: str) -> None:
    document = only(name, text)
    assert (document.title, document.kind, document.text) == (title, "prose", text)


@pytest.mark.parametrize(
    ("name", "text", "language"),
    [
        ("a.py", "x = 1\n", "python"),
        ("a.rs", "fn main() {}\n", "rust"),
        ("Makefile", "all:\n\ttrue\n", "makefile"),
        ("tool", "#!/usr/bin/env python3.11\nprint()\n", "python"),
        ("tool", "#!/bin/sh -e\nls\n", "shell"),
        ("settings.yaml", "a: 1\n", "yaml"),
    ],
)
def test_code_is_known_by_ending_name_or_first_line(name: str, text: str, language: str) -> None:
    document = only(name, text)
    assert (document.kind, document.language, document.text) == ("code", language, text)


def test_newlines_are_made_alike() -> None:
    assert only("a.txt", b"one\r\ntwo\rthree\n").text == "one\ntwo\nthree\n"


def test_encodings_are_told() -> None:
    document = only("a.csv", (shared_data("documents") / "test_mskanji.csv").read_bytes())
    assert document.metadata == {"encoding": "cp932", "header": "名前,年齢,住所"}
    assert document.kind == "table"


@pytest.mark.parametrize(
    "name", ["a.py", "a.md", "a.html", "a.json", "a.jsonl", "a.csv", "a.ipynb", "a.xml", "a", "a.pdf"]
)
def test_empty_files_are_empty(name: str) -> None:
    assert reasons(name, b"") == ["empty: 0 bytes"]


def test_names_and_sizes_refuse_the_same_unread() -> None:
    limits = ReadLimits()
    for name, size in (("film.mp4", 10), ("a.txt", 30_000_000), ("a.zip", 300_000_000), ("none", 0), ("x", 1 << 40)):
        assert refuse_unread(name, size, limits) is not None
    assert refuse_unread("a.pdf", 30_000_000, limits) is None
    assert refuse_unread("unknown", 30_000_000, limits) is None  # may turn out to be a PDF
    assert reasons("unknown", b"x" * 30_000_000) == ["file_too_large: 30,000,000 bytes > 20,000,000"]


FAMILIES = [
    "md",
    "py",
    "html",
    "json",
    "jsonl",
    "csv",
    "ipynb",
    "xml",
    "zip",
    "gz",
    "tar",
    "pdf",
    "docx",
    "xlsx",
    "epub",
    "",
]


@pytest.mark.parametrize("ending", FAMILIES)
@settings(deadline=None, max_examples=25)
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_under_any_name_are_accounted_for(ending: str, data: bytes) -> None:
    documents, events = read(f"file.{ending}" if ending else "file", data)
    assert documents or events
    for document in documents:
        document.text.encode("utf-8")
        assert document.text.strip()


# Office and the like, against what is in their own XML


def test_word_file_holds_every_word_of_its_own_xml() -> None:
    data = (shared_data("documents") / "test.docx").read_bytes()
    document = only("test.docx", data)
    xml = zipfile.ZipFile(io.BytesIO(data)).read("word/document.xml")
    space = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    root = ElementTree.fromstring(xml)
    said = " ".join("".join(t.text or "" for t in p.iter(f"{space}t")) for p in root.iter(f"{space}p"))
    words = Counter(re.findall(r"\w+", said))
    missing = words - Counter(re.findall(r"\w+", document.text))
    assert missing.total() <= 0.02 * words.total()
    assert document.title == "AutoGen: Enabling Next-Gen LLM Applications via Multi-Agent Conversation"


@pytest.mark.parametrize(
    ("name", "says", "kind"),
    [
        ("test.pdf", "large language models", "prose"),
        ("test.pptx", "Multi-Agent Conversation", "prose"),
        ("test.xlsx", "| Alpha | Beta | Gamma | Delta |", "table"),
        ("test.epub", "# Chapter 1: Test Content", "prose"),
        ("REPAIR-2022-INV-001_multipage.pdf", "Policy # POL-2022-555", "prose"),
    ],
)
def test_documents_say_what_a_reader_reads(name: str, says: str, kind: str) -> None:
    document = only(name, (shared_data("documents") / name).read_bytes())
    assert says.lower() in document.text.lower()
    assert document.kind == kind


def test_a_document_under_a_false_name_is_read_for_what_it_is() -> None:
    data = (shared_data("documents") / "test.docx").read_bytes()
    assert "AutoGen" in only("attachment", data).text
    assert "AutoGen" in only("attachment.dat", data).text


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.pptx", "a.xlsx", "a.epub"])
def test_broken_documents_are_refused_with_the_parsers_reason(name: str) -> None:
    [reason] = reasons(name, b"%PDF-1.7 not really" * 10)
    assert reason.startswith("parser_refused: ")


# Notebooks, tables, records, feeds


def test_notebooks_give_text_code_and_short_outputs_only() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "words"]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [
                {"output_type": "stream", "text": ["1\n"]},
                {"output_type": "stream", "text": "long " * 1000},
                {"output_type": "display_data", "data": {"image/png": "aGVsbG8="}},
            ],
        },
        {"cell_type": "code", "source": "", "outputs": []},
    ]
    document = only("a.ipynb", json.dumps({"cells": cells, "metadata": {}}))
    assert document.text == "# Title\nwords\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
    assert document.title == "Title"


def test_records_of_some_length_are_documents() -> None:
    lines = [json.dumps({"_id": str(n), "title": f"T{n}", "text": f"words {n} " * 50}) for n in range(3)]
    documents, events = read("a.jsonl", "\n".join([*lines, "{broken", ""]))
    assert [(document.source, document.title) for document in documents] == [
        ("box/a.jsonl!1", "T0"),
        ("box/a.jsonl!2", "T1"),
        ("box/a.jsonl!3", "T2"),
    ]
    assert documents[0].text == "T0\n\n" + "words 0 " * 50
    assert [event.reason for event in events] == ["broken_record: 1 lines are not JSON, the first is line 4"]


def test_tiny_records_are_joined_and_none_is_lost() -> None:
    lines = [json.dumps({"q": f"question {n}", "n": n}) for n in range(1000)]
    documents, events = read("a.jsonl", "\n".join(lines))
    assert events == []
    assert max(len(document.text) for document in documents) <= GROUP_TO * 1.2
    assert re.findall(r"question (\d+)", "".join(document.text for document in documents)) == list(
        map(str, range(1000))
    )
    longer, _ = read("a.jsonl", "\n".join([*lines, json.dumps({"q": "one more", "n": 0})]))
    assert [document.id for document in longer[:-1]] == [document.id for document in documents[:-1]]


def test_json_is_text_where_it_reads_like_text_and_code_where_it_does_not() -> None:
    text = json.dumps([{"title": "T", "body": "A sentence that goes on for a while, with many words in it. " * 5}])
    assert only("a.json", text).kind == "prose"
    config = json.dumps({"name": "x", "dependencies": {"left-pad": "1.0"}})
    document = only("package.json", config)
    assert (document.kind, document.language, document.text) == ("code", "json", config)


def test_a_line_separator_inside_a_record_does_not_break_it() -> None:
    line = json.dumps({"text": "before\u2028after " * 30}, ensure_ascii=False)
    assert only("a.jsonl", line).text.startswith("before\u2028after")


def test_a_text_that_begins_like_a_picture_is_a_text() -> None:
    assert only("a.py", "ID3 = 1\n").language == "python"


def test_deep_nesting_does_no_harm() -> None:
    for name in ("a.json", "a.jsonl"):
        assert read(name, "[" * 100_000)[1] != []


def test_a_feed_gives_each_items_text_without_markup() -> None:
    data = (shared_data("documents") / "test_rss.xml").read_bytes()
    document = only("feed.xml", data)
    items = ElementTree.fromstring(data).findall("channel/item")
    assert document.text.count("\n## ") >= len(items)
    for item in items:
        assert f"## {(item.findtext('title') or '').strip()}" in document.text
    assert "<p>" not in document.text


def test_entities_of_xml_are_neither_expanded_nor_loaded() -> None:
    bomb = "<!DOCTYPE a [<!ENTITY x 'ha'>" + "".join(
        f"<!ENTITY x{n} '&x{n - 1 if n else ''};{'&x' + str(n - 1 if n else '') + ';'}'>" for n in range(30)
    )
    documents, _ = read("a.xml", bomb + "]><a>words &x29; </a>")
    assert sum(len(document.text) for document in documents) < 10_000
    local = "<!DOCTYPE a [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><a>some words of text that are longer &f; </a>"
    assert all("root:" not in document.text for document in read("a.xml", local)[0])


# Archives


def test_members_are_documents_of_their_own_at_any_depth() -> None:
    inner = zipped({"deep.md": b"# Deep"})
    data = zipped({"a/b.txt": b"text", "inner.zip": inner, "a/.hidden": b"x", "picture.png": b"x"})
    documents, events = read("box.zip", data)
    assert [document.source for document in documents] == ["box/box.zip!a/b.txt", "box/box.zip!inner.zip!deep.md"]
    assert {event.source: event.rule for event in events} == {
        "box/box.zip!a/.hidden": "hidden_file",
        "box/box.zip!picture.png": "no_text_format",
    }


def test_tar_and_gzip_are_opened() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("dir/a.py")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"x = 1"))
    assert only("a.tar.gz", buffer.getvalue()).source == "box/a.tar.gz!dir/a.py"
    assert only("a.tgz", buffer.getvalue()).language == "python"
    page = only("page.html.gz", gzip.compress(b"<html><body><p>Hello there, reader</p></body></html>"))
    assert (page.source, page.text) == ("box/page.html.gz", "Hello there, reader\n")


def test_members_of_the_same_name_are_told_apart() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.txt", "two")
    documents, _ = read("box.zip", buffer.getvalue())
    assert [(document.source[-7:], document.text) for document in documents] == [("p!a.txt", "one"), ("a.txt#2", "two")]


def test_bombs_are_stopped_by_ratio_total_depth_and_count() -> None:
    zeros = zipped({"zeros.txt": bytes(50_000_000), "after.txt": b"still read"})
    documents, events = read("bomb.zip", zeros)
    assert [document.text for document in documents] == ["still read"]
    assert [event.reason[:39] for event in events] == ["archive_bomb: unpacks to over 200 times"]
    assert reasons("bomb.gz", gzip.compress(bytes(50_000_000)))[0].startswith("archive_bomb: unpacks to over 200 times")

    many = zipped({f"{n}.txt": b"words " * 100 for n in range(50)})
    documents, events = read("many.zip", many, max_members=20)
    assert len(documents) == 20
    assert [(event.rule, event.count) for event in events] == [("too_many_members", 30)]
    documents, events = read("many.zip", many, max_unpacked_bytes=3_000)
    assert len(documents) == 5
    assert events[-1].reason == "archive_bomb: 3,600 bytes unpacked > 3,000"

    nest = b"words at the bottom"
    name = "a.txt"
    for _ in range(6):
        nest, name = zipped({name: nest}), "in.zip"
    assert reasons("nest.zip", nest)[0].startswith("nested_too_deep: 3 archives around it")


def test_members_that_lie_or_ask_for_a_password_are_named() -> None:
    data = bytearray(zipped({"a.txt": b"plain text of some length " * 20, "b.txt": b"good"}))
    data[40:48] = bytes(8)  # inside the first member's packed bytes
    documents, events = read("box.zip", bytes(data))
    assert [document.text for document in documents] == ["good"]
    assert [event.rule for event in events] == ["broken_archive"]
    locked = bytearray(zipped({"a.txt": b"text"}))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert reasons("box.zip", bytes(locked)) == ["encrypted: it asks for a password"]
    assert reasons("box.zip", b"PK\x03\x04" + bytes(50))[0].startswith("broken_archive: ")
    assert reasons("a.gz", b"\x1f\x8b" + zlib.compress(b"x"))[0].startswith("broken_archive: ")


def test_names_that_climb_are_only_labels() -> None:
    document = only("box.zip", zipped({"../../etc/passwd.txt": b"text"}))
    assert document.source == "box/box.zip!../../etc/passwd.txt"


# Pages


def f1(said: str, truth: str) -> float:
    one, two = (Counter(re.findall(r"\w+", text.lower())) for text in (said, truth))
    both = (one & two).total()
    return 2 * both / (one.total() + two.total()) if both else 0.0


def pages(name: str, step: int) -> list[tuple[str, str]]:
    folder = shared_data(name)
    if name == "html-extraction":
        truth = json.loads((folder / "ground-truth.json").read_text())
        pairs = [(key, value["articleBody"]) for key, value in truth.items()]
    else:
        lines = (folder / "ground-truth.jsonl").read_text().strip().split("\n")  # not splitlines: U+2028 is in texts
        records = [json.loads(line) for line in lines]
        pairs = [(record["id"], record["main_content"]) for record in records if record["main_content"]]
    found = []
    for key, body in pairs[::step]:
        packed = (folder / "html" / f"{key}.html.gz").read_bytes()
        decoded = decode(gzip.decompress(packed), declaration=HTML_CHARSET)
        assert isinstance(decoded, Decoded)
        found.append((decoded.text, body))
    return found


@pytest.mark.slow
def test_main_text_loses_fewer_pages_than_trafilatura_alone() -> None:
    import trafilatura

    ours, alone = [], []
    for html, body in pages("html-web", 9):
        ours.append(f1(main_text(html)[0], body))
        alone.append(f1(trafilatura.extract(html, fast=True, favor_recall=True) or "", body))
    assert sum(ours) > sum(alone)
    assert sum(ours) / len(ours) > 0.7  # .77 over all 259
    assert sum(score < 0.2 for score in ours) < sum(score < 0.2 for score in alone)


def test_articles_are_found_without_their_frame() -> None:
    ours, visible = [], []
    for html, body in pages("html-extraction", 8):
        ours.append(f1(main_text(html)[0], body))
        visible.append(f1(visible_text(html), body))
    assert sum(ours) / len(ours) > 0.9  # .93 over all 181
    assert sum(ours) > sum(visible)


def test_a_page_that_is_no_article_keeps_its_content() -> None:
    items = "".join(f"<li><a href='/{n}'>Garden tool number {n}</a> <span>{n} euro</span></li>" for n in range(60))
    page = f"<html><head><title>Shop</title></head><body><nav>Home About</nav><div><ul>{items}</ul></div></body></html>"
    document = only("shop.html", page)
    assert all(f"Garden tool number {n}" in document.text for n in range(60))
    assert "About" not in document.text
    assert document.title == "Shop"


def test_posts_inside_noscript_are_the_page_where_there_is_nothing_else() -> None:
    posts = "".join(f"<p>Post number {n} has its own words in a row.</p>" for n in range(30))
    text = visible_text(f"<html><body><nav>Home</nav><noscript>{posts}</noscript></body></html>")
    assert all(f"Post number {n} has" in text for n in range(30))
    shown = visible_text(f"<html><body><main>{posts}</main><noscript>Please enable it</noscript></body></html>")
    assert "enable" not in shown


def test_scripts_styles_and_hidden_parts_are_no_text() -> None:
    text = visible_text(
        "<html><body><script>var x=1</script><style>p{}</style><p>seen <b>bo</b>ld</p><p hidden>not</p>"
        "<div style='display: none'>nor this</div><h2>Head\nline</h2><ul><li>item</li></ul></body></html>"
    )
    assert text == "seen bold\n## Head line\n- item"


def test_pages_that_are_all_frame_or_none_do_no_harm() -> None:
    for page in ("<html></html>", "<html><body></body></html>", "<nav>only</nav>", "<" * 10_000, "<div>" * 20_000):
        documents, events = read("a.html", page)
        assert documents or events
