"""A real release behind a real server, asked by the openai client."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.stages.conftest import Finished

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(finished: Finished) -> Iterator[str]:
    command = [sys.executable, "-m", "groundup", "serve", "--port", "0", "--store", str(finished.store)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        found = re.search(r"at (http://127\.0\.0\.1:\d+)", line)
        if found:
            break
    else:
        pytest.fail("".join(lines))
    yield found[1]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def test_models_are_listed_with_the_champion_first(client: openai.OpenAI) -> None:
    assert next(model.id for model in client.models.list()) == "from-scratch"


def test_completion_and_its_stream_are_the_same(client: openai.OpenAI) -> None:
    asked = {"model": "champion", "prompt": "def parse(", "max_tokens": 8, "seed": 3}
    whole = client.completions.create(**asked)
    streamed = "".join(part.choices[0].text for part in client.completions.create(stream=True, **asked) if part.choices)
    assert whole.choices[0].text == streamed
    assert whole.usage is not None
    assert whole.usage.completion_tokens <= 8


def test_chat_without_a_template_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="completions"):
        client.chat.completions.create(model="champion", messages=[{"role": "user", "content": "hello"}])


def test_embeddings_have_unit_length(client: openai.OpenAI) -> None:
    vector = client.embeddings.create(model="champion", input=["a text"]).data[0].embedding
    assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-4)


def test_search_and_answers_name_their_places(url: str) -> None:
    found = httpx.get(f"{url}/search", params={"q": "decode a JSON document", "k": 3}).json()
    assert found["results"][0]["source"].endswith(".py")
    answer = httpx.post(f"{url}/ask", json={"question": "when to plant the broad beans"}).json()
    assert "garden.md" in str(answer)


def traced_by_the_command(finished: Finished, text: str) -> Any:
    command = [sys.executable, "-m", "groundup", "trace", "--jsonl", "--store", str(finished.store)]
    ran = subprocess.run(command, input=json.dumps({"text": text}), capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)["spans"]


def test_traces_are_those_of_the_command_and_passages_are_slices_of_the_files(url: str, finished: Finished) -> None:
    words = "before the ground freezes, three fingers deep and a hand apart"
    text = f"🙂 Nobody wrote this. In the second week of November, {words}. 🐦\n    def default(self, o):\n"
    spans = httpx.post(f"{url}/trace", json={"text": text}).json()["spans"]
    assert spans == traced_by_the_command(finished, text)
    named = [(span, source) for span in spans for source in span["sources"] if source["path"].endswith("garden.md")]
    ((span, source),) = named
    file = (finished.sources / "notes" / "garden.md").read_text(encoding="utf-8")
    asked = {"start": source["start"], "length": span["end"] - span["start"]}
    passage = httpx.get(f"{url}/documents/{source['document']}", params=asked).json()
    assert words in passage["text"] == text[span["start"] : span["end"]]
    assert passage["line"] == file[: file.index(passage["text"])].count("\n") + 1


def test_an_answer_is_traced_as_by_the_command_streamed_or_not(client: openai.OpenAI, finished: Finished) -> None:
    asked: dict[str, Any] = {"model": "champion", "prompt": "class JSONDecoder:", "max_tokens": 40, "temperature": 0}
    asked["extra_body"] = {"trace": True}
    whole = client.completions.create(**asked)
    (*chunks, last) = client.completions.create(stream=True, **asked)
    text = "".join(chunk.choices[0].text for chunk in chunks)
    assert text == whole.choices[0].text
    assert last.groundup == whole.groundup
    assert whole.groundup["trace"]["spans"] == traced_by_the_command(finished, text)


def test_health_page_and_metrics(url: str) -> None:
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert httpx.get(f"{url}/readyz").status_code == 200
    assert "groundup" in httpx.get(url).text
    assert "groundup_requests" in httpx.get(f"{url}/metrics").text


def test_requests_are_summed_up(url: str, finished: Finished) -> None:
    from groundup.stages.serve import monitor_requests

    httpx.get(f"{url}/search", params={"q": "logging handlers"})
    summary = monitor_requests(finished.store)
    assert summary.requests > 0
    assert "queries" in summary.text()


def test_stopping_while_chunks_are_embedded_ends_cleanly(finished: Finished, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished.store, store)
    for vectors in (store / "index").glob("*/embeddings"):
        shutil.rmtree(vectors)
    command = [sys.executable, "-m", "groundup", "serve", "--port", "0", "--store", str(store)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Serving"):
            break
    deadline = time.monotonic() + 60
    while not list((store / "index").glob("*/embeddings/*/vectors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "terminate" not in errors
