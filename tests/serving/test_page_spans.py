"""The page's own functions, run by node: where they put the marks of a trace whose words Python slices."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.serving.parts import remembering

RUNNER = Path(__file__).with_name("page_parts.js")


def shown(text: str, *spans: tuple[int, int]) -> Any:
    made = [{"start": a, "end": b, "tokens": 9, "count": 2, "sources": []} for a, b in spans]
    return by_node({"text": text, "spans": made})


def by_node(request: dict[str, Any]) -> Any:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    folder = str(files("groundup.serving").joinpath("static"))
    ran = subprocess.run([node, RUNNER, folder], input=json.dumps(request), capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_spans_are_marked_by_characters_whatever_stands_before_them() -> None:
    text = "🐦🙂 e\u0301 naïve 漢字 words\n  of 🐦 nobody 👩‍👩‍👧 end"
    spans = [(text.index("naïve"), text.index(" words")), (text.index("of"), text.index(" end"))]
    found = shown(text, *spans)
    assert found["shown"] == text
    assert found["whole"] == [[True, text[a:b]] for a, b in spans]


def test_what_two_spans_share_is_marked_once() -> None:
    text = "🙂 one two three four five"
    spans = [(2, 15), (6, 25)]
    found = shown(text, *spans)
    assert found["shown"] == text
    assert found["whole"] == [[True, text[2:15]], [True, text[15:25]]]


def test_a_span_across_a_fence_is_marked_on_both_sides_and_stops_the_keyboard_once() -> None:
    text = "Say 🙂 this:\n```python\nprint(1)\n```\nand that."
    found = shown(text, (4, len(text)))
    assert found["fenced"] == "Say 🙂 this:\n<pre>print(1)</pre>and that."
    assert found["found"] == [[True, "🙂 this:\n"], [False, "print(1)"], [False, "and that."]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("```\na\n```", "<pre>a</pre>"),
        ("x\n```py\na\n\nb", "x\n<pre>a\n\nb</pre>"),
        ("x\n  ```py", "x\n<pre></pre>"),
        ("```a\nb\n```\n\nc\n```\nd\n```\n", "<pre>b</pre>\nc\n<pre>d</pre>"),
    ],
)
def test_fences_are_blocks_of_code_closed_or_not(text: str, expected: str) -> None:
    assert shown(text)["fenced"] == expected


def test_a_models_name_says_whether_memory_speaks_with_it() -> None:
    memory = remembering(completes=True, answers=False).status().memory
    data = {name: asdict(one) for name, one in memory.items()}
    asked = [("scratch", data, "completion"), ("scratch", data, "answers"), ("endless", data, "completion")]
    assert by_node({"named": asked}) == ["scratch + memory", "scratch", "endless"]
