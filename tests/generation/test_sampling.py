from __future__ import annotations

import math

import pytest

from groundup.errors import RequestError
from groundup.generation.sampling import MAX_STOPS, Sampling

BAD = [
    ("temperature", -0.1), ("temperature", math.nan), ("temperature", math.inf), ("temperature", True),
    ("top_p", 1.01), ("top_p", -1), ("min_p", 2), ("repetition_penalty", 0), ("presence_penalty", 2.1),
    ("frequency_penalty", -2.1), ("top_k", 0), ("top_k", 2.0), ("seed", -1), ("max_tokens", 0), ("max_tokens", None),
    ("top_logprobs", 21), ("stop", ("",)), ("stop", ("x",) * (MAX_STOPS + 1)), ("stop", ["x"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_value_out_of_bounds_is_refused_by_the_name_of_its_field(name: str, value: object) -> None:
    with pytest.raises(RequestError, match=f"^{name}: ") as caught:
        Sampling(**{name: value})  # type: ignore[arg-type]
    assert caught.value.param == name
    assert caught.value.status == 400


def test_bounds_themselves_are_allowed() -> None:
    assert Sampling(temperature=0, top_p=0, min_p=1, presence_penalty=-2, frequency_penalty=2, top_k=1).greedy
