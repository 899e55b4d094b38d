"""identity.py: one text for equal structures, a refusal with its place for the rest, and keys."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from groundup.pipeline.identity import canonical_json, plain, step_key

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
STRUCTURES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)


def same(a: Any, b: Any) -> bool:
    """Equality that keeps types apart, written without the code under test."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


@given(STRUCTURES, STRUCTURES)
def test_texts_are_equal_exactly_when_structures_are(a: Any, b: Any) -> None:
    assert (canonical_json(a) == canonical_json(b)) == same(a, b)


@given(STRUCTURES)
def test_text_reads_back_as_the_structure(value: Any) -> None:
    assert same(json.loads(canonical_json(value)), value)


@given(st.dictionaries(st.text(max_size=4), SCALARS, max_size=4))
def test_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert len({canonical_json(dict(items)) for items in itertools.permutations(value.items())}) == 1


def test_near_equal_values_differ() -> None:
    values = [1, 1.0, True, "1", [1], None, "", 0, 0.0, -0.0, False, {}, [], {"": 0}, "\ud800", 0.1 + 0.2, 0.3]
    assert len({canonical_json(value) for value in values}) == len(values)


def test_tuples_are_lists_and_dataclasses_and_models_their_fields() -> None:
    @dataclasses.dataclass
    class Point:
        y: int
        x: tuple[float, ...]

    class Model(BaseModel):
        inner: Point
        b: str = "é"

    assert canonical_json(Model(inner=Point(1, (0.5,)))) == '{"b":"\\u00e9","inner":{"x":[0.5],"y":1}}'


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"a": [1, {2}]}, r"a\[1\] is a builtins\.set"),
        ({"a": {"b": Path("/x")}}, r"a\.b is a pathlib\.PosixPath"),
        ({"a": b"x"}, r"a is a builtins\.bytes"),
        ({"a": math.nan}, "a is nan"),
        ({"a": (math.inf,)}, r"a\[0\] is inf"),
        ({"a": {1: 2}}, r"a has the key 1 \(int\)"),
        ({"a": Colour.RED}, r"a is a .*Colour"),
        ({"a": np.float64(1)}, r"a is a numpy\.float64"),
        ({"a": np.int64(1)}, r"a is a numpy\.int64"),
        ({"a": object}, r"a is a builtins\.type"),
        ({"a": 10**5000}, "has no canonical form"),
    ],
)
def test_refusal_names_the_place(value: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        canonical_json(value, "recipe")


def test_structure_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeError, match="does it hold itself"):
        plain(loop)


def key(**changes: Any) -> str:
    parts: dict[str, Any] = {
        "version": 1,
        "code": {"m": "0"},
        "configuration": {"n": 1},
        "inputs": {"a": "x", "b": "y"},
    }
    return step_key(changes.pop("step", "s"), **{**parts, **changes})


def test_key_depends_on_each_part_and_on_which_input_is_which() -> None:
    others = [
        key(step="t"),
        key(version=2),
        key(code={"m": "1"}),
        key(code={"n": "0"}),
        key(configuration={"n": 2}),
        key(inputs={"a": "y", "b": "x"}),
    ]
    assert len({key(), *others}) == 1 + len(others)


def test_key_is_the_same_in_every_process() -> None:
    """Neither hash randomisation nor the process enter the key."""
    program = (
        "from groundup.pipeline.code import code_versions as c\nfrom groundup.pipeline.identity import step_key\n"
        "print(step_key('s', version=1, code=c(['groundup.corpus']), configuration={'b': 1, 'a': (2,)}, inputs={}))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(keys) == 1
    assert len(keys.pop()) == 65
