"""Dataclasses to JSON and back, strictly: what is read has exactly the fields and types that are declared.

Verdicts and summaries outlive the program that wrote them. A field that is missing, unknown or of another type is an
error with its place ("rows[2].values.documents.low"), never a default or a guess.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from typing import Any, TypeVar

from groundup.errors import StoreError

T = TypeVar("T")


def to_json(value: Any) -> str:
    """`value`, a dataclass, as indented JSON, fields in declared order. Raises ValueError for NaN and infinities."""
    return json.dumps(dataclasses.asdict(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(kind: type[T], text: str, place: str = "") -> T:
    """Inverse of `to_json`. Raises StoreError that names the field."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError) as error:
        raise _wrong(place, f"not JSON as it was written: {error}") from None
    return from_plain(kind, value, place)


def from_plain(kind: type[T], value: Any, place: str = "") -> T:
    """The same from dicts and lists that JSON has already become."""
    return typing.cast(T, _read(kind, value, place))


def _read(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _read_dataclass(kind, value, place)
    if origin is list:
        if not isinstance(value, list):
            raise _wrong(place, f"expected a list, found {_name(value)}")
        return [_read(arguments[0], item, f"{place}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(place, f"expected an object, found {_name(value)}")
        return {key: _read(arguments[1], item, _join(place, key)) for key, item in value.items()}
    if origin is typing.Literal:
        if value not in arguments:
            raise _wrong(place, f"expected one of {', '.join(map(repr, arguments))}, found {value!r}"[:200])
        return value
    if origin in (types.UnionType, typing.Union):  # only `X | None` is used
        return None if value is None else _read(next(a for a in arguments if a is not type(None)), value, place)
    if kind is float and type(value) in (int, float):
        number = float(value)
        if math.isfinite(number):
            return number
    elif kind in (int, str, bool) and type(value) is kind:
        return value
    raise _wrong(place, f"expected {getattr(kind, '__name__', kind)}, found {_name(value)}")


def _read_dataclass(kind: type, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(place, f"expected an object, found {_name(value)}")
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for what, keys in (
        ("lacks", [n for n in names if n not in value]),
        ("unknown", [k for k in value if k not in names]),
    ):
        if keys:
            raise _wrong(place, f"{what} {', '.join(map(repr, keys))}"[:200])
    return kind(**{name: _read(hints[name], value[name], _join(place, name)) for name in names})


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _name(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _wrong(place: str, wrong: str) -> StoreError:
    return StoreError(wrong, place=place, mend="The file was changed or written by another version; make it anew.")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result
