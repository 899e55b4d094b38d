"""Lines of JSON that hold texts: {"id": …, "text": "…"}, as `score` and `trace` read them."""

from __future__ import annotations

import json
from typing import Any

from groundup.errors import RequestError

MEND = 'Send lines such as {"id": 1, "text": "…"}.'
KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def read_line(number: int, line: str, file: str = "") -> tuple[str | int, str]:
    """(id, text) of one line; without an id its number. file: what it is a line of, for errors.

    Raises RequestError that names the line and what of it is wrong.
    """
    place = f"{file}, line {number}" if file else f"line {number}"
    try:
        value = json.loads(line, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise _refused(place, f"it is no JSON from column {error.colno} on: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        wrong = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _refused(place, f"it is no JSON that can be read: {wrong}") from None
    if not isinstance(value, dict):
        raise _refused(place, f"it is {_kind(value)}, not an object")
    if "text" not in value:
        raise _refused(place, 'it has no "text"')
    text, name = value["text"], value.get("id", number)
    if not isinstance(text, str):
        raise _refused(place, f'"text" is {_kind(text)}, not a string')
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise _refused(place, f'"id" is {_kind(name)}, neither a string nor a whole number')
    return name, text


def _kind(value: Any) -> str:
    return KINDS.get(type(value), "a number")


def _refused(place: str, wrong: str) -> RequestError:
    return RequestError(wrong, mend=MEND, place=place)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number there")
