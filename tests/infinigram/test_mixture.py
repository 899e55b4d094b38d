"""The language model, the gate and the mixture, against the formulas written out over plain counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.infinigram.backoff import UNFITTED, UNIFORM, Backoff, last_level
from groundup.infinigram.evidence import BEST, Evidence
from groundup.infinigram.gate import FEATURES, Gate, features
from groundup.infinigram.memory import Memory
from groundup.infinigram.mixture import Mixture
from groundup.infinigram.survey import survey
from groundup.infinigram.trust import trust
from tests.infinigram.plain import Plain, segment

V = 9
tokens = st.lists(st.integers(1, V - 1), min_size=1, max_size=30)
corpora = st.lists(tokens, min_size=1, max_size=6).map(lambda found: {f"d{i}": one for i, one in enumerate(found)})


def logistic(length: int, count: int, distinct: int) -> float:
    r = distinct / count
    known = [1, np.log(count), np.log(count) ** 2, np.log(distinct), r, r * r, np.log(length), np.log(length) ** 2]
    known += [count == 1, distinct == 1, (distinct == 1) * np.log(count), (count == 1) * np.log(length)]
    known += [(distinct == 1) * np.log(length), length == 1, length == 2]
    return float(1 / (1 + np.exp(-np.dot(known, UNFITTED))))


def plain_distribution(plain: Plain, context: list[int], most: int | None = None) -> np.ndarray:
    """most: tokens of the longest match that is looked at."""
    every = [token for document in plain.documents.values() for token in document]
    p = (1 - UNIFORM) * np.bincount(every, minlength=V) / len(every) + UNIFORM / V
    for length, count, distinct in reversed(plain.levels(context)):
        if most is not None and length > most:
            break
        share = logistic(length, count, distinct)
        followers = plain.followers(context[len(context) - length :])
        q = np.array([followers[token] / count for token in range(V)])
        p = share * q + (1 - share) * p
    return p


def random_gate(seed: int) -> Gate:
    random = np.random.default_rng(seed)
    width = len(FEATURES)
    return Gate(
        random.normal(size=width),
        random.uniform(0.5, 2, width),
        random.normal(size=(width, 3)),
        random.normal(size=3),
        random.normal(size=3),
        0.1,
    )


@given(corpora, tokens)
@settings(max_examples=60, deadline=None)
def test_memory_is_a_distribution_and_equals_the_formula_over_plain_counts(
    corpus: dict[str, list[int]], text: list[int]
) -> None:
    plain, memory = Plain(corpus, 0), Memory(segment(corpus, V))
    recall = Mixture(memory, Backoff(), None).recall([0])
    context = [0]
    for token in text:
        p = recall.distribution()
        assert p.sum() == pytest.approx(1)
        assert (p > 0).all()
        np.testing.assert_allclose(p, plain_distribution(plain, context), rtol=1e-10)
        recall.advance(token)
        context.append(token)


@given(corpora, corpora, tokens)
@settings(max_examples=40, deadline=None)
def test_scoring_a_text_at_once_equals_one_token_at_a_time(
    corpus: dict[str, list[int]], added: dict[str, list[int]], text: list[int]
) -> None:
    removed = dict(list(corpus.items())[:1])
    more = {f"new-{name}": one for name, one in added.items()}
    memory = Memory(segment(corpus, V), segment(more, V), segment(removed, V))
    ids = np.array([0, *text])
    backoff, found = Backoff(), survey(memory, ids)
    at_once = backoff.probabilities(found, memory.unigrams)
    favourites = backoff.favourite_probabilities(found, memory.unigrams)
    recall = Mixture(memory, backoff, None).recall([0])
    for row, token in enumerate(text):
        p = recall.distribution()
        assert at_once[row] == pytest.approx(p[token], rel=1e-10)
        if found.favourite[row] >= 0:
            assert favourites[row] == pytest.approx(p[found.favourite[row]], rel=1e-10)
        recall.advance(token)


@pytest.mark.parametrize("rows", [V, V + 4])
@pytest.mark.parametrize("prompt", [31, 12])
@pytest.mark.parametrize("cautious", [False, True])
def test_mixed_logits_are_the_mixture_and_keep_their_sum(rows: int, prompt: int, cautious: bool) -> None:
    """What was written since the prompt is no evidence: the gate reads matches as long as they are without it, and
    memory is trusted as far as it was at the prompt's end."""
    random = np.random.default_rng(0)
    corpus = {f"d{i}": random.integers(1, V, 40).tolist() for i in range(8)}
    memory, gate, backoff = Memory(segment(corpus, V)), replace(random_gate(1), cautious=cautious), Backoff()
    text = [0, *random.integers(1, V, 10).tolist(), *corpus["d3"][5:25]]
    found = survey(memory, np.array([*text, 1]))
    favourites = backoff.favourite_probabilities(found, memory.unigrams)
    trusts = trust(found, np.array(backoff.weights), last_level(memory.unigrams), 0)
    shortened = 0
    for row in range(len(text)):
        recall = Mixture(memory, backoff, gate).recall(text[: min(row + 1, prompt)])
        for token in text[prompt : row + 1]:
            recall.advance(token)
        logits = random.normal(0, 3, max(rows, BEST))
        p = np.exp(logits) / np.exp(logits).sum()
        order = np.argsort(-logits, kind="stable")[:BEST]
        evidence = Evidence(np.array([-(p * np.log(p)).sum()]), order[None], np.log(p[order])[None])
        one = type(found)(*(getattr(found, name)[row : row + 1] for name in found.__dataclass_fields__))
        written = len(text[prompt : row + 1])
        vouched = [length - written if length - written > 3 else min(length, 3) for length in one.lengths[0].tolist()]
        shortened += vouched != one.lengths[0].tolist()
        one = replace(one, lengths=np.array([vouched]))
        share = gate.shares(features(one, favourites[row : row + 1], evidence))[0]
        if cautious:
            share *= trusts[min(row, prompt - 1)]
        padded = np.zeros(len(logits))
        padded[:V] = recall.distribution()
        np.testing.assert_allclose(
            recall.mix(logits), np.log((1 - share) * p + share * padded) + np.log(np.exp(logits).sum()), rtol=1e-9
        )
    assert (shortened > 10) == (prompt == 12)


