from __future__ import annotations

import io
import random
import tokenize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.decode import COOKIE, HTML_CHARSET, XML_ENCODING, Decoded, decode
from tests.shared import shared_data

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. Широкая электрификация южных губерний. " * 5
JAPANESE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で泣いていた。" * 5
)
FRENCH = (
    "Dès Noël où un zéphyr haï me vêt de glaçons würmiens, je dîne d'exquis rôtis de bœuf au kir à l'aÿ d'âge mûr. " * 5
)


def text_of(data: bytes, **options) -> str:
    decoded = decode(data, **options)
    assert isinstance(decoded, Decoded), decoded
    return decoded.text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=300))
def test_utf8_comes_back_whatever_it_says(text: str) -> None:
    assert text_of(text.encode()) == text.removeprefix("\ufeff")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", [RUSSIAN, JAPANESE, "plain"])
def test_byte_order_marks_decide_and_go(encoding: str, text: str) -> None:
    assert text_of(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_text(encoding: str) -> None:
    assert text_of(("Plain notes, line after line.\n" * 20).encode(encoding)).startswith("Plain notes, line")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1251", RUSSIAN), ("koi8-r", RUSSIAN), ("cp932", JAPANESE), ("euc_jp", JAPANESE), ("cp1252", FRENCH)],
)
def test_legacy_encodings_are_detected(encoding: str, text: str) -> None:
    assert text_of(text.encode(encoding)) == text


def test_python_files_are_read_as_python_reads_them() -> None:
    source = "# -*- coding: cp1251 -*-\nname = 'Съешь же ещё'\n".encode("cp1251")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    decoded = decode(source, declaration=COOKIE)
    assert isinstance(decoded, Decoded)
    assert (decoded.text, decoded.how) == (source.decode(encoding), "declared")


def test_a_cookie_that_names_no_encoding_of_text_is_not_believed() -> None:
    for name in ("rot13", "zlib", "no-such-thing", "utf-8"):
        data = f"# coding: {name}\n".encode() + FRENCH.encode("cp1252")
        assert FRENCH in text_of(data, declaration=COOKIE)


def test_pages_say_their_encoding() -> None:
    page = "<html><head><meta charset='windows-1251'></head><body>Привет</body></html>".encode("cp1251")
    assert "Привет" in text_of(page, declaration=HTML_CHARSET)
    feed = "<?xml version='1.0' encoding='iso-8859-1'?><a>naïve “quotes”</a>".encode("cp1252")
    assert "naïve “quotes”" in text_of(feed, declaration=XML_ENCODING)


def test_shared_japanese_table_is_read() -> None:
    assert text_of((shared_data("documents") / "test_mskanji.csv").read_bytes()).startswith("名前,年齢,住所")


def test_bytes_at_random_are_binary_or_undecodable() -> None:
    generator = random.Random(0)
    for size in (100, 1000, 100_000):
        for _ in range(20):
            verdict = decode(generator.randbytes(size))
            assert isinstance(verdict, str)
            assert verdict.startswith(("binary: ", "undecodable: "))
    assert decode((shared_data("documents") / "random.bin").read_bytes()) == "binary: 7 zero bytes > 0"


def test_a_few_broken_bytes_are_replaced_and_counted() -> None:
    data = (JAPANESE * 10).encode() + b"\xff\xfe\xff" + RUSSIAN.encode()
    decoded = decode(data)
    assert isinstance(decoded, Decoded)
    if decoded.encoding == "utf-8":
        assert decoded.replaced == 3
        assert RUSSIAN in decoded.text


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_give_text_or_a_reason(data: bytes) -> None:
    decoded = decode(data)
    if isinstance(decoded, Decoded):
        decoded.text.encode("utf-8")
        assert "\0" not in decoded.text
    else:
        assert ": " in decoded
