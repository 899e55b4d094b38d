"""Lines of JSON that hold texts: {"id": …, "text": "…"}, as `score` and `trace` read them."""

from __future__ import annotations

import json

from groundup.errors import RequestError


def read_line(number: int, line: str) -> tuple[object, str]:
    """(id, text) of one line; without an id its number. Raises RequestError for a line that is none."""
    try:
        value = json.loads(line, parse_constant=_no_number)
        text, name = value["text"], value.get("id", number)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = name = None
    if not isinstance(text, str):
        mend = 'Send lines such as {"id": 1, "text": "…"}.'
        raise RequestError(f"line {number} is no JSON object with a text", mend=mend)
    return name, text


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
