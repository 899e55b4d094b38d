"""What makes two steps the same: canonical JSON and the key of a step.

Identity is refused rather than guessed: a value without one canonical form raises TypeError with its path inside the
structure. `str()` of such a value (an object's address, a set's order) would make keys that differ from run to run, or
keys that agree where the values don't.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Mapping

SCHEMA = 1  # of the key itself: raised when this file changes what a key covers
_MAX_DEPTH = 64  # deeper is a structure that holds itself


def plain(value: object, at: str = "value") -> object:
    """`value` as plain data (dict with sorted keys, list, str, int, float, bool, None), or TypeError that names where.

    Dataclasses become their fields and pydantic models their `model_dump()`; tuples become lists. Everything else is
    refused: sets, bytes, paths, enums, numpy scalars (they subclass float), NaN and infinities, keys that aren't str.
    """
    return _plain(value, at, 0)


def _plain(value: object, at: str, depth: int) -> object:
    if depth > _MAX_DEPTH:
        raise TypeError(f"{at[:200]} is nested more than {_MAX_DEPTH} deep: does it hold itself?")
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is int:
        return value
    if kind is float:
        assert isinstance(value, float)
        if not math.isfinite(value):
            raise TypeError(f"{at} is {value!r}: only finite numbers have a canonical form")
        return value
    if isinstance(value, list | tuple) and (kind is list or kind is tuple):
        return [_plain(item, f"{at}[{i}]", depth + 1) for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _plain(fields, at, depth + 1)
    if _is_pydantic(value):
        return _plain(value.model_dump(), at, depth + 1)  # type: ignore[attr-defined]
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"{at} has the key {key!r} ({type(key).__name__}): only str keys have a canonical form")
        return {key: _plain(value[key], f"{at}.{key}", depth + 1) for key in sorted(value)}
    raise TypeError(f"{at} is a {kind.__module__}.{kind.__qualname__}, which has no canonical form: convert it first")


def _is_pydantic(value: object) -> bool:
    pydantic = sys.modules.get("pydantic")  # not imported here: a process that has such a value has loaded it
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def canonical_json(value: object, at: str = "value") -> str:
    """The one text of `value`: equal structures have equal texts, different ones differ (1, 1.0 and True differ too).

    Keys sorted by code point, no spaces, ASCII with escapes, floats by `repr` (the shortest that reads back equal).
    """
    try:
        return json.dumps(plain(value, at), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:  # an int of more than 4,300 digits
        raise TypeError(f"{at} has no canonical form: {error}") from None


def digest_of(value: object, at: str = "value") -> str:
    """sha256 (64 hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value, at).encode("ascii")).hexdigest()


def step_key(
    step: str, *, version: int, code: Mapping[str, str], configuration: object, inputs: Mapping[str, str]
) -> str:
    """Key (64 hex) of a step: what it is, its code, its configuration, and its inputs' OUTPUT digests by name.

    Output digests rather than keys: an input that reran and came out the same doesn't rerun what stands on it.
    """
    return digest_of(
        {
            "schema": SCHEMA,
            "step": step,
            "version": version,
            "code": code,
            "configuration": plain(configuration, f"{step}.configuration"),
            "inputs": inputs,
        },
        at=step,
    )
