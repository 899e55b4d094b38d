"""Spans, shares and passages over the API, against the tracer itself, plain slices and a memory with known words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from groundup.serving.app import create_app
from groundup.serving.release_service import ServedMemory
from groundup.serving.routes.tracing import MAX_PASSAGE
from groundup.serving.schema import MAX_TRACED
from groundup.stages.trace_lines import WARNING, trace_lines
from tests.serving.parts import NOTES, SENTENCES, make_tracer, remembering, running
from tests.serving.test_search_and_ask import events

HELLO: list[Any] = [{"role": "user", "content": "what is a json string"}]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 60}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/completions", GREEDY | {"prompt": "JSON", "max_tokens": 40}),
    ("/v1/chat/completions", GREEDY | {"messages": HELLO}),
    ("/ask", GREEDY | {"question": "what is a json string"}),
]
# Emoji before, within and after what stands in the documents; a sentence twice; words of nobody.
TEXT = f"🙂🙂 mine. {SENTENCES[1]} 🐦 {SENTENCES[0]} other words here naïve 🐦 birds\n{SENTENCES[0]}"


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with (
        running(create_app(remembering())) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as made,
    ):
        yield made


def written(path: str, answer: dict[str, Any]) -> str:
    """What a model wrote, of a whole answer."""
    if path == "/ask":
        return str(answer["generated"]["text"])
    choice = answer["choices"][0]
    return str(choice["text"] if "text" in choice else choice["message"]["content"])


def trace_in(path: str, answer: dict[str, Any]) -> Any:
    return answer["generated"]["trace"] if path == "/ask" else answer["groundup"]["trace"]


def streamed(path: str, text: str) -> tuple[str, Any]:
    """(what a model wrote, the event before [DONE]) of a stream."""
    parts, found = [], events(text)
    for name, data in found:
        if name == "delta":
            parts.append(data["text"])
        elif data != "[DONE]" and data.get("choices"):
            choice = data["choices"][0]
            parts.append(choice["text"] if "text" in choice else choice["delta"].get("content", ""))
    assert found[-1] == ("", "[DONE]")
    last = found[-2]
    text = "".join(parts)
    return (text.strip(), last[1]) if path == "/ask" else (text, last[1])


def test_spans_are_those_that_the_command_prints(http: httpx.Client) -> None:
    service = remembering()
    tracer = make_tracer(service.generators["scratch"].tokenizer)
    (line,) = trace_lines(tracer, [json.dumps({"id": "x", "text": TEXT})])
    answer = http.post("/trace", json={"text": TEXT}).json()
    assert answer["spans"] == line["spans"]
    assert len(answer["spans"]) >= 3
    assert answer["copied_share"] == tracer.trace(TEXT).copied
    assert answer["copied_share"] + answer["new_share"] == pytest.approx(1)
    assert 0.5 < answer["copied_share"] < 1


def test_a_span_and_the_passage_it_names_have_the_same_characters(http: httpx.Client) -> None:
    seen = 0
    for span in http.post("/trace", json={"text": TEXT}).json()["spans"]:
        shown = TEXT[span["start"] : span["end"]]  # Python's characters are code points
        for source in span["sources"]:
            asked = {"start": source["start"], "length": len(shown)}
            passage = http.get(f"/documents/{source['document']}", params=asked).json()
            assert passage["text"] == shown
            assert (passage["path"], passage["title"]) == (source["path"], source["title"])
            seen += 1
    assert seen >= 3


@pytest.mark.parametrize(("start", "length"), [(0, 1), (6, 3), (7, 40), (0, MAX_PASSAGE), (30, 500)])
@pytest.mark.parametrize("name", NOTES)
def test_a_passage_is_a_slice_of_the_document(http: httpx.Client, name: str, start: int, length: int) -> None:
    passage = http.get(f"/documents/{name}", params={"start": start, "length": length}).json()
    text = NOTES[name]
    assert passage == {
        "document": name,
        "title": f"title of {name[0]}",
        "path": f"notes/{name[0]}.md",
        "start": start,
        "end": min(len(text), start + length),
        "length": len(text),
        "line": len(text[:start].split("\n")),
        "text": text[start : start + length],
    }


@pytest.mark.parametrize(
    ("query", "status", "param", "words"),
    [
        (f"{'c' * 32}", 404, "id", "there is no document"),
        (f"{'a' * 32}?start=-1", 400, "start", "greater than or equal to 0"),
        (f"{'a' * 32}?start=x", 400, "start", "valid integer"),
        (f"{'a' * 32}?start=1.5", 400, "start", "valid integer"),
        (f"{'a' * 32}?start={len(NOTES['a' * 32])}", 400, "start", f"start below {len(NOTES['a' * 32]):,}, the"),
        (f"{'a' * 32}?start={10**30}", 400, "start", "past the end"),
        (f"{'a' * 32}?length=0", 400, "length", "greater than or equal to 1"),
        (f"{'a' * 32}?length={MAX_PASSAGE + 1}", 400, "length", "less than or equal"),
    ],
)
def test_a_passage_that_cannot_be_is_refused_by_field(
    http: httpx.Client, query: str, status: int, param: str | None, words: str
) -> None:
    answer = http.get(f"/documents/{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert words in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        ("/trace", {}, "text", "missing"),
        ("/trace", {"text": " \n"}, "text", "it is empty"),
        ("/trace", {"text": "x" * (MAX_TRACED + 1)}, "text", f"{MAX_TRACED:,} at most"),
        ("/trace", {"text": ["x"]}, "text", "valid string"),
        ("/trace", {"text": 7}, "text", "valid string"),
        ("/trace", {"text": "x", "texts": 1}, "texts", "Did you mean text"),
        ("/v1/completions", {"prompt": "x", "memory": "only"}, "memory", "'auto' or 'off'"),
        ("/v1/chat/completions", {"messages": HELLO, "memory": "only"}, "memory", "'auto' or 'off'"),
        ("/ask", {"question": "x", "memory": True}, "memory", "'auto' or 'off'"),
        ("/ask", {"question": "x", "trace": "yes"}, "trace", "valid boolean"),
        ("/v1/completions", {"prompt": "x", "trace": 1}, "trace", "valid boolean"),
        ("/v1/completions", {"prompt": "x", "trace": None}, "trace", "valid boolean"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, path: str, body: dict[str, Any], param: str, words: str) -> None:
    answer = http.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert words in error["message"]


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_an_answer_is_traced_as_a_text_of_its_own_streamed_or_not(
    http: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    whole = http.post(path, json=body | {"trace": True}).json()
    text = written(path, whole)
    assert SENTENCES[1][:30] in text  # the memory's words
    alone = http.post("/trace", json={"text": text}).json()
    assert trace_in(path, whole) == alone
    assert alone["spans"]
    assert alone["copied_share"] > 0.5
    asked = body | {"trace": True, "stream": True}
    again, last = streamed(path, http.post(path, json=asked | {"stream_options": {"include_usage": True}}).text)
    assert again == text
    assert (last if path == "/ask" else last["groundup"]["trace"]) == alone
    plain = http.post(path, json=body).json()
    assert written(path, plain) == text
    assert "trace" not in json.dumps(plain)


def test_openai_clients_read_past_the_trace(http: httpx.Client) -> None:
    with openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="chatty", messages=HELLO, max_tokens=9, stream=True, extra_body={"trace": True},
            stream_options={"include_usage": True},
        )  # fmt: skip
        chunks = list(stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [9]
        whole = client.completions.create(model="scratch", prompt="x", max_tokens=9, extra_body={"trace": True})
        assert whole.groundup["trace"]["new_share"] >= 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("completes", "answers", "speaks"),
    [(True, True, {0, 1, 2}), (True, False, {0}), (True, None, {0}), (False, True, {1, 2})],
)
def test_memory_speaks_where_it_was_measured_to_help_and_nowhere_else(
    completes: bool, answers: bool | None, speaks: set[int]
) -> None:
    with (
        running(create_app(remembering(completes=completes, answers=answers))) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        for number, (path, body) in enumerate(REQUESTS):
            texts = {}
            for use in ("auto", "off"):
                asked = body | {"memory": use}
                texts[use] = written(path, http.post(path, json=asked).json())
                assert streamed(path, http.post(path, json=asked | {"stream": True}).text)[0] == texts[use]
            assert (SENTENCES[1][:30] in texts["auto"]) == (number in speaks)
            assert (texts["auto"] == texts["off"]) == (number not in speaks)
        memory = http.get("/status").json()["memory"]["chatty"]
        assert (memory["completion"]["on"], memory["answers"]["on"]) == (completes, answers is True)
        expected = "was not measured" if answers is None else "says that" if answers else "does not say that"
        assert expected in memory["answers"]["reason"]


@pytest.mark.parametrize(("completes", "answers"), [(True, False), (False, True)])
def test_a_response_says_whether_memory_had_a_say_streamed_or_not(completes: bool, answers: bool) -> None:
    with (
        running(create_app(remembering(completes=completes, answers=answers))) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        for path, body in REQUESTS:
            for use in ("auto", "off"):
                asked = body | {"memory": use, "max_tokens": 40}
                answer = http.post(path, json=asked).json()
                said = (answer["generated"] if path == "/ask" else answer)["groundup"]
                assert said == {"memory": SENTENCES[1][:30] in written(path, answer)}
                assert said["memory"] == (use == "auto" and (completes if path == "/v1/completions" else answers))
                streamed_events = events(http.post(path, json=asked | {"stream": True}).text)
                notes = [data["groundup"] for _, data in streamed_events if "groundup" in data]
                assert notes
                assert all(note == said for note in notes)


def test_a_memory_that_cannot_be_opened_is_silent_and_says_why() -> None:
    service = remembering()
    broken = ServedMemory(None, True, True, "ends.bin is cut short")
    service = replace(service, memories={"scratch": broken, "chatty": broken}, tracer=None)
    with (
        running(create_app(service)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        memory = http.get("/status").json()["memory"]["scratch"]
        assert (
            memory["completion"]
            == memory["answers"]
            == {
                "on": False,
                "reason": "The memory of scratch can't be opened: ends.bin is cut short; run `groundup memory rebuild` "
                "and start the server again.",
            }
        )
        for path, body in REQUESTS:
            auto, off = (http.post(path, json=body | {"memory": use}).json() for use in ("auto", "off"))
            assert written(path, auto) == written(path, off)
            assert (auto["generated"] if path == "/ask" else auto)["groundup"] == {"memory": False}
            refused = http.post(path, json=body | {"trace": True})
            assert refused.status_code == 400
            assert "ends.bin is cut short" in refused.json()["error"]["message"]
        refused = http.post("/trace", json={"text": TEXT})
        assert refused.status_code == 404
        assert "groundup memory rebuild" in refused.json()["error"]["message"]
        assert "groundup run" not in refused.json()["error"]["message"]


def test_metrics_count_tokens_of_memory_and_bytes_of_traces() -> None:
    with (
        running(create_app(remembering(answers=False))) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        http.post("/v1/completions", json={"prompt": "x", "max_tokens": 7})
        http.post("/v1/completions", json={"prompt": "x", "max_tokens": 7, "memory": "off"})
        http.post("/v1/chat/completions", json={"messages": HELLO, "max_tokens": 7})
        traced = http.post("/trace", json={"text": TEXT}).json()
        lines = dict(line.rsplit(" ", 1) for line in http.get("/metrics").text.splitlines() if line[0] != "#")
    assert float(lines['groundup_memory_tokens_total{model="scratch"}']) == 7
    assert 'groundup_memory_tokens_total{model="chatty"}' not in lines
    kinds = {kind: float(lines[f'groundup_traced_bytes_total{{kind="{kind}"}}']) for kind in ("copied", "new")}
    assert sum(kinds.values()) == len(TEXT.encode())
    assert kinds["copied"] == round(traced["copied_share"] * len(TEXT.encode()))


def test_without_a_memory_tracing_is_refused_with_what_to_do(served_plain: httpx.Client) -> None:
    answer = served_plain.post("/trace", json={"text": TEXT})
    assert answer.status_code == 404
    assert "groundup run" in answer.json()["error"]["message"]
    for path, body in REQUESTS:
        for stream in (False, True):
            answer = served_plain.post(path, json=body | {"trace": True, "stream": stream})
            error = answer.json()["error"]
            assert (answer.status_code, error["param"]) == (400, "trace")
            assert "Leave it out" in error["message"]
        assert served_plain.post(path, json=body | {"memory": "auto", "max_tokens": 2}).status_code == 200
    status = served_plain.get("/status").json()
    assert (status["memory"], status["traces"]) == ({}, False)
    assert served_plain.get(f"/documents/{'a' * 32}").json()["text"] == NOTES["a" * 32][:1000]


@pytest.fixture
def served_plain(served: Any) -> Iterator[httpx.Client]:
    """The room's server, which has no memory."""
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as made:
        yield made


def test_the_page_says_what_a_match_shows_and_hides_its_parts_until_there_is_a_memory(http: httpx.Client) -> None:
    page = http.get("/").text
    assert page.count(WARNING) == 2  # beside the box, and beside the passage
    assert 'id="tab-trace" aria-controls="trace" aria-selected="false" tabindex="-1" hidden' in page
    assert page.count('<span class="memory" hidden>') == 2
