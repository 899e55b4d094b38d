from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.generation.text import TextStream

SHORT = st.text("ab日🦊c", min_size=1, max_size=4)


def reference(text: str, stops: list[str]) -> str:
    """Character by character: the text ends before the longest stop string that is complete first."""
    for end in range(1, len(text) + 1):
        done = [stop for stop in stops if text[:end].endswith(stop)]
        if done:
            return text[: end - max(map(len, done))]
    return text


@st.composite
def cut(draw: st.DrawFn) -> tuple[bytes, list[bytes], list[str]]:
    """A text's bytes, the same in pieces (tokens may end inside a character), and stop strings."""
    data = draw(st.text("ab日🦊c", max_size=20)).encode()
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    borders = [0, *places, len(data)]
    return data, [data[a:b] for a, b in pairwise(borders)], draw(st.lists(SHORT, max_size=3))


@given(cut())
@settings(max_examples=600, deadline=None)
@example(("ab日c".encode(), ["ab日c".encode()[:3], "ab日c".encode()[3:]], ["日c"]))
@example((b"aab", [b"a", b"ab"], ["ab", "aab"]))
def test_text_is_the_same_wherever_tokens_are_cut(case: tuple[bytes, list[bytes], list[str]]) -> None:
    data, pieces, stops = case
    stream = TextStream(stops)
    shown = ""
    for piece in pieces:
        shown += stream.feed(piece)
        # Nothing that could still become a stop string has been shown.
        assert not any(shown.endswith(stop[:length]) for stop in stops for length in range(1, len(stop))) or reference(
            data.decode(), stops
        ).startswith(shown)
        assert "\ufffd" not in shown
    assert shown + stream.finish() == reference(data.decode(), stops)


@given(cut())
@settings(max_examples=300, deadline=None)
def test_what_was_shown_is_never_taken_back(case: tuple[bytes, list[bytes], list[str]]) -> None:
    data, pieces, stops = case
    stream, shown, whole = TextStream(stops), "", reference(data.decode(), stops)
    for piece in pieces:
        shown += stream.feed(piece)
        assert whole.startswith(shown)


@given(st.lists(st.binary(max_size=6), max_size=10))
def test_any_bytes_become_text_and_an_unfinished_character_at_the_end_is_left_out(pieces: list[bytes]) -> None:
    stream = TextStream()
    text = "".join([*(stream.feed(piece) for piece in pieces), stream.finish()])
    whole = b"".join(pieces).decode("utf-8", "replace")
    assert whole.startswith(text)
    assert whole[len(text) :] in ("", *("\ufffd" * n for n in (1, 2, 3)))


def test_a_character_of_four_bytes_comes_whole() -> None:
    stream = TextStream()
    assert [stream.feed(bytes([byte])) for byte in "🦊".encode()] == ["", "", "", "🦊"]


def test_a_beginning_of_a_stop_string_is_held_until_it_is_none() -> None:
    stream = TextStream(["<end>"])
    assert [stream.feed(part) for part in (b"a<", b"en", b"x<e")] == ["a", "", "<enx"]
    assert stream.finish() == "<e"
    assert not stream.stopped


def test_after_a_stop_nothing_comes_out() -> None:
    stream = TextStream(["."])
    assert stream.feed(b"one. two") == "one"
    assert (stream.stopped, stream.feed(b" three"), stream.finish()) == (True, "", "")
