from __future__ import annotations

import re

import httpx
import pytest

SCRIPTS = ["/static/parts.js", "/static/trace.js", "/static/page.js"]
FILES = ["/", "/static/page.css", *SCRIPTS]


@pytest.mark.parametrize("path", FILES)
def test_page_comes_with_a_strict_policy_and_its_type(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    kind = {"/": "text/html", "/static/page.css": "text/css"}.get(path, "text/javascript")
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"


@pytest.mark.parametrize("path", FILES)
def test_page_loads_nothing_from_elsewhere(http: httpx.Client, path: str) -> None:
    assert not re.search(r"""(?:https?:)?//[a-z0-9-]+\.[a-z]""", http.get(path).text)


def scripts(http: httpx.Client) -> str:
    return "".join(http.get(path).text for path in SCRIPTS)


def test_page_has_no_inline_code_and_the_script_never_parses_html(http: httpx.Client) -> None:
    page, script = http.get("/").text, scripts(http)
    assert re.findall(r'<script src="([^"]+)" defer></script>', page) == SCRIPTS
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|javascript:", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)


def test_every_part_the_script_asks_for_is_on_the_page(http: httpx.Client) -> None:
    page, script = http.get("/").text, scripts(http)
    have = re.findall(r'\bid="([^"]+)"', page)
    wanted = set(re.findall(r'\$\("([^"]+)"\)', script))
    assert len(have) == len(set(have))
    assert wanted
    assert wanted <= set(have)


def test_every_field_has_a_label(http: httpx.Client) -> None:
    page = http.get("/").text
    labelled = set(re.findall(r'<label for="([^"]+)"', page))
    inside = set(re.findall(r'<label[^>]*>[^<]*<(?:input|select|textarea)[^>]*id="([^"]+)"', page))
    fields = set(re.findall(r'<(?:input|select|textarea)[^>]*\bid="([^"]+)"', page))
    assert fields <= labelled | inside


def test_status_says_who_serves_and_why(http: httpx.Client) -> None:
    status = http.get("/status").json()
    assert (status["champion"], status["chat_model"]) == ("scratch", "chatty")
    assert status["verdicts"] == ["scratch serves: nothing else was measured."]
    assert status["coverage"]["sentence"] == "dense covers 2 of 3"
