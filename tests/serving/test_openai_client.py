"""The real openai client against the real server."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import openai
import pytest

from groundup.generation.chat import encode_chat
from groundup.generation.sampling import Sampling
from tests.serving.conftest import Served

HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a Counter?"}]


def test_models_are_listed_with_the_champion_first_and_encoders_last(client: openai.OpenAI) -> None:
    models = client.models.list().data
    assert [(model.id, model.kind, model.serves) for model in models] == [  # type: ignore[attr-defined]
        ("scratch", "completion", True),
        ("chatty", "chat", False),
        ("endless", "chat", False),
        ("hash", "embedding", True),
    ]
    assert client.models.retrieve("chatty").owned_by == "groundup"
    with pytest.raises(openai.NotFoundError, match="Serving: scratch, chatty"):
        client.models.retrieve("gpt-5")


def test_completion_is_what_the_generator_writes(client: openai.OpenAI, served: Served) -> None:
    made = served.service.generators["scratch"]
    sampling = Sampling(temperature=0.9, top_p=0.8, seed=4, max_tokens=15)
    expected = made.generate(made.encode_prompt("JSON is"), sampling)
    got = client.completions.create(
        model="scratch", prompt="JSON is", temperature=0.9, top_p=0.8, seed=4, max_tokens=15
    )
    assert got.choices[0].text == expected
    assert got.usage is not None
    assert got.usage.prompt_tokens == len(made.encode_prompt("JSON is"))
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens


def test_streamed_completion_is_the_same_text_with_usage_at_the_end(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "scratch", "prompt": "naïve 日本", "seed": 7, "max_tokens": 30, "temperature": 1}
    whole = client.completions.create(**asked)
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == whole.choices[0].finish_reason
    assert len({chunk.id for chunk in chunks}) == 1


def test_chat_is_the_template_and_the_generator(client: openai.OpenAI, served: Served) -> None:
    made = served.service.generators["chatty"]
    ids = encode_chat(made.tokenizer, made.chat_template, HELLO)
    expected = made.generate(ids, Sampling(temperature=0, max_tokens=12))
    got = client.chat.completions.create(model="chatty", messages=HELLO, temperature=0, max_completion_tokens=12)
    assert got.choices[0].message.content == expected
    assert got.usage is not None
    assert got.usage.prompt_tokens == len(ids)


def test_streamed_chat_is_the_same_text(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "chatty", "messages": HELLO, "seed": 3, "max_tokens": 20}
    whole = client.chat.completions.create(**asked).choices[0]
    with client.chat.completions.create(**asked, stream=True) as stream:
        chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.message.content
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason


def test_champion_chats_with_the_model_that_can(client: openai.OpenAI) -> None:
    got = client.chat.completions.create(model="champion", messages=HELLO, max_tokens=2)
    assert got.model == "chatty"


def test_content_may_come_in_text_parts(client: openai.OpenAI) -> None:
    parts: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "a Counter?"}]},
    ]
    one = client.chat.completions.create(model="chatty", messages=parts, temperature=0, max_tokens=9)
    other = client.chat.completions.create(model="chatty", messages=HELLO, temperature=0, max_tokens=9)
    assert one.choices[0].message.content == other.choices[0].message.content


def test_logprobs_of_chat_hold_the_bytes_of_the_text(client: openai.OpenAI) -> None:
    got = client.chat.completions.create(
        model="endless", messages=HELLO, seed=1, max_tokens=20, logprobs=True, top_logprobs=3
    )
    assert got.choices[0].logprobs is not None
    content = got.choices[0].logprobs.content or []
    data = b"".join(bytes(entry.bytes or []) for entry in content)
    assert data.decode("utf-8", "ignore").startswith((got.choices[0].message.content or "").split("\ufffd")[0])
    assert all(len(entry.top_logprobs) == 3 and entry.logprob <= entry.top_logprobs[0].logprob for entry in content)


def test_logprobs_of_completions_keep_broken_tokens_apart(client: openai.OpenAI) -> None:
    got = client.completions.create(model="endless", prompt="JSON", seed=1, max_tokens=40, logprobs=5)
    logprobs = got.choices[0].logprobs
    assert logprobs is not None
    assert len(logprobs.tokens or []) == len(logprobs.token_logprobs or []) == 40
    assert all(len(top) == 5 for top in logprobs.top_logprobs or [])


def test_embeddings_as_base64_are_those_as_numbers_and_those_of_the_encoder(
    client: openai.OpenAI, http: httpx.Client, served: Served
) -> None:
    texts = ["a Counter", "JSON"]
    encoded = client.embeddings.create(model="hash", input=texts)  # the client asks for base64 by itself
    plain = http.post("/v1/embeddings", json={"model": "hash", "input": texts}).json()
    expected = served.service.encoders["hash"].encode(texts)
    np.testing.assert_array_equal(np.float32([row.embedding for row in encoded.data]), expected)
    np.testing.assert_array_equal(np.float32([row["embedding"] for row in plain["data"]]), expected)
    assert encoded.usage.prompt_tokens == 3
    assert client.embeddings.create(model="champion", input="JSON").data[0].embedding == encoded.data[1].embedding


REFUSED: list[tuple[str, dict[str, Any], type[openai.APIStatusError], str | None, str]] = [
    ("completions", {"model": "gpt-5", "prompt": "x"}, openai.NotFoundError, "model", "Serving: scratch"),
    ("completions", {"model": "scratch", "prompt": "x", "n": 2}, openai.BadRequestError, "n", "Send 1"),
    ("completions", {"model": "scratch", "prompt": ["x", "y"]}, openai.BadRequestError, "prompt", "one prompt"),
    ("completions", {"model": "scratch", "prompt": []}, openai.BadRequestError, "prompt", "no prompt"),
    ("completions", {"model": "scratch", "prompt": [9999]}, openai.BadRequestError, "prompt", "no token"),
    ("completions", {"model": "scratch", "prompt": "x", "top_p": 7}, openai.BadRequestError, "top_p", "from 0 to 1"),
    ("completions", {"model": "scratch", "prompt": "x", "logprobs": 9}, openai.BadRequestError, "logprobs", "0 to 5"),
    ("completions", {"model": "scratch", "prompt": "x", "echo": True}, openai.BadRequestError, "echo", "Leave it out"),
    ("completions", {"model": "scratch", "prompt": "x" * 500}, openai.BadRequestError, "prompt", "holds 64"),
    ("completions", {"model": "scratch", "prompt": "x", "max_tokens": "9"}, openai.BadRequestError, "max_tokens",
     "valid integer"),
    ("completions", {"model": "scratch", "prompt": "x", "stop": ["a"] * 17}, openai.BadRequestError, "stop", "16"),
    ("chat", {"model": "scratch", "messages": HELLO}, openai.BadRequestError, "model", "/v1/completions"),
    ("chat", {"model": "chatty", "messages": []}, openai.BadRequestError, "messages", "at least one"),
    ("chat", {"model": "chatty", "messages": HELLO[::-1]}, openai.BadRequestError, "messages", "a system message"),
    ("chat", {"model": "chatty", "messages": [{"role": "tool", "content": "x"}]}, openai.BadRequestError,
     "messages.0.role", "tools are not"),
    ("chat", {"model": "chatty", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
     openai.BadRequestError, "messages.0.content.0.type", "Send text"),
    ("chat", {"model": "chatty", "messages": HELLO, "tools": [{"type": "function"}]}, openai.BadRequestError, "tools",
     "not supported"),
    ("chat", {"model": "chatty", "messages": HELLO, "response_format": {"type": "json_object"}},
     openai.BadRequestError, "response_format", "not supported"),
    ("chat", {"model": "chatty", "messages": HELLO, "top_logprobs": 3}, openai.BadRequestError, "top_logprobs",
     "logprobs: true"),
    ("embeddings", {"model": "scratch", "input": "x"}, openai.NotFoundError, "model", "not an encoder"),
    ("embeddings", {"model": "hash", "input": [1, 2]}, openai.BadRequestError, "input", "token ids"),
    ("embeddings", {"model": "hash", "input": ["a", ""]}, openai.BadRequestError, "input", "text 1 is empty"),
    ("embeddings", {"model": "hash", "input": "a " * 9}, openai.BadRequestError, "input", "reads"),
    ("embeddings", {"model": "hash", "input": "x", "dimensions": 3}, openai.BadRequestError, "dimensions", "gives 16"),
]  # fmt: skip


@pytest.mark.parametrize(("surface", "body", "error", "param", "words"), REFUSED)
def test_refusals_name_the_field_and_the_mend(
    client: openai.OpenAI, surface: str, body: dict[str, Any], error: type[openai.APIStatusError], param: str | None,
    words: str,
) -> None:  # fmt: skip
    call = {
        "completions": client.completions.create,
        "chat": client.chat.completions.create,
        "embeddings": client.embeddings.create,
    }[surface]
    with pytest.raises(error, match=words) as caught:
        call(**body)
    assert caught.value.param == param
    assert caught.value.type == ("not_found_error" if error is openai.NotFoundError else "invalid_request_error")
    assert caught.value.code


def test_a_misspelled_field_is_refused_with_the_nearest_known_one(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Did you mean repetition_penalty") as caught:
        client.completions.create(model="scratch", prompt="x", extra_body={"repetition_penality": 1.1})
    assert caught.value.param == "repetition_penality"


def test_fields_that_change_nothing_are_taken(client: openai.OpenAI) -> None:
    got = client.chat.completions.create(
        model="chatty", messages=HELLO, max_tokens=1, n=1, user="me", store=False, metadata={"a": "b"}, tools=[],
        tool_choice="none", response_format={"type": "text"},
        extra_body={"top_k": -1, "min_p": 0.1, "repetition_penalty": 1.1, "logit_bias": {}},
    )  # fmt: skip
    assert got.choices[0].finish_reason in ("length", "stop")


def test_a_long_completion_prompt_may_lose_its_beginning_and_the_answer_says_how_much(client: openai.OpenAI) -> None:
    got = client.completions.create(
        model="scratch", prompt="JSON string " * 60, max_tokens=8, extra_body={"truncate": True}
    )
    assert got.usage is not None
    assert got.groundup["dropped_prompt_tokens"] > 0  # type: ignore[attr-defined]
    assert got.usage.prompt_tokens == 64 - 8