def test_a_memory_without_a_say_returns_the_decoders_logits_themselves() -> None:
    memory = Memory(segment({"d": [1, 2, 3]}, V))
    logits = np.random.default_rng(0).normal(size=V)
    assert Mixture(memory, Backoff(), None).recall([0, 1]).mix(logits) is logits
    assert Mixture(memory, Backoff(), random_gate(0)).recall([0, 7]).mix(logits) is logits  # 7 stands nowhere
    cautious = replace(random_gate(0), cautious=True)
    assert Mixture(memory, Backoff(), cautious).recall([0, 1, 7]).mix(logits) is logits


def test_a_draft_is_what_stands_behind_the_longest_match_up_to_the_documents_end() -> None:
    memory = Memory(segment({"a": [1, 2, 3, 4, 5], "b": [6, 2, 3, 7]}, V), segment({"c": [8, 7, 8]}, V))
    mixture = Mixture(memory, Backoff(), None)
    assert mixture.recall([0, 1, 2]).draft(8) == [3, 4, 5]
    assert mixture.recall([0, 1, 2]).draft(2) == [3, 4]
    assert mixture.recall([0, 6, 2, 3]).draft(8) == [7]
    assert mixture.recall([0, 8, 7]).draft(8) == [8]
    assert mixture.recall([]).draft(8) == []


def test_fitting_makes_the_text_likelier_and_its_gradient_is_right() -> None:
    from groundup.infinigram.backoff import _Levels

    random = np.random.default_rng(3)
    corpus = {f"d{i}": random.zipf(1.6, 60).clip(1, V - 1).tolist() for i in range(20)}
    memory = Memory(segment(corpus, V))
    found = survey(memory, np.array([0, *random.zipf(1.6, 200).clip(1, V - 1)]))
    fitted = Backoff.fit([found], memory.unigrams)
    nats = [-np.log(one.probabilities(found, memory.unigrams)).mean() for one in (Backoff(), fitted)]
    assert nats[1] < nats[0]
    levels = _Levels.of(found, found.tokens, found.hits, memory.unigrams)
    weights = np.array(UNFITTED)
    for at, slope in enumerate(levels.gradient(weights)):
        step = np.zeros(len(weights))
        step[at] = 1e-5
        up, down = (-np.log(levels.probabilities(weights + s)).mean() for s in (step, -step))
        assert slope == pytest.approx((up - down) / 2e-5, abs=1e-6)


def test_a_gate_learns_when_memory_is_right_and_goes_through_json() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(4_000, len(FEATURES)))
    right = random.random(4_000) < 1 / (1 + np.exp(-3 * x[:, 4]))
    memory = np.where(right, 0.9, 0.01)
    gate = Gate.fit(x, np.full(4_000, 0.2), memory)
    held_out = random.normal(size=(2_000, len(FEATURES)))
    shares = gate.shares(held_out)
    assert shares[held_out[:, 4] > 1].mean() > 0.8
    assert shares[held_out[:, 4] < -1].mean() < 0.2
    again = Gate.from_json(gate.to_json())
    np.testing.assert_array_equal(again.shares(held_out), shares)
    assert Gate.from_json(replace(gate, cautious=True).to_json()).cautious
    before = {name: value for name, value in gate.to_json().items() if name != "cautious"}
    assert not Gate.from_json(before).cautious
    with pytest.raises(ValueError, match="fit"):
        Gate.from_json({**gate.to_json(), "mean": [0.0]})
    with pytest.raises(ValueError, match="nothing to fit"):
        Gate.fit(x[:0], memory[:0], memory[:0])


def test_a_prompt_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="token 99 lies outside"):
        Mixture(Memory(segment({"d": [1]}, V)), Backoff(), None).recall([99])
