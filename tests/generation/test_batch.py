"""Many texts at once against one at a time, in fp64, where rounding parts no two texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from groundup.generation.batch import ROWS, continue_many
from groundup.generation.sampling import Sampling
from tests.generation.memories import Plain
from tests.generation.parts import generator

SAMPLINGS = {
    "greedy": Sampling(temperature=0, max_tokens=12),
    "sampled": Sampling(temperature=0.8, top_p=0.9, top_k=50, repetition_penalty=1.2, max_tokens=12, seed=7),
}


@pytest.mark.parametrize("name", list(SAMPLINGS))
def test_each_text_is_the_one_that_is_written_alone(name: str) -> None:
    made, sampling = generator(), SAMPLINGS[name]
    made.model.double()
    made.drawable.ends = frozenset()
    random = np.random.default_rng(0)
    prompts = [random.integers(5, 250, size).tolist() for size in random.integers(1, 40, ROWS)]  # of several batches
    memory = Plain([random.integers(5, 250, 400).tolist(), *prompts[:9]], 0.4)
    apart = [
        [
            [piece.token_id for piece in made.stream(prompt, replace(sampling, seed=sampling.seed + i), memory=one)]
            for i, prompt in enumerate(prompts)
        ]
        for one in (None, memory)
    ]
    # One text in two ends early: with a token that others have in their midst.
    made.drawable.ends = frozenset({apart[0][0][5], apart[1][3][2]})
    stopped = [[_up_to(text, made.drawable.ends) for text in texts] for texts in apart]
    together = continue_many(made, prompts, sampling, (None, memory))
    assert together == stopped
    assert {len(text) for text in stopped[1]} > {2, 12}
    assert together[0] != together[1]


def _up_to(text: list[int], ends: frozenset[int]) -> list[int]:
    end = next((at for at, token in enumerate(text) if token in ends), len(text))
    return text[:end]
