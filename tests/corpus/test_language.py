"""language against sentences in 75 languages that no one here wrote."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from groundup.corpus.language import detect
from groundup.corpus.policy import CorpusPolicy
from tests.shared import shared_data

POLICY = CorpusPolicy()
CORE = "ar bg bn cs da de el en es fa fi fr he hi hu id it ja ko nb nl pl pt ro ru sk sv ta te th tr uk vi zh".split()  # noqa: SIM905


def sentences(code: str) -> list[str]:
    return (shared_data("langid") / f"{code}.txt").read_text(encoding="utf-8").splitlines()


def same(found: str, code: str) -> bool:
    return found in ((code, "no") if code == "nb" else (code,))


def texts(characters: int) -> Iterator[tuple[str, str]]:
    for code in CORE:
        joined = " ".join(sentences(code))
        for start in range(0, len(joined) - characters // 2, characters):
            yield code, joined[start : start + characters]


@pytest.mark.parametrize(("characters", "at_least"), [(120, 0.985), (500, 1.0)])
def test_languages_of_short_texts_are_found(characters: int, at_least: float) -> None:
    right = [same(detect(text, POLICY)[0], code) for code, text in texts(characters)]
    assert len(right) > 300
    assert sum(right) / len(right) >= at_least


def test_long_texts_are_known_by_their_samples() -> None:
    for code in CORE:
        assert same(detect("\n".join(sentences(code) * 20), POLICY)[0], code), code


def test_a_wrong_language_is_rarer_than_none() -> None:
    found = [(code, detect(text, POLICY)[0]) for code, text in texts(60)]
    wrong = sum(bool(guess) and not same(guess, code) for code, guess in found)
    unknown = sum(not guess for _, guess in found)
    assert wrong < unknown
    assert wrong / len(found) < 0.01


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12 34 56",
        "https://example.org/a/b/c/d/e/f?q=language",
        "----",
        "ok",
        "\n\n  \n",
        "asdkjh qwlekj zxmcnb alksjd qpwoei zmxnc",
    ],
)
def test_what_is_no_text_has_no_language(text: str) -> None:
    assert detect(text, POLICY) == ("", 0.0)


def test_masks_and_links_don_t_make_a_text_english() -> None:
    link = "https://example.org/the/weather/in/england/is/what/they/always/talk/about/and/so/it/was/that/day.html"
    text = f"Siehe {link} oder {link}, sonst frag <EMAIL>, <EMAIL> oder <PHONE>, gruß Jürgen"
    assert detect(text, POLICY)[0] == "de"


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from groundup.corpus import language

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("language identification opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    language._identifier.cache_clear()
    assert detect("The model comes inside the package, and so it is there without a network.", POLICY)[0] == "en"
