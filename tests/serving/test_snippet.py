from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.serving.snippet import MAX_LINES, matches, snippet

TEXT = st.text("ab 日🦊_XY\nparse json", max_size=200)


def utf16(text: str) -> list[bytes]:
    data = text.encode("utf-16-le")
    return [data[at : at + 2] for at in range(0, len(data), 2)]


@given(st.text("ab parse json 日🦊", max_size=20), TEXT)
@settings(max_examples=200, deadline=None)
def test_marks_lie_in_order_inside_the_text_and_never_cut_a_character(query: str, text: str) -> None:
    shown = snippet(query, text)
    units, end = utf16(shown.text), 0
    for start, stop in shown.marks:
        assert end <= start < stop <= len(units)
        b"".join(units[start:stop]).decode("utf-16-le")
        end = stop
    assert shown.text.count("\n") < MAX_LINES


def marked(query: str, text: str) -> list[str]:
    return [text[a:b] for a, b in matches(query, text)]


def test_words_match_by_stem_and_inside_identifiers() -> None:
    text = "def parse_json(s): JSONDecoder().parsing  # parser"
    assert marked("parsing a JSON string", text) == ["parse", "json", "JSON", "parsing"]


def test_words_that_say_nothing_are_not_marked() -> None:
    assert marked("what is the decoder of it", "the decoder is what it is") == ["decoder"]


def test_the_part_with_most_different_words_is_shown_with_its_line() -> None:
    lines = [f"line {number}" for number in range(50)]
    lines[30], lines[32] = "parse it", "json here"
    shown = snippet("parse json", "\n".join(lines))
    assert "parse it" in shown.text
    assert "json here" in shown.text
    assert shown.text.split("\n")[0] == lines[shown.lines_before]


def test_a_long_line_is_cut_around_the_match() -> None:
    shown = snippet("needle", "x" * 5000 + " needle " + "y" * 5000)
    assert "needle" in shown.text
    assert len(shown.text) < 300
    assert shown.text.startswith("…")


def test_a_text_without_a_match_is_shown_from_the_top() -> None:
    assert snippet("zebra", "one\ntwo").text == "one\ntwo"
