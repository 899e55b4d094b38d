from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from groundup.generation.generator import Piece
from groundup.serving.app import create_app
from groundup.serving.results import Generation
from tests.serving.conftest import Served
from tests.serving.parts import make_service, running


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code", "words"),
    [
        ("POST", "/v1/completions", b"{", 400, "invalid_json", "not JSON"),
        ("POST", "/v1/completions", b"[]", 400, "invalid_json", "JSON object"),
        ("POST", "/v1/completions", b"", 400, None, ""),
        ("POST", "/v1/completions", b"{}", 400, "missing_required_parameter", "prompt is missing"),
        ("POST", "/v1/completions", b'{"prompt": {"a": 1}}', 400, "invalid_type", "prompt"),
        ("POST", "/v1/chat/completions", b'{"messages": [{"content": "x"}]}', 400, "missing_required_parameter",
         "messages.0.role"),
        ("POST", "/ask", b'{"question": "  "}', 400, "invalid_value", "question: it is empty"),
        ("POST", "/search", b'{"query": "x", "k": 0}', 400, "invalid_value", "k: "),
        ("POST", "/search", b'{"query": "x", "system": "google"}', 400, "invalid_value", "best, bm25"),
        ("GET", "/search", b"", 400, "missing_required_parameter", "q is missing"),
        ("GET", "/search?q=x&k=1000", b"", 400, "invalid_value", "k: "),
        ("GET", "/nowhere", b"", 404, None, "/nowhere"),
        ("GET", "/static/../app.py", b"", 404, None, ""),
        ("GET", "/v1/completions", b"", 405, None, "GET is not allowed"),
    ],
)  # fmt: skip
def test_every_error_has_the_same_form(
    http: httpx.Client, method: str, path: str, content: bytes, status: int, code: str | None, words: str
) -> None:
    answer = http.request(method, path, content=content, headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert answer.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert code is None or error["code"] == code
    assert words in error["message"]


OTHER_NAMES = [
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "a b", "user@localhost",
    "",
]  # fmt: skip


@pytest.mark.parametrize("host", OTHER_NAMES)
def test_another_name_is_not_answered(http: httpx.Client, host: str) -> None:
    answer = http.get("/status", headers={"host": host})
    assert answer.status_code in (400, 421)  # an empty or malformed Host never reaches the app
    assert "smollm" not in answer.text
    assert "release" not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:99", "localhost.", "127.0.0.1:1", "[::1]:8000", "192.168.1.7"]
)
def test_localhost_and_addresses_are_answered(http: httpx.Client, host: str) -> None:
    assert http.get("/healthz", headers={"host": host}).status_code == 200


def test_a_configured_name_is_answered() -> None:
    with running(create_app(make_service(), hosts=["Search.lan"])) as url:
        assert httpx.get(f"{url}/healthz", headers={"host": "search.lan:8000"}).status_code == 200
        assert httpx.get(f"{url}/healthz", headers={"host": "other.lan"}).status_code == 421


def test_requests_of_other_pages_are_refused_and_none_may_read_an_answer(http: httpx.Client, served: Served) -> None:
    body = {"prompt": "x", "max_tokens": 1}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        answer = http.post("/v1/completions", json=body, headers={"origin": origin})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_origin")
    same = http.post("/v1/completions", json=body, headers={"origin": served.url})
    assert same.status_code == 200
    assert not [name for name in same.headers if name.startswith("access-control")]


def test_a_form_post_is_no_request(http: httpx.Client) -> None:
    # A page elsewhere may post text/plain without asking first; JSON of another type is therefore not read.
    answer = http.post("/v1/completions", content=b'{"prompt": "x"}', headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(chunked: bool) -> None:
    with running(create_app(make_service(), max_body_bytes=1000)) as url:
        body = b'{"prompt": "' + b"x" * 2000 + b'"}'
        content: Any = iter([body[:900], body[900:]]) if chunked else body
        answer = httpx.post(f"{url}/v1/completions", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "1,000 bytes" in answer.json()["error"]["message"]


def test_a_failure_inside_says_nothing_of_its_insides(monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service()

    def broken(*_: object) -> None:
        raise RuntimeError("secret path /home/me")

    monkeypatch.setattr(type(service), "search", broken)
    with running(create_app(service)) as url:
        answer = httpx.get(f"{url}/search", params={"q": "x"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text


def test_an_error_in_the_middle_of_a_stream_reaches_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service()

    def half(*_: object, **__: object) -> Generation:
        def pieces() -> Iterator[Piece]:
            yield Piece("one", 1, -0.5)
            raise RuntimeError("broke")

        return Generation("scratch", 3, 0, pieces(), lambda _: b"", lambda _: False)

    monkeypatch.setattr(type(service), "complete", half)
    with running(create_app(service)) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
        stream = client.completions.create(model="scratch", prompt="x", stream=True)
        assert next(stream).choices[0].text == "one"
        with pytest.raises(openai.APIError, match="Something in the server failed"):
            next(stream)


def test_too_many_at_once_are_told_to_come_back() -> None:
    service = make_service(waiting=0)
    turns = service.generators["scratch"].turns
    with running(create_app(service)) as url, turns.turn():
        answer = httpx.post(f"{url}/v1/completions", json={"prompt": "x"})
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/search", {"query": "\ud800 json"}),
        ("/ask", {"question": "json \udfff"}),
        ("/v1/completions", {"model": "champion", "prompt": "\ud800"}),
        ("/v1/chat/completions", {"model": "champion", "messages": [{"role": "user", "content": "a\udc00"}]}),
        ("/v1/embeddings", {"model": "champion", "input": ["fine", "\ud800"]}),
    ],
)
def test_half_a_character_is_refused(http: httpx.Client, path: str, body: dict[str, object]) -> None:
    response = http.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert "surrogate" in response.json()["error"]["message"]
