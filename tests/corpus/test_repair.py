"""repair against ftfy's own cases: broken text and what it should be, and text that must stay."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import ftfy
import pytest
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.repair import repair
from tests.shared import shared_data


def cases(name: str) -> list[dict[str, Any]]:
    return json.loads(shared_data(f"mojibake/{name}.json").read_text(encoding="utf-8"))


def as_typed(text: str) -> str:
    """What repair leaves to the person: quotes, entities and full-width forms are mended by ftfy alone."""
    config = ftfy.TextFixerConfig(fix_encoding=False)
    return unicodedata.normalize("NFC", ftfy.fix_text(text, config))


@pytest.mark.parametrize("name", ["in-the-wild", "synthetic"])
def test_broken_text_is_mended_as_ftfy_says(name: str) -> None:
    wrong = []
    for case in cases(name):
        mended, counts = repair(case["original"], code=False)
        wanted = case.get("fixed-encoding", case["fixed"])
        if as_typed(mended) != as_typed(wanted):
            wrong.append((case["label"], mended, wanted))
        if mended != case["original"]:
            assert counts, case["label"]
    assert not wrong


def test_text_that_must_not_be_touched_is_not() -> None:
    wrong = []
    for case in cases("negative"):
        mended, _ = repair(case["original"], code=False)
        if as_typed(mended) != as_typed(case.get("fixed-encoding", case["fixed"])):
            wrong.append((case["label"], mended))
    assert not wrong


def test_looking_beyond_ascii_alone_finds_what_ftfy_finds() -> None:
    """The shortcut asks is_bad of the characters beyond ASCII and their neighbours, not of the whole text."""
    from groundup.corpus.repair import _beyond_ascii

    for name in ("in-the-wild", "synthetic", "negative", "known-failures"):
        for case in cases(name):
            for text in (case["original"], f"Before it stood this. {case['original']} And this came after it.\n"):
                assert is_bad(_beyond_ascii(text)) == is_bad(text), case["label"]


@pytest.mark.parametrize(
    "text",
    [
        "“curly” — ‘quotes’…",
        "write &lt; for <",
        "你好，世界！（真的）",
        "naïve café, Größe, señor",
        "emoji 👩‍👩‍👧 stay 🎉",
    ],
)
def test_what_a_person_typed_stays(text: str) -> None:
    assert repair(text, code=False) == (text, {})


def test_mending_a_line_leaves_its_quotes_entities_and_commas() -> None:
    assert repair("“voilÃ\xa0” &lt; ‘voilÃ\xa0’，", code=False)[0] == "“voilà” &lt; ‘voilà’，"


def test_prose_is_composed_and_counted() -> None:
    text = "cafe\u0301\nplain\nnai\u0308ve"
    assert repair(text, code=False) == ("café\nplain\nnaïve", {"unicode_nfc": 2})


def test_code_keeps_everything_but_line_ends_and_byte_order_mark() -> None:
    text = '\ufeffs = "cafe\u0301 sÃ³ \u0093"\r\nt = 1\rpage\x0c\n'
    assert repair(text, code=True) == (
        's = "cafe\u0301 sÃ³ \u0093"\nt = 1\npage\x0c\n',
        {"line_ends": 2, "byte_order_mark": 1},
    )


@given(st.text(max_size=300), st.booleans())
def test_repair_is_idempotent(text: str, code: bool) -> None:
    once, _ = repair(text, code=code)
    assert repair(once, code=code) == (once, {})


@given(st.text(max_size=60))
def test_text_broken_once_by_latin1_comes_back_composed(text: str) -> None:
    broken, _ = repair(text.encode("utf-8").decode("latin-1"), code=False)
    assert unicodedata.is_normalized("NFC", broken)
