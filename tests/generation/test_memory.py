"""Memory in a generation, against loops that mix, punish and draw by the formulas alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundup.generation.generator import Generator
from groundup.generation.sampling import Sampling
from tests.generation.memories import Plain, PlainRecall, mixed
from tests.generation.parts import generator

PROMPTS = [np.random.default_rng(seed).integers(5, 250, 6 + seed).tolist() for seed in range(5)]


@torch.no_grad()
def whole_logits(made: Generator, ids: list[int]) -> np.ndarray:
    row = made.model.logits(made.model(torch.tensor([ids]))[:, -1])[0].double().numpy()
    return np.asarray(row)


def remembering(prompt: list[int], weight: float) -> Plain:
    """Texts that share pieces of the prompt, so that there is a match at every step or so."""
    random = np.random.default_rng(sum(prompt))
    return Plain([[*prompt[-3:], *random.integers(5, 250, 20).tolist(), *prompt] for _ in range(3)], weight)


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_a_memory_without_weight_changes_no_bit(temperature: float) -> None:
    made = generator()
    sampling = Sampling(temperature=temperature, top_p=0.95, presence_penalty=0.5, max_tokens=20, top_logprobs=4)
    for prompt in PROMPTS:
        memory = remembering(prompt, 0.0)
        plain = list(made.stream(prompt, sampling))
        assert list(made.stream(prompt, sampling, memory=memory, speculate=False)) == plain
        assert (
            list(made.stream(prompt, sampling, memory=remembering(prompt, 0.6), target="decoder", speculate=False))
            == plain
        )
        assert "".join(piece.text for piece in plain) == made.generate(prompt, sampling, memory=memory, speculate=False)


@pytest.mark.parametrize("speculate", [False, True])
def test_mixing_comes_before_penalties_and_temperature(speculate: bool) -> None:
    made = generator()
    made.model.double()  # else rounding may break a tie otherwise here than there
    made.drawable.ends = frozenset()
    sampling = Sampling(
        temperature=0.7, repetition_penalty=1.3, presence_penalty=0.4, frequency_penalty=0.2, top_k=40, seed=3,
        max_tokens=15, top_logprobs=3,
    )  # fmt: skip
    for prompt in PROMPTS:
        memory = remembering(prompt, 0.6)
        pieces = list(made.stream(prompt, sampling, memory=memory, speculate=speculate))
        random, ids, recall = np.random.default_rng(3), list(prompt), PlainRecall(memory, prompt)
        for piece in pieces:
            raw = whole_logits(made, ids)
            p = np.exp(raw - raw.max()) / np.exp(raw - raw.max()).sum()
            length, following = recall.longest()
            if length:
                p = 0.4 * p
                p[following[0]] += 0.6
            assert piece.logprob == pytest.approx(np.log(p[piece.token_id]), abs=1e-4)
            assert [token for token, _ in piece.top_logprobs] == np.argsort(-p)[:3].tolist()
            scores = np.log(p) + np.log(np.exp(raw).sum())
            for token in set(ids):
                scores[token] = scores[token] / 1.3 if scores[token] > 0 else scores[token] * 1.3
            for token in set(ids[len(prompt) :]):
                scores[token] -= 0.4 + 0.2 * ids[len(prompt) :].count(token)
            scores[made.drawable.silent] = -np.inf
            weights = np.exp(scores / 0.7 - (scores / 0.7).max())
            weights[weights < np.sort(weights)[-40]] = 0
            drawn = np.searchsorted(np.cumsum(weights), random.random() * weights.sum(), side="right")
            assert piece.token_id == drawn
            ids.append(piece.token_id)
            recall.advance(piece.token_id)


def test_mixed_logits_keep_the_decoders_scale() -> None:
    logits = np.random.default_rng(0).normal(0, 3, 50)
    np.testing.assert_allclose(mixed(logits, 7, 0.0), logits, rtol=1e-12)  # so penalties mean what they meant


@pytest.mark.parametrize("speculate", [False, True])
def test_each_text_has_its_own_recall_that_sees_the_fitted_prompt_and_every_token_but_the_last(speculate: bool) -> None:
    made, memory = generator(context_length=40), Plain([list(range(5, 250))], 0.5)
    for prompt in ([7, 8, 9], [3] * 60):
        sampling = Sampling(seed=1, max_tokens=25)
        pieces = list(made.stream(prompt, sampling, truncate=True, memory=memory, speculate=speculate))
        assert memory.recalls[-1].prompt == made.fit(prompt, sampling, truncate=True).prompt
        seen = memory.recalls[-1].seen[len(memory.recalls[-1].prompt) :]
        assert seen == [piece.token_id for piece in pieces[:-1]]
    assert len(memory.recalls) == 2


def test_a_memory_that_neither_speaks_nor_drafts_is_not_asked() -> None:
    made, memory = generator(), Plain([[1, 2, 3]], 0.5)
    made.generate([5, 6], Sampling(max_tokens=4), memory=memory, target="decoder", speculate=False)
    assert not memory.recalls
